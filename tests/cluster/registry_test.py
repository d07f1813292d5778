#!/usr/bin/env python3
"""Images out of a registry: Debian's docker-registry runs beside the manager, by HTTP on :5000, by HTTPS on :5443."""
import glob
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile

from harness import ClusterTest, ROOT, main, run, wait_for

STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
IP = "10.99.0.1"  # of the first host of every cluster
HTTP, HTTPS = f"{IP}:5000", f"{IP}:5443"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


class RegistryTest(ClusterTest):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="registry-")
        os.chmod(self.dir, 0o755)  # the manager is another user, and reads the CA
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.servers = {}
        self.addCleanup(lambda: [self.stop_registry(host) for host in list(self.servers)])

    # --- the registry

    def authority(self, name):
        """Makes a CA and, signed by it, a certificate of the registry; the path of the CA."""
        base = os.path.join(self.dir, name)
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        run(*new, "-subj", f"/CN={name} CA", "-keyout", f"{base}-ca.key", "-out", f"{base}-ca.pem")
        run(*new, "-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{IP}", "-CA", f"{base}-ca.pem",
            "-CAkey", f"{base}-ca.key", "-keyout", f"{base}.key", "-out", f"{base}.pem",
            "-addext", "basicConstraints=critical,CA:FALSE")
        return f"{base}-ca.pem"

    def inside(self, cluster):
        return ["nsenter", f"--net=/run/netns/{cluster.manager.namespace}", "--"]

    def start_registry(self, cluster, host=HTTP):
        """One more server of the same storage."""
        port = host.rpartition(":")[2]
        config, log_path = (os.path.join(self.dir, f"{port}.{kind}") for kind in ("yml", "log"))
        tls = f", tls: {{certificate: {self.dir}/own.pem, key: {self.dir}/own.key}}" if host == HTTPS else ""
        with open(config, "w") as f:
            f.write(f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {self.dir}/data}}}}\n"
                    f'http: {{addr: "{host}"{tls}}}\n')
        with open(log_path, "wb") as log:
            server = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *self.inside(cluster), "docker-registry", "serve", config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.servers[host] = server
        wait_for(lambda: "listening on" in self.registry_log(host) or server.poll() is not None, "the registry to listen")
        self.assertIsNone(server.poll(), self.registry_log(host))

    def stop_registry(self, host=HTTP):
        server = self.servers.pop(host)
        server.send_signal(signal.SIGKILL)
        server.wait()

    def registry_log(self, host=HTTP):
        with open(os.path.join(self.dir, f"{host.rpartition(':')[2]}.log"), errors="replace") as f:
            return f.read()

    def image(self, mark, architecture=HERE):
        """An image of its own (no node has its layer): /mark says which. The folder of its OCI layout."""
        layout = os.path.join(self.dir, f"{mark}.layout")
        with tempfile.TemporaryDirectory() as extra:
            with open(os.path.join(extra, "mark"), "w") as f:
                f.write(mark)
            run(os.path.join(ROOT, "deploy", "make-test-image"), f"{layout}.tar", "x:1", extra)
        os.makedirs(layout)
        run("tar", "-C", layout, "-xf", f"{layout}.tar")
        if architecture != HERE:
            run("umoci", "config", "--image", f"{layout}:x:1", "--architecture", architecture)
        return layout

    def push(self, cluster, mark, name, architecture=HERE):
        """Pushes an image; the digest that the registry gives it."""
        out = os.path.join(self.dir, "pushed")
        run(*self.inside(cluster), "skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--digestfile", out,
            f"oci:{self.image(mark, architecture)}:x:1", f"docker://{HTTP}/{name}")
        with open(out) as f:
            return f.read().strip()

    def blob(self, digest):
        """The file in the registry's storage."""
        name = digest.split(":")[1]
        return f"{self.dir}/data/docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"

    def document(self, digest):
        with open(self.blob(digest)) as f:
            return json.load(f)

    def put_index(self, cluster, name, manifests):
        """A manifest list of [(digest, architecture)]; its digest."""
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [
            {"mediaType": self.document(digest).get("mediaType", "application/vnd.oci.image.manifest.v1+json"), "digest": digest,
             "size": os.path.getsize(self.blob(digest)), "platform": {"os": "linux", "architecture": architecture}}
            for digest, architecture in manifests]}
        body = json.dumps(index)
        repository, tag = name.split(":")
        run(*self.inside(cluster), "curl", "--fail-with-body", "-sS", "-X", "PUT", "-H", f"Content-Type: {INDEX_TYPE}",
            "--data-binary", "@-", f"http://{HTTP}/v2/{repository}/manifests/{tag}", input=body)
        return "sha256:" + hashlib.sha256(body.encode()).hexdigest()

    # --- what nodes have

    def create(self, cluster, name, image, *flags):
        return cluster.ctl("service", "create", "--detach", "--name", name, *flags, image, *STAY)

    def pinned(self, cluster, service):
        [inspected] = json.loads(cluster.ctl("service", "inspect", service).stdout)
        return inspected["ImageDigest"]

    def marks(self, host):
        """What /mark says in each container of the host, as the kernel shows it."""
        found = []
        for container in host.container_pids():
            with open(f"/proc/{host.init_pid(container)}/root/mark") as f:
                found.append(f.read())
        return found

    def images(self, host):
        out = host.ctl("--format", "json", "image", "ls").stdout
        return {f"{i['Repository']}:{i['Tag']}": i["Digest"] for i in map(json.loads, out.splitlines())}

    def store(self, host):
        """(blobs, layers, what is being made) of the host's image store."""
        root = os.path.join(host.dir, "agent", "images")
        return tuple(sorted(map(os.path.basename, glob.glob(f"{root}/{where}/*")))
                     for where in ("blobs/sha256", "layers", "ingest"))

    def error(self, cluster, service, words, state):
        """A task of the service that is in `state` and whose error has all the words."""
        def find():
            return next((t for t in cluster.tasks(service) if t["CurrentState"].startswith(state) and
                         all(word in t["Error"] for word in words)), None)
        return cluster.until(find, f"a task of {service} that is {state} with {words}")

    # --- the tests

    def test_a_service_runs_the_same_pinned_digest_on_three_nodes_by_http_and_https(self):
        ca = self.authority("own")
        cluster = self.cluster(flags=["--insecure-registry", HTTP, "--registry-ca", ca])
        self.start_registry(cluster)
        self.start_registry(cluster, HTTPS)
        for service, host in (("plain", HTTP), ("tls", HTTPS)):
            digest = self.push(cluster, service, f"{service}:1")
            self.create(cluster, service, f"{host}/{service}:1", "--replicas", "3")
            tasks = cluster.wait_running(service, 3)
            self.assertEqual({t["Node"] for t in tasks}, {"h1", "h2", "h3"})
            self.assertEqual(self.pinned(cluster, service), digest)
            for node in cluster.workers:
                self.assertEqual(self.images(node)[f"{host}/{service}:1"], digest)
        self.assertIn("swarm/", self.registry_log(HTTP))  # how the log names us: other tests look that it does not
        self.assertIn("swarm/", self.registry_log(HTTPS))
        # The tag moves on; the service keeps its digest, also on a node that has never seen it.
        newer = self.push(cluster, "newer", "plain:1")
        self.assertNotEqual(newer, self.pinned(cluster, "plain"))
        cluster.join(cluster.add_host())
        cluster.ctl("service", "scale", "--detach", "plain=4")
        cluster.wait_running("plain", 4)
        self.assertEqual(sorted(m for h in cluster.workers for m in self.marks(h)), ["plain"] * 4 + ["tls"] * 3)

    def test_a_manifest_list_picks_the_platform(self):
        cluster = self.cluster(workers=1, flags=["--insecure-registry", HTTP])
        self.start_registry(cluster)
        ours = self.push(cluster, "ours", "many:ours")
        other = self.push(cluster, "other", "many:other", architecture="s390x")
        index = self.put_index(cluster, "many:1", [(other, "s390x"), (ours, HERE)])
        self.create(cluster, "web", f"{HTTP}/many:1")
        cluster.wait_running("web", 1)
        self.assertEqual(self.pinned(cluster, "web"), index)
        self.assertEqual(self.marks(cluster.workers[0]), ["ours"])
        self.assertFalse(set(self.document(other)["layers"][0]["digest"].split(":")[1:]) & set(self.store(cluster.workers[0])[0]))
        # Images for other machines alone, in a list and without one.
        self.put_index(cluster, "many:2", [(other, "s390x")])
        for name, tag in (("list", "2"), ("single", "other")):
            self.create(cluster, name, f"{HTTP}/many:{tag}")
            self.error(cluster, name, ["platform"], "Pending")
            self.refused(cluster, "image", "pull", f"{HTTP}/many:{tag}", says=["s390x", HERE], host=cluster.workers[0])

    def test_images_are_pulled_listed_and_removed_on_a_node(self):
        cluster = self.cluster(workers=1, flags=["--insecure-registry", HTTP])
        self.start_registry(cluster)
        host, name = cluster.workers[0], f"{HTTP}/app:1"
        digest = self.push(cluster, "app", "app:1")
        before = self.store(host)
        pulled = host.ctl("image", "pull", name)
        self.assertIn(f"Digest: {digest}", pulled.stdout)
        self.assertEqual(pulled.stdout.splitlines()[-1], name)
        self.assertEqual(self.images(host)[name], digest)
        self.create(cluster, "web", name)
        cluster.wait_running("web", 1)
        self.refused(cluster, "image", "rm", name, says=[name, "used"], host=host)
        cluster.ctl("service", "rm", "web")
        cluster.until(lambda: not host.cgroups(), "the container to be gone")
        removed = cluster.until(lambda: (lambda r: r if r.returncode == 0 else None)(host.ctl("image", "rm", name, check=False)),
                                "the image to be free").stdout
        self.assertIn(f"Untagged: {name}", removed)
        self.assertIn(f"Deleted: {digest}", removed)
        self.assertNotIn(name, self.images(host))
        self.assertEqual(self.store(host), before, "nothing is left of it")
        self.refused(cluster, "image", "rm", name, says=[name, "no such image"], host=host)
        self.refused(cluster, "image", "pull", f"{HTTP}/app:2", says=[HTTP, "no such image", "app:2"], host=host)
        # By digest, and once more by name.
        host.ctl("image", "pull", f"{HTTP}/app@{digest}")
        self.assertIn(digest, self.images(host).values())
        host.ctl("image", "pull", "-q", name)
        self.assertEqual(self.images(host)[name], digest)

    def test_an_unknown_image_is_refused_and_creates_nothing(self):
        cluster = self.cluster(workers=1, flags=["--insecure-registry", HTTP])
        self.start_registry(cluster)
        self.push(cluster, "app", "app:1")
        for name in ("app:2", "nothing:1"):
            self.refused(cluster, "service", "create", "--name", "web", f"{HTTP}/{name}", says=[name, "no such image", "no node has it"])
        self.assertEqual(cluster.rows("service", "ls"), [])
        # An update to it is refused too, and what runs goes on.
        self.create(cluster, "web", f"{HTTP}/app:1")
        [task] = cluster.wait_running("web", 1)
        self.refused(cluster, "service", "update", "--image", f"{HTTP}/app:2", "web", says=["app:2", "no such image"])
        self.assertEqual([t["ID"] for t in cluster.tasks("web")], [task["ID"]])

    def test_a_digest_that_the_registry_does_not_have_is_rejected_in_words(self):
        cluster = self.cluster(workers=1, flags=["--insecure-registry", HTTP])
        self.start_registry(cluster)
        self.push(cluster, "app", "app:1")
        wrong = "sha256:" + "0" * 63 + "1"
        self.create(cluster, "web", f"{HTTP}/app:1@{wrong}", "--restart-condition", "none")
        self.error(cluster, "web", [HTTP, "no such image", wrong], "Rejected")
        self.assertEqual(self.store(cluster.workers[0])[2], [])

    def test_a_registry_that_is_down_makes_a_service_wait_and_start_by_itself(self):
        cluster = self.cluster(workers=2, flags=["--insecure-registry", HTTP])
        self.start_registry(cluster)
        digest = self.push(cluster, "late", "late:1")
        self.stop_registry()
        created = self.create(cluster, "web", f"{HTTP}/late:1", "--replicas", "2")
        self.assertIn("connection refused", created.stderr)
        self.error(cluster, "web", [HTTP, "connection refused"], "Pending")
        self.start_registry(cluster)
        cluster.wait_running("web", 2)
        self.assertEqual(self.pinned(cluster, "web"), digest)
        self.assertEqual([self.marks(h) for h in cluster.workers], [["late"], ["late"]])

    def test_a_registry_that_dies_after_the_pin_fails_the_pull_in_words_and_heals(self):
        cluster = self.cluster(workers=1, flags=["--insecure-registry", HTTP])
        self.start_registry(cluster)
        digest = self.push(cluster, "app", "app:1")
        self.stop_registry()
        self.create(cluster, "web", f"{HTTP}/app:1@{digest}", "--restart-delay", "1s")
        self.error(cluster, "web", [HTTP, "connection refused"], "")
        self.start_registry(cluster)
        cluster.wait_running("web", 1)
        self.assertEqual(self.marks(cluster.workers[0]), ["app"])

    def test_a_tampered_blob_is_a_digest_mismatch_and_leaves_nothing_unpacked(self):
        cluster = self.cluster(workers=1, flags=["--insecure-registry", HTTP])
        self.start_registry(cluster)
        host = cluster.workers[0]
        digest = self.push(cluster, "app", "app:1")
        layer = self.document(digest)["layers"][0]["digest"]
        _, layers, _ = self.store(host)
        # In the middle (of the compressed stream), and in the last bytes (which unpacking might not look at).
        for where in (os.path.getsize(self.blob(layer)) // 2, -4):
            with open(self.blob(layer), "r+b") as f:
                f.seek(where, os.SEEK_SET if where >= 0 else os.SEEK_END)
                good = f.read(4)
                f.seek(-4, os.SEEK_CUR)
                f.write(bytes(b ^ 0xff for b in good))
            self.create(cluster, "web", f"{HTTP}/app:1", "--restart-condition", "none")
            self.error(cluster, "web", [HTTP, layer, "expected", "got"], "Rejected")
            self.refused(cluster, "image", "pull", f"{HTTP}/app:1", says=[HTTP, layer, "expected", "got"], host=host)
            blobs, layers_now, making = self.store(host)
            self.assertEqual((layers_now, making), (layers, []))
            self.assertNotIn(layer.split(":")[1], blobs)
            self.assertNotIn(f"{HTTP}/app:1", self.images(host))
            self.assertEqual(host.mounts(), [])
            cluster.ctl("service", "rm", "web")
            cluster.until(lambda: not cluster.rows("service", "ls"), "the service to be gone")
            with open(self.blob(layer), "r+b") as f:
                f.seek(where, os.SEEK_SET if where >= 0 else os.SEEK_END)
                f.write(good)
        # A blob that was cut off.
        size = os.path.getsize(self.blob(layer))
        shutil.copyfile(self.blob(layer), f"{self.dir}/whole")
        os.truncate(self.blob(layer), size // 2)
        self.refused(cluster, "image", "pull", f"{HTTP}/app:1", says=[HTTP, "truncated"], host=host)
        self.assertEqual(self.store(host)[1:], (layers, []))
        # And once the registry is whole again, so are we.
        shutil.copyfile(f"{self.dir}/whole", self.blob(layer))
        self.create(cluster, "web", f"{HTTP}/app:1")
        cluster.wait_running("web", 1)

    def test_a_registry_that_is_not_named_insecure_is_never_spoken_to_by_http(self):
        cluster = self.cluster(workers=1)
        self.start_registry(cluster)
        self.push(cluster, "app", "app:1")
        self.refused(cluster, "image", "pull", f"{HTTP}/app:1", says=[HTTP, "insecure"], host=cluster.workers[0])
        created = self.create(cluster, "web", f"{HTTP}/app:1")
        self.assertIn("insecure", created.stderr)
        self.error(cluster, "web", [HTTP, "insecure"], "Pending")
        self.assertNotIn("swarm/", self.registry_log(), "a request by HTTP")

    def test_a_certificate_of_another_authority_is_refused_in_words(self):
        self.authority("own")
        wrong = self.authority("wrong")
        cluster = self.cluster(workers=1, flags=["--registry-ca", wrong])
        self.start_registry(cluster, HTTPS)
        self.refused(cluster, "image", "pull", f"{HTTPS}/app:1", says=[HTTPS, "TLS", "certificate"], host=cluster.workers[0])
        created = self.create(cluster, "web", f"{HTTPS}/app:1")
        self.assertIn("certificate", created.stderr)
        self.error(cluster, "web", [HTTPS, "TLS", "certificate"], "Pending")
        self.assertNotIn("swarm/", self.registry_log(HTTPS), "a request without trust")


if __name__ == "__main__":
    main()
