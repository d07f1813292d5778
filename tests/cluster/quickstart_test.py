#!/usr/bin/env python3
"""deploy/quickstart as a newcomer runs it: on a machine of its own, with systemd and without."""
import os
import unittest

from harness import BIN, ROOT, main
from machine import Machine, leftovers


class QuickstartTest(unittest.TestCase):
    def quickstart(self, machine, *args):
        build = os.path.dirname(os.path.dirname(BIN))
        return machine.run(os.path.join(ROOT, "deploy", "quickstart"), *args, timeout=280, env=(f"SWARM_BUILD_DIR={build}",))

    def from_nothing_and_back(self, machine):
        first = self.quickstart(machine)
        self.assertIn("3/3", first.stdout)
        self.assertIn("1/1", first.stdout)
        self.assertIn("<h1>hello from", first.stdout)
        self.assertIn("hello", first.stdout)
        tasks = machine.run("swarmctl", "--format", "json", "service", "ps", "hello_hello").stdout
        # Again: nothing restarts, nothing doubles.
        second = self.quickstart(machine)
        self.assertIn("3/3", second.stdout)
        ids = lambda text: sorted(line.split('"ID":"')[1][:12] for line in text.splitlines())
        self.assertEqual(ids(machine.run("swarmctl", "--format", "json", "service", "ps", "hello_hello").stdout), ids(tasks))
        self.quickstart(machine, "--down")
        self.assertEqual(leftovers(machine), [])
        self.assertEqual(machine.run("sh", "-c", "pgrep -l swarm || true").stdout, "")
        # Down with nothing there is no error.
        self.quickstart(machine, "--down")

    def machine(self, init):
        machine = Machine(init)
        self.addCleanup(machine.remove)
        return machine

    def test_without_systemd_the_daemons_run_in_the_background(self):
        self.from_nothing_and_back(self.machine(None))

    @unittest.skipUnless(os.path.exists("/lib/systemd/systemd"), "systemd is not installed: the unit's path was not tested")
    def test_with_systemd_a_unit_is_installed(self):
        machine = self.machine("systemd")
        self.from_nothing_and_back(machine)


if __name__ == "__main__":
    main()
