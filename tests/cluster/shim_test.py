#!/usr/bin/env python3
"""F25: a shim is killed. Its container goes with it, its task has failed and is replaced, nothing is orphaned."""
import os

from harness import ClusterTest, TEST_IMAGE, kill, main, wait_for

# Ignores what it can, and has two children.
STUBBORN = ["sh", "-c", "trap '' TERM HUP INT; sleep 3600 & while :; do sleep 3600; done"]


class ShimTest(ClusterTest):
    def begin(self):
        """A service of two on one worker: (cluster, host, the first task, its shim, its pids, the other's)."""
        cluster = self.cluster(workers=1)
        cluster.ctl("service", "create", "--detach", "--name", "web", "--replicas", "2", TEST_IMAGE, *STUBBORN)
        tasks = cluster.wait_running("web", 2)
        host = cluster.workers[0]
        # Running says that the shell was started: its processes stay the same when it has both children.
        wait_for(lambda: all(len(pids) == 3 for pids in host.container_pids().values()), "the children")
        pids = host.container_pids()
        self.assertEqual(set(pids), {t["ID"] for t in tasks})
        victim, other = tasks
        [shim] = [p for p in host.shim_pids() if parent(host.init_pid(victim["ID"])) == p]
        return cluster, host, victim, shim, pids[victim["ID"]], {other["ID"]: pids[other["ID"]]}

    def replaced(self, cluster, host, victim, pids, other):
        """What must have come of it."""
        def failed():
            return [t for t in cluster.tasks("web") if t["ID"] == victim["ID"] and t["CurrentState"].startswith("Failed")]
        [task] = cluster.until(failed, "the task to have failed")
        self.assertEqual(task["Error"], "supervisor lost")
        tasks = cluster.wait_running("web", 2)
        self.assertNotIn(victim["ID"], {t["ID"] for t in tasks})
        self.assertEqual([p for p in pids if os.path.exists(f"/proc/{p}")], [])
        now = host.container_pids()
        self.assertEqual(set(now), {t["ID"] for t in tasks})
        for name, untouched in other.items():
            self.assertEqual(now[name], untouched, "the other container was touched")
        self.assertEqual(len(host.shim_pids()), 2)
        # The failed one is kept for its logs, and holds nothing of the kernel's.
        wait_for(lambda: not [c for c in host.cgroups() if victim["ID"] in c], "its cgroups to be released")
        folder = os.path.join(host.dir, "agent", "containers", victim["ID"])
        wait_for(lambda: not os.path.exists(os.path.join(folder, "work")), "its folders to be released")
        self.assertTrue(os.path.isdir(os.path.join(folder, "log")))
        cluster.ctl("service", "rm", "web")
        cluster.until(lambda: not host.cgroups() and not host.shim_pids(), "nothing to be left")
        wait_for(lambda: not os.listdir(os.path.dirname(folder)), "the folders to be gone")
        self.assertEqual(host.mounts(), [])

    def test_a_killed_shims_task_fails_and_is_replaced(self):
        cluster, host, victim, shim, pids, other = self.begin()
        kill(shim)
        self.replaced(cluster, host, victim, pids, other)

    def test_a_shim_killed_while_the_agent_is_dead_comes_to_the_same(self):
        cluster, host, victim, shim, pids, other = self.begin()
        host.kill_agent()
        kill(shim)
        wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), "the container to die with its shim")
        host.start()
        self.replaced(cluster, host, victim, pids, other)


def parent(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rpartition(")")[2].split()[1])


if __name__ == "__main__":
    main()
