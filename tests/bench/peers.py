"""The orchestrators that the benchmarks drive, each behind the same few verbs.

    with DockerSwarm() as peer:
        seconds = peer.create("web", 50)

Entering starts it. Everything of it goes when it is left, also when it did not start.
"""
import contextlib
import glob
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import Cluster, TEST_IMAGE, kill, remove_cgroup, run, wait_for  # noqa: E402

STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]


def stack_file(services, image, **settings):
    """A stack of so many services of one replica, in the node's own network: Docker's overlay networks want IPVS of the kernel."""
    one = {"image": image, "command": STAY, "stop_grace_period": "1s", "networks": ["node"], **settings}
    return json.dumps({"version": "3.9", "networks": {"node": {"external": True, "name": "host"}},
                       "services": {f"s{n}": one for n in range(services)}}).replace("$", "$$")


def rss_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next((int(line.split()[1]) for line in f if line.startswith("VmRSS")), 0)


def private_dirty_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next((int(line.split()[1]) for line in f if line.startswith("Private_Dirty")), 0)


def pids_of(name, under):
    """Processes called `name` below one of the `under` pids, or whose command line holds `under`."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                command = f.read().decode(errors="replace")
        except OSError:
            continue
        if under in command and os.path.basename(command.split("\0")[0]) == name:
            found.append(int(entry))
    return found


class Peer:
    def __enter__(self):
        with contextlib.ExitStack() as cleanup:
            self.start(cleanup)
            self.cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_):
        self.cleanup.close()


class Ours(Peer):
    """This project: one node that is manager and agent, in a network namespace."""
    name = "swarm"

    def start(self, cleanup):
        self.cluster = Cluster(cleanup.callback, workers=0)
        self.host = self.cluster.manager

    def create(self, service, replicas, *flags):
        """Seconds until all replicas are Running, as the command line that waits for it sees them."""
        start = time.monotonic()
        self.cluster.ctl("service", "create", "--quiet", "--stability-wait", "0s", "--name", service,
                         "--replicas", str(replicas), *flags, TEST_IMAGE, *STAY)
        return time.monotonic() - start

    def make_bench_network(self):
        self.cluster.ctl("network", "create", "bench")

    def start_one(self, network):
        seconds = self.create("one", 1, *(["--network", "bench"] if network else []))
        self.remove("one")
        return seconds

    def remove(self, service):
        """Seconds until the service and every process, cgroup and shim of it are gone."""
        start = time.monotonic()
        self.cluster.ctl("service", "rm", service)
        self.cluster.until(lambda: not self.cluster.rows("service", "ls"), "the service to be gone")
        wait_for(lambda: not self.host.cgroups() and not self.host.shim_pids(), "its containers to be gone")
        return time.monotonic() - start

    def deploy(self, services):
        """Seconds from typing `stack deploy` until all services run."""
        file = stack_file(services, TEST_IMAGE)
        start = time.monotonic()
        self.cluster.ctl("stack", "deploy", "--wait", "--quiet", "--stability-wait", "0s", "-c", "-", "bench", stdin=file)
        return time.monotonic() - start

    def deploy_own_network(self, services):
        """The same in a network that the stack makes: what a file without a word about networks gets."""
        file = json.loads(stack_file(services, TEST_IMAGE))
        del file["networks"]
        for service in file["services"].values():
            del service["networks"]
        start = time.monotonic()
        self.cluster.ctl("stack", "deploy", "--wait", "--quiet", "--stability-wait", "0s", "-c", "-", "bench", stdin=json.dumps(file))
        return time.monotonic() - start

    def deploy_assigned(self, services):
        """Seconds until `stack deploy` of so many services has ended, until all their tasks have a node, and until they run."""
        file = stack_file(services, TEST_IMAGE)
        start = time.monotonic()
        self.cluster.ctl("stack", "deploy", "-c", "-", "bench", stdin=file)
        took = [time.monotonic() - start]
        tasks = lambda: self.cluster.rows("node", "ps", self.host.name)
        wait_for(lambda: len(tasks()) >= services, "all to be assigned", 300)
        took.append(time.monotonic() - start)
        wait_for(lambda: sum(t["CurrentState"].startswith("Running") for t in tasks()) >= services, "all to run", 300)
        took.append(time.monotonic() - start)
        return took

    def remove_stack(self):
        start = time.monotonic()
        self.cluster.ctl("stack", "rm", "bench", timeout=300)
        wait_for(lambda: not self.host.cgroups() and not self.host.shim_pids(), "its containers to be gone", 300)
        return time.monotonic() - start

    def exec(self, service):
        """Seconds that `swarmctl service exec SERVICE true` takes."""
        start = time.monotonic()
        self.cluster.ctl("service", "exec", service, "true")
        return time.monotonic() - start

    def daemons(self):
        return [self.host.agent.pid, self.host.manager_pid()]

    def shims(self):
        return self.host.shim_pids()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class DockerSwarm(Peer):
    """Debian's dockerd in swarm mode, started by hand in a network namespace of its own."""
    name = "docker swarm"

    def start(self, cleanup):
        if not shutil.which("dockerd"):
            raise RuntimeError("dockerd is not installed (Debian's docker.io)")
        self.dir = tempfile.mkdtemp(prefix="bench-docker-")
        cleanup.callback(shutil.rmtree, self.dir, ignore_errors=True)
        cleanup.callback(self.unmount)
        self.socket = os.path.join(self.dir, "docker.sock")
        self.make_network(f"bd{os.getpid() % 100000:x}", cleanup)
        self.start_daemon(cleanup)
        self.import_image()
        self.docker("swarm", "init", "--advertise-addr", "10.98.0.1")

    def make_network(self, namespace, cleanup):
        self.namespace = namespace
        run("ip", "netns", "add", namespace)
        cleanup.callback(run, "ip", "netns", "del", namespace, check=False)
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", namespace, "link", "add", "up0", "type", "veth", "peer", "up1")
        run("ip", "-n", namespace, "addr", "add", "10.98.0.1/24", "dev", "up0")
        run("ip", "-n", namespace, "link", "set", "up0", "up")
        run("ip", "-n", namespace, "link", "set", "up1", "up")

    def start_daemon(self, cleanup):
        with open(os.path.join(self.dir, "dockerd.log"), "wb") as log:
            self.daemon = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.namespace}", "--", "dockerd", "-H", f"unix://{self.socket}",
                 "--data-root", f"{self.dir}/data", "--exec-root", f"{self.dir}/exec", "--pidfile", f"{self.dir}/pid",
                 "--cgroup-parent", f"/{self.namespace}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        cleanup.callback(self.remove_cgroups)
        cleanup.callback(self.stop_daemon)
        up = lambda: os.path.exists(self.socket) and self.docker("version", check=False).returncode == 0
        wait_for(lambda: self.daemon.poll() is not None or up(), "dockerd")
        if self.daemon.poll() is not None:
            with open(os.path.join(self.dir, "dockerd.log"), errors="replace") as log:
                raise RuntimeError(f"dockerd did not start: {log.read().strip().splitlines()[-1:]}")
        cleanup.callback(self.remove_everything)

    def import_image(self):
        root = os.path.join(self.dir, "root", "bin")
        os.makedirs(root)
        shutil.copy(shutil.which("busybox"), os.path.join(root, "busybox"))
        for applet in ("sh", "sleep", "true"):
            os.link(os.path.join(root, "busybox"), os.path.join(root, applet))
        archive = os.path.join(self.dir, "root.tar")
        run("tar", "-C", os.path.dirname(root), "-cf", archive, ".")
        self.docker("import", archive, "test:1")

    def docker(self, *args, check=True):
        return run("docker", "-H", f"unix://{self.socket}", *args, check=check)

    def get(self, path):
        connection = UnixConnection(self.socket)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return json.loads(body)

    def tasks(self, state):
        return [t for t in self.get("/tasks") if t["Status"]["State"] == state]

    def exec(self, service):
        """Seconds that `docker exec CONTAINER true` takes."""
        name = self.docker("ps", "-q", "--filter", f"name={service}").stdout.split()[0]
        start = time.monotonic()
        self.docker("exec", name, "true")
        return time.monotonic() - start

    def deploy(self, services):
        path = os.path.join(self.dir, "stack.yml")
        with open(path, "w") as f:
            f.write(stack_file(services, "test:1"))
        start = time.monotonic()
        self.docker("stack", "deploy", "--resolve-image", "never", "-c", path, "bench")
        wait_for(lambda: len(self.tasks("running")) == services, "docker's tasks", 300)
        return time.monotonic() - start

    def remove_stack(self):
        start = time.monotonic()
        self.docker("stack", "rm", "bench")
        wait_for(lambda: not self.get("/containers/json?all=1") and not self.shims(), "docker's containers to go", 300)
        return time.monotonic() - start

    def create(self, service, replicas):
        start = time.monotonic()
        self.docker("service", "create", "--detach", "--no-resolve-image", "--name", service, "--replicas",
                    str(replicas), "test:1", *STAY)
        wait_for(lambda: len(self.tasks("running")) == replicas, "docker's tasks", 300)
        return time.monotonic() - start

    def make_bench_network(self):
        self.docker("network", "create", "bench")

    def start_one(self, network):
        """A container, no service: its overlay networks want IPVS, which not every kernel has."""
        start = time.monotonic()
        container = self.docker("run", "--detach", "--network", "bench" if network else "none", "test:1", *STAY).stdout.strip()
        seconds = time.monotonic() - start
        self.docker("rm", "--force", container)
        return seconds

    def remove(self, service):
        start = time.monotonic()
        self.docker("service", "rm", service)
        wait_for(lambda: not self.get("/containers/json?all=1") and not self.shims(), "docker's containers to go", 300)
        return time.monotonic() - start

    def daemons(self):
        return pids_of("dockerd", self.dir) + pids_of("containerd", self.dir)

    def shims(self):
        return pids_of("containerd-shim-runc-v2", self.dir)

    def remove_everything(self):
        self.docker("swarm", "leave", "--force", check=False)
        for container in self.docker("ps", "-aq", check=False).stdout.split():
            self.docker("rm", "-f", container, check=False)

    def stop_daemon(self):
        self.daemon.terminate()
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        for pid in pids_of("containerd", self.dir) + self.shims():
            kill(pid)

    def remove_cgroups(self):
        for cgroup in glob.glob(f"/sys/fs/cgroup/{self.namespace}") + glob.glob(f"/sys/fs/cgroup/*/{self.namespace}"):
            wait_for(lambda c=cgroup: remove_cgroup(c), f"{cgroup} to be empty")

    def unmount(self):
        """dockerd leaves what it mounted, also the namespaces of its networks."""
        with open("/proc/self/mountinfo") as f:
            mounts = [line.split()[4] for line in f if self.dir in line.split()[4]]
        for mount in reversed(mounts):
            run("umount", "-l", mount, check=False)
