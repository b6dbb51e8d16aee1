"""The main process of a systemd unit that restarts it is refused, unless the user chooses what becomes of the unit.
A script stands for systemd: only its answers matter here."""
import os
import stat
import unittest

import crxtest
from crxtest import CGROUP2, lines_of, read_text

# Prints MainPID and Restart from files; logs its arguments; stopping makes the unit inactive, or what the
# file "ends" says.
SYSTEMCTL = """#!/bin/sh
cd DIR; echo "$*" >> log
case "$*" in
  *reset-failed*) echo inactive > state;;
  *MainPID*) echo "Restart=$(cat restart)"; echo "MainPID=$(cat main)";;
  *ActiveState*) echo "ActiveState=$(cat state)";;
  *stop*) cat ends > state; [ -e /proc/$(cat main)/status ] && grep -h State /proc/$(cat main)/status >> seen;;
esac
"""


@unittest.skipUnless(CGROUP2, "there is no cgroup version 2")
class SystemdUnit(crxtest.RingTest):
    HOSTS = 2

    def setUp(self):
        self.dir = self.ring.path(self.id())
        os.mkdir(self.dir)
        self.path = f"{self.dir}/systemctl"
        with open(self.path, "w") as script:
            script.write(SYSTEMCTL.replace("DIR", self.dir))
        os.chmod(self.path, stat.S_IRWXU)
        group = f"{self.ring[0].cgroup}/system.slice/some.service"
        os.makedirs(group, exist_ok=True)
        self.addCleanup(crxtest.remove_cgroups, group)
        self.process = self.ring[0].spawn(["sleep", "1000"])
        self.addCleanup(self.process.kill)
        self.process.enter_cgroup(group)
        self.answer(main=self.process.pid, restart="always", state="active", ends="inactive")

    def answer(self, **values):
        for name, value in values.items():
            with open(f"{self.dir}/{name}", "w") as file:
                file.write(f"{value}\n")

    def migrate(self, *options):
        return self.ring[0].migrate(self.process, self.ring[1], "--manage-cgroups", "none", *options,
                                    env={"PATH": f"{self.dir}:{os.environ['PATH']}"})

    def moved(self, result):
        self.assertEqual(result.exit, 0, f"{result}")
        self.addCleanup(result.process.kill)
        self.process.wait_end(10)

    def test_refused(self):
        result = self.migrate()
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("is the main process of some.service", result.stderr)
        self.assertIn("Restart=always", result.stderr)
        self.assertIn("--unit stop", result.stderr)
        self.assertTrue(self.process.alive())

    def test_stopped(self):
        self.moved(self.migrate("--unit", "stop"))
        self.assertIn("stop --no-block -- some.service", lines_of(f"{self.dir}/log"))
        self.assertIn("State:", read_text(f"{self.dir}/seen"), "it was still there when the unit was stopped")

    def test_stopped_is_not_failed(self):
        """To systemd a main process that is killed is a failure, which crx-migrate clears."""
        self.answer(ends="failed")
        self.moved(self.migrate("--unit", "stop"))
        self.assertEqual(lines_of(f"{self.dir}/log")[-1], "reset-failed -- some.service")
        self.assertEqual(lines_of(f"{self.dir}/state"), ["inactive"])

    def test_kept(self):
        self.moved(self.migrate("--unit", "keep"))
        self.assertNotIn("stop", read_text(f"{self.dir}/log"))

    def test_nobody_restarts_it(self):
        self.answer(restart="no")
        self.moved(self.migrate())

    def test_not_the_main_process(self):
        self.answer(main=1)
        self.moved(self.migrate())

    def test_failed_move(self):
        result = self.migrate("--unit", "stop", "--hook", '[ "$CRX_STAGE" != prepared ]')
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertNotIn("stop", read_text(f"{self.dir}/log"))


if __name__ == "__main__":
    crxtest.main()
