#!/usr/bin/env python3
"""Into containers that run, across nodes: exec with a real terminal, copies, statistics."""
import fcntl
import hashlib
import io
import os
import pty
import random
import select
import struct
import subprocess
import tarfile
import termios
import time

from harness import BIN, ClusterTest, DEADLINE, TEST_IMAGE, main

STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]


class Terminal:
    """swarmctl at a terminal of its own, of which we hold the other end."""

    def __init__(self, cluster, *args, rows=33, columns=101, stdout=None):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave, self.seen = slave, b""

        def lead():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(
            [os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}", *args],
            stdin=slave, stdout=slave if stdout is None else stdout, stderr=slave, preexec_fn=lead)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, text):
        """Reads until `text` was printed, and forgets what came up to it."""
        end = time.monotonic() + DEADLINE
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} in {self.seen!r}")
            self.seen += os.read(self.master, 65536)
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode(errors="replace")

    def end(self):
        """The exit code, once the terminal is as it was before."""
        code = self.process.wait(DEADLINE)
        after = termios.tcgetattr(self.slave)
        os.close(self.master)
        os.close(self.slave)
        return code, after == self.before


class ExecTest(ClusterTest):
    def web(self, workers=2, *flags):
        cluster = self.cluster(workers=workers)
        cluster.ctl("service", "create", "--detach", "--name", "web", "--replicas", "2", "--env", "COLOR=blue", *flags,
                    TEST_IMAGE, *STAY)
        cluster.wait_running("web", 2)
        return cluster

    def exec(self, cluster, *args, **kwargs):
        return cluster.ctl("service", "exec", *args, check=False, **kwargs)

    def raw(self, cluster, *args, data=b""):
        """Bytes in, bytes out."""
        return subprocess.run([os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}", *args],
                              input=data, capture_output=True, timeout=DEADLINE, check=False)

    def test_exec_runs_in_a_container_of_another_node_and_ends_as_the_program_does(self):
        cluster = self.web()
        result = self.exec(cluster, "web", "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, "out\n", "err\n"))
        self.assertEqual(self.exec(cluster, "web", "sh", "-c", "kill -9 $$").returncode, 137)
        # Its own variables, user and folder, and ours over them.
        result = self.exec(cluster, "-e", "A=1", "-w", "/tmp", "web", "--", "sh", "-c", "echo $COLOR $A $(pwd) $(id -u)")
        self.assertEqual(result.stdout, "blue 1 /tmp 0\n")
        self.assertEqual(self.exec(cluster, "-u", "1234:5", "web", "id", "-u").stdout, "1234\n")
        # Each slot by itself: a file made in one is not in the other.
        self.assertEqual(self.exec(cluster, "web.1", "touch", "/tmp/one").returncode, 0)
        self.assertEqual(self.exec(cluster, "--index", "1", "web", "ls", "/tmp/one").returncode, 0)
        self.assertNotEqual(self.exec(cluster, "--index", "2", "web", "ls", "/tmp/one").returncode, 0)
        # Nothing to run, nowhere to run it.
        self.refused(cluster, "service", "exec", "web", "curl", code=127, says="executable file not found")
        self.refused(cluster, "service", "exec", "web", "/etc", code=126, says="permission denied")
        self.refused(cluster, "service", "exec", "-u", "nobody-here", "web", "true", code=126, says="nobody-here")
        self.refused(cluster, "service", "exec", "web", code=2, says="no command")
        self.refused(cluster, "service", "exec", "nope", "true", says="no service and no task")
        self.refused(cluster, "service", "exec", "-it", "web", "sh", code=2, says="not a TTY", stdin="")
        cluster.ctl("service", "scale", "--detach", "web=0")
        cluster.until(lambda: not any(t["CurrentState"].startswith("Running") for t in cluster.tasks("web")), "the tasks to end")
        self.refused(cluster, "service", "exec", "web", "true", says="service web has no running task")

    def test_ten_megabytes_go_through_and_come_back_whole(self):
        cluster = self.web(workers=1)
        data = random.Random(7).randbytes(10 << 20)
        result = self.raw(cluster, "service", "exec", "-i", "web", "cat", data=data)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(data).digest())
        # Without -i nothing is read, and the program sees an empty input.
        result = self.raw(cluster, "service", "exec", "web", "wc", "-c", data=data)
        self.assertEqual(result.stdout.split(), [b"0"])
        # What it leaves behind goes on.
        self.exec(cluster, "web.1", "sh", "-c", "sleep 4321 >/dev/null 2>&1 &")
        top = cluster.ctl("service", "top", "web.1").stdout
        self.assertIn("sleep 4321", top)
        self.assertNotIn("years ago", top)

    def test_who_does_not_read_holds_the_program_up_and_fills_nobodys_memory(self):
        cluster = self.web(workers=1)
        client = subprocess.Popen([os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}", "service", "exec",
                                   "web.1", "sh", "-c", "i=0; while printf %65536s; do i=$((i+1)); echo $i > /tmp/n; done"],
                                  stdout=subprocess.PIPE)
        client.stdout.read(1)
        seen = []

        def stands():
            seen.append(self.exec(cluster, "web.1", "cat", "/tmp/n").stdout)
            return len(seen) > 3 and len(set(seen[-3:])) == 1 and seen[-1]
        cluster.until(stands, "the program to be held up")
        self.assertLess(int(seen[-1]) * 65536, 3 << 20, "is what pipes, agent, manager and command line hold together")
        client.kill()
        client.communicate()

    def test_a_terminal_has_our_size_our_keys_and_is_given_back(self):
        cluster = self.web(workers=1)
        terminal = Terminal(cluster, "service", "exec", "-it", "web", "sh")
        terminal.type("echo begun; stty size; tty; echo $TERM\n")
        terminal.expect("\r\nbegun\r\n")
        self.assertEqual(terminal.expect("\r\n"), "33 101")
        terminal.expect("/dev/pts/")
        terminal.expect("xterm\r\n")
        terminal.resize(24, 80)
        terminal.process.send_signal(28)  # SIGWINCH: the kernel tells the foreground group of a real terminal
        terminal.type("while [ \"$(stty size)\" != '24 80' ]; do :; done; echo smaller\n")
        terminal.expect("\r\nsmaller\r\n")
        # Ctrl-C ends what runs in the shell, not the shell; it says when the shell has put it in front.
        terminal.type("sh -c 'echo fro''nt; exec sleep 1000'\n")
        terminal.expect("\r\nfront\r\n")
        terminal.type("\x03")
        terminal.type("echo alive $?\n")
        terminal.expect("\r\nalive 130\r\n")
        terminal.type("exit 5\n")
        self.assertEqual(terminal.end(), (5, True))
        # Killed, it gives the terminal back all the same, and takes the program along.
        terminal = Terminal(cluster, "service", "exec", "-it", "web.1", "sh", "-c", "echo begun; exec sleep 4322")
        terminal.expect("begun")
        terminal.process.terminate()
        self.assertEqual(terminal.end(), (-15, True))
        cluster.until(lambda: "sleep 4322" not in cluster.ctl("service", "top", "web.1").stdout, "the program to be hung up")
        # So does one whose output goes to somebody who has enough of it.
        reads, writes = os.pipe()
        terminal = Terminal(cluster, "service", "exec", "-it", "web.1", "yes", stdout=writes)
        os.close(writes)
        os.read(reads, 1)
        os.close(reads)
        self.assertEqual(terminal.end(), (-13, True))

    def test_who_goes_hangs_the_program_up_and_an_agent_that_goes_says_so(self):
        cluster = self.web(workers=1)
        command = [os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}", "service", "exec", "web.1",
                   "sh", "-c"]
        client = subprocess.Popen([*command, "echo begun; sleep 4323"], stdout=subprocess.PIPE)
        self.assertEqual(client.stdout.readline(), b"begun\n")
        client.kill()
        client.wait()
        client.stdout.close()
        cluster.until(lambda: "sleep 4323" not in cluster.ctl("service", "top", "web.1").stdout, "the program to end")

        before = {t["ID"] for t in cluster.running("web")}
        client = subprocess.Popen([*command, "echo begun; sleep 4324"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(client.stdout.readline(), b"begun\n")
        cluster.workers[0].kill_agent()
        _, err = client.communicate(timeout=DEADLINE)
        self.assertEqual(client.returncode, 1)
        self.assertIn(b"node h1 broke the stream off", err)
        cluster.workers[0].start()
        cluster.until(lambda: self.exec(cluster, "web.1", "true").returncode == 0, "the next agent to serve")
        self.assertEqual({t["ID"] for t in cluster.running("web")}, before)
        self.assertNotIn("sleep 4324", cluster.ctl("service", "top", "web.1").stdout)

    def test_copies_go_both_ways_and_never_out_of_the_container(self):
        cluster = self.web(workers=1)
        tree = os.path.join(cluster.dir, "tree")
        os.makedirs(os.path.join(tree, "sub"))
        data = random.Random(8).randbytes(3 << 20)
        with open(os.path.join(tree, "sub", "big"), "wb") as f:
            f.write(data)
        with open(os.path.join(tree, "script"), "w") as f:
            f.write("#!/bin/sh\necho ran\n")
        os.chmod(os.path.join(tree, "script"), 0o755)
        os.symlink("sub/big", os.path.join(tree, "link"))
        ls = lambda *args: self.exec(cluster, "web.1", "ls", *args).stdout

        # A folder that is not there becomes the copy; one that is, gets it.
        cluster.ctl("service", "cp", "tree", "web.1:/new")
        self.assertEqual(self.exec(cluster, "web.1", "/new/script").stdout, "ran\n")
        self.assertIn("link -> sub/big", ls("-l", "/new"))
        cluster.ctl("service", "cp", "tree", "web.1:/tmp")
        self.assertEqual(sorted(ls("/tmp/tree").split()), ["link", "script", "sub"])
        cluster.ctl("service", "cp", "tree/.", "web.1:/tmp")
        self.assertIn("script", ls("/tmp").split())
        cluster.ctl("service", "cp", "tree/script", "web.1:/tmp/renamed")
        self.assertEqual(self.exec(cluster, "web.1", "/tmp/renamed").stdout, "ran\n")
        self.exec(cluster, "web.1", "chown", "-R", "1234:5", "/new")
        cluster.ctl("service", "cp", "web.1:/new", "back")
        with open(os.path.join(cluster.dir, "back", "sub", "big"), "rb") as f:
            self.assertEqual(f.read(), data)
        self.assertEqual(os.readlink(os.path.join(cluster.dir, "back", "link")), "sub/big")
        self.assertEqual(os.stat(os.path.join(cluster.dir, "back", "script")).st_uid, 0)
        cluster.ctl("service", "cp", "-a", "web.1:/new", "owned")
        self.assertEqual(os.stat(os.path.join(cluster.dir, "owned", "script")).st_uid, 1234)
        cluster.ctl("service", "cp", "web.1:/new/sub/.", "contents")
        self.assertEqual(os.listdir(os.path.join(cluster.dir, "contents")), ["big"])
        tar = self.raw(cluster, "service", "cp", "web.1:/new/script", "-").stdout
        self.assertEqual(self.raw(cluster, "service", "cp", "-", "web.1:/tmp/sub", data=tar).returncode, 0)
        self.assertIn("script", ls("/tmp/sub").split())

        # Links of the container lead to places in it, and an absolute one begins at its root.
        secret = os.path.join(cluster.dir, "secret")
        with open(secret, "w") as f:
            f.write("the host's")
        self.exec(cluster, "web.1", "sh", "-c", f"ln -s {secret} /tmp/out; ln -s ../../../../../../../../ /tmp/up; "
                                                "ln -s /proc/1/root /tmp/magic")
        cluster.ctl("service", "cp", "web.1:/tmp/out", "as-it-is")
        self.assertEqual(os.readlink(os.path.join(cluster.dir, "as-it-is")), secret)
        self.refused(cluster, "service", "cp", "-L", "web.1:/tmp/out", "followed", says="No such file")
        self.refused(cluster, "service", "cp", f"web.1:/tmp/up/{secret}", "followed", says="No such file")
        self.refused(cluster, "service", "cp", "web.1:/tmp/magic/etc/passwd", "followed", says="/tmp/magic")
        cluster.ctl("service", "cp", "tree/script", "web.1:/tmp/up/planted")
        self.assertIn("planted", ls("/").split())
        self.assertFalse(os.path.exists("/planted"))
        # All of it, but what the kernel makes up while it is read; hard links of an archive are links.
        whole = self.raw(cluster, "service", "cp", "web.1:/", "-")
        self.assertEqual(whole.returncode, 0, whole.stderr)
        names = tarfile.open(fileobj=io.BytesIO(whole.stdout)).getnames()
        self.assertIn("root/planted", names)
        self.assertIn("root/proc", names)
        self.assertFalse([n for n in names if n.startswith(("root/proc/", "root/sys/"))])
        os.link(os.path.join(tree, "script"), os.path.join(tree, "second"))
        tar = subprocess.run(["tar", "c", "tree"], cwd=cluster.dir, stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(self.raw(cluster, "service", "cp", "-", "web.1:/tmp/sub", data=tar).returncode, 0)
        self.assertEqual(self.exec(cluster, "web.1", "/tmp/sub/tree/second").stdout, "ran\n")
        cluster.ctl("service", "cp", "web.1:/new/sub/..", "above")
        self.assertEqual(sorted(os.listdir(os.path.join(cluster.dir, "above"))), ["link", "script", "sub"])
        self.refused(cluster, "service", "cp", "nothing-here", "web.1:/tmp", says="nothing-here")
        self.refused(cluster, "service", "cp", "web.1:/nothing-here", ".", says="/nothing-here")
        self.refused(cluster, "service", "cp", "tree", "back", code=2, says="one side is")
        self.refused(cluster, "service", "cp", "tree", "web.1:relative", code=2, says="must begin with /")

    def test_stats_and_top_say_what_every_task_uses(self):
        cluster = self.web()
        self.exec(cluster, "web.1", "sh", "-c", "(while :; do :; done) >/dev/null 2>&1 &")
        rows = cluster.rows("service", "stats", "--no-stream", "web")
        self.assertEqual([r["Name"] for r in rows], ["web.1", "web.2"])
        self.assertGreater(float(rows[0]["CPUPerc"].rstrip("%")), 1)
        self.assertGreater(float(rows[0]["CPUPerc"].rstrip("%")), float(rows[1]["CPUPerc"].rstrip("%")))
        for row in rows:
            self.assertRegex(row["MemUsage"], r"^[0-9.]+[KM]?i?B / [0-9.]+[MG]iB$")
            self.assertGreaterEqual(int(row["PIDs"]), 2)
            self.assertIn(row["Node"], {h.name for h in cluster.workers})
        self.assertIn("CPU %", cluster.ctl("service", "stats", "--no-stream").stdout)
        top = cluster.rows("service", "top", "web.2")
        self.assertEqual([(p["PID"], p["User"]) for p in top][0], ("1", "root"))
        self.assertIn("sleep 3600", {p["Command"] for p in top})
        # A program that calls itself what no terminal and no message should see is still listed.
        self.exec(cluster, "web.2", "sh", "-c", "printf '#!/bin/sh\\nsleep 4325\\n' > /tmp/$(printf 'n\\377\\033[31m'); "
                                                "sh /tmp/n* >/dev/null 2>&1 &")
        cluster.until(lambda: "/tmp/n\ufffd [31m" in cluster.ctl("service", "top", "web.2").stdout, "the program in the list")
        self.refused(cluster, "service", "stats", "nope", says="no service and no task")
        self.refused(cluster, "service", "top", "web.9", says="no service and no task")

    def test_attach_is_the_containers_own_terminal_and_init_reaps_and_passes_signals_on(self):
        cluster = self.cluster(workers=1)
        cluster.ctl("service", "create", "--detach", "--tty", "--name", "shell", "--restart-condition", "none", TEST_IMAGE, "sh")
        cluster.ctl("service", "create", "--detach", "--init", "--name", "reaped", TEST_IMAGE, "sh", "-c",
                    "trap 'echo told; exit 3' TERM; while :; do (sleep 0.1 &) ; sleep 0.2; echo tick; done")
        cluster.wait_running("shell", 1)
        cluster.wait_running("reaped", 1)
        terminal = Terminal(cluster, "service", "attach", "shell")
        terminal.type("tty; stty size; echo $TERM\n")
        terminal.expect("/dev/pts/0\r\n")
        self.assertEqual(terminal.expect("\r\n"), "33 101")
        terminal.expect("xterm\r\n")
        # Who goes leaves the shell as it is, and the next agent's shim has its terminal still.
        terminal.type("X=kept\n")
        terminal.expect("X=kept\r\n")
        terminal.process.terminate()
        self.assertEqual(terminal.end(), (-15, True))
        cluster.workers[0].kill_agent()
        cluster.workers[0].start()
        cluster.until(lambda: cluster.node("h1")["Status"] == "Ready" and
                      self.exec(cluster, "shell", "true").returncode == 0, "the next agent to serve")
        terminal = Terminal(cluster, "service", "attach", "shell.1")
        terminal.type("echo $X; exit 4\n")
        terminal.expect("kept\r\n")
        self.assertEqual(terminal.end(), (4, True))
        self.assertIn("kept", cluster.ctl("service", "logs", "--raw", "shell").stdout)

        top = cluster.rows("service", "top", "reaped")
        self.assertIn("swarm-init", top[0]["Command"])
        self.assertNotIn("Z", {p["State"] for p in top}, "orphans are reaped")
        client = subprocess.Popen([os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}",
                                   "service", "attach", "reaped"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(client.stdout.readline(), b"tick\n")
        cluster.ctl("service", "scale", "--detach", "reaped=0")
        out, _ = client.communicate(timeout=DEADLINE)
        self.assertIn(b"told\n", out)
        self.assertEqual(client.returncode, 3)

    def test_input_that_a_stack_keeps_open_is_typed_by_who_attaches(self):
        cluster = self.cluster(workers=1)
        stack = os.path.join(cluster.dir, "stack.yaml")
        with open(stack, "w") as f:
            f.write(f"services: {{echo: {{image: {TEST_IMAGE}, command: [cat], stdin_open: true}}}}\n")
        cluster.ctl("stack", "deploy", "--detach", "-c", stack, "s")
        cluster.wait_running("s_echo", 1)
        for line in (b"one\n", b"two\n"):
            client = subprocess.Popen([os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}",
                                       "service", "attach", "s_echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            client.stdin.write(line)
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), line)
            client.kill()
            client.communicate()
        self.assertEqual(len(cluster.running("s_echo")), 1)


if __name__ == "__main__":
    main()
