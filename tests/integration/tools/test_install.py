"""`ninja install` installs the tools, the scripts and the man pages, and builds nothing else; `crx --help` lists the verbs."""
import os
import re
import subprocess
import tempfile
import unittest

from hosts import ROOT

BUILD = os.environ.get("CRX_BUILD", f"{ROOT}/build/dev")
VERBS = ["agent", "check", "dump", "hibernate", "image", "keys", "migrate", "protect", "rebalance", "restore", "run", "slurm"]
SCRIPTS = ["hibernate", "keys", "protect", "rebalance", "slurm"]
MODULES = ["crxlib", "hibernate", "protect", "rebalance", "slurm"]
UNITS = ["crx-agent.service", "crx-hibernate.service", "crx-hibernate-hold.service", "crx-protect.service"]


def run(*words, **options):
    return subprocess.run(words, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=True, timeout=120, **options).stdout


def made_for(target):
    """The files that ninja makes for a target."""
    return set(re.findall(r" -o ([^ ]+)", run("ninja", "-C", BUILD, "-t", "commands", target)))


class Install(unittest.TestCase):
    maxDiff = None

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            run("cmake", "--install", BUILD, "--prefix", "/usr", env=dict(os.environ, DESTDIR=folder))
            found = sorted(os.path.relpath(os.path.join(top, name), folder)
                           for top, _, names in os.walk(folder) for name in names)
            pages = [f"usr/share/man/man{page[-1]}/{page}" for page in os.listdir(f"{ROOT}/docs/man")]
            modules = [f"usr/share/crx/{module}/{name}" for module in MODULES for name in os.listdir(f"{ROOT}/deploy/{module}")
                       if name.endswith(".py")]
            completions = [f"usr/share/bash-completion/completions/{name}" for name in ["crx"] + [f"crx-{verb}" for verb in VERBS]]
            others = ["lib/ocf/resource.d/crx/process", "share/crx/crx.conf", "share/zsh/vendor-completions/_crx"] + [
                          f"lib/systemd/system/{unit}" for unit in UNITS]
            self.assertEqual(found, sorted(["usr/bin/crx"] + [f"usr/bin/crx-{verb}" for verb in VERBS] + modules + pages + completions
                                           + [f"usr/{name}" for name in others]))
            self.look_at_crx(f"{folder}/usr/bin")

    def look_at_crx(self, folder):
        stranger = f"{folder}/crx-stranger"  # whatever else is there is no verb of crx
        with open(stranger, "w") as file:
            file.write("#!/bin/sh\n")
        os.chmod(stranger, 0o755)
        env = dict(os.environ, PATH=f"{folder}:/usr/bin:/bin")
        text = run(f"{folder}/crx", "--help", env=env)
        self.assertEqual(re.findall(r"^  ([a-z]+)", text, re.MULTILINE), VERBS, text)
        for verb in VERBS:
            self.assertRegex(run(f"{folder}/crx", verb, "--version", env=env), rf"^crx-{verb} \(crx\) [0-9.]+")

    def test_builds_only_what_is_installed(self):
        made = made_for("install")
        self.assertEqual(sorted(name for name in made if name.startswith("bin/")),
                         [f"bin/crx-{verb}" for verb in VERBS if verb not in SCRIPTS])
        self.assertEqual([name for name in made if name.startswith(("tests/", "bench/", "links/"))], [])
        tests = made_for("tests")
        for name in ("bin/crx-unit", "bin/victims/proc_ids", "bin/bench/gauge", "bin/fuzz/proc"):
            self.assertIn(name, tests)


if __name__ == "__main__":
    unittest.main()
