"""What the virtual machines of the tests and of deploy/vm-cluster are made of.

    folder = kernel(os.path.join(build, "vm"), scratch)
    tree = Tree(os.path.join(scratch, "root"))
    add_base(tree, folder, ["overlay"], role=os.path.join(HERE, "run_tests"))
    tree.add_program("/usr/sbin/nft")
    tree.pack(os.path.join(scratch, "initramfs"))

A machine boots Debian 12's own kernel with an initramfs: static busybox, `init` (the steps that all of them need),
`/role` (what this one is for), programs with their libraries, and modules. Nothing is installed here, and the network
is needed once per build folder, for the kernel's package.
"""
import glob
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
META_PACKAGE = "linux-image-cloud-amd64"


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
    output("/usr/sbin/depmod", "-b", folder, kernel_release(folder))


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


def kernel_release(folder):
    [release] = os.listdir(os.path.join(folder, "lib/modules"))
    return release


def vmlinuz(folder):
    return os.path.join(folder, "boot/vmlinuz-" + kernel_release(folder))


def libraries(program):
    """What ldd names, the loader included."""
    return re.findall(r"(/\S+) \(0x", output("ldd", program))


def modules(folder, names):
    """Files of the modules in the order in which they are loaded. Built-in ones need none."""
    files = []
    for name in names:
        shown = output("/usr/sbin/modprobe", "-d", folder, "-S", kernel_release(folder), "--show-depends", name)
        for path in re.findall(r"^insmod (\S+)", shown, re.M):
            if path not in files:
                files.append(path)
    return files


class Tree:
    """The guest's files before they are an archive."""

    def __init__(self, root):
        self.root = root

    def add(self, source, path, mode=None):
        target = self.root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        if mode is None:
            shutil.copymode(source, target)
        else:
            os.chmod(target, mode)

    def add_program(self, source, path=None):
        """With its libraries where they are here: there the loader looks for them."""
        self.add(source, path or source)
        for library in libraries(source):
            self.add(library, library)

    def add_library(self, name):
        """One that programs open by its name, with what it needs."""
        path = re.search(rf"{re.escape(name)} \(.*x86-64.*\) => (\S+)", output("/sbin/ldconfig", "-p")).group(1)
        self.add_program(path)

    def add_folder(self, source, path, wanted=lambda name: True):
        for folder, _, names in os.walk(source):
            for name in filter(wanted, names):
                self.add(os.path.join(folder, name), os.path.join(path, os.path.relpath(folder, source), name))

    def write(self, path, text, mode=0o644):
        target = self.root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(target, mode)

    def pack(self, archive):
        """Uncompressed: an emulated processor takes seconds to decompress what is copied in an instant."""
        names = output("find", ".", cwd=self.root)
        with open(archive, "wb") as f:
            subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=self.root, check=True,
                           input=names.encode(), stdout=f)


def add_module_folder(tree, folder, parts):
    """Modules that the guest's kernel loads when it first needs them, by busybox's modprobe: those in `parts` of the
    kernel's folder (a file or a folder each), and what they need."""
    source = os.path.join(folder, "lib/modules", kernel_release(folder))
    target = os.path.join("/lib/modules", kernel_release(folder))
    with open(os.path.join(source, "modules.dep"), encoding="utf-8") as f:
        needs = dict(line.strip().split(":", 1) for line in f)
    wanted = {name for name in needs for part in parts if name == part or name.startswith(part + "/")}
    for name in wanted | {need for name in wanted for need in needs[name].split()}:
        tree.add(os.path.join(source, name), os.path.join(target, name))
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        tree.add(os.path.join(source, name), os.path.join(target, name))
    output("/usr/sbin/depmod", "-b", tree.root, kernel_release(folder))


def add_base(tree, folder, names, role):
    """busybox, /init, /role, and the modules `names` with what they need, which init loads."""
    tree.add("/bin/busybox", "/bin/busybox")
    tree.add(os.path.join(HERE, "init"), "/init", 0o755)
    tree.add(role, "/role", 0o755)
    loaded = modules(folder, names)
    for path in loaded:
        tree.add(path, "/modules.d/" + os.path.basename(path))
    tree.write("/modules", "".join(f"/modules.d/{os.path.basename(path)}\n" for path in loaded))


def machine(folder, initramfs, memory_mb, append="", accelerator="tcg"):
    """The start of a command line of qemu: one processor, and no device but those that are added to it. A guest that
    panics ends. Only a panic's words come on the console beside the guest's own."""
    # The translated code of a guest fills 1 GB if it may.
    accel = "tcg,tb-size=128" if accelerator == "tcg" else accelerator
    # qemu's own model has no random numbers, so that who asks for the first waits for seconds, and lacks what a module
    # that comes with xfs is for.
    cpu = ["-cpu", "Nehalem,+rdrand"] if accelerator == "tcg" else []
    return ["qemu-system-x86_64", "-accel", accel, *cpu, "-m", str(memory_mb), "-smp", "1", "-nodefaults",
            "-no-reboot", "-display", "none", "-kernel", vmlinuz(folder), "-initrd", initramfs, "-append",
            f"console=ttyS0 quiet loglevel=1 panic=1 mitigations=off {append}".rstrip()]
