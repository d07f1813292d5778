#!/usr/bin/env python3
"""The commands of deploy/vm-cluster, which installs and builds what `up` needs."""
import argparse
import os
import re
import signal
import subprocess
import sys
import time

from vm_cluster import BUILD, IMAGE, NETWORK, Refused, VmCluster, context_file

EXAMPLES = """examples:
  sudo deploy/vm-cluster up -n 3
  swarmctl --context vm-cluster node ls
  swarmctl --context vm-cluster service create --name web --replicas 3 -p 8080:80 localhost/hello:1
  sudo deploy/vm-cluster exec n2 tail -f /var/log/swarm-agent.log
  sudo deploy/vm-cluster exec n3 tc qdisc add dev eth0 root netem delay 50ms loss 2%
  sudo deploy/vm-cluster kill n3 && sudo deploy/vm-cluster start n3
  sudo deploy/vm-cluster down
"""


def say(words):
    print(f"\033[1m==> {words}\033[0m", file=sys.stderr, flush=True)


class Stopwatch:
    """Says each step with the seconds that it took."""

    def __init__(self):
        self.began = self.last = time.monotonic()

    def __call__(self, words):
        now = time.monotonic()
        say(f"{words} ({now - self.last:.1f} s)")
        self.last = now


def up(folder, options):
    watch = Stopwatch()
    cluster = VmCluster.make(folder, options.n, watch, options.network, options.accel)
    say(f"{options.n} machines, {watch.last - watch.began:.0f} s")
    network = cluster.place.network
    print(f"""
They run Linux {kernel_release(cluster)}, and {IMAGE} is on all of them. From this machine:
  swarmctl --context {cluster.name} node ls      (or once: export SWARM_CONTEXT={cluster.name}; swarmctl is {BUILD}/bin/swarmctl)
  sudo deploy/vm-cluster exec n2 top             a program on a machine; without one, a shell
  curl http://{network[1]}:PORT/                  what a service publishes, by any machine: {network[1]} to {network[options.n]}
  sudo deploy/vm-cluster down                    removes all of it""")


def kernel_release(cluster):
    return cluster.machines[0].run("uname", "-r").stdout.strip()


def status(folder, _):
    cluster = VmCluster(folder)
    listed = cluster.ctl("--format", "{{.Hostname}}\t{{.Status}}\t{{.ManagerStatus}}", "node", "ls", check=False, timeout=20)
    nodes = dict(line.split("\t", 1) for line in listed.stdout.splitlines())
    print(f"{'NAME':<6}{'ADDRESS':<16}{'MACHINE':<10}{'PID':<9}{'MEMORY':<9}NODE")
    for machine in cluster.machines:
        pid = machine.pid()
        node = " ".join(nodes.get(machine.name, "unknown").split("\t")).strip()
        print(f"{machine.name:<6}{machine.address:<16}{'running' if pid else 'dead':<10}{pid or '-':<9}{memory(pid):<9}{node}")
    if listed.returncode != 0:
        print(listed.stderr.strip(), file=sys.stderr)


def memory(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            return next(f"{int(line.split()[1]) >> 10} MB" for line in f if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return "-"


def execute(folder, options):
    cluster = VmCluster(folder)
    machine = cluster.machine(options.node)
    if machine.pid() is None:
        raise Refused(f"{machine.name} does not run: `deploy/vm-cluster start {machine.name}`")
    command = machine.shell(*options.command)
    os.chdir(cluster.folder)
    os.execvp(command[0], command)


def control(folder, options):
    command = [*VmCluster(folder).ctl_command(), *options.command]
    os.execv(command[0], command)


def kill(folder, options):
    machine = VmCluster(folder).machine(options.node)
    if machine.pid() is None:
        raise Refused(f"{machine.name} does not run")
    machine.kill()
    say(f"killed {machine.name}; its disk stays")


def start(folder, options):
    machine = VmCluster(folder).machine(options.node)
    if machine.pid() is not None:
        raise Refused(f"{machine.name} runs already, pid {machine.pid()}")
    watch = Stopwatch()
    machine.start()
    machine.wait_ready()
    watch(f"{machine.name} is up")


def load(folder, options):
    names = VmCluster(folder).load(options.archive)
    say(f"loaded {options.archive} on {', '.join(names)}")


def down(folder, _):
    VmCluster(folder).remove()
    say(f"removed the machines, their network, and the context {os.path.basename(folder)}")


def name(word):
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,14}", word):
        raise argparse.ArgumentTypeError(f"{word!r}: 1 to 15 of a-z, 0-9 and -, since a link has that name")
    return word


def parse(args):
    parser = argparse.ArgumentParser(prog="deploy/vm-cluster", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="A cluster of virtual machines on this one, Debian's own kernel in each. Needs root.")
    parser.add_argument("--name", default="vm-cluster", type=name, help="of its folder in the build folder, namespace, link and context (%(default)s)")
    commands = parser.add_subparsers(dest="call", required=True, metavar="COMMAND")

    def command(name, call, words):
        sub = commands.add_parser(name, help=words, description=words)
        sub.set_defaults(call=call)
        return sub

    sub = command("up", up, "boot the machines, join them into one cluster, leave a context for swarmctl")
    sub.add_argument("-n", type=int, default=3, metavar="N", help="machines, of which the first is the manager (%(default)s)")
    sub.add_argument("--network", default=NETWORK, metavar="CIDR", help="of their addresses (%(default)s)")
    sub.add_argument("--accel", default=os.environ.get("SWARM_VM_ACCEL", "tcg"), choices=("tcg", "kvm"),
                     help="of qemu; kvm is fast where it works (SWARM_VM_ACCEL, else tcg)")
    command("status", status, "the machines and their nodes")
    sub = command("exec", execute, "run a program on a machine with our input and output, as root; its exit status is ours")
    sub.add_argument("node", metavar="NODE")
    sub.add_argument("command", metavar="CMD", nargs=argparse.REMAINDER, help="and its arguments; without one, a shell")
    sub = command("ctl", control, "swarmctl with the cluster's context")
    sub.add_argument("command", metavar="ARG", nargs=argparse.REMAINDER)
    sub = command("load", load, "load an image's archive on all machines")
    sub.add_argument("archive", metavar="FILE")
    sub = command("kill", kill, "the power of a machine goes; its disk stays")
    sub.add_argument("node", metavar="NODE")
    sub = command("start", start, "boot a machine that was killed, with its disk")
    sub.add_argument("node", metavar="NODE")
    command("down", down, "end the machines and remove all that `up` made")
    return parser.parse_args(args)


def main():
    options = parse(sys.argv[1:])
    if os.getuid() != 0:
        sys.exit("error: deploy/vm-cluster needs root: links, namespaces")
    # Not so that something stays half made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    folder = os.path.join(os.environ.get("SWARM_BUILD_DIR") or os.path.dirname(BUILD), options.name)
    try:
        options.call(folder, options)
    except Refused as refusal:
        sys.exit(f"error: {refusal}")
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
