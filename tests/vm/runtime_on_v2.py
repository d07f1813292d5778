#!/usr/bin/env python3
"""Boots Debian 12's kernel in a virtual machine and runs the runtime's privileged tests there.

    python3 tests/vm/runtime_on_v2.py BUILD_DIR [GTEST_FILTER]

Needs no root, and a network only the first time, for the kernel's package, which is all that it leaves (in
BUILD_DIR/vm). Exit status 0 if and only if gtest says that as many tests passed as the programs list.
"""
import glob
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ["agent_runtime_privileged_test", "vm_limits_test"]
META_PACKAGE = "linux-image-cloud-amd64"
# An emulated processor (TCG) is slow and may share the real one with a whole build: 1 to 2 minutes
# on two busy processors. Only a guest that hangs gets here.
BOUND_SECONDS = 900
MEMORY_MB = 768


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def fetch_kernel(folder):
    """Unpacks the 6.1 kernel that the meta package stands for into `folder`."""
    depends = output("apt-cache", "depends", META_PACKAGE)
    name = re.search(r"Depends: (linux-image-6\.1\.\S+-cloud-amd64)", depends)
    if not name:
        raise RuntimeError(f"{META_PACKAGE} depends on no 6.1 kernel: {depends}")
    output("apt-get", "-o", "APT::Sandbox::User=root", "download", name.group(1), cwd=folder)
    [package] = glob.glob(os.path.join(folder, "*.deb"))
    output("dpkg", "-x", package, folder)
    os.remove(package)
    [release] = os.listdir(os.path.join(folder, "lib/modules"))
    output("/usr/sbin/depmod", "-b", folder, release)


def kernel(cache, scratch):
    """The folder with the unpacked kernel; fetched once per build directory."""
    if not os.path.isdir(cache):
        folder = os.path.join(scratch, "kernel")
        os.mkdir(folder)
        try:
            fetch_kernel(folder)
        except (subprocess.CalledProcessError, RuntimeError):
            # No package lists yet, or older than the archive.
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            fetch_kernel(folder)
        try:
            os.rename(folder, cache)
        except OSError:  # another run was faster
            if not os.path.isdir(cache):
                raise
    return cache


def libraries(program):
    """What ldd names, the loader included."""
    return re.findall(r"(/\S+) \(0x", output("ldd", program))


def modules(folder, release, names):
    """Files of the modules in the order in which they are loaded. Built-in ones need none."""
    files = []
    for name in names:
        shown = output("/usr/sbin/modprobe", "-d", folder, "-S", release, "--show-depends", name)
        for path in re.findall(r"^insmod (\S+)", shown, re.M):
            if path not in files:
                files.append(path)
    return files


class Tree:
    """The guest's files before they are an archive."""

    def __init__(self, root):
        self.root = root

    def add(self, source, path):
        target = self.root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)

    def write(self, path, text):
        with open(self.root + path, "w", encoding="utf-8") as f:
            f.write(text)

    def pack(self, archive):
        names = output("find", ".", cwd=self.root)
        packed = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=self.root, check=True,
                                input=names.encode(), stdout=subprocess.PIPE).stdout
        with gzip.open(archive, "wb", compresslevel=1) as f:
            f.write(packed)


def make_initramfs(programs, shim, folder, release, test_filter, scratch):
    tree = Tree(os.path.join(scratch, "root"))
    tree.add("/bin/busybox", "/bin/busybox")
    tree.add(os.path.join(HERE, "init"), "/init")
    # Everything where it is here: the programs know the shim by its path, the loader the libraries.
    for path in {shim, *programs, *(path for program in programs for path in libraries(program))}:
        tree.add(path, path)
    loaded = modules(folder, release, ["overlay"])
    for path in loaded:
        tree.add(path, "/modules.d/" + os.path.basename(path))
    tree.write("/modules", "".join(f"/modules.d/{os.path.basename(path)}\n" for path in loaded))
    tree.write("/test-programs", "".join(f"{path}\n" for path in programs))
    tree.write("/test-filter", test_filter + "\n")
    archive = os.path.join(scratch, "initramfs.gz")
    tree.pack(archive)
    return archive


def boot(vmlinuz, initramfs):
    """The console's text, and whether the guest ended by itself."""
    command = ["setpriv", "--pdeathsig", "KILL",  # it ends with us, however we end
               "qemu-system-x86_64", "-accel", "tcg", "-m", str(MEMORY_MB), "-smp", "1", "-nodefaults",
               "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", vmlinuz, "-initrd", initramfs,
               # Only a panic's words may come between gtest's.
               "-append", "console=ttyS0 quiet loglevel=1 panic=1 mitigations=off"]
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


def judge(console, programs, expected):
    """What is wrong, in words; nothing when all that was expected passed."""
    passed = [int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) tests?\.$", console, re.M)]
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
    test_filter = sys.argv[2] if len(sys.argv) > 2 else "*"
    programs = [os.path.join(build, "tests", name) for name in PROGRAMS]
    shim = os.path.join(build, "bin/swarm-shim")
    expected = sum(listed(program, test_filter) for program in programs)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with tempfile.TemporaryDirectory(prefix="vm-", dir=build) as scratch:
        folder = kernel(os.path.join(build, "vm"), scratch)
        [release] = os.listdir(os.path.join(folder, "lib/modules"))
        initramfs = make_initramfs(programs, shim, folder, release, test_filter, scratch)
        started = time.monotonic()
        console, ended = boot(os.path.join(folder, "boot/vmlinuz-" + release), initramfs)
        seconds = time.monotonic() - started
    wrong = judge(console, len(programs), expected) if ended else f"the guest was killed after {BOUND_SECONDS} s"
    if wrong:
        print(failing_output(console))
        print(f"{wrong} ({seconds:.0f} s)")
        return 1
    for line in re.findall(r"^vm: .*$", console, re.M):
        print(line)
    print(f"{expected} tests passed ({seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
