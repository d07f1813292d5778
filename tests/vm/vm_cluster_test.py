#!/usr/bin/env python3
"""A cluster of virtual machines: kernels, links and deaths of their own. One cluster for all tests of a run.

    deploy/test --vm -R vm                                  ctest's fixture makes it, and removes it (CMakeLists.txt)
    python3 tests/vm/vm_cluster_test.py [Class.test]        makes it, unless it is there, and removes what it made
    python3 tests/vm/vm_cluster_test.py --up | --down       makes it (without what an ended run left), removes it
"""
import collections
import os
import subprocess
import sys
import time
import unittest
import zlib

from vm_cluster import BUILD, IMAGE, PATIENCE, Refused, VmCluster, context_file

from harness import BudgetedTest, run, wait_for
from networks_test import STAY, TELL

# Each build folder has its own, so that several can be tested at once.
NUMBER = zlib.crc32(BUILD.encode())
FOLDER = os.path.join(os.path.dirname(BUILD), f"vmt-{NUMBER:x}")
NETWORK = f"10.{98 + NUMBER % 100}.{NUMBER >> 8 & 255}.0/24"
WIREGUARD_PORT = 51871
VXLAN_PORT = 4789
COMMAND = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vm_cluster_command.py")

# In the machine: `$1` a container, the rest a program in it.
IN_CONTAINER = r"""
container=$1; shift
for pid in $(cat "/sys/fs/cgroup/swarm/$container/cgroup.procs"); do
  if grep -qE '^NSpid:\s+[0-9]+\s+1$' "/proc/$pid/status"; then exec nsenter -t "$pid" -m -n -p -- "$@"; fi
done
echo "no init of $container" >&2; exit 125"""
CONTAINERS = r"""
cd /sys/fs/cgroup/swarm 2>/dev/null || exit 0
for folder in */; do [ -z "$(cat "$folder/cgroup.procs" 2>/dev/null)" ] || echo "${folder%/}"; done"""


def found():
    try:
        return VmCluster(FOLDER)
    except Refused:
        return None


def make():
    began = time.monotonic()
    cluster = VmCluster.make(FOLDER, 3, lambda words: print(f"{time.monotonic() - began:6.1f} s: {words}", flush=True), NETWORK)
    # DOWN after 30 s of silence: a machine that is slow for a moment changes nothing.
    cluster.ctl("swarm", "update", "--dispatcher-heartbeat", "10s")
    return cluster


def remove(cluster):
    """And nothing is left of it."""
    pids = [machine.pid() for machine in cluster.machines]
    cluster.remove()
    left = [path for path in (FOLDER, f"/run/netns/{cluster.name}", f"/sys/class/net/{cluster.name}", context_file(cluster.name)[0],
                              *(f"/proc/{pid}/exe" for pid in pids)) if os.path.exists(path)]
    if left:
        raise AssertionError(f"left: {left}")


def setUpModule():
    if not found():
        unittest.addModuleCleanup(remove, make())


class VmClusterTest(BudgetedTest):
    def setUp(self):
        self.cluster = VmCluster(FOLDER)
        self.addCleanup(self.make_tidy)

    def make_tidy(self):
        """As the next test expects it: all machines up and in the cluster, nothing on them."""
        for machine in self.cluster.machines:
            if machine.pid() is None:
                machine.start()
                machine.wait_ready()
        self.all_ready()
        for kind in ("service", "network"):
            names = {row["Name"] for row in self.cluster.rows(kind, "ls")} - {"host", "none", "ingress"}
            if names:
                self.cluster.ctl(kind, "rm", *names)
        self.cluster.until(lambda: not any(self.containers(m) for m in self.cluster.machines), "the containers to be gone")
        self.cluster.close_feed()

    def all_ready(self):
        self.cluster.until(lambda: [n["Status"] for n in self.cluster.rows("node", "ls")] == ["Ready"] * 3, "all nodes to be ready")

    def create(self, name, *flags, command=TELL):
        self.cluster.ctl("service", "create", "--detach", "--name", name, *flags, IMAGE, *command)

    def inside(self, task, *command, check=True):
        """A program of the image in the container of a task."""
        return self.cluster.machine(task["Node"]).run("sh", "-c", IN_CONTAINER, "sh", task["ID"], *command, check=check)

    def containers(self, machine):
        return machine.run("sh", "-c", CONTAINERS).stdout.split()

    def ask(self, machine, seconds=20):
        """(our address, the container's name, seconds) as the web service at the machine's port 8080 says; None when nobody does."""
        answer = run("curl", "-sS", "--max-time", str(seconds), "--write-out", "%{time_total}", f"http://{machine.address}:8080/cgi-bin/who",
                     check=False)
        if answer.returncode != 0:
            return None
        address, name, took = answer.stdout.split()
        return address.strip("[]").removeprefix("::ffff:"), name, float(took)

    def slots(self, tasks):
        return sorted(int(task["Name"].split()[-1].rpartition(".")[2]) for task in tasks)

    def assert_one_container_per_slot(self, service, count):
        """And none besides, on any machine."""
        def theirs():
            running = self.cluster.running(service)
            there = sorted(c for m in self.cluster.machines for c in self.containers(m))
            return there == sorted(t["ID"] for t in running) and running
        running = self.cluster.until(theirs, "the containers to be those of the running tasks")
        self.assertEqual(self.slots(running), list(range(1, count + 1)))
        return running


class NetworksTest(VmClusterTest):
    def test_services_find_each_other_across_machines_and_a_published_port_keeps_the_clients_address(self):
        self.cluster.ctl("network", "create", "front")
        self.create("web", "--network", "front", "--replicas", "3", "--publish", "8080:80")
        self.create("client", "--network", "front", "--mode", "global", command=STAY)
        web = self.cluster.wait_running("web", 3)
        clients = self.cluster.wait_running("client", 3)
        self.assertEqual({t["Node"] for t in web}, {"n1", "n2", "n3"})
        names = {t["ID"][:12] for t in web}
        for client in clients:
            [vip] = self.resolve(client, "web")
            addresses = self.resolve(client, "tasks.web")
            self.assertEqual(len(addresses), 3)
            self.assertNotIn(vip, addresses)
            seen = {self.inside(client, "wget", "-qO-", "http://web/cgi-bin/who").stdout.split()[1] for _ in range(3)}
            self.assertEqual(seen, names, f"by {client['Node']}")
        for machine in self.cluster.machines:
            answer = wait_for(lambda m=machine: self.ask(m), f"{machine.name} to answer", PATIENCE)
            self.assertEqual(answer[0], self.cluster.host_address, f"by {machine.name}")
            self.assertIn(answer[1], names)

    def resolve(self, task, name):
        """Its IPv4 addresses, as the container's own resolver says."""
        lines = self.inside(task, "nslookup", "-type=a", name).stdout.splitlines()
        return [line.split()[-1] for line in lines[lines.index(""):] if line.startswith("Address:")]

    def test_a_slow_and_lossy_link_ends_no_session_and_the_service_goes_on(self):
        """50 ms and 3 % loss for longer than a node may be silent (30 s)."""
        self.create("web", "--replicas", "3", "--publish", "8080:80")
        tasks = self.cluster.wait_running("web", 3)
        slow = self.cluster.machine("n2")
        wait_for(lambda: self.ask(slow), "the port", PATIENCE)
        before = slow.run("grep", "-c", "session", "/var/log/swarm-agent.log").stdout
        containers = self.containers(slow)
        slow.run("tc", "qdisc", "add", "dev", "eth0", "root", "netem", "delay", "50ms", "loss", "3%")
        self.addCleanup(slow.run, "tc", "qdisc", "del", "dev", "eth0", "root")
        end = time.monotonic() + 35
        answers = []
        while time.monotonic() < end:
            answers.append(self.ask(slow, seconds=PATIENCE))
            if len(answers) % 10 == 0:
                self.assertEqual(self.cluster.node("n2")["Status"], "Ready")
        self.assertNotIn(None, answers)
        # The handshake's answer and the answer itself are late: if they were not, this would prove nothing.
        self.assertGreater(min(took for _, _, took in answers), 0.1)
        self.assertEqual(slow.run("grep", "-c", "session", "/var/log/swarm-agent.log").stdout, before, "the session did not end")
        self.assertEqual(self.containers(slow), containers)
        self.assertEqual({t["ID"] for t in self.cluster.running("web")}, {t["ID"] for t in tasks})
        print(f"{len(answers)} requests over a link of 50 ms and 3 % loss: median {sorted(a[2] for a in answers)[len(answers) // 2]:.2f} s, "
              f"longest {max(a[2] for a in answers):.2f} s", flush=True)


class EncryptionTest(VmClusterTest):
    def test_s11_nothing_of_an_encrypted_network_crosses_the_wire_in_clear(self):
        """The same words over a network that is not encrypted are seen: so the capture would see them."""
        from capture import Capture
        heard = {}
        for network, flags in (("plain", ()), ("sealed", ("--opt", "encrypted"))):
            made = self.cluster.ctl("network", "create", *flags, network)
            self.assertEqual(made.stderr, "", "every machine has WireGuard")
            self.create(f"{network}-web", "--network", network, "--constraint", "node.hostname==n3")
            self.create(f"{network}-client", "--network", network, "--constraint", "node.hostname==n2", command=STAY)
            self.cluster.wait_running(f"{network}-web", 1)
            [client] = self.cluster.wait_running(f"{network}-client", 1)
            canary = os.urandom(16).hex()
            with Capture(self.cluster.name) as capture:
                wait_for(lambda c=client, n=network, w=canary: self.inside(
                    c, "wget", "-qO-", f"http://{n}-web/cgi-bin/who?{w}", check=False).returncode == 0, f"{network}-web to answer", PATIENCE)
            heard[network] = capture.sees(canary.encode()), capture.udp_ports() & {VXLAN_PORT, WIREGUARD_PORT}
            self.cluster.ctl("service", "rm", f"{network}-web", f"{network}-client")
            if network == "plain":
                self.assertEqual(heard["plain"], (True, {VXLAN_PORT}))
        self.assertEqual(heard["sealed"], (False, {WIREGUARD_PORT}))


class DeathTest(VmClusterTest):
    def spread(self, replicas):
        self.create("web", "--replicas", str(replicas), command=STAY)
        tasks = self.cluster.wait_running("web", replicas)
        self.assertEqual(collections.Counter(t["Node"] for t in tasks), {"n1": replicas // 3, "n2": replicas // 3, "n3": replicas // 3})
        return tasks

    def assert_moved_away_from_n3(self, before):
        """Those of n3 run elsewhere once it is DOWN; the others stay what they are."""
        self.cluster.until(lambda: self.cluster.node("n3")["Status"] == "Down", "n3 to be DOWN")
        after = self.cluster.wait_running("web", len(before), on=["n1", "n2"])
        stayed = {t["ID"] for t in before if t["Node"] != "n3"}
        self.assertEqual({t["ID"] for t in after} & {t["ID"] for t in before}, stayed)
        self.assertEqual(self.slots(after), self.slots(before))

    def assert_a_node_like_the_others(self, identity):
        """The same node as before, and it takes tasks again."""
        nodes = self.cluster.rows("node", "ls")
        self.assertEqual([n["ID"] for n in nodes if n["Hostname"] == "n3"], [identity])
        self.assertEqual(len(nodes), 3)
        self.cluster.ctl("service", "scale", "--detach", "web=9")
        tasks = self.cluster.wait_running("web", 9)
        self.assertEqual(collections.Counter(t["Node"] for t in tasks), {"n1": 3, "n2": 3, "n3": 3})

    def test_f9_a_machine_that_died_comes_back_with_its_identity_and_nothing_of_what_it_ran(self):
        before = self.spread(6)
        machine, identity = self.cluster.machine("n3"), self.cluster.node("n3")["ID"]
        machine.kill()
        self.assert_moved_away_from_n3(before)
        machine.start()
        machine.wait_ready()
        self.all_ready()
        self.assert_one_container_per_slot("web", 6)
        self.assert_a_node_like_the_others(identity)

    def test_f8_of_a_machine_that_was_cut_off_and_its_replacements_one_container_per_slot_survives(self):
        before = self.spread(6)
        identity = self.cluster.node("n3")["ID"]
        lost = {t["ID"] for t in before if t["Node"] == "n3"}
        link = ("ip", "-n", self.cluster.name, "link", "set", "n3")
        run(*link, "down")
        self.addCleanup(run, *link, "up")
        self.assert_moved_away_from_n3(before)
        run(*link, "up")
        self.all_ready()
        running = self.assert_one_container_per_slot("web", 6)
        self.assertFalse(lost & {t["ID"] for t in running})
        self.assert_a_node_like_the_others(identity)

    def test_f1_the_managers_machine_dies_and_what_it_acknowledged_is_there_again(self):
        before = self.spread(6)
        others = {name: self.containers(self.cluster.machine(name)) for name in ("n2", "n3")}
        self.cluster.ctl("network", "create", "acknowledged")
        machine = self.cluster.machine("n1")
        machine.kill()
        self.cluster.close_feed()
        machine.start()
        machine.wait_ready()
        wait_for(lambda: self.cluster.ctl("node", "ls", check=False).returncode == 0, "the manager to be back by itself", PATIENCE)
        self.assertIn("acknowledged", [n["Name"] for n in self.cluster.rows("network", "ls")])
        self.all_ready()
        running = self.assert_one_container_per_slot("web", 6)
        for name, containers in others.items():
            self.assertEqual(self.containers(self.cluster.machine(name)), containers, f"{name}'s go on")
        self.assertEqual({t["ID"] for t in running} & {t["ID"] for t in before}, {t["ID"] for t in before if t["Node"] != "n1"})


class CommandTest(VmClusterTest):
    def command(self, *args, **options):
        return subprocess.run([sys.executable, "-B", COMMAND, "--name", self.cluster.name, *args], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, **options)

    def test_exec_takes_words_as_they_are_and_input_and_returns_the_exit_status(self):
        words = ["two words", "$HOME", "it's", "*", ""]
        result = self.command("exec", "n2", "sh", "-c", 'printf "%s|" "$@"; cat; echo complaint >&2; exit 37', "sh", *words, input="given\n")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (37, "|".join(words) + "|given\n", "complaint\n"))

    def test_status_tells_the_machines_and_swarmctl_finds_the_cluster_by_its_context(self):
        rows = [line.split() for line in self.command("status").stdout.splitlines()[1:]]
        self.assertEqual([(row[0], row[1], row[2], row[-1]) for row in rows],
                         [(m.name, m.address, "running", "Leader" if m.name == "n1" else "Ready") for m in self.cluster.machines])
        # Of whoever called, which under sudo is not root.
        contexts = os.path.dirname(os.path.dirname(os.path.dirname(context_file(self.cluster.name)[0])))
        nodes = run(self.cluster.ctl_command()[0], "--context", self.cluster.name, "node", "ls", "--quiet",
                    env={**os.environ, "XDG_CONFIG_HOME": contexts}).stdout.split()
        self.assertEqual(len(nodes), 3)

    def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(self):
        machine = self.cluster.machine("n2")
        pid = machine.pid()
        for args, says in ((("exec", "n9", "true"), "n1, n2, n3"), (("start", "n2"), "runs already"), (("up",), "already"),
                           (("up", "-n", "0"), "16"), (("kill", "n0"), "n1, n2, n3")):
            result = self.command(*args)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1), result.stderr)
            self.assertIn(says, result.stderr)
        for args, says in ((("--name", "vm-other", "up", "-n", "99"), "16"), (("--name", "vm-other", "up", "--network", NETWORK), "route"),
                           (("--name", "lo", "up"), "lo"),
                           (("--name", "vm-other", "up", "--network", "192.0.2.0/30"), "small"),
                           (("--name", "vm-other", "up", "--network", "192.0.2.1/24"), "host bits"), (("--name", "vm-other", "down"), "no cluster")):
            result = subprocess.run([sys.executable, "-B", COMMAND, *args], capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1), result.stderr)
            self.assertIn(says, result.stderr)
            self.assertFalse(os.path.exists(os.path.join(os.path.dirname(FOLDER), "vm-other")))
        self.assertEqual(machine.pid(), pid)


def main():
    if sys.argv[1:] in (["--up"], ["--down"]):
        cluster = found()
        if cluster:
            remove(cluster)
        if sys.argv[1] == "--up":
            make()
    else:
        unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
