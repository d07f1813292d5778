"""A machine within the machine: this system's root under an overlay, with namespaces and cgroups of its own.

What runs inside may install, start daemons and take ports as on a machine that it owns; nothing of it reaches
the outside. With init="systemd" systemd is its pid 1, with init=None a process that only waits.
"""
import glob
import os
import shutil
import signal
import subprocess
import tempfile

from harness import CLEANUP, DEADLINE, in_any_case, remove_cgroup, run, wait_for

BOOT = r"""
set -e
cd "$1"
mount --make-rprivate /
mount -t tmpfs -o mode=755 upper "$1/upper"
mkdir "$1/upper/u" "$1/upper/w"
mount -t overlay root -o "lowerdir=/,upperdir=$1/upper/u,workdir=$1/upper/w" "$1/root"
cd "$1/root"
# Containers need an upper layer that is no overlay itself: /var/lib is a tmpfs that shows what is needed of it.
mkdir -p "$1/upper/lib"
for name in dpkg dbus; do [ -d "/var/lib/$name" ] && mkdir -p "$1/upper/lib/$name" && mount --bind "/var/lib/$name" "$1/upper/lib/$name"; done
mount --rbind "$1/upper/lib" var/lib
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
while read -r options folder; do
  mkdir "sys/fs/cgroup/$folder"
  if [ "$options" = cgroup2 ]; then mount -t cgroup2 cgroup2 "sys/fs/cgroup/$folder"
  else mount -t cgroup -o "$options" cgroup "sys/fs/cgroup/$folder"; fi
done < "$1/hierarchies"
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do touch "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
mount -t tmpfs shm dev/shm
mount -t tmpfs -o mode=755 run run
# The checkout may lie in /tmp, which systemd empties when it boots.
mkdir -p etc/tmpfiles.d
: > etc/tmpfiles.d/tmp.conf
ip link set lo up
if [ "$2" = systemd ]; then
  exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --system --unit=basic.target
fi
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /bin/sh -c 'trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done'
"""


class Machine:
    def __init__(self, register, init=None):
        """`register` is told what removes the machine before anything of it is made."""
        self.dir = tempfile.mkdtemp(prefix="machine-")
        self.name = os.path.basename(self.dir)
        self.outer = self.pid = None
        self.cgroups = []
        self.log = open(os.path.join(self.dir, "log"), "wb")
        register(self.remove)
        os.mkdir(os.path.join(self.dir, "upper"))
        os.mkdir(os.path.join(self.dir, "root"))
        lines = []
        with open("/proc/self/mountinfo") as f:
            for line in f:
                fields, _, tail = line.partition(" - ")
                kind, _, options = tail.split()
                point = fields.split()[4]
                if kind not in ("cgroup", "cgroup2"):
                    continue
                keep = {"cgroup2"} if kind == "cgroup2" else set(options.split(",")) - {"rw", "xattr", "relatime"}
                named = [o for o in keep if o.startswith("name=")]
                spec = f"none,{named[0]}" if named else ",".join(sorted(keep))
                lines.append(f"{spec} {os.path.basename(point)}\n")
                self.cgroups.append(os.path.join(point, self.name))
        with open(os.path.join(self.dir, "hierarchies"), "w") as f:
            f.writelines(lines)
        for cgroup in self.cgroups:
            os.mkdir(cgroup)
            if os.path.exists(os.path.join(os.path.dirname(cgroup), "cpuset.cpus")):
                for file in ("cpuset.cpus", "cpuset.mems"):
                    shutil.copyfile(os.path.join(os.path.dirname(cgroup), file), os.path.join(cgroup, file))
        self.outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child",
             "bash", "-c", BOOT, "machine", self.dir, init or "none"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            preexec_fn=self._enter_cgroups)
        self.pid = wait_for(self._init_pid, "the machine to boot")
        if init == "systemd":
            wait_for(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                     "systemd to be up")

    def _enter_cgroups(self):
        for cgroup in self.cgroups:
            with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
                f.write(str(os.getpid()))

    def _init_pid(self):
        """The machine's pid 1 as we see it, once it has changed its root. (Should this test die, so does all of it.)"""
        if self.outer.poll() is not None:
            with open(os.path.join(self.dir, "log")) as f:
                raise AssertionError(f"the machine did not boot: {f.read()}")
        with open(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children") as f:
            children = f.read().split()
        if children and os.readlink(f"/proc/{children[0]}/root") != "/":
            return int(children[0])
        return None

    def run(self, *command, check=True, timeout=DEADLINE, env=()):
        return run("nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", "--",
                   "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", *env,
                   *command, check=check, timeout=timeout)

    def remove(self):
        """Harmless to do twice."""
        in_any_case([self._end, *(lambda c=cgroup: wait_for(lambda: remove_cgroup(c), f"{c} to be empty", CLEANUP)
                                  for cgroup in self.cgroups)])
        shutil.rmtree(self.dir, ignore_errors=True)

    def _end(self):
        if self.outer and self.outer.poll() is None:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            else:
                self.outer.kill()
            self.outer.wait()
        self.log.close()


def connect(machines):
    """Two machines at one wire: 10.98.1.1 and 10.98.1.2, each on its eth0, which also is the way to everywhere."""
    first, second = machines
    run("ip", "link", "add", "eth0", "netns", str(first.pid), "type", "veth", "peer", "name", "eth0", "netns", str(second.pid))
    for number, machine in enumerate(machines, 1):
        machine.run("ip", "addr", "add", f"10.98.1.{number}/24", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "route", "add", "default", "dev", "eth0")


def leftovers(machine):
    """What is there of the product, beside where it was built: files, cgroups, the user, processes."""
    script = """
      ls -d /usr/local/bin/swarm* /usr/local/bin/.swarm* /var/lib/swarm /run/swarm /etc/systemd/system/swarm* /var/log/swarm* \
            /sys/fs/cgroup/swarm /sys/fs/cgroup/*/swarm 2>/dev/null
      getent passwd swarm; getent group swarm
      pgrep -l swarm; exit 0"""
    return machine.run("sh", "-c", script).stdout.splitlines()
