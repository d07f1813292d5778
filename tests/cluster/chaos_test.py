#!/usr/bin/env python3
"""What holds whatever is killed when. Seeded: SWARM_CHAOS_SEED=N runs another order of things."""
import json
import os
import random
import signal
import subprocess
import threading
import time

from harness import BIN, ClusterTest, TEST_IMAGE, kill, main, run, wait_for

STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
SEED = int(os.environ.get("SWARM_CHAOS_SEED", "1"))
FINISHED = ("Shutdown", "Failed", "Complete", "Rejected")


class Slots(threading.Thread):
    """Looks without pause at which containers of which slot run at the same moment."""

    def __init__(self, cluster):
        super().__init__()
        self.cluster, self.done, self.seen = cluster, threading.Event(), set()

    @staticmethod
    def programs(host):
        """Containers whose own program runs: one that is only prepared has its init, and no program."""
        found = set()
        for container, pids in host.container_pids().items():
            for pid in pids:
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        if b"trap" in f.read():
                            found.add(container)
                except OSError:
                    pass
        return found

    def all(self):
        return set().union(*(self.programs(h) for h in self.cluster.workers))

    def run(self):
        while not self.done.is_set():
            # What is there in both of two looks was there together, between them.
            self.seen.add(frozenset(self.all() & self.all()))
            time.sleep(0.005)

    def stop(self):
        """The sets of containers that ran together."""
        self.done.set()
        self.join()
        return self.seen


class ChaosTest(ClusterTest):
    def create(self, cluster, name, replicas):
        cluster.ctl("service", "create", "--detach", "--name", name, "--replicas", str(replicas), TEST_IMAGE, *STAY)

    def assert_nothing_left(self, cluster):
        for host in cluster.workers:
            wait_for(lambda h=host: not h.cgroups() and not h.shim_pids() and not h.mounts(), f"{host.name} to be clean")
            for folder in (os.path.join(host.dir, "agent", "containers"), os.path.join(host.run_dir, "containers")):
                # The listing hides a service at once; its folders are the last that goes.
                wait_for(lambda f=folder: not os.path.isdir(f) or not os.listdir(f), f"{folder} to be empty")

    def test_what_was_acknowledged_survives_kills_of_everybody(self):
        cluster = self.cluster()
        chance = random.Random(SEED)
        wanted = {}  # name -> what `service ls` may say; None: that it is not there
        over = threading.Event()

        def change():
            chance = random.Random(SEED + 1)
            number = 0
            while not over.is_set():
                act = chance.choice(["create", "create", "scale", "update", "rm"])
                if act == "create" and len(wanted) < 20:
                    number += 1
                    name, replicas = f"s{number}", chance.randint(1, 4)
                    done = cluster.ctl("service", "create", "--detach", "--name", name, "--replicas", str(replicas),
                                       TEST_IMAGE, *STAY, check=False).returncode == 0
                    wanted[name] = {replicas} if done else {replicas, None}
                elif not wanted:
                    continue
                elif act == "scale":
                    name, replicas = chance.choice(list(wanted)), chance.randint(1, 4)
                    done = cluster.ctl("service", "scale", "--detach", f"{name}={replicas}", check=False).returncode == 0
                    wanted[name] = {replicas} if done else wanted[name] | {replicas}
                elif act == "update":
                    cluster.ctl("service", "update", "--detach", "--env-add", f"A={chance.random()}",
                                chance.choice(list(wanted)), check=False)
                elif act == "rm" and len(wanted) > 12:
                    name = chance.choice(list(wanted))
                    if cluster.ctl("service", "rm", name, check=False).returncode == 0:
                        del wanted[name]
                    else:
                        wanted[name] = wanted[name] | {None}

        changes = threading.Thread(target=change)
        changes.start()
        try:
            for _ in range(8):
                time.sleep(chance.uniform(0.1, 0.6))
                if chance.random() < 0.3:
                    self.kill_manager(cluster)
                else:
                    host = chance.choice(cluster.hosts)
                    host.kill_agent()
                    time.sleep(chance.uniform(0, 0.5))
                    host.start()
        finally:
            over.set()
            changes.join()
        cluster.close_feed()
        wait_for(lambda: cluster.ctl("service", "ls", check=False).returncode == 0, "the manager to be back")
        cluster.until(lambda: all(n["Status"] == "Ready" for n in cluster.rows("node", "ls")), "all agents to be back")

        def as_wanted():
            there = {s["Name"]: s["Replicas"].split("/") for s in cluster.rows("service", "ls")}
            self.assertLessEqual(set(there), set(wanted), "a service came back")
            for name, allowed in wanted.items():
                if name not in there:
                    self.assertIn(None, allowed, f"{name} is lost")
                    continue
                running, asked = map(int, there[name])
                self.assertIn(asked, allowed, name)
                if running != asked:
                    return False
            return True
        cluster.until(as_wanted, "all services to be as wanted")

        def settled():
            running = set()
            for service in cluster.rows("service", "ls"):
                for task in cluster.tasks(service["Name"]):
                    state = task["CurrentState"].split()[0]
                    if task["DesiredState"] == "Running" and state == "Running":
                        running.add(task["ID"])
                    elif state not in FINISHED:
                        return False
            return running == set().union(*(h.container_pids() for h in cluster.workers))
        cluster.until(settled, "exactly the containers of running tasks to be there")
        names = [s["Name"] for s in cluster.rows("service", "ls")]

        def updates_over():
            states = {}
            for service in json.loads(cluster.ctl("service", "inspect", *names).stdout) if names else []:
                states[service["Spec"]["Name"]] = service.get("UpdateStatus", {}).get("State", "completed")
            self.assertNotIn("paused", states.values(), states)
            return set(states.values()) <= {"completed"}
        cluster.until(updates_over, "every update to be over")
        if names:
            cluster.ctl("service", "rm", *names)
        cluster.until(lambda: not cluster.rows("service", "ls"), "the services to be gone")
        self.assert_nothing_left(cluster)

    def kill_manager(self, cluster):
        try:
            kill(cluster.manager.manager_pid())
        except (OSError, ValueError, IndexError):
            pass  # it is being started

    def test_no_slot_runs_twice_while_updates_meet_kills(self):
        cluster = self.cluster()
        cluster.ctl("swarm", "update", "--task-history-limit", "100")  # to know every container's slot
        chance = random.Random(SEED)
        self.create(cluster, "web", 8)
        cluster.wait_running("web", 8)
        slots = Slots(cluster)
        slots.start()
        try:
            for turn in range(5):
                cluster.ctl("service", "update", "--detach", "--force", "web", check=False)
                host = chance.choice(cluster.workers)
                host.kill_agent()
                time.sleep(chance.uniform(0, 0.8))
                host.start()
                if turn == 2:
                    self.kill_manager(cluster)
            cluster.close_feed()
            wait_for(lambda: cluster.ctl("service", "ls", check=False).returncode == 0, "the manager to be back")
            cluster.wait_running("web", 8)
        finally:
            together = slots.stop()
        slot_of = {t["ID"]: t["Name"].split()[-1] for t in cluster.tasks("web")}
        self.assertEqual(max(map(len, together)), 8)
        for containers in together:
            running = [slot_of[c] for c in containers]
            self.assertEqual(len(running), len(set(running)), running)

    def test_a_node_that_slept_and_one_that_was_cut_off_keep_no_second_copy(self):
        """F8, also with an update and a removal that the node missed."""
        cluster = self.cluster(heartbeat="2s")
        self.create(cluster, "web", 9)
        cluster.wait_running("web", 9)
        asleep, cut_off, _ = cluster.workers
        old = set(asleep.container_pids())
        asleep.agent.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: asleep.agent.poll() is None and asleep.agent.send_signal(signal.SIGCONT))
        cluster.until(lambda: cluster.node("h1")["Status"] == "Down", "the sleeping node to be down")
        cluster.wait_running("web", 9, on=["h2", "h3"])
        asleep.agent.send_signal(signal.SIGCONT)
        cluster.until(lambda: cluster.node("h1")["Status"] == "Ready", "the node to wake up")
        cluster.until(lambda: not old & set(asleep.container_pids()), "its copies to be gone")
        # The other one misses an update and a removal.
        containers = set(cut_off.container_pids())
        run("ip", "-n", cut_off.namespace, "link", "set", "eth0", "down")
        cluster.until(lambda: cluster.node("h2")["Status"] == "Down", "the cut off node to be down")
        cluster.wait_running("web", 9, on=["h1", "h3"])
        self.assertEqual(set(cut_off.container_pids()), containers, "its containers go on while nobody can tell it")
        cluster.ctl("service", "scale", "--detach", "web=4")
        cluster.wait_running("web", 4)
        cluster.ctl("service", "rm", "web")
        again = subprocess.Popen([os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}",
                                  "service", "create", "--detach", "--name", "web", "--replicas", "3", TEST_IMAGE, *STAY],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(again.wait)
        self.addCleanup(again.kill)
        run("ip", "-n", cut_off.namespace, "link", "set", "eth0", "up")
        # The new service of that name waits for the last of the old one.
        self.assertEqual(again.wait(90), 0)
        tasks = {t["ID"] for t in cluster.wait_running("web", 3)}
        cluster.until(lambda: set().union(*(h.container_pids() for h in cluster.workers)) == tasks, "one copy per slot")


if __name__ == "__main__":
    main()
