"""A cluster of virtual machines, as deploy/vm-cluster makes it and vm_cluster_test.py uses it.

    cluster = VmCluster.make("build/vm-cluster", count=3, say=print)   # or all of it is removed again
    cluster.ctl("node", "ls")                                          # the host's own swarmctl, by its context
    cluster.machine("n2").run("dmesg")
    VmCluster("build/vm-cluster").remove()                             # later, by another process

Its folder's name is the name of everything: a network namespace in which a bridge (network's last address but one) and
the machines' taps are, a link from the host into it (the address below that), a context for swarmctl. n1, the network's
first address, is the manager; all machines run tasks. `cluster.json` says what was made and is written before it is
made; whatever is left of a cluster goes with `remove`. Needs root. One process at a time may change it.
"""
import concurrent.futures
import ipaddress
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "cluster"))

from harness import BIN, ROOT, ClusterView, in_any_case, run  # noqa: E402
from machine_image import Tree, add_base, add_module_folder, kernel, output  # noqa: E402
from virtual_machine import Place, VirtualMachine  # noqa: E402

BUILD = os.path.dirname(BIN)
NETWORK = "10.97.0.0/24"
IMAGE = "localhost/hello:1"
MOST = 16
# Seconds for what takes a few when the processors, which are emulated, have the real ones for themselves.
PATIENCE = 300
PROGRAMS = ["/usr/sbin/dropbear", "/usr/sbin/nft", "/sbin/tc", "/bin/ip", "/bin/ss", "/sbin/bridge"]
# What networks, limits and containers may ask of the kernel: loaded when it is first needed.
MODULES = [*(f"kernel/net/{name}" for name in ("bridge", "netfilter", "ipv4", "ipv6", "sched", "8021q", "xfrm", "sctp")),
           *(f"kernel/drivers/net/{name}" for name in ("vxlan", "wireguard", "ipvlan", "veth.ko", "macvlan.ko", "dummy.ko", "ifb.ko",
                                                       "tun.ko", "vrf.ko")),
           "kernel/crypto", "kernel/fs/overlayfs", "kernel/drivers/block/loop.ko"]
USERS = "root:x:0:0:root:/root:/bin/bash\nswarm:x:998:998:swarm:/var/lib/swarm:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUPS = "root:x:0:\nswarm:x:998:\nnogroup:x:65534:\n"


class Refused(Exception):
    """What the user asked for cannot be: the reason, and what would help."""


def context_file(name):
    """(path, uid, gid) of that context for swarmctl, of the user who called, also by sudo."""
    user = pwd.getpwuid(int(os.environ.get("SUDO_UID", os.getuid())))
    if "SUDO_UID" in os.environ:
        base = os.path.join(user.pw_dir, ".config")
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.environ.get("HOME", user.pw_dir), ".config")
    return os.path.join(base, "swarm/contexts", f"{name}.yaml"), user.pw_uid, user.pw_gid


class VmCluster(ClusterView):
    def __init__(self, folder):
        """One that was made, whether it runs or not."""
        self.folder = os.path.realpath(folder)
        self.name = os.path.basename(self.folder)
        try:
            with open(self.path("cluster.json"), encoding="utf-8") as f:
                self.facts = json.load(f)
        except FileNotFoundError:
            raise Refused(f"there is no cluster in {self.folder}: make one with `deploy/vm-cluster up`") from None
        network = ipaddress.IPv4Network(self.facts["network"])
        self.place = Place(self.folder, os.path.join(BUILD, "vm"), self.name, network, self.facts["accelerator"])
        self.machines = [VirtualMachine(self.place, f"n{i}", str(network[i])) for i in range(1, self.facts["count"] + 1)]

    def path(self, name):
        return os.path.join(self.folder, name)

    @property
    def host_address(self):
        """The host's own, seen from the machines."""
        return str(self.place.gateway - 1)

    @classmethod
    def make(cls, folder, count, say, network=NETWORK, accelerator="tcg"):
        """`say` is told of every step when it is done."""
        folder = os.path.realpath(folder)
        name = os.path.basename(folder)
        check_free(folder, name, count, network)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.path.join(folder, "cluster.json"), "w", encoding="utf-8") as f:
            json.dump({"count": count, "network": network, "accelerator": accelerator, "context": context_file(name)[0]}, f)
        cluster = cls(folder)
        try:
            cluster._make_image()
            say(f"packed a machine: {os.path.getsize(cluster.place.initramfs) >> 20} MB")
            cluster._make_network()
            cluster._boot()
            say(f"booted {count} machines")
            cluster._join(say)
        except BaseException:
            cluster.remove()
            raise
        return cluster

    def _make_image(self):
        os.mkdir(self.path("ssh"), 0o700)
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", self.path("ssh/key"))
        host_key = output("dropbearkey", "-t", "ed25519", "-f", self.path("ssh/host_key"), stderr=subprocess.DEVNULL)
        public = next(line for line in host_key.splitlines() if line.startswith("ssh-ed25519 "))
        with open(self.path("ssh/known_hosts"), "w", encoding="utf-8") as f:
            f.writelines(f"{machine.address} {public}\n" for machine in self.machines)
        with tempfile.TemporaryDirectory(prefix="vm-", dir=BUILD) as scratch:
            kernel(self.place.kernel, scratch)
            tree = Tree(os.path.join(scratch, "root"))
            self._fill(tree)
            tree.pack(self.place.initramfs)
        run(os.path.join(ROOT, "deploy/make-test-image"), self.path("image.tar"), IMAGE)

    def _fill(self, tree):
        """The node's files, the same for all machines."""
        add_base(tree, self.place.kernel, ["virtio_pci", "virtio_net", "virtio_blk"], role=os.path.join(HERE, "node"))
        add_module_folder(tree, self.place.kernel, MODULES)
        tree.add(os.path.join(BIN, "swarm-shim"), "/usr/bin/swarm-shim")  # static
        for name in ("swarm-agent", "swarm-manager", "swarmctl"):
            tree.add_program(os.path.join(BIN, name), f"/usr/bin/{name}")
        for program in PROGRAMS:  # found before busybox's of the same name
            tree.add_program(program, f"/usr/sbin/{os.path.basename(program)}")
        # Not busybox's, which runs its own tc and ip whatever the path says.
        tree.add_program("/bin/bash")
        tree.add_program("/bin/dash", "/bin/sh")
        tree.add_library("libcurl.so.4")  # the only one that is opened by its name
        tree.add("/etc/protocols", "/etc/protocols")  # rules of nftables name protocols
        tree.add_folder("/usr/share/zoneinfo", "/usr/share/zoneinfo", lambda name: "." not in name)
        tree.add(self.path("ssh/host_key"), "/etc/dropbear/host_key", 0o600)
        tree.add(self.path("ssh/key.pub"), "/root/.ssh/authorized_keys", 0o600)
        tree.write("/etc/passwd", USERS)
        tree.write("/etc/group", GROUPS)
        tree.write("/etc/profile", "PS1='\\u@\\h:\\w\\$ '\n")
        tree.write("/etc/shells", "/bin/bash\n/bin/sh\n")  # others may not log in
        tree.write("/etc/hosts", "127.0.0.1 localhost\n" + "".join(f"{m.address} {m.name}\n" for m in self.machines))

    def _make_network(self):
        ip = ("ip", "-n", self.name)
        prefix = self.place.network.prefixlen
        run("ip", "netns", "add", self.name)
        run(*ip, "link", "add", "br0", "type", "bridge")
        run(*ip, "addr", "add", f"{self.place.gateway}/{prefix}", "dev", "br0")
        for machine in self.machines:
            run(*ip, "tuntap", "add", machine.name, "mode", "tap")
            run(*ip, "link", "set", machine.name, "master", "br0", "up")
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "host", "netns", self.name)
        run(*ip, "link", "set", "host", "master", "br0", "up")
        run(*ip, "link", "set", "br0", "up")
        run("ip", "addr", "add", f"{self.host_address}/{prefix}", "dev", self.name)
        run("ip", "link", "set", self.name, "up")

    def _boot(self):
        for machine in self.machines:
            machine.make_disk()
            machine.start()
        for machine in self.machines:
            machine.wait_ready()

    def _join(self, say):
        manager, *workers = self.machines
        manager.run("swarmctl", "swarm", "init", "--advertise-addr", manager.address)
        context = manager.run("swarmctl", "swarm", "client-cert", self.name, "--role", "admin", "--output", "-").stdout
        self._write_context(context)
        say(f"made the cluster; its manager is {manager.name}, {manager.address}")
        token = self.ctl("swarm", "join-token", "--quiet", "worker").stdout.strip()

        def join(machine):
            machine.run("swarmctl", "swarm", "join", "--token", token, f"{manager.address}:2378")
        with concurrent.futures.ThreadPoolExecutor(len(self.machines)) as pool:
            for _ in pool.map(join, workers):
                pass
            self.until(lambda: [n["Status"] for n in self.rows("node", "ls")] == ["Ready"] * len(self.machines), "all nodes to be ready")
            self.close_feed()
            say(f"joined {len(workers)} workers")
        self.load(self.path("image.tar"))
        say(f"loaded {IMAGE} on all of them")

    def _write_context(self, text):
        path, uid, gid = context_file(self.name)
        missing = []
        folder = os.path.dirname(path)
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(missing):
            os.mkdir(folder, 0o700)
            os.chown(folder, uid, gid)
        for target, owner in ((self.path("context.yaml"), (0, 0)), (path, (uid, gid))):
            # "x": a context that is there already is the user's.
            with open(target, "x", encoding="utf-8", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW, 0o600)) as f:
                f.write(text)
                os.fchown(f.fileno(), *owner)

    def load(self, archive):
        """The image of that archive, on every machine that runs: their names."""
        def one(machine):
            with open(archive, "rb") as f:
                machine.run("swarmctl", "image", "load", "--quiet", stdin=f)
            return machine.name
        running = [m for m in self.machines if m.pid() is not None]
        with concurrent.futures.ThreadPoolExecutor(len(self.machines)) as pool:
            return list(pool.map(one, running))

    def machine(self, name):
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise Refused(f"there is no machine {name}: they are {', '.join(m.name for m in self.machines)}")

    def ctl_command(self):
        return [os.path.join(BIN, "swarmctl"), "--context", self.path("context.yaml")]

    def until(self, predicate, what, seconds=PATIENCE):
        return super().until(predicate, what, seconds)

    def ctl(self, *args, check=True, stdin=None, timeout=PATIENCE):
        return run(*self.ctl_command(), *args, check=check, input=stdin, timeout=timeout)

    def describe(self):
        parts = [self.ctl(*args, check=False).stdout for args in (("node", "ls"), ("service", "ls"))]
        for service in self.rows("service", "ls"):
            parts.append(self.ctl("service", "ps", "--no-trunc", service["Name"], check=False).stdout)
        for machine in self.machines:
            log = machine.run("tail", "-n", "40", "/var/log/swarm-agent.log", check=False) if machine.pid() else None
            parts.append(f"--- {machine.name}\n{log.stdout if log else machine.last_words()}")
        return "\n".join(parts)

    def remove(self):
        """All of it, whatever is there of it."""
        in_any_case([self.close_feed, *(machine.kill for machine in self.machines),
                     lambda: run("ip", "link", "del", self.name, check=False),
                     lambda: run("ip", "netns", "del", self.name, check=False), self._remove_context])
        shutil.rmtree(self.folder)

    def _remove_context(self):
        """Unless it leads elsewhere by now."""
        try:
            with open(self.path("context.yaml"), encoding="utf-8") as ours, open(self.facts["context"], encoding="utf-8") as theirs:
                same = ours.read() == theirs.read()
        except FileNotFoundError:
            return
        if same:
            os.unlink(self.facts["context"])


def check_free(folder, name, count, network):
    """That nothing stands in the way."""
    if not 1 <= count <= MOST:
        raise Refused(f"-n {count}: from 1 to {MOST} machines")
    if os.path.exists(os.path.join(folder, "cluster.json")):
        raise Refused(f"there is a cluster in {folder} already: `deploy/vm-cluster down` removes it")
    if os.path.isdir(folder) and os.listdir(folder):
        raise Refused(f"{folder} is there and no cluster: choose another --name")
    for kind, there in (("network namespace", f"/run/netns/{name}"), ("link", f"/sys/class/net/{name}")):
        if os.path.exists(there):
            raise Refused(f"a {kind} {name} is there and not this checkout's: choose another --name")
    context = context_file(name)[0]
    if os.path.lexists(context):
        raise Refused(f"swarmctl has a context {name} already, {context}: choose another --name")
    try:
        wanted = ipaddress.IPv4Network(network)
    except ValueError as error:
        raise Refused(f"--network {network}: {error}") from None
    if wanted.num_addresses < MOST + 4:
        raise Refused(f"--network {network}: too small, a /27 has room")
    for route in json.loads(output("ip", "-4", "-json", "route", "show", "table", "all")):
        taken = route["dst"]
        if taken != "default" and ipaddress.IPv4Network(taken, strict=False).overlaps(wanted):
            raise Refused(f"--network {network}: this machine has a route to {taken} by {route.get('dev', '?')}: choose another network")
