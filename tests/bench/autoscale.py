"""How soon replicas follow load: a service of CPU burners on two nodes, told when to burn and when to rest.

The container is busybox's shell, pid 1 under a limit of a fifth of a core: SIGUSR1 makes it burn, SIGUSR2 makes it
rest, and whatever happens it ends by itself after LIFE. While there is load, each new replica gets it as soon as it
can hear, as from a load balancer.
"""
import datetime
import json
import signal
import statistics
import time

from peers import Cluster, TEST_IMAGE, kill

LIMIT, MAX, TARGET = 0.2, 4, 70  # cores, replicas, percent
WINDOW, COOLDOWN, HEARTBEAT = 10, 20, 1  # seconds
LOOK = 5  # seconds between two looks at a service, Autoscaler::kPeriod
TOLERANCE = 0.1  # that is as wanted, scale_decision.h
LIFE = 600
BURNER = ["timeout", str(LIFE), "sh", "-c", "trap 'exit 0' TERM; trap 'on=1' USR1; trap 'on=' USR2; "
          "while :; do if [ $on ]; then :; else sleep 1 & wait $!; fi; done"]


class Burners:
    """The containers of a service, and who of them was told what."""

    def __init__(self, cluster):
        self.cluster, self.told = cluster, {}

    def inits(self):
        found = []
        for host in self.cluster.workers:
            for container in host.container_pids():
                try:
                    found.append(host.init_pid(container))
                except ValueError:  # it comes or goes
                    pass
        return found

    def tell(self, sig):
        """Each one once; those that do not listen yet hear it at the next call."""
        for pid in self.inits():
            if self.told.get(pid) != sig and self.listens(pid):
                kill(pid, sig)
                self.told[pid] = sig

    @staticmethod
    def listens(pid):
        """Pid 1 of a container ignores what it has no handler for."""
        try:
            with open(f"/proc/{pid}/status") as f:
                caught = next(int(line.split()[1], 16) for line in f if line.startswith("SigCgt:"))
        except OSError:
            return False
        return all(caught >> (s - 1) & 1 for s in (signal.SIGUSR1, signal.SIGUSR2))


def decisions(cluster, service):
    """[(seconds since the epoch, from, to)] of the last ten."""
    [found] = json.loads(cluster.ctl("service", "inspect", service).stdout)
    return [(seconds(d["At"]), d["From"], d["To"]) for d in found.get("AutoscaleStatus", {}).get("Decisions", [])]


def seconds(text):
    """A time as inspect prints it."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def bounds(best, *delays):
    return [round(best, 1), round(best + sum(delays), 1)]


def expected_up():
    """Load is seen once so much of the window is full of it; it is measured, carried by the next heartbeat, looked at."""
    full = TARGET / 100 * (1 + TOLERANCE) * WINDOW
    first = bounds(full, 2 * HEARTBEAT, LOOK)
    # A fully loaded replica asks for 1 / TARGET of itself: 1, 2, 3, 4, a look apart.
    steps, replicas = 0, 1
    while replicas < MAX:
        replicas, steps = min(MAX, -int(-replicas * 100 // TARGET)), steps + 1
    # A new replica reports within three heartbeats; its start is the last of it.
    return first, [first[0] + (steps - 1) * LOOK, first[1] + (steps - 1) * LOOK + 1]


def expected_down(since_change):
    """Rest is seen once the mean asks for one replica less, and nothing goes before the cooldown after the last change."""
    empty = (1 - TARGET / 100 * (MAX - 1) / MAX) * WINDOW
    return bounds(max(empty, COOLDOWN - since_change), 2 * HEARTBEAT, LOOK)


def measure(cluster, service, phase):
    """One rise and one fall, in seconds since load came and since it went. Load comes `phase` s later than it could."""
    cluster.ctl("service", "create", "--detach", "--name", service, "--limit-cpu", str(LIMIT), "--autoscale",
                f"min=1,max={MAX},cpu={TARGET}%,window={WINDOW}s,cooldown={COOLDOWN}s", TEST_IMAGE, *BURNER)
    cluster.wait_running(service, 1)
    time.sleep(WINDOW + 2 * HEARTBEAT + phase)  # the window is full of rest
    burners = Burners(cluster)

    def under(sig, predicate):
        def look():
            burners.tell(sig)
            return predicate()
        return look
    loaded = time.time()
    cluster.until(under(signal.SIGUSR1, lambda: len(cluster.running(service)) == MAX), f"{MAX} running replicas")
    running = time.time()
    ups = decisions(cluster, service)
    # All are loaded when load goes, so that what follows is of the window and the cooldown alone.
    cluster.until(under(signal.SIGUSR1, lambda: len(burners.told) >= MAX), "all to burn")
    gone = time.time()
    cluster.until(under(signal.SIGUSR2, lambda: len(decisions(cluster, service)) > len(ups)), "the first replica less")
    down = decisions(cluster, service)[len(ups)]
    cluster.until(under(signal.SIGUSR2, lambda: len(burners.inits()) == 1), "one container to be left")
    one = time.time()
    cluster.ctl("service", "rm", service)
    cluster.until(lambda: not cluster.rows("service", "ls"), "the service to be gone")
    return {"first_up_s": ups[0][0] - loaded, "all_running_s": running - loaded, "steps_up": [to for _, _, to in ups],
            "first_down_s": down[0] - gone, "first_down_to": down[2], "one_left_s": one - gone,
            "first_down_expected_s": expected_down(gone - ups[-1][0])}


def autoscale(register, runs, say):
    """Seconds from load to the first decision and to all Running, and from its end to the first decision down."""
    cluster = Cluster(register, workers=2, heartbeat=f"{HEARTBEAT}s")
    first, last = expected_up()
    seen = []
    for attempt in range(runs):
        # Looks come at fixed times after the service: load must not always meet the same part of one.
        run = measure(cluster, f"burn{attempt}", LOOK * attempt / runs)
        seen.append(run)
        say(f"  swarm: first decision {run['first_up_s']:.1f} s after load (expected {first[0]:.1f} to {first[1]:.1f}), "
            f"steps {run['steps_up']}, {MAX} running after {run['all_running_s']:.1f} s (expected {last[0]:.1f} to {last[1]:.1f}); "
            f"load gone: to {run['first_down_to']} after {run['first_down_s']:.1f} s (expected {run['first_down_expected_s'][0]:.1f} "
            f"to {run['first_down_expected_s'][1]:.1f}), one container left after {run['one_left_s']:.1f} s")
    median = lambda key: round(statistics.median(r[key] for r in seen), 2)
    down = [round(statistics.median(r["first_down_expected_s"][end] for r in seen), 1) for end in (0, 1)]
    return [{"bench": "autoscale", "peer": "swarm", "window_s": WINDOW, "cooldown_s": COOLDOWN, "heartbeat_s": HEARTBEAT,
             "max": MAX, "runs": runs, "first_up_s": median("first_up_s"), "first_up_expected_s": first,
             "all_running_s": median("all_running_s"), "all_running_expected_s": last,
             "first_down_s": median("first_down_s"), "first_down_expected_s": down, "one_left_s": median("one_left_s")}]
