# Sourced by the deploy commands. Says what it does, one line a step; stops at the first failure.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${SWARM_BUILD_DIR:-$root/build}
say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "$0 needs root: sudo $0"; }

# install_packages KIND…: what is missing of deploy/packages, and nothing else.
install_packages() {
  local kinds=" $* " missing=() kind name
  while read -r kind name; do
    case "$kind" in ''|'#'*) continue ;; esac
    [[ "$kinds" == *" $kind "* ]] || continue
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done < "$root/deploy/packages"
  [ ${#missing[@]} -gt 0 ] || return 0
  need_root
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  (
    # Packages ask this program before they start their services; 101 is no.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap "rm -f $policy" EXIT
      printf '#!/bin/sh\nexit 101\n' > $policy
      chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >&2
  )
}

# The compiler cache gives the same answer whatever folder the checkout or the build is in. With
# CCACHE_DEPEND a file that is not in it is read by the compiler alone, not by the preprocessor first.
export CCACHE_DEPEND=1 CCACHE_BASEDIR=/ CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=time_macros CCACHE_MAXSIZE=5G

# build_tree NAME TARGET… [-- CMAKE_ARG…]: configures and builds $build/NAME.
build_tree() {
  local name=$1 targets=(); shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do targets+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  local started=$SECONDS
  cmake -S "$root" -B "$build/$name" -G Ninja "$@" > "$build/$name.configure.log" 2>&1 ||
    { tail -20 "$build/$name.configure.log" >&2; die "cmake failed for $name"; }
  NINJA_STATUS="    [$name %f/%t %es] " ninja -C "$build/$name" "${targets[@]}" >&2
  say "built $name in $((SECONDS - started)) s"
}
mkdir -p "$build"
