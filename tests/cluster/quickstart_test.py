#!/usr/bin/env python3
"""deploy/quickstart as a newcomer runs it: on a machine of its own, with systemd and without, and on a second machine."""
import json
import os
import unittest

from harness import BIN, BudgetedTest, ROOT, main, wait_for
from machine import Machine, connect, leftovers
from shop_test import shop_archives


def readme_commands(after):
    """The lines of the README's first block of code behind these words, without comments."""
    with open(os.path.join(ROOT, "README.md")) as f:
        block = f.read().split(after, 1)[1].split("```")[1]
    return [line.split("#")[0].strip() for line in block.strip().splitlines()]


class QuickstartTest(BudgetedTest):
    @classmethod
    def setUpClass(cls):
        shop_archives()  # the machines have no network; they see the build folder

    def machine(self, init=None):
        return Machine(self.addCleanup, init)

    def quickstart(self, machine, *args, check=True):
        build = os.path.dirname(os.path.dirname(BIN))
        return machine.run(os.path.join(ROOT, "deploy", "quickstart"), *args, timeout=280, check=check,
                           env=(f"SWARM_BUILD_DIR={build}", "SWARM_HOST=elsewhere:2377"))

    def tasks(self, machine):
        """{id: node} of the tasks of hello_hello that shall run and do."""
        rows = machine.run("swarmctl", "--format", "json", "service", "ps", "--no-trunc", "hello_hello").stdout.splitlines()
        return {t["ID"]: t["Node"] for t in map(json.loads, rows)
                if t["DesiredState"] == "Running" and t["CurrentState"].startswith("Running")}

    def kill_agent(self, machine):
        """kill -9 of the agent in the background, and nothing else; its pid file stays."""
        machine.run("sh", "-c", "read pid ticks < /run/swarm/quickstart.pid && kill -9 $pid")
        wait_for(lambda: machine.run("pgrep", "-r", "DRST", "-x", "swarm-agent", check=False).returncode == 1, "the agent to be dead")

    def from_nothing_and_back(self, machine):
        first = self.quickstart(machine)
        self.assertIn("3/3", first.stdout)
        self.assertIn("1/1", first.stdout)
        self.assertIn("<h1>hello from", first.stdout)
        self.assertIn('{"order": 1}', first.stdout)
        tasks = self.tasks(machine)
        self.assertEqual(len(tasks), 3)
        # Again: nothing restarts, nothing doubles.
        second = self.quickstart(machine)
        self.assertIn("3/3", second.stdout)
        self.assertIn('{"order": 2}', second.stdout)
        self.assertEqual(self.tasks(machine), tasks)
        self.what_the_readme_says_works(machine)
        self.quickstart(machine, "--down")
        self.assertEqual(leftovers(machine), [])
        # Down with nothing there is no error.
        self.quickstart(machine, "--down")

    def what_the_readme_says_works(self, machine):
        commands = readme_commands("Then what you know from Docker works")
        self.assertIn("swarmctl service create --name web --replicas 3 --limit-memory 64m localhost/hello:1", commands)
        for command in commands:
            follows = " -f" in command
            out = machine.run("bash", "-c", f"cd {ROOT} && {command}" + (" | head -n 3" if follows else "")).stdout
            if follows:
                self.assertEqual(out.count("hello"), 3, out)
        for command in readme_commands("again after any change of its files"):
            out = machine.run("bash", "-c", f"cd {ROOT} && {command}", timeout=280).stdout
        self.assertIn('"orders": 3', out)

    def test_without_systemd_the_daemons_run_in_the_background(self):
        self.from_nothing_and_back(self.machine())

    @unittest.skipUnless(os.path.exists("/lib/systemd/systemd"), "systemd is not installed: that a unit is installed was not tested")
    def test_with_systemd_a_unit_is_installed(self):
        self.from_nothing_and_back(self.machine("systemd"))

    def test_an_agent_that_was_killed_is_started_again_and_down_leaves_nothing_or_says_what(self):
        machine = self.machine()
        self.quickstart(machine)
        tasks = self.tasks(machine)
        # The manager too: it is only just starting when the daemon answers again.
        self.kill_agent(machine)
        machine.run("sh", "-c", "read pid ticks < /run/swarm/manager.process && kill -9 $pid")
        self.assertIn("3/3", self.quickstart(machine).stdout)
        self.assertEqual(self.tasks(machine), tasks)
        self.kill_agent(machine)
        # Somebody else's process in our cgroups is none that we end, and none that we forget.
        stranger = machine.run("bash", "-c", """
            cgroup=$(find /sys/fs/cgroup -depth -type d -name swarm | head -n 1)/stranger
            mkdir $cgroup; cat $cgroup/../cpuset.cpus > $cgroup/cpuset.cpus 2>/dev/null; cat $cgroup/../cpuset.mems > $cgroup/cpuset.mems 2>/dev/null
            sleep 1000 >/dev/null 2>&1 & echo $! | tee $cgroup/cgroup.procs""").stdout.strip()
        down = self.quickstart(machine, "--down", check=False)
        self.assertEqual(down.returncode, 1)
        self.assertIn(f"process {stranger} in", down.stderr)
        self.assertNotIn("done", down.stderr)
        self.assertEqual([line for line in leftovers(machine) if line.endswith(("swarm-manager", "swarm-shim")) and line[0].isdigit()], [])
        machine.run("kill", stranger)
        self.quickstart(machine, "--down")
        self.assertEqual(leftovers(machine), [])

    def test_down_leaves_what_was_there_before(self):
        machine = self.machine()
        machine.run("sh", "-c", """
            useradd --system --user-group swarm
            mkdir -p /var/lib/swarm/agent /run/swarm
            touch /var/lib/swarm/keep /var/lib/swarm/agent/keep
            echo '#!/bin/sh' > /usr/local/bin/swarm-shim""")
        self.assertIn("swarm-shim, which was here before", self.quickstart(machine, "--install").stderr)
        self.quickstart(machine, "--down")
        machine.run("sh", "-c", "test -e /var/lib/swarm/keep && test -e /var/lib/swarm/agent/keep && test -d /run/swarm")
        self.assertEqual(machine.run("sh", "-c", "ls /usr/local/bin/swarm*").stdout.split(), ["/usr/local/bin/swarm-shim"])
        machine.run("id", "swarm")
        self.assertFalse(machine.run("sh", "-c", "ls -a /var/lib/swarm | grep quickstart; pgrep -l swarm; exit 0").stdout)

    def test_a_second_machine_joins_and_either_leaves_while_the_other_is_dead(self):
        first, second = machines = [self.machine(), self.machine()]
        connect(machines)
        for name, machine in zip(("one", "two"), machines):
            machine.run("hostname", name)
        self.quickstart(first)
        installed = self.quickstart(second, "--install")
        self.assertIn("swarmctl swarm join-token worker", installed.stdout)
        self.assertEqual(second.run("swarmctl", "info", "--format", "{{.Swarm.LocalNodeState}}").stdout, "inactive\n")
        words = first.run("swarmctl", "swarm", "join-token", "worker").stdout
        [join] = [line.strip() for line in words.splitlines() if "swarmctl swarm join --token" in line]
        self.assertIn("10.98.1.1:2378", join)
        second.run("sh", "-c", join)
        self.assertIn("is a worker", self.quickstart(second).stdout)
        first.run("swarmctl", "service", "scale", "hello_hello=6")
        self.assertEqual(sorted(self.tasks(first).values()), ["one"] * 3 + ["two"] * 3)
        self.kill_agent(second)
        down = self.quickstart(first, "--down")
        self.assertIn("going on without that", down.stderr)
        self.assertEqual(leftovers(first), [])
        self.assertIn("swarm-shim", " ".join(leftovers(second)))
        self.quickstart(second, "--down")
        self.assertEqual(leftovers(second), [])


if __name__ == "__main__":
    main()
