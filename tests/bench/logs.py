"""Reading the logs of 20 replicas on four nodes, and what writing them costs.

`logs`: from typing `service logs --tail 100` until it has printed what 20 replicas on four nodes said last; each has
said 1,000 lines. Then one container prints lines of 100 bytes as fast as they are taken: how much that is, how much
processor time its shim and the agent need for each 100 MB, and whether a line is missing.
"""
import os
import statistics
import time

from peers import Cluster, TEST_IMAGE, wait_for

NODES, REPLICAS, TAIL = 4, 20, 100
LINES = 5_000_000  # of 100 bytes each
LINE = "x" * 99


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def last_bytes(path):
    with open(path, "rb") as f:
        f.seek(max(0, f.seek(0, os.SEEK_END) - 1000))
        return f.read()


def read(cluster, runs, say):
    cluster.ctl("service", "create", "-d", "--name", "talk", "--replicas", str(REPLICAS), TEST_IMAGE, "sh", "-c",
                "i=0; while [ $i -lt 1000 ]; do echo line $i of a service; i=$((i+1)); done; exec sleep 3600")
    cluster.wait_running("talk", REPLICAS)
    wanted = REPLICAS * TAIL
    cluster.until(lambda: cluster.ctl("service", "logs", "--tail", "1", "talk").stdout.count("line 999") == REPLICAS,
                  "everything to be said")
    took = []
    for _ in range(5 * runs):
        start = time.monotonic()
        out = cluster.ctl("service", "logs", "--tail", str(TAIL), "talk").stdout
        took.append(time.monotonic() - start)
        if out.count("\n") != wanted:
            raise AssertionError(f"{out.count(chr(10))} lines, not {wanted}")
    cluster.ctl("service", "rm", "talk")
    row = {"bench": "logs", "what": f"tail {TAIL} of {REPLICAS} on {NODES} nodes", "runs": len(took),
           "median_ms": round(statistics.median(took) * 1000, 1), "least_ms": round(min(took) * 1000, 1)}
    say(f"  {row}")
    return row


def write(cluster, runs, say):
    """The container says when it began and ended, in seconds of the machine; its log is then counted."""
    rows = []
    for attempt in range(runs):
        name = f"flood{attempt}"
        cluster.ctl("service", "create", "-d", "--name", name, "--restart-condition", "none", "--log-opt", "max-size=4g",
                    "--constraint", f"node.hostname=={cluster.workers[0].name}", TEST_IMAGE, "sh", "-c",
                    f"read a x < /proc/uptime; yes {LINE} | head -n {LINES}; read b x < /proc/uptime; echo from $a to $b; exec sleep 3600")
        [task] = cluster.wait_running(name, 1)
        host = cluster.workers[0]
        agent_before = cpu_seconds(host.agent.pid)
        folder = os.path.join(host.dir, "agent", "containers", task["ID"], "log")
        wait_for(lambda: b"from" in last_bytes(os.path.join(folder, "log")), "the flood to end")  # without the agent
        agent = cpu_seconds(host.agent.pid) - agent_before
        words = cluster.ctl("service", "logs", "--raw", "--tail", "1", name).stdout.split()
        [shim] = [p for p in host.shim_pids() if any(
            os.readlink(f"/proc/{p}/fd/{fd}").startswith(folder) for fd in os.listdir(f"/proc/{p}/fd"))]
        with open(os.path.join(folder, "log"), "rb") as f:
            there = sum(block.count(b"\n") for block in iter(lambda: f.read(1 << 20), b""))
        hundreds = LINES * (len(LINE) + 1) / 1e8
        rows.append({"mb_s": hundreds * 100 / (float(words[3]) - float(words[1])), "shim": cpu_seconds(shim) / hundreds,
                     "agent": agent / hundreds, "missing": LINES + 1 - there})
        say(f"  {rows[-1]}")
        cluster.ctl("service", "rm", name)
        cluster.until(lambda: not os.path.exists(folder), "the log to be gone")
    median = lambda key: statistics.median(row[key] for row in rows)
    return {"bench": "logs", "what": "flood of one container", "runs": runs, "mb_s": round(median("mb_s")),
            "shim_cpu_s_per_100_mb": round(median("shim"), 2), "agent_cpu_s_per_100_mb": round(median("agent"), 2),
            "lines_missing": max(row["missing"] for row in rows)}


def logs(register, runs, say):
    cluster = Cluster(register, workers=NODES)
    return [read(cluster, runs, say), write(cluster, runs, say)]
