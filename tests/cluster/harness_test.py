#!/usr/bin/env python3
"""What the other tests rely on: that they clean up after any failure, in time, and that a skip is seen."""
import os
import re
import subprocess
import sys
import tempfile

from harness import BudgetedTest, Cluster, main, run

HERE = os.path.dirname(os.path.abspath(__file__))


class HarnessTest(BudgetedTest):
    def test_what_fails_while_cleaning_up_keeps_nothing_else_from_being_removed(self):
        removals = []
        cluster = Cluster(removals.append, workers=1)
        self.addCleanup(cluster.remove)
        broken = cluster.workers[0]
        broken._remove_cgroups = lambda: 1 / 0
        with self.assertRaisesRegex(AssertionError, "ZeroDivisionError"):
            removals[0]()
        self.assertFalse(os.path.exists(cluster.dir))
        self.assertEqual(self.namespaces(), [])
        self.assertEqual([h.agent.poll() is None for h in cluster.hosts], [False, False])
        self.assertFalse(os.path.exists(f"/proc/{broken.agent.pid}"))
        del broken._remove_cgroups

    def test_a_cluster_that_cannot_be_made_is_removed(self):
        removals = []
        with self.assertRaisesRegex(AssertionError, "no-such-flag"):
            Cluster(removals.append, workers=0, flags=["--no-such-flag"])
        self.assertEqual(len(removals), 1)
        removals[0]()
        self.assertEqual(self.namespaces(), [])

    def namespaces(self):
        """Network namespaces of this process's clusters."""
        return [line for line in run("ip", "netns").stdout.split() if re.match(f"sw{os.getpid() % 100000:x}\\d(sw|h\\d)$", line)]

    def run_one(self, body, **environment):
        """How a test of its own with that body ends: (exit code, what was printed)."""
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "inner_test.py"), "w") as f:
                f.write(f"import unittest, harness\nclass Inner(harness.BudgetedTest):\n    def test_it(self):\n        {body}\n")
            result = subprocess.run([sys.executable, os.path.join(HERE, "run_one.py"), "inner_test", "Inner.test_it"], text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    env={**os.environ, "PYTHONPATH": folder, **environment})
            return result.returncode, result.stdout

    def test_a_test_that_passes_its_budget_fails_and_cleans_up(self):
        code, out = self.run_one('self.addCleanup(print, "cleaned"); harness.wait_for(lambda: False, "nothing")', SWARM_TEST_BUDGET="1")
        self.assertEqual(code, 1, out)
        self.assertIn("more than its budget of 1 s", out)
        self.assertIn("cleaned", out)

    def test_a_skip_is_neither_a_success_nor_a_failure_and_says_why(self):
        self.assertEqual(self.run_one("pass")[0], 0)
        self.assertEqual(self.run_one("self.fail()")[0], 1)
        code, out = self.run_one('self.skipTest("no moon")')
        self.assertEqual(code, 77)
        self.assertIn("skipped: inner_test.Inner.test_it: no moon", out)


if __name__ == "__main__":
    main()
