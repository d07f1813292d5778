"""One virtual machine of a cluster: a process of qemu at a tap, whose disk outlives it.

    machine = VirtualMachine(place, "n1", "10.97.0.1")
    machine.make_disk()
    machine.start()
    machine.wait_ready()                     # its node daemon and its ssh answer
    machine.run("uname", "-r").stdout        # over ssh, as root
    machine.kill()                           # the power goes; start() brings it back with its disk

Like every machine of a cluster it boots `place.initramfs` and is told who it is by the kernel's command line (`node`).
The process outlives us; `pid`, in the machine's folder, names it by pid and start time, so that nothing else is ever
killed. Its own words are in the files `console` and `qemu`.
"""
import dataclasses
import ipaddress
import os
import select
import shlex
import signal
import subprocess
import time

import machine_image

MEMORY_MB = 512
DISK_GB = 2  # sparse
BOOT_SECONDS = 300  # an idle one takes 6; only a guest that hangs gets here
SSH = ["ssh", "-F", "/dev/null", "-i", "ssh/key", "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=ssh/known_hosts",
       "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=10"]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the machines of one cluster live: all but their disks is made once for all of them."""
    folder: str       # of the cluster; holds one for each machine, `initramfs` and `ssh/`
    kernel: str       # the folder with the unpacked kernel
    namespace: str    # the network namespace that holds the bridge
    network: ipaddress.IPv4Network
    accelerator: str  # of qemu: tcg or kvm

    @property
    def initramfs(self):
        return os.path.join(self.folder, "initramfs")

    @property
    def gateway(self):
        return self.network.broadcast_address - 1

    def inside(self, *command):
        """The command line of `command` in the namespace."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *command]


def start_ticks(pid):
    """When the process started, or None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            state, *fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


class VirtualMachine:
    def __init__(self, place, name, address):
        self.place, self.name, self.address = place, name, address
        self.folder = os.path.join(place.folder, name)
        self.events = None  # what the process says, while we are interested

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_disk(self):
        os.makedirs(self.folder, exist_ok=True)
        with open(self.path("disk"), "wb") as f:
            f.truncate(DISK_GB << 30)
        machine_image.output("/usr/sbin/mkfs.ext4", "-q", "-F", self.path("disk"))

    def pid(self):
        """Of its process, None when there is none."""
        try:
            with open(self.path("pid"), encoding="utf-8") as f:
                pid, ticks = f.read().split()
        except (OSError, ValueError):
            return None
        return int(pid) if start_ticks(pid) == ticks else None

    def start(self):
        """Returns when the process is there; `wait_ready` follows."""
        mac = "52:54:00:" + ":".join(f"{b:02x}" for b in ipaddress.ip_address(self.address).packed[1:])
        command = machine_image.machine(
            self.place.kernel, self.place.initramfs, MEMORY_MB, accelerator=self.place.accelerator,
            append=f"NODE_NAME={self.name} NODE_ADDRESS={self.address}/{self.place.network.prefixlen} "
                   f"NODE_GATEWAY={self.place.gateway}") + [
            "-serial", f"file:{self.path('console')}",
            # The second port is our standard output: it tells us what happens while we listen, and that the end came.
            "-chardev", "stdio,id=events,signal=off", "-serial", "chardev:events",
            "-netdev", f"tap,id=link,ifname={self.name},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=link,mac={mac},romfile=",
            # What the guest has written is in the host's memory when qemu is killed, and the host is not: no flushes.
            "-drive", f"file={self.path('disk')},format=raw,if=virtio,cache=unsafe"]
        reader, writer = os.pipe()
        try:
            with open(self.path("qemu"), "ab") as errors:
                # No child of ours: it outlives us, and who ends it need not be who started it.
                subprocess.run(["setsid", "--fork", "sh", "-c", 'set -- $(cut -d" " -f22 /proc/$$/stat) "$@"; echo "$$ $1" > ' + shlex.quote(self.path("pid")) +
                                '; shift; echo $$; exec "$@"', "sh", *self.place.inside(*command)],
                               stdin=subprocess.DEVNULL, stdout=writer, stderr=errors, check=True)
        finally:
            os.close(writer)
        self._forget_events()
        self.events = open(reader, "rb", buffering=0)
        pid = self._next_event()
        with open(self.path("pid"), "w", encoding="utf-8") as f:
            f.write(f"{pid} {start_ticks(pid)}\n")

    def wait_ready(self):
        while self._next_event() != "ready":
            pass
        self._forget_events()

    def _next_event(self):
        """The next line of what it says."""
        end = time.monotonic() + BOOT_SECONDS
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.events], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise RuntimeError(f"{self.name} is not up after {BOOT_SECONDS} s: {self.last_words()}")
            byte = self.events.read(1)
            if not byte:
                raise RuntimeError(f"{self.name} ended while it booted: {self.last_words()}")
            line += byte
        return line.decode(errors="replace").strip()

    def _forget_events(self):
        if self.events:
            self.events.close()
            self.events = None

    def last_words(self):
        words = []
        for name in ("qemu", "console"):
            try:
                with open(self.path(name), errors="replace", encoding="utf-8") as f:
                    words += f.read().splitlines()[-10:]
            except OSError:
                pass
        return "\n".join(words) or "nothing on its console"

    def kill(self):
        """Harmless when it does not run."""
        pid = self.pid()
        if pid is not None:
            descriptor = os.pidfd_open(pid)
            try:
                if self.pid() == pid:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    select.select([descriptor], [], [])  # readable when it has ended
            finally:
                os.close(descriptor)
        self._forget_events()

    def shell(self, *command):
        """The command line that runs `command` in the machine, as it is: nothing of it is the shell's. Without one, a
        login shell. For the folder of the cluster."""
        words = ["-t"] if not command and os.isatty(0) else []
        return self.place.inside(*SSH, *words, f"root@{self.address}", *([shlex.join(command)] if command else []))

    def run(self, *command, check=True, stdin=None, timeout=BOOT_SECONDS):
        """`stdin`: text, or an open file."""
        given = {"stdin": stdin} if hasattr(stdin, "fileno") else {"input": stdin or ""}
        result = subprocess.run(self.shell(*command), cwd=self.place.folder, capture_output=True, text=True, errors="replace",
                                timeout=timeout, check=False, **given)
        if check and result.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(command)} exited {result.returncode}: {result.stderr or result.stdout}")
        return result
