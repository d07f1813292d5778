#!/usr/bin/env python3
"""The deploy commands with stand-ins for what takes long: what is linted, and how packages are installed."""
import os
import shutil
import subprocess
import tempfile

from harness import BudgetedTest, ROOT, main, run
from machine import Machine


class LintTest(BudgetedTest):
    """deploy/lint in a repository of its own; clang-format and clang-tidy write down which files they get."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="lint-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.tools = os.path.join(self.dir, "tools")
        os.makedirs(self.tools)
        for tool in ("clang-format", "clang-tidy", "dpkg-query"):
            with open(os.path.join(self.tools, tool), "w") as f:
                f.write(f'#!/bin/sh\necho "$*" >> {self.dir}/{tool}.calls\necho install ok installed\n')
            os.chmod(f.name, 0o755)
        self.repository = os.path.join(self.dir, "repository")
        os.makedirs(os.path.join(self.repository, "deploy"))
        for name in ("lint", "lib.sh", "packages"):
            shutil.copy(os.path.join(ROOT, "deploy", name), os.path.join(self.repository, "deploy"))
        self.write(".gitignore", "/build/\n")
        self.git("init", "--quiet")

    def git(self, *args):
        run("git", "-c", "user.name=T", "-c", "user.email=t@example.com", *args, cwd=self.repository)

    def write(self, name, text="int x;\n"):
        with open(os.path.join(self.repository, name), "w") as f:
            f.write(text)

    def commit(self, *names):
        for name in names:
            self.write(name, f"int {os.urandom(8).hex()};\n")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "next")

    def lint(self, *args, compiled, repository=None):
        """(files that clang-tidy got, in order; stderr); the build compiles these files."""
        repository = repository or self.repository
        os.makedirs(os.path.join(repository, "build", "release"), exist_ok=True)
        with open(os.path.join(repository, "build", "release", "compile_commands.json"), "w") as f:
            f.write("[\n" + ",\n".join(f'{{\n  "file": "{repository}/{name}"\n}}' for name in compiled) + "\n]\n")
        for tool in ("clang-format", "clang-tidy"):
            with open(os.path.join(self.dir, f"{tool}.calls"), "w"):
                pass
        environment = {**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}"}
        environment.pop("SWARM_BUILD_DIR", None)
        result = run(os.path.join(repository, "deploy", "lint"), *args, env=environment)
        return self.called("clang-tidy"), result.stderr

    def called(self, tool):
        with open(os.path.join(self.dir, f"{tool}.calls")) as f:
            return [word for word in f.read().split() if word.endswith(".cc")]

    def test_one_commit_and_a_shallow_clone_lint_all_that_is_compiled(self):
        self.commit("a.cc", "b.cc", "z.cc")
        files, words = self.lint(compiled=["a.cc", "b.cc"])
        self.assertEqual(sorted(files), ["a.cc", "b.cc"])
        self.assertIn("clang-tidy is content", words)
        for i in range(12):
            self.commit("a.cc")
        self.assertEqual(self.lint(compiled=["a.cc", "b.cc"])[0], ["a.cc"])
        shallow = os.path.join(self.dir, "shallow")
        run("git", "clone", "--quiet", "--depth", "1", f"file://{self.repository}", shallow)
        self.assertEqual(sorted(self.lint(compiled=["a.cc", "b.cc"], repository=shallow)[0]), ["a.cc", "b.cc"])

    def test_what_is_not_committed_is_formatted_and_linted_and_what_is_gone_is_not(self):
        self.commit("a.cc", "b.cc")
        for i in range(11):
            self.commit("c.h")
        self.write("new.cc")
        os.unlink(os.path.join(self.repository, "b.cc"))
        files, _ = self.lint(compiled=["a.cc", "b.cc", "new.cc"])
        self.assertEqual(files, ["new.cc"])
        self.assertEqual(sorted(self.called("clang-format")), ["a.cc", "new.cc"])
        self.assertEqual(sorted(self.lint("HEAD~11", compiled=["a.cc", "new.cc"])[0]), ["new.cc"])
        self.assertEqual(self.lint(compiled=["a.cc"])[1].count("nothing changed"), 1)

    def test_of_more_than_sixty_the_newest_are_linted_and_the_rest_is_named(self):
        names = [f"f{i:02}.cc" for i in range(70)]
        self.commit(*names)
        self.commit("f68.cc")
        self.write("f69.cc", "int newest;\n")
        files, words = self.lint(compiled=names)
        wanted = ["f69.cc", "f68.cc", *names[:58]]
        self.assertEqual(sorted(files), sorted(wanted))
        for name in names[58:68]:
            self.assertIn(f"    {name}\n", words)
        self.assertEqual(words.count("    f"), 10)
        self.assertEqual(sorted(self.lint(compiled=names)[0]), sorted(wanted))
        self.assertEqual(sorted(self.lint("--all", compiled=names)[0]), names)
        self.assertEqual(sorted(self.lint("HEAD~1", compiled=names)[0]), ["f68.cc", "f69.cc"])


class PackagesTest(BudgetedTest):
    def test_packages_start_no_services_and_what_prevents_it_is_removed(self):
        machine = Machine(self.addCleanup)
        machine.run("bash", "-c", f"""
            rm -f /usr/sbin/policy-rc.d
            mkdir -p /srv/deploy && cp {ROOT}/deploy/lib.sh /srv/deploy/
            echo demo no-such-package > /srv/deploy/packages
            cat > /usr/local/bin/apt-get <<'END'
#!/bin/sh
/usr/sbin/policy-rc.d any-service start; echo $? "$@" >> /srv/calls
exit $(cat /srv/exit)
END
            chmod 755 /usr/local/bin/apt-get""")
        def install(apt_says):
            result = machine.run("bash", "-c", f"echo {apt_says} > /srv/exit; : > /srv/calls; source /srv/deploy/lib.sh; install_packages demo",
                                 check=False)
            return result.returncode, machine.run("cat", "/srv/calls").stdout.splitlines()
        gone = lambda: not machine.run("sh", "-c", "ls /usr/sbin/policy-rc.d; exit 0").stdout
        code, calls = install(0)
        self.assertEqual((code, [c.split()[0] for c in calls], gone()), (0, ["101", "101"], True))
        self.assertIn("no-such-package", calls[1])
        code, calls = install(100)
        self.assertEqual((code, len(calls), gone()), (100, 1, True))
        # An administrator's own stays, and decides.
        machine.run("sh", "-c", "printf '#!/bin/sh\\nexit 7\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
        code, calls = install(0)
        self.assertEqual((code, [c.split()[0] for c in calls], gone()), (0, ["7", "7"], False))


if __name__ == "__main__":
    main()
