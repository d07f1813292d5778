#!/usr/bin/env python3
"""Boots Debian 12's kernel in a virtual machine and runs privileged tests there: the runtime's, and those of parts of
the kernel that the building machine may lack.

    python3 tests/vm/runtime_on_v2.py BUILD_DIR [GTEST_FILTER]

Needs no root, and a network only the first time, for the kernel's package. Leaves that (BUILD_DIR/vm) and what the guest
said (BUILD_DIR/vm-console, of which told_by_guest.py tells). Exit status 0 if and only if gtest says that as many tests
passed as the programs list.

    python3 tests/vm/runtime_on_v2.py BUILD_DIR --judge-nothing

Exit status 0 when the guest ran: told_by_guest.py judges each test by what BUILD_DIR/vm-console says of it.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from machine_image import HERE, Tree, add_base, kernel, machine, output

PROGRAMS = ["agent_runtime_privileged_test", "vm_limits_test", "vm_network_test", "vm_volumes_test",
            "agent_network_wireguard_test"]
# What the programs call, by the path that the guest's PATH leads to.
TOOLS = {"/bin/" + name: shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
         for name in ("ip", "nft", "mkfs.ext4", "mkfs.xfs", "sh")}
# In this guest nothing loads any by itself.
MODULES = [
    "overlay", "veth", "bridge", "vxlan", "macvlan", "8021q", "sctp", "wireguard",
    "nf_tables", "nft_ct", "nft_fib_inet", "nft_chain_nat", "nft_nat", "nft_masq", "nft_numgen", "nft_reject_inet",
    "nf_conntrack_netlink",
    "fuse", "loop", "quota_v2", "xfs", "nfsd", "nfsv3", "nfsv4",
]
# What is of cgroup v1 alone.
NOT_HERE = ("ExecTest.WorksInAContainerThatHasNoPlaceInATreeThatOnlyCounts:"
            "HostNamespacesTest.TheRestEndsWithInitAlsoWhereOnlyCgroupV1Is")
# An emulated processor (TCG) is slow and may share the real one with a whole build: 1 to 2 minutes
# on two busy processors. Only a guest that hangs gets here.
BOUND_SECONDS = 900
MEMORY_MB = 768


def make_initramfs(programs, shim, folder, test_filter, scratch):
    tree = Tree(os.path.join(scratch, "root"))
    add_base(tree, folder, MODULES, role=os.path.join(HERE, "run_tests"))
    # Everything where it is here: the programs know the shim by its path.
    tree.add(shim, shim)
    for program in programs:
        tree.add_program(program)
    for path, source in TOOLS.items():
        tree.add_program(source, path)
    tree.add("/etc/protocols", "/etc/protocols")  # nftables' words
    tree.write("/test-programs", "".join(f"{path}\n" for path in programs))
    tree.write("/test-filter", test_filter + "\n")
    archive = os.path.join(scratch, "initramfs")
    tree.pack(archive)
    return archive


def boot(folder, initramfs):
    """The console's text, and whether the guest ended by itself."""
    command = ["setpriv", "--pdeathsig", "KILL",  # it ends with us, however we end
               *machine(folder, initramfs, MEMORY_MB), "-serial", "stdio"]
    guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ended = True
    try:
        console, _ = guest.communicate(timeout=BOUND_SECONDS)
    except subprocess.TimeoutExpired:
        ended = False
        guest.kill()
        console, _ = guest.communicate()
    except BaseException:
        guest.kill()
        guest.wait()
        raise
    return console.decode(errors="replace").replace("\r", ""), ended


def listed(program, test_filter):
    """How many tests the program has."""
    lines = output(program, "--gtest_list_tests", "--gtest_filter=" + test_filter).split("\n")
    return sum(1 for line in lines if line.startswith("  "))


def passed_by_program(console):
    """How many tests passed, of each program that came to its end."""
    return [int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) tests?\.$", console, re.M)]


def judge(console, programs, expected):
    """What is wrong, in words; nothing when all that was expected passed."""
    passed = passed_by_program(console)
    failed = [int(n) for n in re.findall(r"^\[  FAILED  \] (\d+) tests?, listed below:$", console, re.M)]
    if len(passed) != programs:
        return f"{len(passed)} of {programs} test programs came to their end"
    if failed or sum(passed) != expected or expected == 0:
        return f"{sum(passed)} of {expected} tests passed, {sum(failed)} failed"
    return ""


def failing_output(console):
    """The blocks of the tests that did not pass, and what the guest says after the last one."""
    parts = re.split(r"(?m)^(?=\[ RUN      \] )", console)
    blocks = [part for part in parts[1:-1] if not re.search(r"(?m)^\[       OK \] ", part)]
    return "".join(blocks + ["\n".join(parts[-1].split("\n")[-200:])])


def main():
    build = os.path.realpath(sys.argv[1])
    judges = sys.argv[2:] != ["--judge-nothing"]
    test_filter = sys.argv[2] if judges and len(sys.argv) > 2 else "*"
    test_filter += (":" if "-" in test_filter else "-") + NOT_HERE
    programs = [os.path.join(build, "tests", name) for name in PROGRAMS]
    shim = os.path.join(build, "bin/swarm-shim")
    expected = sum(listed(program, test_filter) for program in programs)
    said = os.path.join(build, "vm-console")
    if os.path.exists(said):
        os.remove(said)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with tempfile.TemporaryDirectory(prefix="vm-", dir=build) as scratch:
        folder = kernel(os.path.join(build, "vm"), scratch)
        initramfs = make_initramfs(programs, shim, folder, test_filter, scratch)
        started = time.monotonic()
        console, ended = boot(folder, initramfs)
        seconds = time.monotonic() - started
    with open(said, "w", encoding="utf-8") as f:
        f.write(console)
    wrong = judge(console, len(programs), expected) if ended else f"the guest was killed after {BOUND_SECONDS} s"
    if wrong and judges:
        print(failing_output(console))
        print(f"{wrong} ({seconds:.0f} s)")
        return 1
    for line in re.findall(r"^vm: .*$", console, re.M):
        print(line)
    print(f"{wrong or f'{expected} tests passed'} ({seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
