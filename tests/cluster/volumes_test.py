#!/usr/bin/env python3
"""Volumes on real containers: data that outlive them, where tasks go for them, and what is mounted otherwise."""
import json
import os
import subprocess
import tempfile

from harness import ClusterTest, ROOT, TEST_IMAGE, kill, main, run, wait_for

STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]


class VolumesTest(ClusterTest):
    def create(self, cluster, name, *flags, command=STAY, image=TEST_IMAGE):
        return cluster.ctl("service", "create", "--detach", "--name", name, "--stop-grace-period", "2s", *flags, image, *command)

    def shell(self, cluster, task, script, check=True):
        """In the mount namespace and root of a task's container."""
        host = next(h for h in cluster.hosts if h.name == task["Node"])
        pid = host.init_pid(task["ID"])
        return run("nsenter", "-t", str(pid), "-m", f"--root=/proc/{pid}/root", "--", "/bin/sh", "-c", script, check=check)

    def reason(self, cluster, service, says):
        """Until a task of the service says this, as its error."""
        def told():
            return [t for t in cluster.rows("service", "ps", "--no-trunc", service) if says in t["Error"]]
        return cluster.until(told, f"{service} to say {says!r}")

    def volumes(self, cluster):
        return {v["Name"]: v for v in cluster.rows("volume", "ls")}

    def test_data_survive_an_update_the_agent_and_the_service_and_the_task_goes_back(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "db", "--mount", "source=data,target=/data", "--constraint", "node.role==worker")
        [task] = cluster.wait_running("db", 1)
        self.shell(cluster, task, "echo kept > /data/file")
        home = task["Node"]
        # An emptier node does not lure it away.
        self.create(cluster, "load", "--constraint", f"node.hostname=={home}", "--replicas", "3")
        cluster.wait_running("load", 3)
        cluster.ctl("service", "update", "--env-add", "V=2", "db")
        [after] = cluster.wait_running("db", 1)
        self.assertNotEqual(after["ID"], task["ID"])
        self.assertEqual((after["Node"], self.shell(cluster, after, "cat /data/file").stdout), (home, "kept\n"))
        host = next(h for h in cluster.hosts if h.name == home)
        host.kill_agent()
        host.start()
        self.assertEqual(self.shell(cluster, after, "cat /data/file").stdout, "kept\n")
        cluster.ctl("service", "rm", "db")
        cluster.until(lambda: self.volumes(cluster)["data"]["Tasks"] == "0", "nobody to use it")
        self.create(cluster, "db", "--mount", "source=data,target=/data", "--constraint", "node.role==worker")
        [again] = cluster.wait_running("db", 1)
        self.assertEqual((again["Node"], self.shell(cluster, again, "cat /data/file").stdout), (home, "kept\n"))
        # A manager that has just started waits for the node that holds the data, whichever comes back first.
        cluster.ctl("service", "rm", "db")
        cluster.until(lambda: self.volumes(cluster)["data"]["Tasks"] == "0", "nobody to use it")
        host.kill_agent()
        old = cluster.manager.manager_pid()
        kill(old)
        cluster.close_feed()
        wait_for(lambda: cluster.ctl("service", "ls", check=False).returncode == 0 and cluster.manager.manager_pid() != old, "the next manager")
        self.create(cluster, "db", "--mount", "source=data,target=/data", "--constraint", "node.role==worker")
        self.reason(cluster, "db", f"its volumes are on node {home}, which has not come back since the manager started")
        host.start()
        [again] = cluster.wait_running("db", 1)
        self.assertEqual((again["Node"], self.shell(cluster, again, "cat /data/file").stdout), (home, "kept\n"))

    def test_replicas_spread_with_data_of_their_own_and_volumes_are_listed_and_removed_across_nodes(self):
        cluster = self.cluster(workers=3)
        [node] = json.loads(cluster.ctl("node", "inspect", cluster.manager.name).stdout)
        since = node["Version"]["Index"]
        cluster.ctl("volume", "create", "--label", "tier=db", "data")
        self.create(cluster, "web", "--mount", "source=data,target=/data", "--replicas", "3")
        tasks = cluster.wait_running("web", 3)
        self.assertEqual(len({t["Node"] for t in tasks}), 3)
        for task in tasks:
            self.shell(cluster, task, f"[ -z \"$(ls /data)\" ] && echo {task['Node']} > /data/who")
        row = self.volumes(cluster)["data"]
        self.assertEqual((row["Driver"], row["Tasks"], row["Labels"]), ("local", "3", "tier=db"))
        self.assertEqual(row["Nodes"].split(","), sorted(h.name for h in cluster.workers))
        [whole] = json.loads(cluster.ctl("volume", "inspect", "data").stdout)
        self.assertEqual(len(whole["Nodes"]), 3)
        self.refused(cluster, "volume", "rm", "data", says="web")
        cluster.ctl("service", "rm", "web")
        cluster.until(lambda: self.volumes(cluster)["data"]["Tasks"] == "0", "nobody to use it")
        cluster.ctl("volume", "rm", "data")
        self.assertEqual(self.volumes(cluster), {})
        told = subprocess.Popen([*cluster.ctl_command(), "--format", "json", "events", "--filter", "type=volume", "--since", str(since)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(told.stdout.close)
        self.addCleanup(told.wait)
        self.addCleanup(told.kill)
        for action in ("create", "remove"):
            event = json.loads(told.stdout.readline())
            self.assertEqual((event["Type"], event["Action"], event["Actor"]["Attributes"]["name"]), ("volume", action, "data"))
        for host in cluster.hosts:
            self.assertEqual(os.listdir(os.path.join(host.dir, "agent", "volumes")), [])

    def test_an_empty_volume_gets_what_the_image_has_and_anonymous_ones_go_with_the_task(self):
        cluster = self.cluster(workers=0)
        host = cluster.manager
        with tempfile.TemporaryDirectory() as extra:
            os.makedirs(os.path.join(extra, "srv", "sub"), mode=0o750)
            with open(os.path.join(extra, "srv", "sub", "page"), "w") as f:
                f.write("of the image\n")
            archive = os.path.join(cluster.dir, "filled.tar")
            run(os.path.join(ROOT, "deploy", "make-test-image"), "--volume", "/anon", archive, "localhost/filled:1", extra)
        host.ctl("image", "load", "-i", archive)
        self.create(cluster, "a", "--mount", "source=full,target=/srv", "--mount", "source=none,target=/srv2",
                    "--mount", "source=raw,target=/srv3", image="localhost/filled:1")
        self.create(cluster, "b", "--mount", "source=nocopy,target=/srv,volume-nocopy", image="localhost/filled:1")
        [a], [b] = cluster.wait_running("a", 1), cluster.wait_running("b", 1)
        self.assertEqual(self.shell(cluster, a, "cat /srv/sub/page; stat -c %a /srv/sub").stdout, "of the image\n750\n")
        self.assertEqual(self.shell(cluster, b, "ls /srv").stdout, "")
        volumes = os.path.join(host.dir, "agent", "volumes")
        self.shell(cluster, a, "echo x > /anon/x")
        self.assertEqual(len([v for v in os.listdir(volumes) if v.startswith("_")]), 2)
        self.assertNotIn("_", "".join(self.volumes(cluster)))
        cluster.ctl("service", "rm", "a", "b")
        wait_for(lambda: not [v for v in os.listdir(volumes) if v.startswith("_")], "anonymous volumes to go")
        self.assertEqual(sorted(os.listdir(volumes)), ["full", "nocopy", "none", "raw"])

    def test_binds_tmpfs_and_options_do_what_they_say_or_say_why_not(self):
        cluster = self.cluster(workers=0)
        source = os.path.join(cluster.dir, "source")
        missing = os.path.join(cluster.dir, "missing")
        os.makedirs(source)
        with open(os.path.join(source, "file"), "w") as f:
            f.write("host\n")
        self.create(cluster, "good", "--mount", f"type=bind,source={source},target=/b,readonly",
                    "--mount", "type=tmpfs,target=/t,tmpfs-size=64k,tmpfs-mode=1770",
                    "--mount", "source=cache,target=/c,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=64k")
        [task] = cluster.wait_running("good", 1)
        self.assertEqual(self.shell(cluster, task, "cat /b/file; touch /b/x 2>/dev/null || echo no").stdout, "host\nno\n")
        self.assertEqual(self.shell(cluster, task, "stat -c %a /t").stdout, "1770\n")
        for folder in ("/t", "/c"):
            self.assertNotEqual(self.shell(cluster, task, f"dd if=/dev/zero of={folder}/x bs=1k count=100", check=False).returncode, 0)
        self.create(cluster, "lost", "--mount", f"type=bind,source={missing},target=/b")
        self.reason(cluster, "lost", f"bind source path does not exist: {missing}")
        self.create(cluster, "made", "--mount", f"type=bind,source={missing},target=/b,bind-create-host-path")
        cluster.wait_running("made", 1)
        self.create(cluster, "far", "--mount", "source=db,target=/db,volume-driver=rexray")
        self.reason(cluster, "far", 'volume driver "rexray" is not on 1 node')
        self.create(cluster, "part", "--mount", "source=parts,target=/c,volume-subpath=sub")
        self.reason(cluster, "part", 'subpath "sub" is not in it')
        self.create(cluster, "whole", "--mount", "source=parts,target=/w", "--mount", "source=slot-{{.Task.Slot}},target=/s")
        [whole] = cluster.wait_running("whole", 1)
        # What a container puts there leads to nothing of the node.
        self.shell(cluster, whole, "ln -s /etc /w/sub")
        self.reason(cluster, "part", 'subpath "sub" is not in it')
        self.shell(cluster, whole, "rm /w/sub; mkdir /w/sub; echo part > /w/sub/file")
        [part] = cluster.wait_running("part", 1)
        self.assertEqual(self.shell(cluster, part, "cat /c/file").stdout, "part\n")
        self.assertIn("slot-1", self.volumes(cluster))
        cluster.ctl("service", "rm", "good", "lost", "made", "far", "part", "whole")
        wait_for(lambda: not [m for m in cluster.manager.mounts() if "/volumes/" in m], "the volume's mount to go")
        for args, says in ((("--mount", "source=a,target=b"), "target"), (("--mount", "type=bind,source=x,target=/b"), "absolute"),
                           (("--mount", "target=/b,volume-opt=sice=1"), "sice"), (("--security-opt", "apparmor=x"), "AppArmor")):
            refused = cluster.ctl("service", "create", "--detach", "--name", "bad", *args, TEST_IMAGE, check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn(says, refused.stderr)

    def test_devices_and_privileges_are_given_to_whom_they_were_promised_alone(self):
        cluster = self.cluster(workers=0)
        device = next((d for d in ("/dev/fuse", "/dev/loop-control", "/dev/net/tun") if os.path.exists(d)), None)
        if device is None:
            self.skipTest("this machine has no device that containers do not have anyway")
        major, minor = os.major(os.stat(device).st_rdev), os.minor(os.stat(device).st_rdev)
        self.create(cluster, "plain")
        self.create(cluster, "given", "--device", f"{device}:/dev/given:r", "--security-opt", "seccomp=unconfined")
        self.create(cluster, "all", "--privileged")
        for name in ("plain", "given", "all"):
            cluster.wait_running(name, 1)

        def inside(service, script):
            return cluster.ctl("service", "exec", service, "sh", "-c", script, check=False).stdout

        self.assertEqual(inside("plain", f"mknod /x c {major} {minor} && echo made; : < /x && echo yes"), "made\n")
        self.assertEqual(inside("given", ": < /dev/given && echo yes"), "yes\n")
        self.assertEqual(inside("given", ": >> /dev/given && echo yes"), "")
        self.assertEqual(inside("all", f": < {device} && echo yes"), "yes\n")
        self.assertEqual([inside(s, "grep Seccomp: /proc/self/status") for s in ("plain", "given", "all")],
                         ["Seccomp:\t2\n", "Seccomp:\t0\n", "Seccomp:\t0\n"])

    def test_a_stack_says_its_volumes_before_its_services_and_keeps_them(self):
        cluster = self.cluster(workers=0)
        path = os.path.join(cluster.dir, "stack.yml")
        os.makedirs(os.path.join(cluster.dir, "conf"))
        with open(os.path.join(cluster.dir, "conf", "app"), "w") as f:
            f.write("setting\n")
        with open(path, "w") as f:
            f.write(f"""
services:
  db:
    image: {TEST_IMAGE}
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $$!; done"]
    volumes: ["data:/data", "./conf/:/etc/app/:ro"]
    tmpfs: ["/scratch:size=64k"]
    shm_size: 1m
    privileged: true
volumes:
  data: {{labels: {{tier: db}}}}
""")
        out = cluster.ctl("stack", "deploy", "-c", path, "shop").stdout
        self.assertLess(out.index("Creating volume shop_data"), out.index("Creating service shop_db"))
        [task] = cluster.wait_running("shop_db", 1)
        self.assertEqual(self.shell(cluster, task, "echo 1 > /data/x; cat /etc/app/app").stdout, "setting\n")
        filled = self.shell(cluster, task, "dd if=/dev/zero of=/dev/shm/x bs=1k count=2000 2>/dev/null; stat -c %s /dev/shm/x; rm /dev/shm/x")
        self.assertEqual(filled.stdout, "1048576\n")
        cluster.ctl("stack", "rm", "shop")
        self.assertIn("shop_data", self.volumes(cluster))
        self.assertNotIn("Creating volume", cluster.ctl("stack", "deploy", "-c", path, "shop").stdout)
        [again] = cluster.wait_running("shop_db", 1)
        self.assertEqual(self.shell(cluster, again, "cat /data/x").stdout, "1\n")


if __name__ == "__main__":
    main()
