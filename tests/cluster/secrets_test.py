"""Secrets and configs on real containers: what is in them, where it is, and where it is not (S5)."""
import json
import os
import resource
import signal
import stat
import subprocess

from harness import BIN, TEST_IMAGE, ClusterTest, main, run, wait_for

CANARY = "canary-7f3a9c51e2d84b60"


class SecretsTest(ClusterTest):
    def create(self, cluster, kind, name, data, *flags):
        return cluster.ctl(kind, "create", *flags, name, "-", stdin=data).stdout.strip()

    def serve(self, cluster, name, *flags, command=()):
        cluster.ctl("service", "create", "--detach", "--name", name, "--stop-grace-period", "1s",
                    *flags, TEST_IMAGE, *command)

    def host_of(self, cluster, task):
        return next(h for h in cluster.hosts if h.name == task["Node"])

    def inside(self, cluster, task, path):
        """A path of the task's container, as this machine sees it."""
        return f"/proc/{self.host_of(cluster, task).init_pid(task['ID'])}/root{path}"

    def read(self, cluster, task, path):
        with open(self.inside(cluster, task, path)) as f:
            return f.read()

    def mount_at(self, cluster, task, target):
        pid = self.host_of(cluster, task).init_pid(task["ID"])
        with open(f"/proc/{pid}/mountinfo") as f:
            for line in f:
                before, after = line.split(" - ")
                if before.split()[4] == target:
                    return {"options": before.split()[5].split(","), "type": after.split()[0],
                            "super": after.split()[2].split(",")}
        return None

    def test_files_are_there_with_owner_and_mode_in_memory_that_is_never_swapped(self):
        cluster = self.cluster(workers=0)
        self.create(cluster, "secret", "pw", "swordfish\n", "--label", "env=prod")
        self.create(cluster, "config", "conf", "worker 1;\n")
        self.create(cluster, "config", "run.sh", "#!/bin/sh\necho from the config; exec sleep 1000\n")
        self.serve(cluster, "web", "--secret", "pw", "--secret", "source=pw,target=sub/key,uid=1000,gid=1001,mode=0400",
                   "--config", "source=conf,target=/etc/app/app.conf", "--config", "source=run.sh,target=/run.sh,mode=0555",
                   command=("/run.sh",))
        [task] = cluster.wait_running("web", 1)
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), "swordfish\n")
        info = os.stat(self.inside(cluster, task, "/run/secrets/pw"))
        self.assertEqual((info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)), (0, 0, 0o444))
        info = os.stat(self.inside(cluster, task, "/run/secrets/sub/key"))
        self.assertEqual((info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)), (1000, 1001, 0o400))
        self.assertEqual(self.read(cluster, task, "/etc/app/app.conf"), "worker 1;\n")
        for target, noexec in (("/run/secrets", True), ("/etc/app/app.conf", False)):
            mount = self.mount_at(cluster, task, target)
            self.assertIn(mount["type"], ("tmpfs", "ramfs"))
            if mount["type"] == "tmpfs":
                self.assertIn("noswap", mount["super"])
            self.assertLessEqual({"ro", "nosuid", "nodev"}, set(mount["options"]))
            self.assertEqual("noexec" in mount["options"], noexec)
        # Of the host nothing is mounted any more.
        files = os.path.join(cluster.manager.run_dir, "files")
        self.assertEqual([m for m in cluster.manager.mounts() if files in m], [])
        self.assertEqual(os.listdir(files), [])

        # After the agent's end the container goes on with them, and the next one gets them again.
        cluster.manager.kill_agent()
        cluster.manager.start()
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), "swordfish\n")
        cluster.ctl("service", "update", "--detach", "--force", "web")
        cluster.until(lambda: [t for t in cluster.running("web") if t["ID"] != task["ID"]], "the task to be replaced")
        [task] = cluster.wait_running("web", 1)
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), "swordfish\n")

        # What is shown, and what not.
        [shown] = json.loads(cluster.ctl("secret", "inspect", "pw").stdout)
        self.assertEqual(shown["Spec"], {"Name": "pw", "Labels": {"env": "prod"}})
        self.assertIn("worker 1;", cluster.ctl("config", "inspect", "--pretty", "conf").stdout)
        self.assertEqual([s["Name"] for s in cluster.rows("secret", "ls", "--filter", "label=env=prod")], ["pw"])

    def test_the_largest_ones_and_files_below_volumes_and_in_a_read_only_root(self):
        cluster = self.cluster(workers=0)
        self.create(cluster, "secret", "large", "s" * (500 << 10))
        self.create(cluster, "config", "huge", "c" * (1000 << 10))
        self.create(cluster, "config", "conf", "worker 1;\n")
        self.serve(cluster, "web", "--read-only", "--mount", "type=volume,source=data,target=/data", "--secret", "large",
                   "--config", "source=huge,target=/etc/deep/down/huge", "--config", "source=conf,target=/data/app.conf",
                   "--config", "source=conf,target=/run/app.conf", "--secret", "source=large,target=/run/other/large,mode=0")
        [task] = cluster.wait_running("web", 1)
        self.assertEqual(os.stat(self.inside(cluster, task, "/run/secrets/large")).st_size, 500 << 10)
        self.assertEqual(self.read(cluster, task, "/etc/deep/down/huge"), "c" * (1000 << 10))
        self.assertEqual(self.read(cluster, task, "/data/app.conf"), "worker 1;\n")
        self.assertEqual(self.read(cluster, task, "/run/app.conf"), "worker 1;\n")
        self.assertEqual(stat.S_IMODE(os.stat(self.inside(cluster, task, "/run/other/large")).st_mode), 0)
        # Nobody in it can change them.
        for path in ("/data/app.conf", "/run/secrets/large", "/run/secrets/new"):
            with self.assertRaises(OSError):
                open(self.inside(cluster, task, path), "w").close()

    def test_one_in_use_stays_and_a_node_without_its_tasks_does_not_get_it(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "secret", "pw", CANARY)
        self.serve(cluster, "web", "--secret", "pw", "--constraint", "node.hostname == h1")
        [task] = cluster.wait_running("web", 1)
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), CANARY)
        self.assertFalse(self.in_memory(cluster.workers[1].agent.pid), "h2 has no task of it, and knows it")
        self.refused(cluster, "secret", "rm", "pw", says=['secret "pw" is in use by service "web"'])
        self.refused(cluster, "service", "create", "--secret", "gone", TEST_IMAGE, says=['secret "gone" not found'])
        self.refused(cluster, "secret", "create", "pw", "-", stdin="x", says=['secret name "pw" is already in use'])
        self.refused(cluster, "secret", "create", "empty", "-", stdin="", says=["data: is empty"])
        self.refused(cluster, "secret", "create", "big", "-", stdin="x" * (500 * 1024 + 1), says=["500 KiB"])
        cluster.ctl("service", "rm", "web")
        cluster.until(lambda: cluster.ctl("secret", "rm", "pw", check=False).returncode == 0, "the secret to be free")
        self.assertEqual(cluster.rows("secret", "ls"), [])

    def in_memory(self, pid, text=CANARY):
        """Whether the process has it anywhere in its memory."""
        needle = text.encode()
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                area, permissions = line.split()[:2]
                if not permissions.startswith("r") or "[v" in line:
                    continue
                start, end = (int(x, 16) for x in area.split("-"))
                try:
                    memory.seek(start)
                    if needle in memory.read(end - start):
                        return True
                except (OSError, ValueError, OverflowError):  # not backed by anything
                    continue
        return False

    # S5
    def test_a_secret_is_nowhere_but_in_its_container(self):
        cluster = self.cluster(workers=1)
        feed = subprocess.Popen([os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}",
                                 "--format", "json", "events"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(feed.wait)
        self.addCleanup(feed.stdout.close)
        self.addCleanup(feed.kill)
        self.create(cluster, "secret", "pw", CANARY)
        self.create(cluster, "config", "mail", "password={{secret \"pw\"}}\n", "--template-driver", "golang")
        self.serve(cluster, "web", "--secret", "pw", "--config", "source=mail,target=/etc/mail.conf")
        [task] = cluster.wait_running("web", 1)
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), CANARY)
        self.assertEqual(self.read(cluster, task, "/etc/mail.conf"), f"password={CANARY}\n")

        # Not in what people are told …
        said = ""
        stack = os.path.join(cluster.dir, "stack.yml")
        with open(stack, "w") as f:
            f.write("services: {web: {image: x, secrets: [pw]}}\nsecrets: {pw: {environment: PW}}\n")
        for args in (("secret", "inspect", "pw"), ("secret", "inspect", "--pretty", "pw"), ("secret", "ls"), ("config", "inspect", "mail"),
                     ("service", "inspect", "web"), ("service", "inspect", "--pretty", "web"), ("service", "ps", "--no-trunc", "web"),
                     ("service", "logs", "--tail", "5", "web"), ("service", "exec", "web", "/bin/sh", "-c", "env"), ("info",)):
            answer = cluster.ctl(*args, check=False)
            said += answer.stdout + answer.stderr
        for args in (("config", "-c", stack), ("diff", "-c", stack, "shop")):
            answer = run(*cluster.ctl_command(), "stack", *args, check=False, env={**os.environ, "PW": CANARY})
            self.assertEqual(answer.stderr, "")
            said += answer.stdout
        # A content that is refused is not repeated either.
        answer = cluster.ctl("secret", "create", "--template-driver", "golang", "bad", "-", stdin="{{" + CANARY + "}}", check=False)
        self.assertEqual(answer.returncode, 1)
        said += answer.stderr
        cluster.ctl("service", "rm", "web")
        cluster.until(lambda: cluster.ctl("secret", "rm", "pw", check=False).returncode == 0, "the secret to be free")
        for line in feed.stdout:  # until it is told that the secret is gone
            said += line.decode()
            if b'"Type":"secret"' in line and b'"Action":"remove"' in line:
                break
        self.assertIn('"Name": "pw"', said)
        self.assertNotIn(CANARY, said)

    # S5
    def test_a_secret_is_on_no_disk_while_it_is_used(self):
        cluster = self.cluster(workers=1)
        self.create(cluster, "secret", "pw", CANARY)
        self.serve(cluster, "web", "--secret", "pw")
        [task] = cluster.wait_running("web", 1)
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), CANARY)
        # All state and run folders of all hosts, with logs, journal and its WAL, task databases, plans.
        files = 0
        for folder, _, names in os.walk(cluster.dir):
            for name in names:
                path = os.path.join(folder, name)
                if not stat.S_ISREG(os.lstat(path).st_mode):
                    continue
                files += 1
                with open(path, "rb") as f:
                    self.assertNotIn(CANARY.encode(), f.read(), path)
        self.assertGreater(files, 20)
        # Nor in arguments and environments.
        host = self.host_of(cluster, task)
        for pid in (host.agent.pid, cluster.manager.manager_pid(), host.init_pid(task["ID"]), *host.shim_pids()):
            for what in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{what}", "rb") as f:
                    self.assertNotIn(CANARY.encode(), f.read())

    # S5
    def test_daemons_leave_no_core(self):
        cluster = self.cluster(workers=1)
        self.create(cluster, "secret", "pw", CANARY)
        self.serve(cluster, "web", "--secret", "pw")
        cluster.wait_running("web", 1)
        worker, manager = cluster.workers[0], cluster.manager.manager_pid()
        # What the kernel gives to root of a process that forbids its core, and to its own user else.
        self.assertEqual(os.stat(f"/proc/{manager}/mem").st_uid, 0, "the manager may leave a core")

        # The agent is root's in any case: only a core that does not come shows it. First that one would come.
        def unlimited():
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        plain = subprocess.Popen(["sleep", "100"], cwd=cluster.dir, preexec_fn=unlimited)
        os.kill(plain.pid, signal.SIGABRT)
        _, status = os.waitpid(plain.pid, 0)
        plain.returncode = -signal.SIGABRT
        if not os.WCOREDUMP(status):
            self.skipTest("the manager forbids its core; this machine writes none of anybody, so the agent's cannot be missed")
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.prlimit(worker.agent.pid, resource.RLIMIT_CORE, (hard, hard))
        os.kill(worker.agent.pid, signal.SIGABRT)
        _, status = os.waitpid(worker.agent.pid, 0)
        worker.agent.returncode = -signal.SIGABRT
        self.assertTrue(os.WIFSIGNALED(status))
        self.assertFalse(os.WCOREDUMP(status), "the agent left a core")

    def test_a_changed_config_or_secret_in_a_stack_file_rolls_who_mounts_it(self):
        cluster = self.cluster(workers=0)
        folder = os.path.join(cluster.dir, "stack")
        os.makedirs(folder)

        def write(name, text):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        write("pw.txt", "one")
        write("stack.yml", """
services:
  web:
    image: %s
    stop_grace_period: 1s
    secrets: [pw]
    configs: [{source: page, target: /page.html, mode: 0440}]
    deploy: {update_config: {monitor: 100ms}}
  other:
    image: %s
    stop_grace_period: 1s
secrets:
  pw: {file: pw.txt}
configs:
  page: {content: "version $${V} ${V}"}
networks: {default: {external: true, name: none}}
""" % (TEST_IMAGE, TEST_IMAGE))

        def deploy(version, *flags):
            return run(os.path.join(BIN, "swarmctl"), "--host", f"unix://{cluster.manager.manager_socket}", "stack", "deploy",
                       "-c", os.path.join(folder, "stack.yml"), *flags, "shop",
                       env={**os.environ, "V": version}).stdout
        deploy("1")
        [web], [other] = cluster.wait_running("shop_web", 1), cluster.wait_running("shop_other", 1)
        self.assertEqual(self.read(cluster, web, "/run/secrets/pw"), "one")
        self.assertEqual(self.read(cluster, web, "/page.html"), "version ${V} 1")

        # Again: nothing changes.
        said = deploy("1")
        self.assertIn("Service shop_web is unchanged", said)
        self.assertNotIn("Creating", said)
        self.assertEqual([t["ID"] for t in cluster.running("shop_web")], [web["ID"]])

        # The config alone, then the secret alone: each rolls its service and no other.
        def rolled():
            nonlocal web
            before = web["ID"]
            cluster.until(lambda: [t for t in cluster.running("shop_web") if t["ID"] != before], "shop_web to roll")
            [web] = cluster.wait_running("shop_web", 1)
        deploy("2")
        rolled()
        self.assertEqual(self.read(cluster, web, "/page.html"), "version ${V} 2")
        write("pw.txt", "two")
        deploy("2")
        rolled()
        self.assertEqual(self.read(cluster, web, "/run/secrets/pw"), "two")
        self.assertEqual([t["ID"] for t in cluster.running("shop_other")], [other["ID"]])

        # Back to the secret before it: what is mounted is kept for that.
        cluster.ctl("service", "rollback", "--detach", "shop_web")
        rolled()
        self.assertEqual(self.read(cluster, web, "/run/secrets/pw"), "one")

        # What a kept revision names stays, so that each can be gone back to.
        for version in ("3", "4", "5"):
            deploy(version)
            rolled()
        deploy("5")
        names = sorted(c["Name"] for c in cluster.rows("config", "ls"))
        self.assertEqual(len(names), 5, names)
        oldest = cluster.rows("service", "history", "shop_web")[-1]["Revision"]
        cluster.ctl("service", "rollback", "--detach", "--to", str(oldest), "shop_web")
        rolled()
        cluster.ctl("stack", "rm", "shop")
        self.assertEqual(cluster.rows("config", "ls") + cluster.rows("secret", "ls"), [])

    def test_templates_are_filled_in_for_each_task(self):
        cluster = self.cluster(workers=0)
        self.create(cluster, "secret", "pw", "swordfish")
        self.create(cluster, "config", "conf", "{{.Service.Name}} {{.Task.Slot}} {{.Node.Hostname}} {{env \"COLOUR\"}} "
                    "{{secret \"pw\"}} {{index .Service.Labels \"tier\"}}\n", "--template-driver", "golang")
        self.serve(cluster, "web", "--replicas", "2", "--label", "tier=front", "--secret", "pw", "--config", "conf",
                   "--env", "COLOUR=blue", "--env", "ME={{.Service.Name}}.{{.Task.Slot}}", "--hostname", "{{.Service.Name}}-{{.Task.Slot}}")
        tasks = cluster.wait_running("web", 2)
        seen = sorted(self.read(cluster, task, "/conf") for task in tasks)
        self.assertEqual(seen, [f"web {slot} h0 blue swordfish front\n" for slot in (1, 2)])
        slots = set()
        for task in tasks:
            pid = cluster.manager.init_pid(task["ID"])
            with open(f"/proc/{pid}/environ") as f:
                variables = dict(v.split("=", 1) for v in f.read().split("\0") if v)
            slots.add(variables["ME"])
            self.assertEqual(variables["HOSTNAME"], variables["ME"].replace(".", "-"))
        self.assertEqual(slots, {"web.1", "web.2"})
        self.refused(cluster, "config", "create", "--template-driver", "golang", "bad", "-", stdin="{{if .X}}", says=["uses if"])
        self.refused(cluster, "service", "create", "--env", "A={{.Node.Nope}}", TEST_IMAGE, says=["task.container.env[0]"])

    def test_a_locked_manager_waits_for_its_key(self):
        cluster = self.cluster(workers=1)
        self.create(cluster, "secret", "pw", "swordfish")
        self.serve(cluster, "web", "--secret", "pw")
        [task] = cluster.wait_running("web", 1)
        said = cluster.ctl("swarm", "update", "--autolock").stdout
        key = cluster.ctl("swarm", "unlock-key", "-q").stdout.strip()
        self.assertTrue(key.startswith("SWMKEY-1-"))
        self.assertIn(key, said)
        rotated = cluster.ctl("swarm", "unlock-key", "-q", "--rotate").stdout.strip()
        self.assertNotEqual(key, rotated)
        with open(os.path.join(cluster.manager.dir, "manager", "data.key")) as f:
            self.assertIn(" locked ", f.read())

        # It restarts locked: nothing but its unlocking is served, and containers go on.
        cluster.close_feed()
        old = cluster.manager.manager_pid()
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: "locked" in cluster.ctl("service", "ls", check=False).stderr, "the manager to be locked")
        self.refused(cluster, "service", "ls", says=["this manager is locked", "swarmctl swarm unlock"])
        self.assertRegex(cluster.manager.info().stdout, "Swarm: *locked\n(.*\n)*.*swarmctl swarm unlock")
        self.refused(cluster, "swarm", "unlock", stdin=key + "\n", says=["does not unlock"])
        self.refused(cluster, "swarm", "unlock", stdin="nonsense\n", says=["SWMKEY-1-"])
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), "swordfish")
        # So they do when their agent starts anew, which nobody tells anything.
        worker = cluster.workers[0]
        worker.kill_agent()
        worker.start()
        self.assertEqual(self.read(cluster, task, "/run/secrets/pw"), "swordfish")
        cluster.ctl("swarm", "unlock", stdin=rotated + "\n")
        wait_for(lambda: cluster.ctl("service", "ls", check=False).returncode == 0, "the manager to serve")
        self.assertEqual([t["ID"] for t in cluster.wait_running("web", 1)], [task["ID"]])
        self.refused(cluster, "swarm", "unlock", stdin=rotated + "\n", says=["is not locked"])

        # Secrets open again, and without autolock it needs nobody.
        cluster.until(lambda: cluster.node("h1")["Status"] == "Ready", "h1 to be back")
        cluster.ctl("service", "update", "--detach", "--force", "web")
        cluster.until(lambda: [t for t in cluster.running("web") if t["ID"] != task["ID"]], "the task to be replaced")
        cluster.ctl("swarm", "update", "--autolock=false")
        self.refused(cluster, "swarm", "unlock-key", says=["there is no unlock key"])
        cluster.close_feed()
        old = cluster.manager.manager_pid()
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: cluster.ctl("service", "ls", check=False).returncode == 0, "the manager to serve by itself")


if __name__ == "__main__":
    main()
