#!/usr/bin/env python3
"""Stands for a test program that ran in runtime_on_v2.py's machine: says of a test what that machine's console says.

    python3 tests/vm/told_by_guest.py CONSOLE PROGRAM --gtest_list_tests …           what the program itself lists
    python3 tests/vm/told_by_guest.py CONSOLE PROGRAM --gtest_filter=SUITE.NAME …    0 if and only if it passed there
    python3 tests/vm/told_by_guest.py --programs                                     the programs that run there
    python3 tests/vm/told_by_guest.py --ends CONSOLE                                 0 if and only if all came to their end
"""
import os
import re
import sys

from runtime_on_v2 import NOT_HERE, PROGRAMS, passed_by_program


def told(console, test):
    """Whether the test passed, and the console's words about it."""
    begin = re.search(rf"(?m)^\[ RUN      \] {re.escape(test)}$", console)
    if not begin:
        return False, "the guest did not come to this test; its last words:\n" + "\n".join(console.split("\n")[-80:])
    rest = console[begin.start():]
    end = re.search(rf"(?m)^\[ +(OK|FAILED|SKIPPED) +\] {re.escape(test)}\b.*\n", rest)
    if not end:
        return False, rest + "\nthe guest ended in the middle of this test"
    return end.group(1) == "OK", rest[:end.end()].replace("SKIPPED", "skipped, which counts as failed here")


def main():
    if sys.argv[1:] == ["--programs"]:
        print("\n".join(PROGRAMS))
        return 0
    if sys.argv[1] == "--ends":
        with open(sys.argv[2], encoding="utf-8") as f:
            ended = len(passed_by_program(f.read()))
        print(f"{ended} of {len(PROGRAMS)} test programs came to their end")
        return 0 if ended == len(PROGRAMS) else 1
    console, program, *flags = sys.argv[1:]
    if "--gtest_list_tests" in flags:
        os.execv(program, [program, *flags])
    [test] = [flag.split("=", 1)[1] for flag in flags if flag.startswith("--gtest_filter=")]
    if test in NOT_HERE.split(":"):
        print(f"[  SKIPPED ] {test}: it is of cgroup v1")
        return 0
    with open(console, encoding="utf-8") as f:
        passed, words = told(f.read(), test)
    print(words)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
