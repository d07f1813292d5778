// The scripts of `completion`. They know nothing: each asks `swarmctl __complete` (complete.h).
#include "cli/app.h"
#include "cli/errors.h"
#include "common/strings.h"

namespace swarm::cli {
namespace {

// What bash replaces begins after the last = or :, which it takes for ends of words.
constexpr std::string_view kBash =
    R"(# bash completion of swarmctl: source it, or put it into /etc/bash_completion.d
_swarmctl() {
  local typed="${COMP_LINE:0:COMP_POINT}" line name cur prefix="" one
  local -a words
  read -ra words <<< "$typed"
  [[ "$typed" == *[[:space:]] ]] && words+=("")
  cur="${words[${#words[@]}-1]}"
  for one in = :; do
    [[ "$COMP_WORDBREAKS" == *"$one"* && "$cur" == *"$one"* ]] || continue
    name="${cur%"${cur##*"$one"}"}"
    [ "${#name}" -gt "${#prefix}" ] && prefix="$name"
  done
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = ":files" ]; then
      while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "${cur#"$prefix"}")
      compopt -o filenames 2>/dev/null
      continue
    fi
    name="${line%%$'\t'*}"
    [[ "$name" == *= ]] && compopt -o nospace 2>/dev/null
    COMPREPLY+=("${name#"$prefix"}")
  done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _swarmctl swarmctl
)";

constexpr std::string_view kZsh = R"(#compdef swarmctl
# zsh completion of swarmctl: source it after compinit, or put it as _swarmctl into $fpath
_swarmctl() {
  local line name about
  local -a whole begun
  for line in "${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -z "$line" ]] && continue
    if [[ "$line" == ":files" ]]; then
      _files
      continue
    fi
    name="${line%%$'\t'*}"
    about=""
    [[ "$line" == *$'\t'* ]] && about="${line#*$'\t'}"
    if [[ "$name" == *= ]]; then
      begun+=("${name//:/\\:}:$about")
    else
      whole+=("${name//:/\\:}:$about")
    fi
  done
  _describe -V swarmctl whole
  _describe -V swarmctl begun -S ''
}
if [[ "$funcstack[1]" == "_swarmctl" ]]; then _swarmctl "$@"; else compdef _swarmctl swarmctl; fi
)";

constexpr std::string_view kFish =
    R"(# fish completion of swarmctl: put it into ~/.config/fish/completions
function __swarmctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c swarmctl -f -a '(__swarmctl_complete)'
)";

}  // namespace

absl::StatusOr<std::string> CompletionScript(std::string_view shell) {
  if (shell == "bash") return std::string(kBash);
  if (shell == "zsh") return std::string(kZsh);
  if (shell == "fish") return std::string(kFish);
  return UsageError(StrCat("completion ", shell, ": must be bash, zsh or fish"));
}

}  // namespace swarm::cli
