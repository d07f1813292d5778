#!/usr/bin/env python3
"""Stack files of public projects, deployed with the test image in place of theirs: each service runs, or its task says why not."""
import os
import re
import shutil

from harness import ClusterTest, ROOT, TEST_IMAGE, image_archive, main, run, wait_for

FILES = os.path.join(ROOT, "cli", "compose", "testdata", "public")
STAY = '["sh", "-c", "trap \'exit 0\' TERM; while :; do sleep 3600 & wait $$!; done"]'
NO_SOCKET = "bind source path does not exist: /var/run/docker.sock"
NO_WIREGUARD = "WireGuard"
NO_DRIVER = 'volume driver "rexray/dobs" is not on 2 nodes'


def has_wireguard():
    name = f"wg{os.getpid() % 10000}"
    if run("ip", "link", "add", name, "type", "wireguard", check=False).returncode != 0:
        return False
    run("ip", "link", "del", name)
    return True


class StacksTest(ClusterTest):
    def services(self, text):
        block = re.search(r"^services:\n(.*?)(?=^[^\s#]|\Z)", text, re.M | re.S).group(1)
        return re.findall(r"^  ([\w-]+):", block, re.M)

    def deploy(self, cluster, name, reasons=(), **variables):
        """Each service of the file runs, but for those of `reasons`, {service: words of its task's error}."""
        reasons = dict(reasons)
        if os.path.exists("/var/run/docker.sock"):
            reasons = {k: v for k, v in reasons.items() if v != NO_SOCKET}
        path = os.path.join(cluster.dir, name)
        shutil.copy(os.path.join(FILES, name), path)
        with open(path) as f:
            services = self.services(f.read())
        override = os.path.join(cluster.dir, "override.yml")
        with open(override, "w") as f:
            f.write("services:\n" + "".join(
                f"  {s}:\n    image: {TEST_IMAGE}\n    command: {STAY}\n    healthcheck: {{test: [NONE]}}\n"
                f"    stop_grace_period: 1s\n    user: root\n" for s in services))
        result = run("env", *(f"{k}={v}" for k, v in variables.items()), *cluster.ctl_command(), "stack", "deploy", "-c", path, "-c", override, "it",
                     check=False)
        if result.returncode != 0 and "is not built yet" in result.stderr:
            # By its name, all of them at once, and nothing is changed.
            for path in re.findall(r"services\.[\w.-]+", result.stderr):
                self.assertTrue(path.endswith(".logging"), result.stderr)
            self.assertFalse(cluster.rows("service", "ls"))
            return
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(sorted(s["Name"] for s in cluster.rows("service", "ls")), sorted(f"it_{s}" for s in services))
        for service in services:
            if service in reasons:
                words = reasons[service]
                cluster.until(lambda: any(words in t["Error"] for t in cluster.tasks(f"it_{service}")), f"{name}: {service} to say {words!r}")
            else:
                cluster.until(lambda: cluster.running(f"it_{service}"), f"{name}: {service} to run")
        cluster.ctl("stack", "rm", "it")
        self.assertFalse(cluster.rows("service", "ls"))
        for volume in cluster.rows("volume", "ls"):
            wait_for(lambda: cluster.ctl("volume", "rm", volume["Name"], check=False).returncode == 0, "the volume to be free")

    def write(self, cluster, path, text):
        path = os.path.join(cluster.dir, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def test_every_file_deploys_as_far_as_the_host_has_what_it_binds(self):
        cluster = self.cluster(workers=1)
        # A manager that takes tasks, and a worker.
        cluster.manager.ctl("node", "update", "--availability", "active", cluster.manager.name)
        host = cluster.manager
        host.ctl("image", "load", "-i", image_archive())

        self.deploy(cluster, "dockersamples+example-voting-app_docker-stack.yml")
        self.deploy(cluster, "portainer+portainer-compose_docker-stack.yml", {"agent": NO_SOCKET})

        for secret in ("postgres_password", "staging_token", "revprox_key", "revprox_cert"):
            cluster.ctl("secret", "create", secret, "-", stdin="x")
        cluster.ctl("node", "update", "--label-add", "pcidss=yes", cluster.workers[0].name)
        encrypted = {} if has_wireguard() else {"appserver": NO_WIREGUARD, "payment_gateway": NO_WIREGUARD}
        self.deploy(cluster, "dockersamples+atsea-sample-shop-app_docker-stack.yml", {"visualizer": NO_SOCKET, **encrypted})

        for file in ("caddy/Caddyfile", "dockerd-exporter/Caddyfile", "prometheus/rules/swarm_node.rules.yml", "prometheus/rules/swarm_task.rules.yml"):
            self.write(cluster, file, "rules\n")
        self.deploy(cluster, "stefanprodan+swarmprom_docker-compose.yml", {"cadvisor": NO_SOCKET})

        cluster.ctl("network", "create", "traefik-public")
        cluster.ctl("node", "update", "--label-add", "traefik-public.traefik-public-certificates=true", host.name)
        traefik = "tiangolo+dockerswarm.rocks_docs_traefik-v3.yml"
        # What is required and not set is said with its place, and nothing is changed.
        self.refused(cluster, "stack", "deploy", "-c", os.path.join(FILES, traefik), "it", says=["USERNAME", "Variable not set", traefik])
        self.deploy(cluster, traefik, {"traefik": NO_SOCKET}, USERNAME="me", HASHED_PASSWORD="x", DOMAIN="example.org", EMAIL="me@example.org")

        self.refused(cluster, "stack", "deploy", "-c", os.path.join(FILES, "vegasbrianc+prometheus_docker-stack.yml"), "it",
                     says=["services.grafana.env_file", "config.monitoring"])
        self.write(cluster, "grafana/config.monitoring", "GF_USERS_ALLOW_SIGN_UP=false\n")
        # Those that depend on one that cannot start wait for it.
        missing = {"cadvisor": "bind source path does not exist: /var/lib/docker", "prometheus": "it_cadvisor",
                   "alertmanager": "bind source path does not exist", "grafana": "it_prometheus"}
        if os.path.exists("/var/lib/docker"):
            del missing["cadvisor"]
            missing["prometheus"] = "bind source path does not exist"
        self.deploy(cluster, "vegasbrianc+prometheus_docker-stack.yml", missing)

        cluster.ctl("network", "create", "proxy")
        self.deploy(cluster, "BretFisher+dogvscat_stack-voting.yml", DOCKER_VOL_DRIVER="rexray/dobs",
                    reasons={"redis": NO_DRIVER, "db": NO_DRIVER})
        self.write(cluster, "secret-ghost-db", "x")
        self.deploy(cluster, "BretFisher+dogvscat_stack-ghost.yml", {"db": NO_DRIVER, "db-backup": NO_DRIVER})


if __name__ == "__main__":
    main()
