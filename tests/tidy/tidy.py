#!/usr/bin/env python3
"""The house rules as a test: reads the tree, fails on a broken one, says the better way.

    python3 tests/tidy/tidy.py            the whole tree
    python3 tests/tidy/tidy.py --self     does each rule catch what it is for?

A rule is a function from a file (path, lines) to findings. Every rule has a bad example below that it
must find and a good one that it must not: a rule that cannot fail is no rule.
"""
import os
import re
import subprocess
import sys
from collections import namedtuple

File = namedtuple("File", "path lines")
FLOORS = {"proto": 0, "common": 1, "manager": 2, "agent": 2, "cli": 2, "tests": 3}
ROOMS_OF_MANAGER = {"store", "journal", "orchestrator", "scheduler", "allocator", "autoscaler", "dispatcher", "api", "ca"}
INCLUDE = re.compile(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def is_test(path):
    return path.startswith("tests/") or path.endswith(("_test.cc", "_test_world.h", "_test_world.cc"))


def is_cpp(path):
    return path.endswith((".cc", ".h"))


def includes(file):
    for number, line in enumerate(file.lines, 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) or match.group(2)


def code_lines(file):
    """Lines without // comments and string contents, numbered."""
    for number, line in enumerate(file.lines, 1):
        line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        yield number, line.split("//")[0]


def floors(file):
    """proto <- common <- manager | agent | cli <- tests; the three in the middle never see each other."""
    if not is_cpp(file.path) or is_test(file.path):
        return
    mine = file.path.split("/")[0]
    for number, target in includes(file):
        theirs = target.split("/")[0]
        if mine not in FLOORS or theirs not in FLOORS or mine == theirs:
            continue
        if FLOORS[theirs] >= FLOORS[mine]:
            yield number, f"{mine} must not include {target}: put what both need into common/, or say it over gRPC"


def manager_rooms(file):
    """Rooms of the manager do not call each other: they change the store and watch the store."""
    parts = file.path.split("/")
    if parts[0] != "manager" or len(parts) < 3 or is_test(file.path) or not is_cpp(file.path):
        return
    mine = parts[1]
    allowed = {
        "journal": set(), "store": {"journal"},
        "api": ROOMS_OF_MANAGER,
    }.get(mine, {"store"})
    for number, target in includes(file):
        other = target.split("/")
        if other[0] != "manager" or len(other) < 3 or other[1] == mine:
            continue
        if other[1] not in allowed:
            yield number, f"room {mine} must not include {target}: change the store, and let {other[1]} watch it"


GRPC_FILES = re.compile(r"(_reactor|_service|_rpc)(_test)?\.(cc|h)$|/grpc_[a-z_]+\.(cc|h)$|/main\.cc$|^common/(tls|grpc)/")
GRPC_INCLUDE = re.compile(r"^(grpc|grpcpp)/|\.grpc\.pb\.h$")


def grpc_at_the_edge(file):
    """grpcpp headers only in *_reactor, *_service, grpc_*, common/tls, common/grpc and mains."""
    if not is_cpp(file.path) or is_test(file.path) or GRPC_FILES.search(file.path):
        return
    for number, target in includes(file):
        if GRPC_INCLUDE.search(target):
            yield number, f"{target} belongs into a *_reactor, *_service or grpc_* file; keep this one plain C++"


# nlohmann/json_fwd.hpp only names its type.
HEAVY = re.compile(r"^(?!nlohmann/json_fwd)(spdlog|yaml-cpp|boost|CLI|nlohmann|curl|archive|sqlite3|seccomp)(/|\.h|\.hpp)")


def heavy_headers(file):
    """Heavy libraries stay out of our headers."""
    if not file.path.endswith(".h"):
        return
    for number, target in includes(file):
        if HEAVY.match(target):
            yield number, f"include {target} in one .cc and give callers a plain interface"


WORLD = re.compile(
    r"\b(std::this_thread::sleep|absl::SleepFor|usleep\(|nanosleep\(|absl::Now\(|system_clock|steady_clock|"
    r"std::random_device|\brand\(\)|std::thread\b|std::jthread\b|\bgetenv\()")
# Where the world is let in: the implementations behind env.h, mains, and the code that is about it.
WORLD_DOORS = re.compile(
    r"^common/(clock|random|asio_loop|worker_pool|log)\.(cc|h)$|^common/grpc/|^common/oci/registry|"
    r"^agent/(runtime|shim|image)/|/main\.cc$|^manager/journal/sqlite_|^agent/task_database|^cli/|^tests/")


def world(file):
    """Time, chance, threads and environment come in through env.h."""
    if not is_cpp(file.path) or WORLD_DOORS.search(file.path) or is_test(file.path):
        return
    for number, line in code_lines(file):
        match = WORLD.search(line)
        if match:
            yield number, f"`{match.group(1)}` asks the world directly: take Clock, Random, EventLoop or WorkerPool from env.h"


def deadlines_are_monotonic(file):
    """F11: how long a blocking call waits does not depend on the wall clock, not even behind the world's doors."""
    if not file.path.startswith(("agent/runtime/", "agent/image/")) or not is_cpp(file.path) or is_test(file.path):
        return
    for number, line in code_lines(file):
        if "absl::Now(" in line:
            yield number, "somebody may set the wall clock meanwhile: wait by Deadline (agent/runtime/deadline.h) or Clock::MonotonicNow"


SLEEP = re.compile(r"\b(sleep_for|sleep_until|SleepFor|usleep|nanosleep)\s*\(")


def no_sleep_in_tests(file):
    """Tests wait for the event or move the clock."""
    if not is_cpp(file.path) or not is_test(file.path):
        return
    for number, line in code_lines(file):
        if SLEEP.search(line):
            yield number, "a test must not sleep: wait for the event, or move the clock of a SimLoop"


SHIM_BANNED = re.compile(r"^(absl|grpc|grpcpp|google|iostream|filesystem|sstream|fstream|locale|regex)(/|$)|\.pb\.h$")


def small_shim(file):
    """swarm-shim stays below 1 MB: no Abseil, protobuf, gRPC, iostream or filesystem."""
    if not file.path.startswith("agent/shim/") or not is_cpp(file.path) or is_test(file.path):
        return
    for number, target in includes(file):
        if SHIM_BANNED.search(target):
            yield number, f"{target} costs the shim its size: use plain system calls and its own small error struct"


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|[Nn]ot implemented|[Uu]nimplemented\b(?!Error)")


def unfinished(file):
    """What is not built is refused by name; half-built things do not land."""
    if file.path.startswith(("tests/tidy/", "proto/grpc/")) or not is_cpp(file.path):
        return
    for number, line in enumerate(file.lines, 1):
        if UNFINISHED.search(re.sub(r"kUnimplemented|UNIMPLEMENTED|UnimplementedError", "", line)):
            yield number, "finish it, or refuse the feature by name with a clear error"


def header_guards(file):
    """Guard = SWARM_<PATH>_H_."""
    if not file.path.endswith(".h"):
        return
    want = "SWARM_" + re.sub(r"[^A-Z0-9]", "_", file.path.upper()) + "_"
    text = "\n".join(file.lines)
    if f"#ifndef {want}\n#define {want}" not in text:
        yield 1, f"header guard must be {want}"


def header_says_what_it_is(file):
    """A header is the manual: it begins with prose."""
    if not file.path.endswith(".h") or file.path.startswith("proto/"):
        return
    if not file.lines or not file.lines[0].startswith("//"):
        yield 1, "begin the header with what it is, its thread, who owns what, what failure leaves behind"


def private_hosts(file):
    """No registry's host names."""
    if file.path.startswith("tests/tidy/"):
        return
    for number, line in enumerate(file.lines, 1):
        if re.search(r"deb\.debian\.org|proxy\.golang\.org|pypi\.org|registry\.npmjs\.org|crates\.io", line):
            yield number, "name no package registry's host: use packages by name"


def trailing_space(file):
    """No white space at the end of a line."""
    if not file.path.endswith((".cc", ".h", ".proto", ".py", ".sh", ".txt", ".cmake", ".md", ".yaml")):
        return
    for number, line in enumerate(file.lines, 1):
        if line != line.rstrip():
            yield number, "white space at the end of the line"


RULES = [floors, manager_rooms, grpc_at_the_edge, heavy_headers, world, deadlines_are_monotonic, no_sleep_in_tests, small_shim,
         unfinished, header_guards, header_says_what_it_is, private_hosts, trailing_space]


def rooms_have_readmes(paths):
    """Every folder with C++ in it has a README.md of a few lines."""
    folders = {os.path.dirname(p) for p in paths if is_cpp(p)}
    for folder in sorted(folders):
        if folder and f"{folder}/README.md" not in paths:
            yield folder, 1, "README.md is missing: what lives here, what it may include, where to start"


def architecture_names_every_room(paths, architecture):
    """ARCHITECTURE.md moves with the code."""
    for folder in sorted({os.path.dirname(p) for p in paths if is_cpp(p)}):
        if folder and f"{folder}/" not in architecture and f"`{folder}`" not in architecture:
            yield "ARCHITECTURE.md", 1, f"does not name the room {folder}/"


def check_file(file):
    for rule in RULES:
        for number, message in rule(file):
            yield file.path, number, f"{message} [{rule.__name__}]"


def check_tree(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=True).stdout.split("\n")
    paths = {p for p in listed if p and os.path.isfile(os.path.join(root, p))}
    findings = []
    for path in sorted(paths):
        try:
            with open(os.path.join(root, path), encoding="utf-8") as f:
                lines = f.read().split("\n")
        except UnicodeDecodeError:
            continue  # binary test data
        findings += check_file(File(path, lines))
    findings += rooms_have_readmes(paths)
    with open(os.path.join(root, "ARCHITECTURE.md"), encoding="utf-8") as f:
        findings += architecture_names_every_room(paths, f.read())
    return findings


# Per rule: a file that it must find fault with, and one that it must not.
EXAMPLES = [
    (floors, ("common/a.cc", '#include "manager/env.h"'), ("manager/a.cc", '#include "common/ids.h"')),
    (floors, ("agent/a.cc", '#include "manager/env.h"'), ("manager/x/a_test.cc", '#include "tests/support/sim_loop.h"')),
    (manager_rooms, ("manager/scheduler/a.cc", '#include "manager/dispatcher/dispatcher.h"'),
     ("manager/api/a.cc", '#include "manager/dispatcher/dispatcher.h"')),
    (grpc_at_the_edge, ("manager/api/core.cc", "#include <grpcpp/grpcpp.h>"),
     ("manager/api/control_service.cc", "#include <grpcpp/grpcpp.h>")),
    (heavy_headers, ("cli/a.h", "#include <yaml-cpp/yaml.h>"), ("cli/a.cc", "#include <yaml-cpp/yaml.h>")),
    (world, ("manager/api/a.cc", "auto t = absl::Now();"), ("manager/api/a.cc", "auto t = env.clock.WallNow();  // absl::Now()")),
    (deadlines_are_monotonic, ("agent/runtime/a.cc", "const absl::Time end = absl::Now() + timeout;"),
     ("agent/runtime/a.cc", "const Deadline end(timeout);")),
    (no_sleep_in_tests, ("common/a_test.cc", "absl::SleepFor(x);"), ("common/a_test.cc", 'Say("sleep(1)");')),
    (small_shim, ("agent/shim/a.cc", "#include <iostream>"), ("agent/shim/a.cc", "#include <unistd.h>")),
    (unfinished, ("common/a.cc", "// TODO: later"), ("common/a.cc", "return absl::UnimplementedError(x);")),
    (header_guards, ("common/a.h", "#ifndef A_H\n#define A_H"), ("common/a.h", "#ifndef SWARM_COMMON_A_H_\n#define SWARM_COMMON_A_H_")),
    (header_says_what_it_is, ("common/a.h", "#ifndef X"), ("common/a.h", "// A thing.")),
    (private_hosts, ("deploy/x", "https://pypi.org/simple"), ("deploy/x", "apt-get install x")),
    (trailing_space, ("a.md", "x "), ("a.md", "x")),
]


def self_test():
    failures = []
    for rule, bad, good in EXAMPLES:
        if not list(rule(File(bad[0], bad[1].split("\n")))):
            failures.append(f"{rule.__name__} does not find fault with {bad}")
        if list(rule(File(good[0], good[1].split("\n")))):
            failures.append(f"{rule.__name__} finds fault with {good}")
    tried = {rule for rule, _, _ in EXAMPLES}
    failures += [f"{rule.__name__} has no example" for rule in RULES if rule not in tried]
    return failures


def main():
    if "--self" in sys.argv[1:]:
        failures = self_test()
        print("\n".join(failures) or f"{len(RULES)} rules catch what they are for")
        return 1 if failures else 0
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    findings = check_tree(root)
    for path, number, message in findings:
        print(f"{path}:{number}: {message}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
