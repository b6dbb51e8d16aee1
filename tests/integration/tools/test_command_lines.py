"""The command line of every tool: --help, --version, --log-level, --json, and a man page that has all of its
options."""
import glob
import json
import os
import re
import subprocess
import tempfile

import crxtest
import hosts

TOOLS = ["crx-agent", "crx-check", "crx-dump", "crx-hibernate", "crx-image", "crx-keys", "crx-migrate", "crx-protect", "crx-rebalance",
         "crx-restore", "crx-run", "crx-slurm"]
VERBS = {"crx-hibernate": ("save", "restore", "status", "hold"), "crx-protect": ("run", "status", "revive", "serve"),
         "crx-rebalance": ("plan", "apply", "drain", "status"), "crx-slurm": ("run", "save", "revive", "drop")}


def run(*words):
    done = subprocess.run([f"{hosts.BIN}/{words[0]}", *words[1:]], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def options_of(text):
    return set(re.findall(r"--[a-z][a-z-]*[a-z]", text))


class CommandLines(crxtest.unittest.TestCase):
    def all_help(self, tool):
        code, text, errors = run(tool, "--help")
        self.assertEqual((code, errors), (0, ""), tool)
        if tool == "crx-agent":
            code, more, errors = run(tool, "--page-server", "--help")
            self.assertEqual((code, errors), (0, ""))
            text += more
        for verb in VERBS.get(tool, ()):
            code, more, errors = run(tool, verb, "--help")
            self.assertEqual((code, errors), (0, ""))
            text += more
        return text

    def test_options_of_all(self):
        for tool in TOOLS:
            with self.subTest(tool):
                self.assertLessEqual({"--help", "--version", "--log-level", "--json"}, options_of(self.all_help(tool)))
                code, text, errors = run(tool, "--version")
                self.assertEqual((code, errors), (0, ""))
                self.assertRegex(text, rf"^{tool} \(crx\) [0-9]+\.[0-9]+")
                for wrong in ("--no-such-option", "--log-level=loud"):
                    code, text, errors = run(tool, wrong)
                    self.assertEqual((code, text), (2, ""), wrong)
                    self.assertIn("--help", errors)

    def test_man_pages_have_all_options(self):
        for tool in TOOLS:
            with self.subTest(tool):
                pages = glob.glob(f"{hosts.ROOT}/docs/man/{tool}.[18]")
                self.assertEqual(len(pages), 1)
                with open(pages[0]) as page:
                    told = options_of(page.read().replace("\\-", "-"))
                self.assertLessEqual(options_of(self.all_help(tool)), told)

    def test_failures_are_json(self):
        with tempfile.TemporaryDirectory() as folder:
            missing, good = f"{folder}/missing", f"{folder}/inventory"
            with open(good, "w") as file:
                file.write("[hosts.a]\n")
            for words in (["crx-dump", "-t", str(2**22 - 1), "-D", folder, "--json"], ["crx-restore", "-D", missing, "--json"],
                          ["crx-image", "show", missing, "--json"], ["crx-image", "--json", "verify", missing],
                          ["crx-rebalance", "drain", "a", "--json", "--inventory", good, "--state", f"{good}/x"],
                          ["crx-agent", "--page-server", "--images-dir", missing, "--port", "0", "--tls-dir", missing, "--json"]):
                with self.subTest(words):
                    code, text, errors = run(*words)
                    self.assertEqual(code, 1)
                    told = json.loads(text)
                    self.assertEqual(told["event"], "failed")
                    self.assertIn(told["message"].split(":")[0], errors)

    def test_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(run("crx-keys", "--log-level", "warn", folder, "a"), (0, "", ""))
            code, text, errors = run("crx-keys", "--json", folder, "a", "b,10.0.0.1")
            self.assertEqual((code, errors), (0, ""))
            self.assertEqual([json.loads(line) for line in text.splitlines()],
                             [{"event": "still_good", "host": "a", "dir": f"{folder}/a"},
                              {"event": "issued", "host": "b", "dir": f"{folder}/b"}])
            self.assertTrue(os.path.exists(f"{folder}/b/key.pem"))


if __name__ == "__main__":
    crxtest.main()
