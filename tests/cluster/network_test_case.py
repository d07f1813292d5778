"""What tests of networks ask: from inside a container, from a host, of a container's resolver."""
from harness import ClusterTest, TEST_IMAGE, run


class NetworkTestCase(ClusterTest):
    def create(self, cluster, name, *flags, command):
        return cluster.ctl("service", "create", "--detach", "--name", name, *flags, TEST_IMAGE, *command)

    def init_pid(self, cluster, task):
        return next(h for h in cluster.hosts if h.name == task["Node"]).init_pid(task["ID"])

    def inside(self, cluster, task, *command, check=True):
        """A program of this machine in the network namespace of a task's container."""
        return run("nsenter", f"--net=/proc/{self.init_pid(cluster, task)}/ns/net", "--", *command, check=check)

    def dig(self, cluster, task, name, kind="A", patience=2):
        """The answers, sorted; none within `patience` seconds is a failure."""
        out = self.inside(cluster, task, "dig", "+short", f"+time={patience}", "+tries=1", "@127.0.0.11", kind, name).stdout
        return sorted(out.split())

    def fetch(self, namespace, url, check=True):
        return run("nsenter", f"--net=/run/netns/{namespace}", "--", "curl", "-gsS", "--max-time", "5", url, check=check)
