"""ocf:crx:process by itself: its description, its return codes, ocf-tester, and what a stop and a start keep."""
import json
import os
import re
import subprocess

import crxtest
from cluster import AGENT
from dumptest import DumpTest
from hosts import BIN, lines_of, read_text, until

SUCCESS, FAILED, NO_ACTION, UNKNOWN, NOT_INSTALLED, WRONG, NOT_RUNNING = 0, 1, 2, 3, 5, 6, 7
DTD = "/usr/share/resource-agents/ra-api-1.dtd"
PROGRAM = "import itertools, time\nfor n in itertools.count():\n    print(n, flush=True)\n    time.sleep(0.01)\n"


class Agent(DumpTest):
    def setUp(self):
        super().setUp()
        self.output = f"{self.dir}/out"
        with open(f"{self.dir}/program.py", "w") as file:
            file.write(PROGRAM)
        os.mkdir(f"{self.dir}/run")
        self.given = {"command": f"/usr/bin/python3 {self.dir}/program.py", "images": f"{self.dir}/images", "output": self.output,
                      "state": f"{self.dir}/state"}

    def act(self, action, code, **more):
        """Runs an action, which must return this code; returns what the agent has said."""
        environment = {f"OCF_RESKEY_{name}": value for name, value in {**self.given, **more}.items() if name.islower()}
        environment.update({name: value for name, value in more.items() if not name.islower()})
        environment.update(PATH=f"{BIN}:{os.environ['PATH']}", HA_RSCTMP=f"{self.dir}/run", OCF_RESOURCE_INSTANCE="program")
        returned, text = self.host.run([AGENT, *action.split()], check=False, env=environment)
        self.assertEqual(returned, code, f"{action}: {text}")
        return text

    def grows(self):
        count = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > count + 1, "the program writes")

    def check_lines(self):
        lines = lines_of(self.output)
        self.assertEqual(lines, [str(number) for number in range(len(lines))])

    def test_description(self):
        text = self.act("meta-data", SUCCESS)
        subprocess.run(["xmllint", "--noout", "--nonet", "--dtdvalid", DTD, "-"], input=text, text=True, check=True, stderr=subprocess.DEVNULL)
        page = read_text(f"{crxtest.ROOT}/docs/man/ocf_crx_process.7").replace("\\-", "-")
        for name in re.findall(r'<(?:parameter|action) name="([\w-]+)"', text):
            self.assertRegex(page, rf"(?m)^\.B {name}$")

    def test_return_codes(self):
        self.act("", NO_ACTION)
        self.act("promote", UNKNOWN)
        self.act("validate-all", SUCCESS)
        self.act("monitor", NOT_RUNNING)
        self.act("stop", SUCCESS)
        self.assertIn("ocf-exit-reason:parameter command is missing", self.act("validate-all", WRONG, command=""))
        self.act("start", WRONG, save="perhaps")
        self.act("start", WRONG, images="relative")
        self.act("start", WRONG, command="'unbalanced")
        self.act("start", NOT_INSTALLED, command="/no/such/program")
        self.act("start", NOT_INSTALLED, images="/no/such/storage/images")
        self.act("start", NOT_INSTALLED, user="nobody-such")
        self.assertIn("ended at once, with status 3", self.act("start", FAILED, command="sh -c 'exit 3'"))
        self.act("migrate_to", NOT_RUNNING, OCF_RESKEY_CRM_meta_migrate_target="h2")
        self.act("migrate_from", FAILED, OCF_RESKEY_CRM_meta_migrate_source="h2")
        self.act("start", SUCCESS)
        self.act("start", SUCCESS)
        self.act("monitor", SUCCESS)
        self.act("stop", SUCCESS)
        self.act("stop", SUCCESS)
        self.act("monitor", NOT_RUNNING)

    def test_stop_and_start(self):
        for _ in range(2):
            self.act("start", SUCCESS)
            self.grows()
            self.act("stop", SUCCESS)
            self.check_lines()
        self.act("start", SUCCESS)
        self.act("stop", SUCCESS, save="no")

    def test_what_cannot_be_saved(self):
        self.act("start", SUCCESS)
        text = self.act("stop", FAILED, options="--no-such-option")
        self.assertIn("runs on, since it cannot be saved", text)
        self.act("monitor", SUCCESS, options="--no-such-option", OCF_CHECK_LEVEL="10")
        self.grows()
        self.act("stop", SUCCESS, options="--no-such-option", save="try")
        self.act("monitor", NOT_RUNNING)
        self.assertFalse(os.path.exists(f"{self.dir}/images/set"))

    def test_damaged_set(self):
        """A set that cannot be restored is neither ignored nor touched."""
        self.act("start", SUCCESS)
        self.act("stop", SUCCESS)
        count = len(lines_of(self.output))
        images = f"{self.dir}/images/set/files.img"
        with open(images, "r+b") as file:
            whole = file.read()
            file.truncate(len(whole) - 1)
        self.assertIn(f"to begin anew, remove {self.dir}/images/set", self.act("start", FAILED))
        self.act("monitor", NOT_RUNNING)
        self.assertEqual(len(lines_of(self.output)), count)
        with open(images, "wb") as file:
            file.write(whole)
        self.act("start", SUCCESS)
        self.grows()
        self.check_lines()
        self.act("stop", SUCCESS)

    def test_ended_program(self):
        """It is revived from its last set, and the log says how old that is."""
        self.act("start", SUCCESS)
        self.grows()
        self.act("monitor", SUCCESS, OCF_CHECK_LEVEL="10")
        self.grows()
        process = self.host.find(json.loads(read_text(f"{self.dir}/run/crx-program.json"))["pid"])
        process.kill()
        self.wait_gone(process)
        self.act("monitor", NOT_RUNNING)
        self.act("stop", SUCCESS)
        self.assertRegex(self.act("start", SUCCESS), r"revived as process \d+ from the set of .*, which is \d+ s old")
        self.grows()
        self.act("stop", SUCCESS)

    def test_ocf_tester(self):
        environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HA_RSCTMP": f"{self.dir}/run"}
        self.host.run(["mount", "-t", "tmpfs", "none", "/run"])
        code, text = self.host.run(["ocf-tester", "-n", "program", *(word for pair in self.given.items() for word in ("-o", "=".join(pair))),
                                    AGENT], check=False, env=environment)
        self.assertEqual(code, 0, text)
        self.assertIn("passed all tests", text)


if __name__ == "__main__":
    crxtest.main()
