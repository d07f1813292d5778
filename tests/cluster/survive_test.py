#!/usr/bin/env python3
"""What a cluster must survive. One manager and three agents in network namespaces, with real containers."""
import os
import shutil
import time
from collections import Counter

from harness import ClusterTest, TEST_IMAGE, kill, main, wait_for

# A process that obeys SIGTERM at once and otherwise stays.
STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]


class SurviveTest(ClusterTest):
    def service(self, cluster, name, replicas, *flags, command=STAY):
        cluster.ctl("service", "create", "--detach", "--name", name, "--replicas", str(replicas), *flags, TEST_IMAGE, *command)
        return cluster.wait_running(name, replicas)

    def test_twelve_replicas_spread_evenly_over_three_nodes(self):
        cluster = self.cluster()
        tasks = self.service(cluster, "web", 12)
        self.assertEqual(Counter(t["Node"] for t in tasks), {"h1": 4, "h2": 4, "h3": 4})
        for host in cluster.workers:
            self.assertEqual(len(host.container_pids()), 4)

    def test_a_killed_agent_adopts_its_containers_with_the_same_pids(self):
        cluster = self.cluster()
        self.service(cluster, "web", 6)
        host = cluster.workers[0]
        before = host.container_pids()
        ids = {t["ID"] for t in cluster.running("web")}
        host.kill_agent()
        self.assertEqual(host.container_pids(), before, "containers go on without their agent")
        host.start()
        cluster.until(lambda: cluster.node(host.name)["Status"] == "Ready" and
                      host.ctl("info", check=False).returncode == 0, "the agent to be back")
        cluster.wait_running("web", 6)
        self.assertEqual(host.container_pids(), before)
        self.assertEqual({t["ID"] for t in cluster.running("web")}, ids, "no task was replaced")

    def test_an_exit_while_the_agent_was_dead_is_reported_with_its_code(self):
        cluster = self.cluster(workers=1)
        self.service(cluster, "job", 1, "--restart-condition", "none",
                     command=["sh", "-c", "trap 'exit 37' USR1; while :; do sleep 3600 & wait $!; done"])
        host = cluster.workers[0]
        [pids] = host.container_pids().values()
        host.kill_agent()
        kill(min(pids), 10)
        wait_for(lambda: not host.container_pids(), "the container to end")
        host.start()
        [task] = cluster.until(lambda: [t for t in cluster.tasks("job") if t["CurrentState"].startswith("Failed")], "the failure")
        self.assertIn("37", task["Error"])

    def test_a_killed_manager_loses_nothing_and_touches_no_container(self):
        cluster = self.cluster()
        self.service(cluster, "web", 6)
        before = [h.container_pids() for h in cluster.workers]
        services = cluster.rows("service", "ls")
        old = cluster.manager.manager_pid()
        kill(old)
        cluster.close_feed()
        wait_for(lambda: cluster.ctl("service", "ls", check=False).returncode == 0 and cluster.manager.manager_pid() != old,
                 "the manager to be back by itself")
        self.assertEqual(cluster.rows("service", "ls"), services)
        cluster.until(lambda: [n["Status"] for n in cluster.rows("node", "ls")] == ["Ready"] * 4, "all agents to reconnect")
        cluster.wait_running("web", 6)
        self.assertEqual([h.container_pids() for h in cluster.workers], before)
        # And it still works.
        cluster.ctl("service", "scale", "--detach", "web=9")
        cluster.wait_running("web", 9)

    def test_a_dead_nodes_tasks_are_elsewhere_soon_after_it_is_down_and_it_comes_back_empty(self):
        cluster = self.cluster()
        self.service(cluster, "web", 6)
        host = cluster.workers[0]
        host.die()
        cluster.until(lambda: cluster.node(host.name)["Status"] == "Down", "the node to be declared down")
        down = time.monotonic()
        others = [h.name for h in cluster.workers[1:]]
        cluster.wait_running("web", 6, on=others)
        print(f"replaced {time.monotonic() - down:.2f} s after DOWN")
        host.start()
        cluster.until(lambda: cluster.node(host.name)["Status"] == "Ready", "the node to return")
        cluster.until(lambda: not host.container_pids() and not host.cgroups(), "nothing to be left on the node")
        self.assertEqual(len(cluster.wait_running("web", 6, on=others)), 6)

    def test_drain_moves_tasks_and_pause_does_not(self):
        cluster = self.cluster()
        self.service(cluster, "web", 6)
        before = {t["ID"] for t in cluster.running("web")}
        cluster.ctl("node", "update", "--availability", "pause", "h1")
        cluster.ctl("service", "scale", "--detach", "web=8")
        after = cluster.wait_running("web", 8)
        self.assertLessEqual(before, {t["ID"] for t in after}, "pause moved a task")
        self.assertEqual(Counter(t["Node"] for t in after), {"h1": 2, "h2": 3, "h3": 3})
        cluster.ctl("node", "update", "--availability", "drain", "h2")
        cluster.wait_running("web", 8, on=["h1", "h3"])
        self.assertEqual(Counter(t["Node"] for t in cluster.running("web")), {"h1": 2, "h3": 6})
        cluster.until(lambda: not cluster.hosts[2].container_pids(), "the drained node to be empty")

    def test_a_clone_of_a_node_is_fenced_off_and_disturbs_nothing(self):
        cluster = self.cluster()
        self.service(cluster, "web", 6)
        original = cluster.workers[0]
        before = original.container_pids()
        ids = {t["ID"] for t in cluster.running("web")}
        clone = cluster.add_host()
        shutil.copytree(os.path.join(original.dir, "agent"), os.path.join(clone.dir, "agent"), symlinks=True)
        clone.start()
        wait_for(lambda: "fenced" in clone.ctl("info", check=False).stdout.lower(), "the clone to be told")
        self.assertEqual(clone.container_pids(), {})
        self.assertEqual(original.container_pids(), before)
        self.assertEqual(cluster.node("h1")["Status"], "Ready")
        self.assertEqual({t["ID"] for t in cluster.running("web")}, ids)
        # The original goes on taking work; the clone never does.
        cluster.ctl("service", "scale", "--detach", "web=9")
        cluster.wait_running("web", 9)
        self.assertEqual(clone.container_pids(), {})
        self.assertEqual(len(original.container_pids()), 3)

    def test_nothing_of_a_removed_service_is_left(self):
        cluster = self.cluster()
        self.service(cluster, "web", 6)
        cluster.ctl("service", "rm", "web")
        cluster.until(lambda: not cluster.rows("service", "ls"), "the service to be gone")
        for host in cluster.workers:
            cluster.until(lambda h=host: not h.cgroups(), f"the cgroups of {host.name} to be gone")
            self.assertEqual(host.container_pids(), {})
            wait_for(lambda h=host: not h.shim_pids(), "the shims to end")
            self.assertEqual(host.mounts(), [])
            for folder in (os.path.join(host.dir, "agent", "containers"), os.path.join(host.run_dir, "containers")):
                # The listing hides a service at once; its folders are the last that goes.
                wait_for(lambda f=folder: not os.path.isdir(f) or not os.listdir(f), f"{folder} to be empty")


if __name__ == "__main__":
    main()
