#!/usr/bin/env python3
"""Benchmarks with their peers beside them in the same run.

    deploy/bench [NAME…] [--json] [--runs N] [--alone]     NAME: converge, footprint, exec, stack, attach, autoscale, net-node,
                                                           net-overlay, vip, net-churn, logs; default: all
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys

import autoscale
import logs
import peers

REPLICAS = (1, 50, 100)


def say(text):
    print(text, file=sys.stderr, flush=True)


def converge(peer, runs):
    """Seconds to Running and, after rm, to gone."""
    peer.create("warm", 1)
    peer.remove("warm")
    rows = []
    for replicas in REPLICAS:
        up, down = [], []
        for attempt in range(runs):
            up.append(peer.create(f"s{replicas}", replicas))
            down.append(peer.remove(f"s{replicas}"))
            say(f"  {peer.name}: {replicas} replicas running in {up[-1]:.3f} s, gone in {down[-1]:.3f} s")
        rows.append({"bench": "converge", "peer": peer.name, "replicas": replicas, "runs": runs,
                     "running_s": round(statistics.median(up), 3), "gone_s": round(statistics.median(down), 3)})
    return rows


def footprint(peer, runs):
    """Resident memory: daemons idle, and a shim of each of 20 containers."""
    del runs  # memory does not vary enough to repeat
    idle = sum(peers.rss_kb(pid) for pid in peer.daemons())
    peer.create("foot", 20)
    shims = peer.shims()
    row = {"bench": "footprint", "peer": peer.name, "daemons_idle_mb": round(idle / 1024, 1),
           "shim_rss_kb": round(statistics.median(peers.rss_kb(p) for p in shims)),
           "shim_private_dirty_kb": round(statistics.median(peers.private_dirty_kb(p) for p in shims))}
    peer.remove("foot")
    say(f"  {peer.name}: {row}")
    return [row]


def attach(peer, runs):
    """Seconds until one container runs, without a network and in one, in turn."""
    peer.make_bench_network()
    alone, joined = [], []
    for _ in range(5 * runs):
        alone.append(peer.start_one(network=False))
        joined.append(peer.start_one(network=True))
    millis = lambda seconds: round(statistics.median(seconds) * 1000, 1)
    row = {"bench": "attach", "peer": peer.name, "alone_ms": millis(alone), "joined_ms": millis(joined),
           "adds_ms": millis([there - here for here, there in zip(alone, joined)])}
    say(f"  {peer.name}: {row}")
    return [row]


def execs(peer, runs):
    """From typing exec … true until it has ended, in a container that runs."""
    peer.create("exec", 1)
    peer.exec("exec")  # whatever the first one alone pays for
    took = sorted(peer.exec("exec") for _ in range(20 * runs))
    peer.remove("exec")
    row = {"bench": "exec", "peer": peer.name, "runs": len(took), "p50_ms": round(1000 * statistics.median(took), 1),
           "p90_ms": round(1000 * took[len(took) * 9 // 10], 1), "least_ms": round(1000 * took[0], 1)}
    say(f"  {peer.name}: {row}")
    return [row]


STACK, LARGE_STACK = 5, 1000


def stack(peer, runs):
    """From typing `stack deploy` until five services run; of ours also a thousand services until all have a node."""
    def measured(deploy, services):
        took = []
        for attempt in range(runs + 1):  # the first pays for what is made once
            took.append(deploy(services))
            down = peer.remove_stack()
            say(f"  {peer.name}: {services} services: {took[-1]} s, gone in {down:.3f} s")
        return took[1:]
    median = lambda seconds: round(statistics.median(seconds), 3)
    row = {"bench": "stack", "peer": peer.name, "services": STACK, "runs": runs, "running_s": median(measured(peer.deploy, STACK))}
    if not hasattr(peer, "deploy_assigned"):
        return [row]
    row["own_network_s"] = median(measured(peer.deploy_own_network, STACK))
    deployed, assigned, running = zip(*measured(peer.deploy_assigned, LARGE_STACK))
    return [row, {"bench": "stack", "peer": peer.name, "services": LARGE_STACK, "runs": runs, "deployed_s": median(deployed),
                  "assigned_s": median(assigned), "running_s": median(running)}]


def network(name, runs):
    """The router in network namespaces; the peer is what the kernel does without it, in the same program."""
    binary = os.path.join(os.environ["SWARM_BIN"], "../tests/network_bench")
    out = subprocess.run([binary, name, str(runs)], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


NETWORK = ("net-node", "net-overlay", "vip", "attach", "net-churn")
BENCHES = {"footprint": footprint, "converge": converge, "exec": execs, "stack": stack, "attach": attach}  # attach: also in NETWORK
# Without a peer that could be run here (README.md says why), on a cluster of their own.
ALONE = {"autoscale": autoscale.autoscale, "logs": logs.logs}


def main():
    parser = argparse.ArgumentParser(prog="deploy/bench")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without the peers")
    options = parser.parse_args()
    known = [*dict.fromkeys([*BENCHES, *ALONE, *NETWORK])]
    names = options.names or known
    for name in names:
        if name not in known:
            parser.error(f"no benchmark {name}: there are {', '.join(known)}")
    rows, failures = [], []
    for name in NETWORK:
        if name in names:
            say(name)
            try:
                rows += network(name, options.runs)
            except Exception as error:
                failures.append(f"{name}: {error}")
    compared = [name for name in BENCHES if name in names]
    for kind in [peers.Ours] + ([] if options.alone else [peers.DockerSwarm]) if compared else []:
        try:
            with kind() as peer:
                for name in compared:
                    say(f"{name}: {peer.name}")
                    rows += BENCHES[name](peer, options.runs)
        except Exception as error:  # the others' figures are worth having all the same
            failures.append(f"{kind.name}: {error}")
    for name in ALONE:
        if name in names:
            say(name)
            try:
                with contextlib.ExitStack() as cleanup:
                    rows += ALONE[name](cleanup.callback, options.runs, say)
            except Exception as error:
                failures.append(f"{name}: {error}")
    for row in rows:
        print(json.dumps(row) if options.json else "  ".join(f"{k}={v}" for k, v in row.items()))
    if failures:
        sys.exit("error: " + "\nerror: ".join(failures))


if __name__ == "__main__":
    main()
