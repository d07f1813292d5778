#!/usr/bin/env python3
"""`network doctor` on real nodes: nothing is found when all is well, and each thing that is broken in its own words."""
import contextlib
import json
import os
import re

from harness import ClusterTest, TEST_IMAGE, main, run, wait_for

SERVE = ["sh", "-c", "trap 'exit 0' TERM; mkdir -p /www; httpd -f -p 80 -h /www & wait $!"]


class DoctorTest(ClusterTest):
    def create(self, cluster, name, *flags, command=SERVE):
        return cluster.ctl("service", "create", "--detach", "--name", name, *flags, TEST_IMAGE, *command)

    def served(self, workers=2):
        """A cluster in whose networks every kind of check has something to look at, and is well."""
        cluster = self.cluster(workers=workers)
        for name in ("front", "back"):
            cluster.ctl("network", "create", name)
        self.create(cluster, "web", "--network", "front", "--publish", "8080:80", "--replicas", "4", "--replicas-max-per-node", str(4 // workers))
        self.create(cluster, "db", "--network", "front", "--network", "back", "--endpoint-mode", "dnsrr", "--mode", "global",
                    "--constraint", "node.role==worker")
        cluster.wait_running("web", 4)
        cluster.wait_running("db", workers)
        # What was told last may still be on its way into a kernel, and a program may not listen yet.
        wait_for(lambda: self.doctor(cluster).returncode == 0, f"all to be well: {self.doctor(cluster).stdout}", 30)
        return cluster

    def doctor(self, cluster, *args):
        return cluster.ctl("network", "doctor", *args, check=False)

    def findings(self, cluster, *args):
        return [json.loads(line) for line in self.doctor(cluster, "--format", "json", *args).stdout.splitlines()]

    def finds(self, cluster, *words, state="BROKEN", check=None, node=None):
        """One finding that has all these words: waited for, since what is broken may take a moment to be so."""
        def found():
            return [f for f in self.findings(cluster) if f["State"] == state and (check is None or f["Check"] == check) and
                    (node is None or node in f["Nodes"].split(", ")) and all(w in f["Message"] for w in words)]
        try:
            return wait_for(found, f"{state} {check} {words}", 20)[0]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.doctor(cluster).stdout}") from None

    @contextlib.contextmanager
    def rules(self, namespace, text):
        """An nftables table `ip trouble` in a host, for a while."""
        inside = ("nsenter", f"--net=/run/netns/{namespace}", "--", "nft")
        run(*inside, f"table ip trouble {{\n{text}\n}}")
        try:
            yield
        finally:
            run(*inside, "delete table ip trouble")

    def is_well_again(self, cluster):
        result = wait_for(lambda: (lambda r: r if r.returncode == 0 else None)(self.doctor(cluster)), "all to be well again", 30)
        self.assertIn(", 0 broken", result.stdout)

    def test_when_all_is_well_every_node_says_so_of_every_kind_of_check(self):
        cluster = self.served()
        # One packet that is lost in a busy machine is a line more, and no failure.
        last = []

        def clean():
            last[:] = [self.doctor(cluster)]
            return last[0].returncode == 0 and re.fullmatch(r"\d+ checks on 3 nodes, 0 broken\n", last[0].stdout) and last[0].stderr == ""
        try:
            wait_for(clean, "one line that says that all is well", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{last[0].stdout}{last[0].stderr}") from None

        def all_well():
            found = self.findings(cluster, "--verbose")
            return found if {f["State"] for f in found} == {"OK"} else None
        found = wait_for(all_well, "every check to be OK", 30)
        checks = {f["Check"]: f for f in found}
        self.assertEqual(set(checks), {"node", "kernel state", "peer", "overlay", "resolver", "virtual address", "published port"})
        for host in cluster.workers:
            mine = {f["Check"] for f in found if host.name in f["Nodes"].split(", ")}
            self.assertEqual(mine, set(checks), host.name)
        # All peers from everywhere, also from the manager's node, which has no tasks.
        self.assertEqual({(f["Message"], f["Nodes"]) for f in found if f["Check"] == "peer"},
                         {("2 nodes answer at their addresses", ", ".join(sorted(h.name for h in cluster.hosts)))})
        self.assertTrue(all(f["RoundTrip"] for f in found if f["Check"] in ("peer", "overlay", "virtual address")))
        # One network, seen by one node.
        some = self.findings(cluster, "--verbose", "--node", "h1", "back")
        self.assertEqual({n for f in some for n in f["Nodes"].split(", ")}, {"h1"})
        self.assertEqual({f["Network"] for f in some} - {""}, {"back"})

    def test_each_thing_that_is_broken_is_said_in_its_own_words(self):
        cluster = self.served()
        one, two = cluster.workers
        with self.subTest("VXLAN is dropped"), \
                self.rules(two.namespace, "chain i { type filter hook input priority 0; udp dport 4789 drop; }"):
            found = self.finds(cluster, "web.", f"on {two.name}", "through network front", f"own address {two.ip} answers", "UDP 4789",
                               check="overlay", node=one.name)
            self.assertEqual((found["Network"], found["Peer"]), ("front", two.name))
            self.finds(cluster, "virtual address", "service web", check="virtual address", node=one.name)
            result = self.doctor(cluster)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, r"^error: \d+ checks of networks found something broken\n$")
        self.is_well_again(cluster)
        with self.subTest("two nodes are cut off from each other"), \
                self.rules(one.namespace, f"chain i {{ type filter hook input priority 0; ip saddr {two.ip} drop; }}\n"
                                          f"chain o {{ type filter hook output priority 0; ip daddr {two.ip} drop; }}"):
            self.finds(cluster, f"{two.name} does not answer at its address {two.ip}", check="peer", node=one.name)
            self.finds(cluster, f"{one.name} does not answer at its address {one.ip}", check="peer", node=two.name)
            self.finds(cluster, f"and neither does {two.name}'s own address", check="overlay", node=one.name)
        self.is_well_again(cluster)
        with self.subTest("a way that takes less than the links say"):
            link = f"{cluster.name}v{two.index}"
            run("ip", "-n", cluster.switch, "link", "set", link, "mtu", "1400")
            self.finds(cluster, "packets of 1500 bytes", two.ip, "small ones arrive", "MTU", check="peer", node=one.name)
            self.finds(cluster, "packets of 1450 bytes", f"on {two.name}", "small ones arrive", check="overlay", node=one.name)
            run("ip", "-n", cluster.switch, "link", "set", link, "mtu", "1500")
        self.is_well_again(cluster)
        with self.subTest("a published port is dropped"), \
                self.rules(one.namespace, "chain o { type filter hook output priority 0; tcp dport 8080 drop; }"):
            self.finds(cluster, "port 8080/tcp of web get no answer", check="published port", node=one.name)
        self.is_well_again(cluster)
        with self.subTest("a forward chain of another program that drops"), \
                self.rules(one.namespace, "chain FORWARD { type filter hook forward priority 0; policy drop; }"):
            self.finds(cluster, "chain FORWARD", "table ip trouble drops", state="WARNING", check="kernel state", node=one.name)
            self.assertEqual(self.doctor(cluster, "--node", one.name).returncode, 0, "a warning alone is no failure")
        self.is_well_again(cluster)

    def test_what_somebody_changed_in_the_kernel_is_named_until_it_is_put_right(self):
        cluster = self.served()
        one, two = cluster.workers
        [task, *_] = [t for t in cluster.running("web") if t["Node"] == two.name]
        inside = ("nsenter", f"--net=/proc/{two.init_pid(task['ID'])}/ns/net", "--")
        addresses = [a["local"] for l in json.loads(run(*inside, "ip", "-4", "-json", "addr", "show", "eth0").stdout) for a in l["addr_info"]]
        router = ("nsenter", f"--net={os.path.join(one.run_dir, 'netns', 'router')}", "--")
        routes = json.loads(run(*router, "ip", "-4", "-json", "route").stdout)
        address = next(r["dst"] for r in routes if r["dst"] in addresses)

        def found():
            run(*router, "ip", "route", "del", address, check=False)  # it is put right every 10 s
            return [f for f in self.findings(cluster, "--node", one.name)
                    if f["Check"] == "kernel state" and f"the route to {address} (web." in f["Message"] and "missing" in f["Message"]]
        wait_for(found, f"the route to {address} to be missed", 30)
        self.is_well_again(cluster)
        # Names: a container's own way to its resolver is cut.
        run(*inside, "nft", "flush", "ruleset")
        self.finds(cluster, "in web.", "the resolver 127.0.0.11 does not answer", check="resolver", node=two.name)

    def test_nodes_that_are_not_there_and_programs_that_do_not_listen_are_findings_too(self):
        cluster = self.served()
        self.create(cluster, "deaf", "--publish", "8081:81", "--replicas", "1")
        cluster.wait_running("deaf", 1)
        self.finds(cluster, "connections to port 8081/tcp are refused, though 1 task of deaf serves", "listen on port 81", check="published port")
        cluster.ctl("service", "rm", "deaf")
        cluster.until(lambda: not any(s["Name"] == "deaf" for s in cluster.rows("service", "ls")), "deaf to be gone")
        gone = cluster.workers[1]
        gone.ctl("swarm", "leave")
        self.finds(cluster, f"{gone.name} is down: the node left the cluster", check="node", node=gone.name)
        [only] = [f for f in self.findings(cluster, "--node", gone.name)]
        self.assertEqual((only["State"], only["Peer"]), ("BROKEN", ""))

    def test_bad_requests_are_one_line_that_says_what_is_wrong(self):
        cluster = self.cluster(workers=0)
        self.refused(cluster, "network", "doctor", "nowhere", says=["network_refs[0]", "nowhere"])
        self.refused(cluster, "network", "doctor", "--node", "nobody", says=["node_refs[0]", "nobody"])
        self.refused(cluster, "network", "doctor", "--timeout", "2m", code=2, says=["--timeout=2m", "6s to 60s"])
        # A node that is in no network is well.
        self.assertEqual(self.doctor(cluster).stdout, "1 check on 1 node, 0 broken\n")


if __name__ == "__main__":
    main()
