"""The Debian packages of this build: what is in them, what they need, and what lintian says of them."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from hosts import BUILD, ROOT

NAMES = ["crx", "crx-agent", "crx-common", "crx-hibernate", "crx-pacemaker", "crx-protect", "crx-rebalance", "crx-slurm"]
UNITS = {"crx-agent": "crx-agent", "crx-hibernate": "crx-hibernate", "crx-hibernate-hold": "crx-hibernate", "crx-protect": "crx-protect"}
SCRIPTS = ["crx-hibernate", "crx-protect", "crx-rebalance", "crx-slurm"]


def run(*words, check=True, timeout=300, **options):
    result = subprocess.run(words, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            check=False, timeout=timeout, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{words}: exit {result.returncode}\n{result.stdout}")
    return result.stdout


def build_packages(folder):
    """Packages what this build has; returns {name: path}."""
    lines = run(f"{ROOT}/deploy/build-packages.sh", "--build", BUILD, "--to", folder, "--compression", "gzip").splitlines()
    return {os.path.basename(path).split("_")[0]: path for path in lines if path.endswith(".deb")}


class Packages(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="crx-packages-")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.packages = build_packages(cls.dir)

    def field(self, package, name):
        return run("dpkg-deb", "-f", self.packages[package], name).strip()

    def files(self, package):
        """{path: mode} of all in a package that is no directory."""
        lines = [line.split() for line in run("dpkg-deb", "-c", self.packages[package]).splitlines()]
        return {words[5].removeprefix("."): words[0] for words in lines if not words[5].endswith("/")}

    def test_each_installed_file_is_in_one_package(self):
        self.assertEqual(sorted(self.packages), NAMES)
        run("cmake", "--install", BUILD, "--prefix", "/usr", env=dict(os.environ, DESTDIR=f"{self.dir}/root"))
        installed = sorted(os.path.join(top, name).removeprefix(f"{self.dir}/root")
                           for top, _, names in os.walk(f"{self.dir}/root") for name in names)
        packaged = []
        for name in NAMES:
            files = self.files(name)
            packaged += [path for path in files if not path.startswith("/usr/share/doc/")]
            self.assertEqual({mode for path, mode in files.items() if path.startswith("/usr/bin/")} - {"-rwxr-xr-x"}, set())
        as_installed = [re.sub(r"^(/usr/share/man/.*)\.gz$", r"\1", path).replace("/etc/crx/", "/usr/share/crx/") for path in packaged]
        self.assertEqual(sorted(as_installed), installed)

    def test_what_is_where(self):
        tools, agent = self.files("crx"), self.files("crx-agent")
        for path in ("/usr/bin/crx", "/usr/bin/crx-migrate", "/usr/bin/crx-run", "/usr/share/man/man1/crx-migrate.1.gz", "/etc/crx/crx.conf",
                     "/usr/share/bash-completion/completions/crx-migrate", "/usr/share/zsh/vendor-completions/_crx"):
            self.assertIn(path, tools)
        self.assertEqual(sorted(path for path in agent if not path.startswith("/usr/share/doc/")),
                         ["/usr/bin/crx-agent", "/usr/lib/systemd/system/crx-agent.service",
                          "/usr/share/bash-completion/completions/crx-agent", "/usr/share/man/man8/crx-agent.8.gz"])
        self.assertIn("/usr/lib/ocf/resource.d/crx/process", self.files("crx-pacemaker"))
        self.assertIn("/usr/share/crx/rebalance/planner.py", self.files("crx-rebalance"))
        listing = run("dpkg-deb", "-c", self.packages["crx"])
        self.assertRegex(listing, r"(?m)^drwx------ root/root .* \./etc/crx/tls/$")

    def test_dependencies(self):
        """Those that the linker wants come from dpkg-shlibdeps, with versions; nothing that only the build needs is among them."""
        for name in ("crx", "crx-agent"):
            depends = self.field(name, "Depends")
            self.assertRegex(depends, r"\blibc6 \(>= ")
            self.assertRegex(depends, r"\blibsystemd0\b")
            self.assertNotRegex(depends, r"-dev\b|doctest|clang")
        version = re.escape(self.field("crx", "Version"))
        self.assertRegex(self.field("crx", "Depends"), r"\bopenssl\b")
        self.assertNotRegex(self.field("crx", "Depends"), "python")
        self.assertRegex(self.field("crx-agent", "Depends"), rf"\bcrx \(= {version}\)")
        self.assertRegex(self.field("crx-pacemaker", "Depends"), r"\bpython3\b.*\bpacemaker\b")
        for name in SCRIPTS:
            self.assertRegex(self.field(name, "Depends"), rf"\bcrx-common \(= {version}\), python3 \(>= 3.11\)")
        self.assertEqual([name for name in NAMES if self.field(name, "Architecture") != "all"], ["crx", "crx-agent"])

    def test_lintian(self):
        text = run("lintian", "--fail-on", "error", "--allow-root", *self.packages.values(), check=False)
        self.assertEqual([line for line in text.splitlines() if line.startswith("E:")], [], text)

    def test_unit_files(self):
        """systemd reads the units without a complaint."""
        root = f"{self.dir}/unit"
        for name in UNITS.values():
            run("dpkg-deb", "-x", self.packages[name], root)
        paths = [f"{root}/usr/lib/systemd/system/{unit}.service" for unit in UNITS]
        text = run("systemd-analyze", "verify", "--man=no", *paths, check=False, env=dict(os.environ, PATH=f"{BUILD}/bin:{os.environ['PATH']}"))
        complaints = [line for line in text.splitlines() if "crx-" in line and "is not executable" not in line]
        self.assertEqual(complaints, [], text)


class Completions(unittest.TestCase):
    def bash(self, *words):
        text = (f"PATH={BUILD}/bin:$PATH; . {ROOT}/deploy/completions/crx.bash; COMP_WORDS=({' '.join(words)}); "
                f"COMP_CWORD={len(words) - 1}; _crx {words[0]}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        return run("bash", "-c", text).split()

    def test_bash(self):
        self.assertIn("migrate", self.bash("crx", "m"))
        self.assertEqual(self.bash("crx-migrate", "--max-r"), ["--max-rounds"])
        self.assertEqual(self.bash("crx", "migrate", "--max-d"), ["--max-downtime"])
        self.assertEqual(self.bash("crx-migrate", "--on-no-converge", "thr"), ["throttle"])
        self.assertEqual(self.bash("crx-image", "ver"), ["verify"])
        self.assertIn("1", self.bash("crx-dump", "-t", "1"))
        self.assertIn(str(os.getpid()), self.bash("crx", "migrate", str(os.getpid())))
        self.assertIn("--output", self.bash("crx", "run", "--o"))
        self.assertIn("drain", self.bash("crx-rebalance", "dr"))
        self.assertIn("--inventory", self.bash("crx", "rebalance", "--inv"))
        self.assertIn("--parallel", self.bash("crx-rebalance", "drain", "--p"))
        self.assertEqual(self.bash("crx-hibernate", "sa"), ["save"])
        self.assertIn("--going-down", self.bash("crx", "hibernate", "save", "--go"))
        self.assertIn("--daemon", self.bash("crx-protect", "run", "--d"))

    def test_every_option(self):
        """Each long option that a tool's help shows is completed."""
        for tool in ("agent", "check", "dump", "image", "migrate", "restore", "run"):
            known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", run(f"{BUILD}/bin/crx-{tool}", "--help")))
            self.assertLessEqual(known, set(self.bash(f"crx-{tool}", "--")), tool)


if __name__ == "__main__":
    unittest.main()
