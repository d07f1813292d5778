"""Logs: drivers and their bounds, order, times, nodes that do not answer, floods, agents that are stopped."""
import contextlib
import os
import re
import signal
import socket
import threading
import time

from harness import ClusterTest, TEST_IMAGE, main, wait_for


class Daemon:
    """A syslog daemon on a datagram socket, that can be made to hang."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(0.2)
        self.messages, self.hangs, self.over = [], False, False
        self.thread = threading.Thread(target=self._receive)
        self.thread.start()

    def _receive(self):
        while not self.over:
            if self.hangs:
                time.sleep(0.02)
                continue
            try:
                self.messages.append(self.socket.recv(1 << 20).decode(errors="replace"))
            except socket.timeout:
                pass

    def close(self):
        self.over = True
        self.thread.join()
        self.socket.close()


class LogsTest(ClusterTest):
    def create(self, cluster, name, script, *flags, replicas=1):
        cluster.ctl("service", "create", "-d", "--name", name, "--replicas", str(replicas), "--restart-condition", "none",
                    *flags, TEST_IMAGE, "sh", "-c", script)

    def logs(self, cluster, *args, check=True):
        return cluster.ctl("service", "logs", *args, check=check)

    def lines(self, cluster, *args):
        return self.logs(cluster, *args).stdout.splitlines()

    def wait_complete(self, cluster, service, count=1):
        def over():
            tasks = [t for t in cluster.tasks(service) if t["CurrentState"].startswith("Complete")]
            return tasks if len(tasks) == count else None
        return cluster.until(over, f"{count} tasks of {service} to complete")

    def log_folder(self, host, task):
        return os.path.join(host.dir, "agent", "containers", task["ID"], "log")

    def shim_of(self, host, task):
        """The pid of its shim: the one that holds its log. One that is just rotating it may hold none."""
        folder = self.log_folder(host, task)

        def holds(pid):
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(f"/proc/{pid}/fd/{fd}").startswith(folder):
                            return True
            return False

        def find():
            return next((pid for pid in host.shim_pids() if holds(pid)), None)
        return wait_for(find, "the shim to hold its log")

    def test_files_are_bounded_and_the_options_refused_that_nobody_knows(self):
        cluster = self.cluster(workers=1)
        host = cluster.workers[0]
        self.create(cluster, "small", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done",
                    "--log-opt", "max-size=50k", "--log-opt", "max-file=3")
        [task] = self.wait_complete(cluster, "small")
        folder = self.log_folder(host, task)
        self.assertEqual(sorted(os.listdir(folder)), ["log", "log.1", "log.2"])
        for name in os.listdir(folder):
            self.assertLessEqual(os.path.getsize(os.path.join(folder, name)), 50 << 10)
        lines = self.lines(cluster, "--raw", "small")
        self.assertEqual(lines, [f"line {i}" for i in range(20000 - len(lines), 20000)])
        self.assertGreater(len(lines), 1500)
        self.assertEqual(self.lines(cluster, "--raw", "--tail", "2", "small"), ["line 19998", "line 19999"])
        self.refused(cluster, "service", "create", "-d", "--name", "x", "--log-opt", "max-sise=1m", TEST_IMAGE,
                     says=("task.log_driver.options.max-sise", '"1m"', "max-size"))
        self.refused(cluster, "service", "create", "-d", "--name", "x", "--log-driver", "gelf", TEST_IMAGE,
                     says=("task.log_driver.name", "gelf", "journald"))
        self.refused(cluster, "service", "update", "-d", "--log-opt", "max-file=0", "small",
                     says=("task.log_driver.options.max-file", '"0"'))

    def test_lines_of_all_nodes_are_in_order_and_times_cut_them(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "web", 'i=0; while [ $i -lt 40 ]; do echo $i $(hostname); i=$((i+1)); sleep 0.05; done',
                    "--env", "REGION=eu", "--log-opt", "env=REGION", replicas=4)
        self.wait_complete(cluster, "web", 4)
        stamped = self.lines(cluster, "--timestamps", "--no-trunc", "web")
        self.assertEqual(len(stamped), 160)
        times = [line.split()[0] for line in stamped]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len({line.split("@")[1].split()[0] for line in stamped}), 2, "of both nodes")
        cut = times[100]
        self.assertEqual(len(self.lines(cluster, "--raw", "--since", cut, "web")), sum(t >= cut for t in times))
        self.assertEqual(len(self.lines(cluster, "--raw", "--until", cut, "web")), sum(t <= cut for t in times))
        # What is over needs no following.
        self.assertEqual(len(self.lines(cluster, "--raw", "-f", "--until", cut, "web")), sum(t <= cut for t in times))
        self.assertTrue(all("| REGION=eu " in line for line in self.lines(cluster, "--details", "web")))
        # A task alone.
        self.assertEqual(len(self.lines(cluster, "--raw", "web.2")), 40)

    def test_a_follower_sees_lines_as_they_come_and_ends_at_until(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "web", 'while :; do echo $(date +%s) tick; sleep 0.2; done', replicas=2)
        cluster.wait_running("web", 2)
        started = time.monotonic()
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
        out = self.lines(cluster, "-f", "--timestamps", "--until", until, "web")
        self.assertLess(time.monotonic() - started, 30)
        times = [line.split()[0] for line in out]
        self.assertGreater(len(times), 10)
        self.assertEqual(times, sorted(times))
        self.assertLessEqual(times[-1], until)

    def test_a_node_that_does_not_answer_is_named_at_the_end(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "web", 'echo said; sleep 600', replicas=2)
        cluster.wait_running("web", 2)
        mute = cluster.workers[1]
        os.kill(mute.agent.pid, signal.SIGSTOP)
        self.addCleanup(lambda: mute.agent.poll() is None and os.kill(mute.agent.pid, signal.SIGCONT))
        result = self.logs(cluster, "--raw", "web")
        self.assertEqual(result.stdout.splitlines(), ["said"])
        self.assertIn(f"node {mute.name} gave no answer: logs of 1 task are missing", result.stderr)
        os.kill(mute.agent.pid, signal.SIGCONT)
        cluster.until(lambda: self.logs(cluster, "--raw", "web").stdout.splitlines() == ["said", "said"], "both to answer")

    def test_a_stopped_agent_blocks_no_container_and_a_flood_slows_no_other(self):
        cluster = self.cluster(workers=1)
        host = cluster.workers[0]
        self.create(cluster, "flood", "exec yes a line that says nothing, again and again, as fast as it can",
                    "--log-opt", "max-size=1m")
        self.create(cluster, "calm", 'i=0; while :; do echo calm $i; i=$((i+1)); sleep 0.1; done')
        cluster.wait_running("flood", 1)
        [calm] = cluster.wait_running("calm", 1)
        [flood] = cluster.running("flood")
        os.kill(host.agent.pid, signal.SIGSTOP)
        self.addCleanup(lambda: host.agent.poll() is None and os.kill(host.agent.pid, signal.SIGCONT))
        folder = self.log_folder(host, calm)

        def count():
            with open(os.path.join(folder, "log")) as f:
                return f.read().count("calm ")
        before, start = count(), time.monotonic()
        wait_for(lambda: count() >= before + 30, "thirty more lines while the agent is stopped")
        # 0.1 s and a fork each: on a machine that is busy too, but never held back by the flood for long.
        self.assertLess(time.monotonic() - start, 30)
        # A file that is just being rotated has no name for a moment.
        sizes = []
        for name in ("log", "log.1", "log.2"):
            with contextlib.suppress(FileNotFoundError):
                sizes.append(os.path.getsize(os.path.join(self.log_folder(host, flood), name)))
        self.assertTrue(sizes)
        self.assertLessEqual(max(sizes), 1 << 20)
        shim = self.shim_of(host, flood)
        with open(f"/proc/{shim}/status") as f:
            rss = int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1))
        self.assertLess(rss, 1024, "the shim's memory does not follow the output")
        os.kill(host.agent.pid, signal.SIGCONT)
        cluster.until(lambda: self.lines(cluster, "--raw", "--tail", "1", "calm"), "the agent to answer again")

    def test_none_keeps_nothing_and_says_so(self):
        cluster = self.cluster(workers=1)
        self.create(cluster, "quiet", "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done; sleep 600",
                    "--log-driver", "none")
        [task] = cluster.wait_running("quiet", 1)
        for flags in ([], ["-f"]):
            self.refused(cluster, "service", "logs", *flags, "quiet", says="log driver none keeps nothing")
        folder = self.log_folder(cluster.workers[0], task)
        self.assertEqual(sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)), 0)

    def test_local_compresses_what_has_rotated(self):
        cluster = self.cluster(workers=1)
        self.create(cluster, "small", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done",
                    "--log-driver", "local", "--log-opt", "max-size=300k")
        [task] = self.wait_complete(cluster, "small")
        folder = self.log_folder(cluster.workers[0], task)
        rotated = [name for name in os.listdir(folder) if name.startswith("log.")]
        self.assertGreater(len(rotated), 1)

        def compressed(name):
            with open(os.path.join(folder, name), "rb") as f:
                return f.read(2) == b"\x1f\x8b"
        wait_for(lambda: all(compressed(name) for name in rotated), "the agent to compress them")
        self.assertLess(max(os.path.getsize(os.path.join(folder, name)) for name in rotated), 60 << 10)
        lines = self.lines(cluster, "--raw", "small")
        self.assertEqual(lines, [f"line {i}" for i in range(20000 - len(lines), 20000)])
        self.assertEqual(len(self.lines(cluster, "--raw", "--tail", "15000", "small")), 15000)

    def test_the_journal_gets_the_lines_with_what_they_are_of(self):
        path = "/run/systemd/journal/socket"
        if os.path.exists(path):
            self.skipTest("this machine has a journal of its own")
        made = [d for d in ("/run/systemd/journal", "/run/systemd") if not os.path.exists(d)]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.addCleanup(lambda: [os.rmdir(d) for d in made])
        cluster = self.cluster(workers=1)
        # The container is there before the journal is: its lines wait.
        self.create(cluster, "web", "echo hello; echo bad >&2; sleep 600", "--log-driver", "journald", "--env", "REGION=eu",
                    "--log-opt", "env=REGION")
        [task] = cluster.wait_running("web", 1)
        daemon = Daemon(path)
        self.addCleanup(lambda: (daemon.close(), os.unlink(path)))
        wait_for(lambda: len(daemon.messages) >= 2, "the lines")
        for field in (f"CONTAINER_ID_FULL={task['ID']}", f"CONTAINER_NAME=web.1.{task['ID']}", "REGION=eu", "PRIORITY=6"):
            self.assertIn(field + "\n", daemon.messages[0])
        self.assertTrue(daemon.messages[0].endswith("MESSAGE\n\5\0\0\0\0\0\0\0hello\n"))
        self.assertIn("PRIORITY=3\n", daemon.messages[1])
        self.refused(cluster, "service", "logs", "web", says="log driver journald cannot be read from here")

    def test_syslog_gets_the_lines_and_when_it_hangs_nobody_waits(self):
        cluster = self.cluster(workers=1)
        path = os.path.join(cluster.dir, "syslog")
        daemon = Daemon(path)
        self.addCleanup(daemon.close)
        self.create(cluster, "web", "echo hello; echo bad >&2; sleep 2; exec yes flood",
                    "--log-driver", "syslog", "--log-opt", f"syslog-address=unix://{path}", "--log-opt", "tag={{.Name}}",
                    "--log-opt", "max-buffer-size=64k")
        [task] = cluster.wait_running("web", 1)
        wait_for(lambda: len(daemon.messages) >= 2, "the first lines")
        self.assertRegex(daemon.messages[0], rf"^<30>\w+ [ \d]\d \d\d:\d\d:\d\d web\.1\.{task['ID']}: hello$")
        self.assertRegex(daemon.messages[1], r"^<27>.*: bad$")
        self.refused(cluster, "service", "logs", "web", says="log driver syslog cannot be read from here")
        wait_for(lambda: any("flood" in m for m in daemon.messages[-5:]), "the flood")
        daemon.hangs = True
        # The container goes on: its processor time grows while nobody takes its lines.
        host = cluster.workers[0]
        pid = host.init_pid(task["ID"])

        def ticks():
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = ticks()
        wait_for(lambda: ticks() >= before + 50, "half a second of work while the daemon hangs")
        daemon.hangs = False
        wait_for(lambda: any("lines are missing before this: syslog took none" in m for m in daemon.messages),
                 "the daemon to be told what it did not get")
        # And who asks us is told too, before the reason.
        result = cluster.until(lambda: "swarm-shim: lost" in (r := self.logs(cluster, "web", check=False)).stderr + r.stdout and r,
                               "the shim's own words")
        self.assertEqual(result.returncode, 1)


if __name__ == "__main__":
    main()
