#!/usr/bin/env python3
"""deploy/examples/shop.yaml: postgres, redis and a web service that find each other by name, and orders that stay."""
import json
import os
import shutil
import unittest

from harness import BIN, ClusterTest, DEADLINE, ROOT, kill, main, run, wait_for

EXAMPLES = os.path.join(ROOT, "deploy", "examples")


def shop_archives():
    """The images' archives, made once per build tree; a test without a mirror of Debian is skipped, and says so."""
    folder = os.path.join(os.path.dirname(os.path.dirname(BIN)), "images")
    made = run(os.path.join(ROOT, "deploy", "make-shop-images"), folder, check=False)
    if made.returncode != 0:
        raise unittest.SkipTest(f"the shop's images cannot be made: {made.stderr.strip()}")
    return [os.path.join(folder, f"shop-{name}.tar") for name in ("db", "cache", "web")]


class ShopTest(ClusterTest):
    def ask(self, cluster, host, path, method="GET"):
        """(status, what the JSON says) of the published port of a host; status 0: no answer."""
        out = run("nsenter", f"--net=/run/netns/{cluster.manager.namespace}", "--", "curl", "-sS", "--max-time", "5", "-X", method,
                  "-w", "\n%{http_code}", f"http://{host.ip}:8081{path}", check=False).stdout
        body, _, status = out.rpartition("\n")
        return int(status or 0), json.loads(body) if body.startswith("{") else body

    def orders(self, cluster):
        """How many orders there are, as soon as the shop answers at every node."""
        seen = []
        for host in cluster.workers:
            status, shown = wait_for(lambda: next((a for a in [self.ask(cluster, host, "/items")] if a[0] == 200), None), "the shop to answer")
            stock = {item["name"]: item["stock"] for item in shown["items"]}
            self.assertEqual(stock["coffee"], 12 - shown["orders"])
            seen.append(shown["orders"])
        self.assertEqual(len(set(seen)), 1, seen)
        return seen[0]

    def buy(self, cluster, host):
        self.assertEqual(self.ask(cluster, host, "/buy/coffee", "POST")[0], 201)

    def test_it_deploys_with_one_command_and_keeps_its_orders(self):
        archives = shop_archives()
        cluster = self.cluster(workers=2)
        for host in cluster.workers:
            for archive in archives:
                host.ctl("image", "load", "-i", archive)

        def deploy(folder=EXAMPLES):
            return cluster.ctl("stack", "deploy", "--wait", "--timeout", "80s", "--stability-wait", "0s",
                               "-c", os.path.join(folder, "shop.yaml"), "shop")
        deploy()
        self.assertEqual({s["Name"]: s["Replicas"] for s in cluster.rows("service", "ls")},
                         {"shop_db": "1/1", "shop_cache": "1/1", "shop_web": "2/2"})
        self.assertEqual(self.orders(cluster), 0)
        self.assertEqual(self.ask(cluster, cluster.workers[0], "/buy/tea", "POST")[0], 404)
        for host in cluster.workers:
            self.buy(cluster, host)
        self.assertEqual(self.orders(cluster), 2)
        # Through the mesh both replicas are reached, and both count in the one cache.
        pages = [self.ask(cluster, cluster.workers[0], "/items")[1] for _ in range(10)]
        self.assertEqual(len({page["host"] for page in pages}), 2)
        self.assertEqual(len({page["visits"] for page in pages}), 10)

        # An update of the database: another container on the same data.
        [db] = cluster.wait_running("shop_db", 1)
        cluster.ctl("service", "update", "--stability-wait", "0s", "--env-add", "TZ=Europe/Berlin", "shop_db", timeout=DEADLINE)
        [after] = cluster.wait_running("shop_db", 1)
        self.assertNotEqual(after["ID"], db["ID"])
        self.assertEqual(after["Node"], db["Node"])
        self.assertEqual(self.orders(cluster), 2)

        # Agent and manager start again: the same containers.
        before = {t["ID"] for name in ("db", "cache", "web") for t in cluster.running(f"shop_{name}")}
        host = next(h for h in cluster.hosts if h.name == after["Node"])
        host.kill_agent()
        host.start()
        manager = cluster.manager.manager_pid()
        kill(manager)
        wait_for(lambda: cluster.manager.manager_pid() != manager and cluster.ctl("service", "ls", check=False).returncode == 0,
                 "the manager to be back")
        self.buy(cluster, host)
        self.assertEqual(self.orders(cluster), 3)
        cluster.until(lambda: before == {t["ID"] for name in ("db", "cache", "web") for t in cluster.running(f"shop_{name}")},
                      "the same tasks to run")

        # Removed, and deployed at once.
        cluster.ctl("stack", "rm", "shop", timeout=DEADLINE)
        self.assertEqual([row["Name"] for row in cluster.rows("volume", "ls")], ["shop_db"])
        deploy()
        self.assertEqual(self.orders(cluster), 3)

    def test_a_changed_config_rolls_the_web_service_alone_and_a_changed_password_is_taken_over(self):
        archives = shop_archives()
        cluster = self.cluster(workers=0)
        host = cluster.manager
        for archive in archives:
            host.ctl("image", "load", "-i", archive)
        folder = os.path.join(cluster.dir, "mine")
        shutil.copytree(EXAMPLES, folder)

        def deploy():
            cluster.ctl("stack", "deploy", "--wait", "--timeout", "150s", "-c", os.path.join(folder, "shop.yaml"), "shop", timeout=160)
            return {name: {t["ID"] for t in cluster.running(f"shop_{name}")} for name in ("db", "cache", "web")}
        first = deploy()
        self.buy(cluster, host)
        with open(os.path.join(folder, "shop", "shop.json")) as f:
            config = json.load(f)
        config["title"] = "Sale"
        config["items"]["tea"] = {"price": "4.00", "stock": 5}
        with open(os.path.join(folder, "shop", "shop.json"), "w") as f:
            json.dump(config, f)
        second = deploy()
        self.assertEqual((second["db"], second["cache"]), (first["db"], first["cache"]))
        self.assertFalse(second["web"] & first["web"])
        status, shown = self.ask(cluster, host, "/items")
        self.assertEqual((status, shown["title"], shown["orders"]), (200, "Sale", 1))
        self.assertEqual(self.ask(cluster, host, "/buy/tea", "POST")[0], 201)

        with open(os.path.join(folder, "shop", "db_password"), "w") as f:
            f.write("it's another\n")
        third = deploy()
        self.assertEqual(third["cache"], second["cache"])
        self.assertFalse(third["db"] & second["db"] or third["web"] & second["web"])
        shown = wait_for(lambda: next((a[1] for a in [self.ask(cluster, host, "/items")] if a[0] == 200), None), "the shop to answer")
        self.assertEqual(shown["orders"], 2)
        # The password before it opens nothing any more.
        [db] = cluster.running("shop_db")
        refused = cluster.ctl("service", "exec", "-e", "PGPASSWORD=for trying out, change me", db["Name"], "sh", "-c",
                              "/usr/lib/postgresql/*/bin/psql -h $(hostname -i) -U shop -c 'select 1'", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("password authentication failed", refused.stdout + refused.stderr)


if __name__ == "__main__":
    main()
