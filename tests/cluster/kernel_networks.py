"""What the kernel of a host really holds of the cluster's networks, beside what the manager says it should.

    difference = differences(cluster)     # [] when every node's router is exactly as wanted: nothing missing, nothing else

Wanted comes from `network inspect --verbose`, that is out of the manager's store; held comes out of each router's
namespace by `ip` and `nft`. Neither asks an agent. To be compared at rest: every task RUNNING, none on its way.
"""
import ipaddress
import json
import os
import re

from harness import run

CHAIN = re.compile(r"chain (\S+) \{\n(.*?)\n\t\}", re.DOTALL)


def in_router(host, *command, check=True):
    return run("nsenter", f"--net={host.run_dir}/netns/router", "--", *command, check=check)


class Held:
    """Of one host's kernel: routes to single addresses, and where chains of addresses and ports lead."""

    def __init__(self, host):
        self.routes, self.chains = {}, {}
        self.links, self.namespaces, self.mapped = set(), set(), set()
        if not os.path.exists(f"{host.run_dir}/netns/router"):
            return
        for family in ("-4", "-6"):
            for route in json.loads(in_router(host, "ip", family, "-json", "route", "show", "table", "main").stdout):
                if "/" not in route["dst"] and route["dst"] != "default" and route["dev"] != "lo":
                    self.routes[route["dst"]] = route["dev"]
        text = in_router(host, "nft", "list", "table", "inet", "swarm", check=False).stdout  # none: it was deleted
        for name, rules in CHAIN.findall(text):
            if name.startswith(("vip_", "port4_", "port6_")):
                self.chains[name] = backends(rules)
        self.mapped = {name for name in re.findall(r"goto ((?:vip|port[46])_\S+?)[,\s]", text)}
        self.links = {link["ifname"] for link in json.loads(in_router(host, "ip", "-json", "link").stdout) if link["ifname"].startswith("c")}
        self.namespaces = set(os.listdir(f"{host.run_dir}/netns")) - {"router"}


def backends(rules):
    """The addresses behind `dnat … to`: of one, or of the map."""
    target = rules.split(" to ", 1)[1]
    if "map {" in target:
        target = target.split("{", 1)[1].split("}", 1)[0]
        return sorted(pair.split(" : ")[1].strip() for pair in target.replace("\n", " ").split(","))
    if target.startswith("["):
        return [target[1:].split("]")[0]]
    address = target.split()[0]
    return [address.rsplit(":", 1)[0] if address.count(":") == 1 else address]


def vip_chain(vip):
    address = ipaddress.ip_address(vip)
    return f"vip_{vip}" if address.version == 4 else f"vip_{address.packed.hex()}"


class Wanted:
    """Of every network, by the manager's store."""

    def __init__(self, cluster):
        self.networks = {}
        for row in cluster.rows("network", "ls"):
            shown = cluster.ctl("network", "inspect", "--verbose", row["ID"], check=False)
            if shown.returncode == 0:
                [self.networks[row["ID"]]] = json.loads(shown.stdout)

    @staticmethod
    def addresses(task):
        return [a for a in (task["EndpointIP"], task.get("EndpointIPv6", "")) if a]

    def at_rest(self):
        return all(task["State"] == "running" for network in self.networks.values()
                   for service in network["Services"].values() for task in service["Tasks"])

    def of(self, node):
        """({address: is it here}, {chain: backends}) that the node's router should hold."""
        routes, chains = {}, {}
        for network in self.networks.values():
            tasks = [task for service in network["Services"].values() for task in service["Tasks"]]
            mine = [task for task in tasks if task["Info"]["Node"] == node]
            if not mine and not network["Ingress"]:
                continue  # it knows nothing of networks that none of its tasks is in
            for task in tasks:
                for address in self.addresses(task):
                    routes[address] = task["Info"]["Node"] == node
            for service in network["Services"].values():
                self.chains_of(network, service, chains)
        return routes, chains

    def chains_of(self, network, service, chains):
        there = {4: [], 6: []}
        for address in sorted(a for task in service["Tasks"] for a in self.addresses(task)):
            there[ipaddress.ip_address(address).version].append(address)
        for vip in filter(None, service["VIP"].split(", ")):
            version = ipaddress.ip_address(vip).version
            if there[version]:
                chains[vip_chain(vip)] = there[version]
        for port in service["Ports"] if network["Ingress"] else ():
            for version in (v for v in there if there[v]):
                chains[f"port{version}_tcp_{port.rsplit(' ', 1)[1]}"] = there[version]


def differences(cluster):
    """What is missing and what is too much, in words. Published ports: TCP, one by one, in ingress mode."""
    wanted, found = Wanted(cluster), []
    if not wanted.at_rest():
        return ["tasks are on their way"]
    for host in cluster.hosts:
        held = Held(host)
        routes, chains = wanted.of(host.name)
        found += [f"{host.name}: {what}" for what in compare(held, routes, chains)]
        here = {address for address, local in routes.items() if local}
        found += [f"{host.name}: the namespace of {task} belongs to no container" for task in held.namespaces - set(host.container_pids())]
        if len(held.links) != len(held.namespaces):
            found.append(f"{host.name}: {len(held.links)} links of {len(held.namespaces)} containers with {len(here)} addresses")
    return found


def compare(held, routes, chains):
    for address, local in routes.items():
        link = held.routes.get(address)
        if link is None:
            yield f"no route to {address}"
        elif link.startswith("c") != local:
            yield f"{address} by {link}, though it is {'here' if local else 'elsewhere'}"
    for address in held.routes.keys() - routes.keys():
        yield f"a route to {address}, which is nobody's"
    for name, targets in chains.items():
        if held.chains.get(name) != targets:
            yield f"{name} leads to {held.chains.get(name)}, not to {targets}"
    for name in held.chains.keys() - chains.keys():
        yield f"{name} is no service's"
    for name in set(held.chains) ^ held.mapped:
        yield f"{name} is a chain without an element, or the other way round"
