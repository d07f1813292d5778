#!/usr/bin/env python3
"""Networks on real containers: names, virtual addresses, published ports, and what becomes of them."""
import collections
import json
import os
import subprocess

from harness import TEST_IMAGE, main, run, wait_for
from network_test_case import NetworkTestCase

# Tells each client who it is and who answers; told to stop, lets what is under way end, as servers do.
TELL = ["sh", "-c", r"""mkdir -p /www/cgi-bin && cd /www
printf '#!/bin/sh\necho Content-type: text/plain\necho\necho $REMOTE_ADDR $(hostname)\n' > cgi-bin/who
chmod 755 cgi-bin/who
trap 'sleep 1; exit 0' TERM
httpd -f -p 80 -h /www & wait $!"""]
STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]


class NetworksTest(NetworkTestCase):
    def create(self, cluster, name, *flags, command=TELL):
        return super().create(cluster, name, *flags, command=command)

    def test_services_find_and_reach_each_other_by_name_across_nodes(self):
        cluster = self.cluster(workers=2)
        cluster.ctl("network", "create", "front")
        self.create(cluster, "web", "--network", "front", "--replicas", "4")
        self.create(cluster, "client", "--network", "front", "--mode", "global", "--constraint", "node.role==worker", command=STAY)
        web = cluster.wait_running("web", 4)
        clients = cluster.wait_running("client", 2)
        self.assertGreater(len({t["Node"] for t in web}), 1)
        for client in clients:
            [vip] = self.dig(cluster, client, "web")
            self.assertEqual(self.dig(cluster, client, "web.front"), [vip])
            addresses = self.dig(cluster, client, "tasks.web")
            self.assertEqual(len(addresses), 4)
            self.assertNotIn(vip, addresses)
            # One after the other to each of them, and none of them is the virtual address itself.
            seen = collections.Counter(
                self.inside(cluster, client, "curl", "-sS", "--max-time", "5", f"http://{vip}/cgi-bin/who").stdout.split()[1] for _ in range(8))
            self.assertEqual(sorted(seen.values()), [2, 2, 2, 2])
            for address in addresses:
                self.inside(cluster, client, "curl", "-sS", "--max-time", "5", f"http://{address}/cgi-bin/who")

    def test_networks_are_apart_and_an_internal_one_has_no_way_out(self):
        cluster = self.cluster(workers=1)
        for name, flags in (("front", ()), ("back", ("--internal",))):
            cluster.ctl("network", "create", *flags, name)
        self.create(cluster, "web", "--network", "front")
        self.create(cluster, "db", "--network", "back")
        [web], [db] = cluster.wait_running("web", 1), cluster.wait_running("db", 1)
        self.assertEqual(self.dig(cluster, web, "db"), [])
        [address] = self.dig(cluster, db, "tasks.db")
        refused = self.inside(cluster, web, "curl", "-sS", "--max-time", "5", f"http://{address}/cgi-bin/who", check=False)
        self.assertNotEqual(refused.returncode, 0)
        # The first has a way out, by the node's own address; the second has none.
        manager = f"{cluster.manager.ip}"
        self.inside(cluster, web, "busybox", "ping", "-c", "1", "-W", "2", manager)
        self.assertNotEqual(self.inside(cluster, db, "busybox", "ping", "-c", "1", "-W", "1", manager, check=False).returncode, 0)

    def test_every_node_answers_on_a_published_port_and_the_client_keeps_its_address(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "web", "--publish", "8080:80", "--replicas", "1")
        [task] = cluster.wait_running("web", 1)
        client = next(h for h in cluster.hosts if h.name != task["Node"])
        for host in cluster.hosts:
            def told():
                answer = self.fetch(client.namespace, f"http://{host.ip}:8080/cgi-bin/who", check=False)
                return answer.stdout.split() if answer.returncode == 0 else None
            address, _ = wait_for(told, f"{host.name} to answer")
            if host is not client:
                self.assertEqual(address.strip("[]").removeprefix("::ffff:"), client.ip, f"by {host.name}")
        # From the host itself, also by its loopback.
        for url in (f"http://{client.ip}:8080/cgi-bin/who", "http://127.0.0.1:8080/cgi-bin/who"):
            self.fetch(client.namespace, url)
        cluster.ctl("service", "rm", "web")
        wait_for(lambda: self.fetch(client.namespace, f"http://{client.ip}:8080/cgi-bin/who", check=False).returncode != 0, "the port to be closed")

    def test_a_port_in_host_mode_leads_to_the_nodes_own_task_also_without_a_network(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "web", "--publish", "mode=host,published=9090,target=80", "--constraint", "node.hostname==h1")
        cluster.wait_running("web", 1)
        [with_task, without] = cluster.workers
        wait_for(lambda: self.fetch(cluster.manager.namespace, f"http://{with_task.ip}:9090/cgi-bin/who", check=False).returncode == 0, "the port")
        self.assertNotEqual(self.fetch(cluster.manager.namespace, f"http://{without.ip}:9090/cgi-bin/who", check=False).returncode, 0)

    def test_what_an_agent_left_half_made_is_swept_and_a_failed_start_holds_nothing(self):
        cluster = self.cluster(workers=1)
        cluster.ctl("network", "create", "front")
        self.create(cluster, "web", "--network", "front", "--constraint", "node.role==worker")
        cluster.wait_running("web", 1)
        host = cluster.workers[0]
        host.kill_agent()
        stray = os.path.join(host.run_dir, "netns", "0stray0stray0stray0stray00")
        open(stray, "w").close()
        run("unshare", f"--net={stray}", "true")
        host.start()
        wait_for(lambda: not [m for m in host.mounts() if stray in m], "the stray namespace to be gone")
        sockets = len(os.listdir(f"/proc/{host.agent.pid}/fd"))
        self.create(cluster, "broken", "--network", "front", "--restart-condition", "none", "--replicas", "5", "--constraint", "node.role==worker",
                    command=["/no/such"])
        cluster.until(lambda: len([t for t in cluster.tasks("broken") if t["CurrentState"].startswith(("Failed", "Rejected"))]) == 5, "the failures")
        cluster.ctl("service", "rm", "broken")
        wait_for(lambda: len(os.listdir(f"/proc/{host.agent.pid}/fd")) <= sockets + 2, "its descriptors to be closed")

    def test_a_rolling_update_fails_no_request(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "web", "--publish", "8080:80", "--replicas", "4", "--update-parallelism", "1", "--update-order", "start-first",
                    "--update-monitor", "0s", "--health-tcp", ":80", "--health-interval", "200ms")
        cluster.wait_running("web", 4)
        wait_for(lambda: self.fetch(cluster.manager.namespace, f"http://{cluster.workers[0].ip}:8080/cgi-bin/who", check=False).returncode == 0, "the port")
        script = f"while [ ! -e {cluster.dir}/enough ]; do curl -sS --max-time 5 http://{cluster.workers[0].ip}:8080/cgi-bin/who >> {cluster.dir}/answers || echo failed >> {cluster.dir}/answers; done"
        load = subprocess.Popen(["nsenter", f"--net=/run/netns/{cluster.manager.namespace}", "--", "sh", "-c", script],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            before = {t["ID"] for t in cluster.running("web")}
            cluster.ctl("service", "update", "--env-add", "VERSION=2", "web")
            after = {t["ID"] for t in cluster.running("web")}
            self.assertFalse(before & after)
        finally:
            open(os.path.join(cluster.dir, "enough"), "w").close()
            load.wait(30)
        with open(os.path.join(cluster.dir, "answers")) as f:
            answers = f.read().split("\n")
        self.assertGreater(len(answers), 20)
        self.assertEqual(answers.count("failed"), 0, f"of {len(answers)}")

    def test_names_and_connections_survive_the_agent_and_nothing_is_left_after_the_end(self):
        cluster = self.cluster(workers=1)
        cluster.ctl("network", "create", "front")
        self.create(cluster, "web", "--network", "front", "--replicas", "2")
        web = cluster.wait_running("web", 2)
        host = cluster.workers[0]
        [task, *_] = [t for t in web if t["Node"] == host.name]
        [vip] = self.dig(cluster, task, "web")
        host.kill_agent()
        self.inside(cluster, task, "curl", "-sS", "--max-time", "5", f"http://{vip}/cgi-bin/who")
        query = subprocess.Popen(["nsenter", f"--net=/proc/{host.init_pid(task['ID'])}/ns/net", "--", "dig", "+short", "+time=60", "+tries=1",
                                  "@127.0.0.11", "web"], stdout=subprocess.PIPE, text=True)
        host.start()
        self.assertEqual(query.communicate(timeout=90)[0].split(), [vip], "asked while there was no agent")
        cluster.ctl("service", "rm", "web")
        wait_for(lambda: not [m for m in host.mounts() if "/netns/" in m and "/netns/router" not in m], "the containers' namespaces to be gone")
        host.ctl("swarm", "leave")
        self.assertEqual([m for m in host.mounts() if "/netns/" in m], [])
        links = json.loads(run("ip", "-n", host.namespace, "-json", "link").stdout)
        self.assertEqual(sorted(l["ifname"] for l in links), ["eth0", "lo"])
        self.assertNotIn("swarm", run("nsenter", f"--net=/run/netns/{host.namespace}", "--", "nft", "list", "tables").stdout)

    def test_services_on_the_lan_of_their_nodes_find_each_other_and_are_reached_from_it(self):
        cluster = self.cluster(workers=2)
        lan = cluster.manager.ip.rsplit(".", 1)[0]
        link = self.link_of(cluster.workers[0])
        # The cluster's own addresses are at the beginning of the LAN, its containers' in the middle.
        cluster.ctl("network", "create", "-d", "macvlan", "--subnet", f"{lan}.0/24", "--gateway", f"{lan}.254", "--ip-range", f"{lan}.128/26",
                    "-o", "parent_label=lan", "pub")
        self.create(cluster, "web", "--network", "pub", "--replicas", "2", "--replicas-max-per-node", "1")
        cluster.until(lambda: [t for t in cluster.tasks("web") if "no link named for network pub" in t["Error"]], "the reason")
        for host in cluster.workers:
            cluster.ctl("node", "update", "--label-add", f"lan={link}", host.name)
        web = cluster.wait_running("web", 2)
        self.create(cluster, "db", "--network", "pub", "--constraint", f"node.hostname=={web[0]['Node']}", command=STAY)
        [db] = cluster.wait_running("db", 1)
        addresses = self.dig(cluster, db, "web")
        self.assertEqual(len(addresses), 2, "no virtual address: the name stands for the tasks")
        self.assertEqual(addresses, self.dig(cluster, db, "tasks.web"))
        for address in addresses:
            self.assertTrue(128 <= int(address.rsplit(".", 1)[1]) < 192, address)
            told, _ = self.inside(cluster, db, "curl", "-sS", "--max-time", "5", f"http://{address}/cgi-bin/who").stdout.split()
            [own] = self.dig(cluster, db, "db")
            self.assertEqual(told.strip("[]").removeprefix("::ffff:"), own)
        # From the LAN, without any published port; a node does not reach those on its own link.
        self.fetch(cluster.manager.namespace, f"http://{addresses[0]}/cgi-bin/who")
        self.assertIn("default via", self.inside(cluster, db, "ip", "route").stdout)
        cluster.ctl("service", "rm", "web", "db")
        cluster.ctl("network", "rm", "pub")

    def link_of(self, host):
        """The link that has the host's address."""
        lines = run("nsenter", f"--net=/run/netns/{host.namespace}", "--", "ip", "-o", "-4", "address").stdout.split("\n")
        return next(line.split()[1] for line in lines if f" {host.ip}/" in line)

    def test_beside_a_firewall_that_forwards_nothing_ports_and_the_way_out_work(self):
        cluster = self.cluster(workers=1)
        worker = cluster.workers[0]
        rules = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }"
        run("nsenter", f"--net=/run/netns/{worker.namespace}", "--", "nft", rules)
        self.create(cluster, "web", "--publish", "8080:80", "--constraint", "node.role==worker")
        [task] = cluster.wait_running("web", 1)
        def told():
            return self.fetch(cluster.manager.namespace, f"http://{worker.ip}:8080/cgi-bin/who", check=False).returncode == 0
        wait_for(told, "the port")
        self.inside(cluster, task, "busybox", "ping", "-c", "1", "-W", "2", cluster.manager.ip)
        # Somebody reloads the firewall.
        run("nsenter", f"--net=/run/netns/{worker.namespace}", "--", "nft", "flush chain ip filter FORWARD")
        wait_for(told, "the port again")
        worker.ctl("swarm", "leave", "--force")
        left = run("nsenter", f"--net=/run/netns/{worker.namespace}", "--", "nft", "list", "ruleset").stdout
        self.assertNotIn("swarm", left)
        self.assertIn("policy drop", left)

    def test_bad_networks_and_ports_are_refused_with_the_field_and_change_nothing(self):
        cluster = self.cluster(workers=0)
        cluster.ctl("network", "create", "--subnet", "10.50.0.0/24", "taken")
        self.create(cluster, "web", "--publish", "8080:80")
        self.refused(cluster, "network", "create", "--subnet", "10.50.0.300/24", "more", code=2, says="10.50.0.300")
        for args, says in (
                (("network", "create", "--subnet", "10.50.0.128/25", "more"), "taken"),
                (("network", "create", "--driver", "macvlan", "more"), "options[parent]"),
                (("network", "create", "--driver", "macvlan", "-o", "parent=eth0", "more"), "subnet of the LAN"),
                (("network", "create", "no good"), "no good"),
                (("service", "create", "--detach", "--name", "b", "--publish", "8080:80", TEST_IMAGE), "web"),
                (("service", "create", "--detach", "--name", "b", "--network", "nowhere", TEST_IMAGE), "nowhere"),
                (("service", "create", "--detach", "--name", "b", "--endpoint-mode", "dnsrr", "--publish", "81:80", TEST_IMAGE), "dnsrr")):
            self.refused(cluster, *args, says=says)
        self.assertEqual([s["Name"] for s in cluster.rows("service", "ls")], ["web"])


if __name__ == "__main__":
    main()
