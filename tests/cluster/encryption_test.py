#!/usr/bin/env python3
"""S11: what is in an encrypted network goes between nodes by WireGuard, or not at all."""
import json
import os
import subprocess

from harness import ClusterTest, TEST_IMAGE, main, run

STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
CANARY = "canary-that-nobody-may-see"
SERVE = ["sh", "-c", f"mkdir /www && yes {CANARY} | head -c 300000 > /www/secret; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait $!"]
# Counts what passes in its network namespace until its input ends.
CAPTURE = f"""
import json, select, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 27)  # SO_RCVBUFFORCE
print("ready", flush=True)
seen = {{"canary": 0, "vxlan": 0, "wireguard": 0}}
ends = [s, sys.stdin]
while True:
    ready = select.select(ends, [], [], None if sys.stdin in ends else 0)[0]
    if s in ready:
        p = s.recv(65536)
        seen["canary"] += {CANARY.encode()!r} in p
        if p[12:14] == b"\\x08\\x00" and p[23] == 17:
            port = int.from_bytes(p[36:38], "big")
            seen["vxlan"] += port == 4789
            seen["wireguard"] += port == 51871
    elif sys.stdin not in ends:
        break
    if sys.stdin in ready:
        ends.remove(sys.stdin)
print(json.dumps(seen))
"""
STACK = """
services:
  db:
    image: %s
    command: ["sleep", "3600"]
    networks: [secret]
networks:
  secret:
    driver_opts: {encrypted: ""}
"""


class Capture:
    """Everything between the cluster's hosts, while it lasts."""

    def __init__(self, cluster):
        self.program = subprocess.Popen(["nsenter", f"--net=/run/netns/{cluster.switch}", "--", "python3", "-c", CAPTURE],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.program.stdout.readline() == "ready\n"

    def end(self):
        return json.loads(self.program.communicate(timeout=30)[0])


class EncryptionTest(ClusterTest):
    def kernel_has_wireguard(self, cluster):
        return "wireguard" in cluster.ctl("node", "inspect", "h1", "--format", "{{json .Description}}").stdout

    def test_s11_without_wireguard_tasks_wait_with_the_reason_and_nothing_is_there_to_carry_them(self):
        cluster = self.cluster(workers=2)
        if self.kernel_has_wireguard(cluster):
            self.skipTest("this kernel has WireGuard")
        made = cluster.ctl("network", "create", "--opt", "encrypted", "safe")
        self.assertIn("no node of the cluster has WireGuard in its kernel", made.stderr)
        cluster.ctl("service", "create", "--detach", "--name", "app", "--network", "safe", TEST_IMAGE, *STAY)
        path = os.path.join(cluster.dir, "stack.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(STACK % TEST_IMAGE)
        cluster.ctl("stack", "deploy", "--detach", "-c", path, "s")
        for service, network in (("app", "safe"), ("s_db", "s_secret")):
            [task] = cluster.until(lambda: [t for t in cluster.tasks(service) if t["Error"]], "the reason")
            self.assertTrue(task["CurrentState"].startswith("Pending"), task)
            self.assertEqual(task["Error"], f'no suitable node (WireGuard, which the encrypted network "{network}" needs, is '
                                            "missing in the kernel of 2 nodes; 1 node not available for new tasks)")
        # A task elsewhere opens its node's router; nothing in it is the encrypted network's.
        cluster.ctl("network", "create", "--opt", "encrypted=false", "plain")
        cluster.ctl("service", "create", "--detach", "--name", "other", "--network", "plain", "--mode", "global", TEST_IMAGE, *STAY)
        cluster.wait_running("other", 2)
        for host in cluster.workers:
            folder = os.path.join(host.run_dir, "netns")
            self.assertNotIn("tunnel", os.listdir(folder))
            links = run("nsenter", f"--net={folder}/router", "--", "ip", "-o", "link", "show", "type", "vxlan").stdout
            self.assertEqual(len(links.splitlines()), 1, links)

    def test_s11_an_encrypted_network_is_carried_by_wireguard_and_its_canary_is_never_seen(self):
        cluster = self.cluster(workers=2)
        if not self.kernel_has_wireguard(cluster):
            self.skipTest("this kernel has no WireGuard")
        self.assertEqual(cluster.ctl("network", "create", "--opt", "encrypted", "safe").stderr, "")
        for name, where, command in (("web", "h1", SERVE), ("client", "h2", STAY)):
            cluster.ctl("service", "create", "--detach", "--name", name, "--network", "safe", "--constraint", f"node.hostname=={where}",
                        TEST_IMAGE, *command)
        cluster.wait_running("web", 1)
        [client] = cluster.wait_running("client", 1)
        host = next(h for h in cluster.hosts if h.name == client["Node"])

        def fetch():
            net = f"--net=/proc/{host.init_pid(client['ID'])}/ns/net"
            [vip] = run("nsenter", net, "--", "dig", "+short", "@127.0.0.11", "web").stdout.split()
            return run("nsenter", net, "--", "curl", "-sS", "--max-time", "5", f"http://{vip}/secret", check=False).stdout
        cluster.until(fetch, "an answer")
        capture = Capture(cluster)
        self.assertEqual(fetch().count(CANARY), 300000 // (len(CANARY) + 1))
        seen = capture.end()
        self.assertEqual((seen["canary"], seen["vxlan"]), (0, 0))
        self.assertGreater(seen["wireguard"], 200)
        # A node that comes back with another key is heard again.
        cluster.workers[0].kill_agent()
        os.remove(os.path.join(cluster.workers[0].run_dir, "wireguard.key"))
        cluster.workers[0].start()
        cluster.until(fetch, "an answer by the new key")


if __name__ == "__main__":
    main()
