"""A cluster of real daemons on one machine: each host is a network namespace with state of its own.

    class Failover(ClusterTest):
        def test_a_killed_agent_adopts_its_containers(self):
            cluster = self.cluster(workers=3)
            cluster.ctl("service", "create", "--name", "web", "--replicas", "3", TEST_IMAGE)
            before = cluster.wait_running("web", 3)

Hosts hang on a bridge inside a namespace of its own: nothing leaves it, and nothing of the machine's own
network changes. Waiting is for events (the cluster's feed, a process's end), each wait with a deadline that
only a broken product reaches, and all of a test within BUDGET, so that it is over, and has cleaned up, before
ctest kills it. Everything made is removed, also after a failure. Nodes are declared DOWN after 30 s of silence:
a machine that is slow for a moment must not change what a test sees. Tests that want DOWN ask for a shorter
heartbeat, and then expect it of any node.
"""
import glob
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("SWARM_BIN", os.path.join(ROOT, "build", "release", "bin"))
TEST_IMAGE = "localhost/test:1"
DEADLINE = 90  # seconds; for a machine that is much slower than any we know
CLEANUP = 15  # for each thing that is removed
# Seconds for a test without its cleanup; CMakeLists.txt sets it, and gives ctest a minute more.
BUDGET = int(os.environ.get("SWARM_TEST_BUDGET", "240"))


def run(*args, check=True, **kwargs):
    result = subprocess.run(args, capture_output=True, text=True, errors="replace", **kwargs)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(args)} exited {result.returncode}: {result.stderr or result.stdout}")
    return result


def image_archive():
    """The test image, made once per build tree: busybox and a program that is none."""
    archive = os.path.join(os.path.dirname(BIN), "test-image.tar")
    maker = os.path.join(ROOT, "deploy", "make-test-image")
    if not os.path.exists(archive) or os.path.getmtime(archive) < os.path.getmtime(maker):
        partial = f"{archive}.{os.getpid()}"
        with tempfile.TemporaryDirectory() as extra:
            program = os.path.join(extra, "not-a-program")
            with open(program, "w") as f:
                f.write("neither ELF nor #!\n")
            os.chmod(program, 0o755)
            run(maker, partial, TEST_IMAGE, extra)
        os.rename(partial, archive)
    return archive


class Host:
    """One machine of the cluster."""

    def __init__(self, cluster, index):
        self.cluster, self.index = cluster, index
        self.name = f"h{index}"
        self.namespace = f"{cluster.name}h{index}"
        self.ip = f"10.99.0.{index + 1}"
        self.dir = os.path.join(cluster.dir, self.name)
        self.run_dir = os.path.join(self.dir, "run")
        self.cgroup = f"{cluster.name}-{self.name}"
        self.agent = None
        self.extra_flags = []
        cluster.hosts.append(self)  # removed with the cluster, also when what follows fails
        os.makedirs(self.dir, mode=0o755)
        run("ip", "netns", "add", self.namespace)
        link = f"{cluster.name}v{index}"
        run("ip", "link", "add", link, "netns", cluster.switch, "type", "veth", "peer", "eth0", "netns", self.namespace)
        run("ip", "-n", cluster.switch, "link", "set", link, "master", "br0", "up")
        run("ip", "-n", self.namespace, "addr", "add", f"{self.ip}/24", "dev", "eth0")
        run("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.namespace, "route", "add", "default", "via", "10.99.0.254")

    def start(self, state_dir=None):
        log = open(os.path.join(self.dir, "agent.log"), "ab")
        self.agent = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", "--", os.path.join(BIN, "swarm-agent"),
             "--state-dir", state_dir or os.path.join(self.dir, "agent"), "--run-dir", self.run_dir,
             "--manager-state-dir", os.path.join(self.dir, "manager"), "--hostname", self.name,
             "--cgroup-parent", self.cgroup, "--manager-user", "nobody", *self.extra_flags],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        wait_for(lambda: os.path.exists(self.agent_socket) or self.agent.poll() is not None, "the agent's socket")
        if self.agent.poll() is not None:
            raise AssertionError(f"{self.name}: agent did not start:\n{self.log()}")
        return self

    @property
    def agent_socket(self):
        return os.path.join(self.run_dir, "agent.sock")

    @property
    def manager_socket(self):
        return os.path.join(self.run_dir, "manager", "manager.sock")

    def ctl(self, *args, check=True, stdin=None, timeout=DEADLINE):
        command = [os.path.join(BIN, "swarmctl"), "--agent-socket", self.agent_socket,
                   "--host", f"unix://{self.cluster.manager.manager_socket}", *args]
        return run(*command, check=check, input=stdin, timeout=timeout, cwd=self.cluster.dir)

    def info(self):
        """What this host's own agent says of itself; without --host, which would ask the manager instead."""
        return run(os.path.join(BIN, "swarmctl"), "--agent-socket", self.agent_socket, "info", check=False, timeout=DEADLINE)

    def kill_agent(self):
        """kill -9, and nothing else of the node."""
        self.agent.kill()
        self.agent.wait()
        if os.path.exists(self.agent_socket):
            os.unlink(self.agent_socket)

    def stop_agent(self):
        if self.agent and self.agent.poll() is None:
            self.agent.terminate()
            self.agent.wait(DEADLINE)

    def cgroups(self):
        """The container cgroups of this host that exist, in every hierarchy."""
        return [p for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/*") for p in glob.glob(f"{root}/{self.cgroup}/*/")]

    def container_pids(self):
        """{container id: sorted pids}: what the kernel says, not what we report."""
        found = {}
        for folder in self.cgroups():
            try:
                with open(os.path.join(folder, "cgroup.procs")) as f:
                    pids = [int(p) for p in f.read().split()]
            except OSError:  # it went while we looked
                continue
            if pids:
                found.setdefault(os.path.basename(folder.rstrip("/")), set()).update(pids)
        return {k: sorted(v) for k, v in found.items()}

    def init_pid(self, container):
        """The container's init, as the host sees it: pid 1 of a pid namespace, whatever its number here."""
        [pid] = [p for p in self.container_pids().get(container, []) if namespace_pids(p)[1:] == [1]]
        return pid

    def namespaces_held(self):
        """Network and mount namespaces that this host's daemons, containers or mounts keep alive."""
        held = set()
        pids = {p for pids in self.container_pids().values() for p in pids} | set(self.shim_pids())
        if self.agent and self.agent.poll() is None:
            pids.add(self.agent.pid)
        for pid in pids:
            for link in glob.glob(f"/proc/{pid}/ns/net") + glob.glob(f"/proc/{pid}/ns/mnt") + glob.glob(f"/proc/{pid}/fd/*"):
                try:
                    held.add(os.readlink(link))
                except OSError:  # it went while we looked
                    pass
        held.update(line.split()[3] for line in self.mounts() if " - nsfs " in line)
        return {name for name in held if name.startswith(("net:[", "mnt:["))}

    def shim_pids(self):
        """Shims that hold a file of this host open: each holds its container's log."""
        pids = []
        for entry in glob.glob("/proc/[0-9]*/comm"):
            folder = os.path.dirname(entry)
            try:
                with open(entry) as f:
                    if f.read().strip() != "swarm-shim":
                        continue
                links = [os.readlink(f"{folder}/fd/{fd}") for fd in os.listdir(f"{folder}/fd")]
            except OSError:
                continue
            if any(link.startswith(self.dir + "/") for link in links):
                pids.append(int(folder.split("/")[2]))
        return pids

    def manager_pid(self):
        with open(os.path.join(self.run_dir, "manager", "manager.pid")) as f:
            return int(f.read().split()[0])

    def mounts(self):
        with open("/proc/self/mountinfo") as f:
            return [line for line in f if self.dir in line]

    def die(self):
        """The power goes: agent, shims and containers at once."""
        self.kill_agent()
        for pid in self.shim_pids():
            kill(pid)
        for pids in self.container_pids().values():
            for pid in pids:
                kill(pid)

    def log(self):
        with open(os.path.join(self.dir, "agent.log"), errors="replace") as f:
            return f.read()[-6000:]

    def remove(self):
        in_any_case([self._end_processes, self._remove_cgroups, self._remove_mounts,
                     lambda: run("ip", "netns", "del", self.namespace, check=False)])

    def _end_processes(self):
        if self.agent and self.agent.poll() is None:
            self.kill_agent()
        try:
            pid = self.manager_pid()
            with open(f"/proc/{pid}/cmdline") as f:
                if self.run_dir in f.read():
                    kill(pid)
        except (OSError, ValueError, IndexError):
            pass  # there is none
        for pid in self.shim_pids():
            kill(pid)
        for pids in self.container_pids().values():
            for pid in pids:
                kill(pid)

    def _remove_cgroups(self):
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/*"):
            for parent in glob.glob(f"{root}/{self.cgroup}"):
                wait_for(lambda p=parent: remove_cgroup(p), f"{parent} to be empty", CLEANUP)

    def _remove_mounts(self):
        """Network namespaces of a router and of containers outlive their agent; of a test they must not."""
        for line in reversed(self.mounts()):
            run("umount", "--lazy", line.split()[4], check=False)


def namespace_pids(pid):
    """The numbers of a process in its pid namespaces, ours first."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return next([int(n) for n in line.split()[1:]] for line in f if line.startswith("NSpid:"))
    except OSError:  # it went while we looked
        return []


def in_any_case(steps):
    """Does them all, whatever one of them says; then says it."""
    errors = []
    for step in steps:
        try:
            step()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    if errors:
        raise AssertionError("cleanup: " + "; ".join(errors))


def remove_cgroup(path):
    for child in glob.glob(f"{path}/*/"):
        remove_cgroup(child.rstrip("/"))
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def kill(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def wait_for(predicate, what, seconds=DEADLINE, wake=None):
    """Until predicate() is truthy; looks again when `wake` (a file) is readable, or after a moment."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        ready, _, _ = select.select([wake] if wake else [], [], [], 0.05)
        if ready and not os.read(wake.fileno(), 65536):
            wake = None


class ClusterView:
    """What a cluster says of itself, for whoever has `ctl_command` (swarmctl, led to its manager), `ctl` and `describe`."""
    feed = None

    def rows(self, *args):
        """The objects that a listing prints, one a line."""
        out = self.ctl("--format", "json", *args).stdout
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def node(self, hostname):
        return next((n for n in self.rows("node", "ls") if n["Hostname"] == hostname), {"Status": "?"})

    def tasks(self, service):
        return self.rows("service", "ps", "--no-trunc", service)

    def running(self, service):
        return [t for t in self.tasks(service)
                if t["DesiredState"] == "Running" and t["CurrentState"].startswith("Running")]

    def until(self, predicate, what, seconds=DEADLINE):
        if self.feed is None or self.feed.poll() is not None:
            self.close_feed()
            self.feed = subprocess.Popen(
                [*self.ctl_command(), "events"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        try:
            return wait_for(predicate, what, seconds, self.feed.stdout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None

    def wait_running(self, service, count, on=None):
        def enough():
            tasks = [t for t in self.running(service) if on is None or t["Node"] in on]
            return tasks if len(tasks) == count else None
        return self.until(enough, f"{count} running tasks of {service}")

    def close_feed(self):
        if self.feed:
            self.feed.kill()
            self.feed.wait()
            self.feed.stdout.close()
            self.feed = None


class Cluster(ClusterView):
    count = 0

    def __init__(self, register, workers=3, heartbeat="10s", flags=(), manager_flags=()):
        """`register` is told what removes the cluster before anything of it is made: half of one goes too."""
        Cluster.count += 1
        self.name = f"sw{os.getpid() % 100000:x}{Cluster.count}"
        self.dir = tempfile.mkdtemp(prefix=f"{self.name}-")
        os.chmod(self.dir, 0o755)
        self.switch = f"{self.name}sw"
        self.hosts = []
        self.flags, self.manager_flags = list(flags), list(manager_flags)
        register(self.remove)
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "addr", "add", "10.99.0.254/24", "dev", "br0")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        manager = self.add_host()
        manager.start()
        manager.ctl("swarm", "init", "--advertise-addr", manager.ip, "--availability",
                    "drain" if workers else "active", "--dispatcher-heartbeat", heartbeat)
        self.token = manager.ctl("swarm", "join-token", "-q", "worker").stdout.strip()
        if not workers:
            manager.ctl("image", "load", "-i", image_archive())
        for _ in range(workers):
            self.join(self.add_host())

    @property
    def manager(self):
        return self.hosts[0]

    @property
    def workers(self):
        return self.hosts[1:]

    def add_host(self):
        host = Host(self, len(self.hosts))
        host.extra_flags = [*self.flags, *(self.manager_flags if host is self.manager else [])]
        return host

    def join(self, host, load_image=True):
        host.start()
        if load_image:
            host.ctl("image", "load", "-i", image_archive())
        host.ctl("swarm", "join", "--token", self.token, f"{self.manager.ip}:2378")
        self.until(lambda: self.node(host.name)["Status"] == "Ready", f"{host.name} to be ready")
        return host

    def ctl(self, *args, **kwargs):
        return self.manager.ctl(*args, **kwargs)

    def ctl_command(self):
        return [os.path.join(BIN, "swarmctl"), "--host", f"unix://{self.manager.manager_socket}"]

    def restart_manager(self, flags):
        """The manager's host again, with these flags for its agent (and the manager's: `--manager-…`)."""
        host, old = self.manager, self.manager.manager_pid()
        host.extra_flags = list(flags)
        host.kill_agent()
        host.start()
        self.close_feed()
        wait_for(lambda: self.ctl("service", "ls", check=False).returncode == 0 and host.manager_pid() != old,
                 "the manager to be replaced")

    def describe(self):
        parts = []
        for args in (("node", "ls"), ("service", "ls")):
            parts.append(self.ctl(*args, check=False).stdout)
        for service in self.rows("service", "ls"):
            parts.append(self.ctl("service", "ps", "--no-trunc", service["Name"], check=False).stdout)
        parts += [f"--- {h.name}\n{h.log()}" for h in self.hosts]
        return "\n".join(parts)

    def remove(self):
        in_any_case([self.close_feed, *(host.remove for host in reversed(self.hosts)),
                     lambda: run("ip", "netns", "del", self.switch, check=False), self._remove_folder])

    def _remove_folder(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        if os.path.exists(self.dir):
            raise AssertionError(f"{self.dir} cannot be removed; mounts: {[m for h in self.hosts for m in h.mounts()]}")


class BudgetedTest(unittest.TestCase):
    """A test that fails at the end of its BUDGET, when there is time left to clean up."""
    maxDiff = None

    def run(self, result=None):
        signal.signal(signal.SIGALRM, self._out_of_budget)
        signal.alarm(BUDGET)
        try:
            return super().run(result)
        finally:
            signal.alarm(0)

    def doCleanups(self):
        signal.alarm(0)
        return super().doCleanups()

    @staticmethod
    def _out_of_budget(*_):
        raise AssertionError(f"the test took more than its budget of {BUDGET} s")


class ClusterTest(BudgetedTest):
    def cluster(self, **kwargs):
        return Cluster(self.addCleanup, **kwargs)

    def refused(self, cluster, *args, code=1, says, host=None, stdin=None):
        """The command exits with `code` and one line on stderr that has every word of `says`."""
        result = (host or cluster.manager).ctl(*args, check=False, stdin=stdin)
        self.assertEqual(result.returncode, code, f"{args}: {result.stdout}{result.stderr}")
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, f"{args}: not one line: {result.stderr}")
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, lines[0])
        return lines[0]


def main():
    unittest.main(verbosity=2)
