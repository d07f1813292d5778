#!/usr/bin/env python3
"""Completion in real shells, and that a manager which does not answer hangs no shell. No cluster."""
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from harness import BudgetedTest, main

BIN = os.environ["SWARM_BIN"]
SWARMCTL = os.path.join(BIN, "swarmctl")

BASH = """
source <(swarmctl completion bash)
for line in "$@"; do
  COMP_LINE="$line" COMP_POINT=${#line}
  _swarmctl
  echo "$line: ${COMPREPLY[*]}"
done
"""
FISH = "swarmctl completion fish | source; for line in $argv; complete -C $line; end"
ZSH = """
compdef() { : }
_files() { print -r -- files }
_describe() { print -r -- "${(P)3}" ${4-} }
eval "$(swarmctl completion zsh)"
for line in "$@"; do
  words=("${(@s: :)line}") CURRENT=${#words}
  _swarmctl
done
"""


class CommandLineTest(BudgetedTest):
    def shell(self, *words):
        if shutil.which(words[0]) is None:
            raise unittest.SkipTest(f"{words[0]} is not installed")
        path = BIN + ":" + os.environ["PATH"]
        done = subprocess.run(words, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_bash_completes(self):
        lines = ["swarmctl serv", "swarmctl service li", "swarmctl service ls --format=js", "swarmctl node update --availability d"]
        self.assertEqual(self.shell("bash", "-c", BASH, "bash", *lines).splitlines(), [
            "swarmctl serv: service", "swarmctl service li: ", "swarmctl service ls --format=js: json",
            "swarmctl node update --availability d: drain"])

    def test_fish_completes(self):
        out = self.shell("fish", "--no-config", "-c", FISH, "swarmctl serv", "swarmctl node update --availability d")
        self.assertIn("service\twhat runs", out)
        self.assertIn("drain", out)

    def test_zsh_completes(self):
        out = self.shell("zsh", "-f", "-c", ZSH, "zsh", "swarmctl serv", "swarmctl stack deploy -c x", "swarmctl events -f ty")
        self.assertIn("service:what runs", out)
        self.assertIn("files", out)
        self.assertIn("type=", out)

    def test_a_manager_that_does_not_answer_hangs_no_shell(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
            path = os.path.join(folder, "manager.sock")
            silent.bind(path)
            silent.listen()
            for host, most in ((path, 4.0), (path + ".not", 1.0)):
                begun = time.monotonic()
                done = subprocess.run([SWARMCTL, "__complete", "--host", "unix://" + host, "service", "rm", ""],
                                      capture_output=True, text=True, timeout=60)
                self.assertEqual((done.stdout, done.stderr), ("", ""))
                self.assertLess(time.monotonic() - begun, most, host)


if __name__ == "__main__":
    main()
