#!/usr/bin/env python3
"""Bad input gets one line that says what and why, the exit code of the manual, and changes nothing."""
import os
import subprocess

from harness import ClusterTest, ROOT, TEST_IMAGE, main, run, wait_for


class BadInputTest(ClusterTest):
    def failure(self, cluster, name, *create, state, says):
        """A service of one task that can never run says why in `service ps`."""
        cluster.ctl("service", "create", "--detach", "--name", name, "--restart-condition", "none", *create)
        task = cluster.until(
            lambda: next((t for t in cluster.tasks(name) if t["CurrentState"].startswith(state)), None), f"{name} to be {state}")
        self.assertIn(says, task["Error"])
        cluster.ctl("service", "rm", name)

    def test_what_cannot_run_says_why_in_service_ps(self):
        cluster = self.cluster(workers=1)
        self.failure(cluster, "missing", TEST_IMAGE, "/no/such/binary", state="Failed", says="no such file")
        self.failure(cluster, "denied", TEST_IMAGE, "/etc", state="Failed", says="permission denied")
        self.failure(cluster, "format", TEST_IMAGE, "/not-a-program", state="Failed", says="exec format error")
        self.failure(cluster, "code", TEST_IMAGE, "sh", "-c", "exit 3", state="Failed", says="non-zero exit (3)")
        self.failure(cluster, "oom", "--limit-memory", "16m", TEST_IMAGE, "tail", "/dev/zero",
                     state="Failed", says="out of memory")
        self.failure(cluster, "user", "--user", "nobody-at-all", TEST_IMAGE, "true", state="Rejected", says="nobody-at-all")
        cluster.until(lambda: not cluster.rows("service", "ls"), "the services to be gone")
        cluster.until(lambda: not cluster.workers[0].cgroups(), "nothing to be left")

    def test_a_pending_task_says_which_filters_turned_it_down(self):
        cluster = self.cluster(workers=2)
        cluster.ctl("service", "create", "--detach", "--name", "big", "--reserve-memory", "900g", TEST_IMAGE, "true")
        cluster.until(lambda: "insufficient resources on 2 nodes" in cluster.tasks("big")[0]["Error"], "the reason")
        cluster.ctl("service", "create", "--detach", "--name", "where", "--constraint", "node.labels.zone==moon", TEST_IMAGE, "true")
        cluster.until(lambda: "constraint" in cluster.tasks("where")[0]["Error"], "the reason")
        # It is tried again when the world changes.
        cluster.ctl("node", "update", "--label-add", "zone=moon", "h2")
        cluster.until(lambda: cluster.tasks("where")[0]["Node"] == "h2", "the task to be placed")

    def test_bad_requests_are_one_line_and_change_nothing(self):
        cluster = self.cluster(workers=1)
        refused = lambda *args, **kw: self.refused(cluster, *args, **kw)
        cluster.ctl("service", "create", "--detach", "--name", "web", TEST_IMAGE, "sleep", "1000")
        before = [(s["Name"], s["Image"]) for s in cluster.rows("service", "ls")]
        refused("service", "create", "--name", "web", TEST_IMAGE, says=["web", "already"])
        refused("service", "create", "--name", "-bad-", TEST_IMAGE, code=1, says="name")
        refused("service", "create", "--name", "x", "UPPER/case", says="UPPER/case")
        refused("service", "create", "--name", "x", f"{TEST_IMAGE}@sha256:123", says="sha256")
        refused("service", "create", "--name", "x", "--constraint", "node.role=manager", TEST_IMAGE, says="node.role=manager")
        refused("service", "create", "--name", "x", "--limit-memory", "1k", TEST_IMAGE, says="4")
        refused("service", "create", "--name", "x", "--reserve-cpu", "2", "--limit-cpu", "1", TEST_IMAGE, says="cpu")
        refused("service", "create", "--name", "x", "--network", "backend", TEST_IMAGE, says=["backend", "not found"])
        refused("service", "create", "--name", "x", "--publish", "80:http", TEST_IMAGE, code=2, says=["--publish", "http"])
        refused("service", "create", "--name", "x", "--replcas", "2", TEST_IMAGE, code=2, says=["--replcas", "--replicas"])
        refused("service", "create", "--name", "x", "--replicas", "many", TEST_IMAGE, code=2, says="many")
        refused("service", "scale", "nothing=2", says=["nothing", "not found"])
        refused("service", "ps", "nothing", says=["nothing", "not found"])
        refused("node", "rm", "h1", says=["h1", "--force"])
        refused("node", "inspect", "zzz", says=["zzz", "not found"])
        refused("volume", "inspect", "nothing", says=["nothing", "not found"])
        refused("swarm", "init", says="already")
        self.assertEqual([(s["Name"], s["Image"]) for s in cluster.rows("service", "ls")], before)

    def test_bad_stack_files_name_file_line_and_path(self):
        cluster = self.cluster(workers=1)
        def stack(text, says, code=1):
            path = os.path.join(cluster.dir, "stack.yaml")
            with open(path, "w") as f:
                f.write(text)
            self.refused(cluster, "stack", "deploy", "-c", path, "s", says=["stack.yaml", *says], code=code)
        stack("services:\n  web:\n   image: x\n  bad\n", [":"])
        stack("services:\n  web:\n    imagee: x\n", [":3", "services.web.imagee", "image"])
        stack("services:\n  web:\n    image: localhost/test:1\n    ports: ['80:http']\n", [":4", "services.web.ports", "http"])
        stack("services:\n  a:\n    image: localhost/test:1\n  b:\n    image: localhost/test:1\n    deploy:\n      replicas: x\n",
              [":7", "services.b.deploy.replicas"])
        stack("services:\n  a:\n    image: localhost/test:1\n    ports: ['80:80']\n  b:\n    image: localhost/test:1\n    ports: ['80:81']\n",
              [":7", "services.b.ports[0]", "services.a", ":4"])
        # What only the manager knows.
        stack("services:\n  a:\n    image: localhost/test:1\n    volumes: ['/a:/b', '/c:/b']\n", [":4:24: services.a.volumes[1]: target: /b"])
        stack("services:\n  a:\n    image: localhost/test:1\n    networks: [out]\nnetworks:\n  out: {external: true}\n",
              [":6:3: networks.out: ", "network create out"])
        self.assertEqual(cluster.rows("service", "ls"), [])
        # A port that another service has is found before anything is made, the networks too.
        cluster.ctl("service", "create", "--detach", "--name", "web", "--publish", "8080:80", TEST_IMAGE)
        networks = [n["Name"] for n in cluster.rows("network", "ls")]
        path = os.path.join(cluster.dir, "stack.yaml")
        with open(path, "w") as f:
            f.write("services:\n  a: {image: localhost/test:1}\n  b: {image: localhost/test:1, ports: ['8080:80']}\n")
        self.refused(cluster, "stack", "deploy", "-c", path, "s", says=[":3:", "services.b.ports", "8080/tcp", 'service "web"'])
        self.assertEqual([n["Name"] for n in cluster.rows("network", "ls")], networks)
        self.assertEqual([s["Name"] for s in cluster.rows("service", "ls")], ["web"])

    def test_joining_with_the_wrong_words_is_refused_and_leaves_nothing(self):
        cluster = self.cluster(workers=0)
        host = cluster.add_host()
        host.start()
        address = f"{cluster.manager.ip}:2378"
        def refused(token, says, to=address):
            self.refused(cluster, "swarm", "join", "--token", token, to, host=host, says=says)
            self.assertFalse(os.path.exists(os.path.join(host.dir, "agent", "identity", "node.crt")))
        refused("nonsense", "token")
        good = cluster.token
        refused(good[:-3] + ("aaa" if good[-3:] != "aaa" else "bbb"), "token")
        pinned = good.split("-")
        pinned[2] = ("1" if pinned[2][0] != "1" else "2") + pinned[2][1:]
        refused("-".join(pinned), "CA")
        refused(cluster.ctl("swarm", "join-token", "-q", "manager").stdout.strip(), "high availability")
        refused(good, "refused", to=f"{cluster.manager.ip}:2399")
        self.refused(cluster, "swarm", "init", "--advertise-addr", "nohost", host=host, says=["nohost", "eth0"])
        cluster.ctl("swarm", "join-token", "--rotate", "worker")
        refused(good, "token")
        fresh = cluster.ctl("swarm", "join-token", "-q", "worker").stdout.strip()
        host.ctl("swarm", "join", "--token", fresh, address)
        self.refused(cluster, "swarm", "join", "--token", fresh, address, host=host, says="already")

    def test_a_foreign_certificate_and_old_tls_are_refused(self):
        cluster = self.cluster(workers=0)
        foreign = self.cluster(workers=0)
        context = os.path.join(foreign.dir, "foreign.yaml")
        foreign.ctl("swarm", "client-cert", "eve", "--role", "admin", "-o", context)
        with open(context) as f:
            text = f.read()
        self.assertIn("BEGIN", text)
        inside = ["nsenter", f"--net=/run/netns/{cluster.manager.namespace}", "--"]
        from harness import BIN
        result = run(*inside, os.path.join(BIN, "swarmctl"), "--context", context, "node", "ls", check=False)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        for word in (f"{cluster.manager.ip}:2377", "certificate verify failed"):
            self.assertIn(word, line)
        own = os.path.join(cluster.dir, "viewer.yaml")
        cluster.ctl("swarm", "client-cert", "vera", "--role", "viewer", "-o", own)
        viewer = lambda *args: run(*inside, os.path.join(BIN, "swarmctl"), "--context", own, *args, check=False)
        self.assertEqual(viewer("node", "ls").returncode, 0, viewer("node", "ls").stderr)
        denied = viewer("service", "create", "--detach", "--name", "x", TEST_IMAGE)
        self.assertEqual(denied.returncode, 1)
        self.assertIn("viewer", denied.stderr)
        for version, works in (("-tls1_2", False), ("-tls1_3", True)):
            talk = run(*inside, "openssl", "s_client", "-connect", f"{cluster.manager.ip}:2378", version,
                       "-alpn", "h2", check=False, stdin=subprocess.DEVNULL)
            self.assertEqual("BEGIN CERTIFICATE" in talk.stdout, works, talk.stdout + talk.stderr)


if __name__ == "__main__":
    main()
