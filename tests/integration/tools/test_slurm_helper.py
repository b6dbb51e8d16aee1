"""crx-slurm without Slurm: a job is saved at the warning on one host and goes on at another. (Slurm itself: cluster/test_slurm.py.)"""
import json
import os
import signal

import crxtest
from crxtest import BIN, lines_of, read_text, until

REQUEUE = '#!/bin/sh\necho "$@" >>"{folder}/asked"\ntest ! -e "{folder}/no"\n'


class SlurmHelper(crxtest.RingTest):
    HOSTS = 2
    AGENTS = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("tally")

    def setUp(self):
        self.dir = self.ring.path(self._testMethodName)
        os.makedirs(f"{self.dir}/bin")
        self.output, self.stop, self.asked = f"{self.dir}/output", f"{self.dir}/stop", f"{self.dir}/asked"
        self.config, self.log = f"{self.dir}/slurm.toml", f"{self.dir}/log"
        self.set = f"{self.dir}/sets/0/77/set"
        with open(self.config, "w") as file:
            file.write(f'[slurm]\nimages = "{self.dir}/sets"\n')
        with open(f"{self.dir}/bin/scontrol", "w") as file:
            file.write(REQUEUE.format(folder=self.dir))
        os.chmod(f"{self.dir}/bin/scontrol", 0o755)
        self.env = {"SLURM_JOB_ID": "77", "PATH": f"{self.dir}/bin:{os.environ['PATH']}"}

    def start(self, host, word="revived"):
        said = self.text().count(word)
        job = host.spawn([f"{BIN}/crx-slurm", "run", "--config", self.config, "--", self.program, self.output, self.stop, "1"],
                         stdout=self.log, env=self.env)
        self.addCleanup(job.kill)
        count = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > count and self.text().count(word) > said or not job.alive(), "it counts")
        return job

    def text(self):
        return read_text(self.log, "")

    def end(self, job):
        """The program ends by itself: the job has its exit status, and nothing is left of it."""
        with open(self.stop, "w"):
            pass
        self.assertEqual(job.wait(20), 0, self.text())
        lines = lines_of(self.output)
        self.assertEqual(lines, [*map(str, range(len(lines) - 1)), "end"])
        self.assertFalse(os.path.exists(os.path.dirname(self.set)))

    def test_two_nodes(self):
        one, other = self.ring.hosts
        job = self.start(one, "started")
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(job.wait(20), 0, self.text())
        self.assertEqual(lines_of(self.asked), ["requeue 77"])
        self.assertTrue(os.path.exists(f"{self.set}/inventory.img"))
        job = self.start(other)
        # It is saved once more, and goes on where its PID is taken by another program.
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(job.wait(20), 0, self.text())
        pid = [int(line.split()[-1]) for line in self.text().splitlines() if "revived as process" in line][-1]
        one.set_next_pid(pid)
        squatter = one.spawn(["sleep", "1000"])
        self.addCleanup(squatter.kill)
        self.assertEqual(squatter.pid, pid)
        self.end(self.start(one))

    def test_it_cannot_be_queued_again(self):
        """The program goes on where it is; so it does when it cannot be saved."""
        open(f"{self.dir}/no", "w").close()
        job = self.start(self.ring[0], "started")
        with open(self.config, "a") as file:
            file.write('options = "--no-such-option"\n')
        job.send_signal(signal.SIGUSR1)
        until(lambda: "was not saved, and runs on" in self.text(), self.text)
        self.assertEqual(lines_of(self.asked), [])
        with open(self.config, "w") as file:
            file.write(f'[slurm]\nimages = "{self.dir}/sets"\n')
        job.send_signal(signal.SIGUSR1)
        until(lambda: "the program goes on here" in self.text() and "revived" in self.text(), self.text)
        self.end(job)

    def test_only_ones_own(self):
        """A user can save no process of another one, and name no folder but the one of a job."""
        other = self.ring[0].spawn(["sleep", "1000"])
        self.addCleanup(other.kill)
        for words, answer in ((("save", "77", other.pid), "is of another user"), (("save", "../77", other.pid), "is no number of a job"),
                              (("revive", "7/7"), "is no number of a job"),
                              (("revive", "77", "--config", self.config), "leave --config out")):
            code, text = self.ring[0].run([f"{BIN}/crx-slurm", *words[:1], "--json", *words[1:]],
                                          env={"SUDO_UID": "1000"}, check=False)
            self.assertNotEqual(code, 0)
            self.assertIn(answer, json.loads(text.splitlines()[0])["message"])
        self.assertTrue(other.alive())
        self.assertEqual(self.ring[0].run([f"{BIN}/crx-slurm", "revive", "--config", self.config, "5"], check=False)[0], 75)


if __name__ == "__main__":
    crxtest.main()
