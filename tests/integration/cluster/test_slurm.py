"""crx-slurm in a real Slurm with two nodes: a job is saved at the warning, queued again, and revived at the other node."""
import os
import unittest

import crxtest
from crxtest import lines_of, read_text, until
from slurm import Slurm

SCRIPT = """#!/bin/sh
#SBATCH --requeue
#SBATCH --open-mode=append
exec crx-slurm run --config {shared}/slurm.toml -- {program} {output} {stop} 4
"""


@unittest.skipUnless(crxtest.FULL, "a real Slurm takes a minute (CRX_FULL=1)")
class SlurmTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.slurm = Slurm()
        cls.addClassCleanup(cls.slurm.close)
        cls.program = cls.slurm.compile("tally")
        with open(f"{cls.slurm.shared}/slurm.toml", "w") as file:
            file.write(f'[slurm]\nimages = "{cls.slurm.shared}/sets"\n')

    def shortDescription(self):
        return None

    def setUp(self):
        self.output, self.stop = (f"{self.slurm.shared}/{self._testMethodName}.{name}" for name in ("numbers", "stop"))
        self.log = f"{self.slurm.shared}/{self._testMethodName}.log"

    def submit(self, *options):
        script = SCRIPT.format(shared=self.slurm.shared, program=self.program, output=self.output, stop=self.stop)
        job = self.slurm.submit(script, "--output", self.log, *options)
        until(lambda: len(lines_of(self.output)) > 3, lambda: f"it counts: {self.text()}", 60)
        return job

    def text(self):
        return read_text(self.log, "") + self.slurm.explain()

    def runs_again(self, job):
        """It waits in the queue first, as Slurm has it; that is cut short."""
        until(lambda: self.slurm.job(job).get("JobState") == "PENDING", lambda: f"it is queued again: {self.text()}", 120)
        count = len(lines_of(self.output))
        self.slurm.tell("scontrol", "update", f"jobid={job}", "starttime=now")
        until(lambda: len(lines_of(self.output)) > count, lambda: f"it goes on: {self.text()}", 120)
        return self.slurm.job(job)["NodeList"]

    def end(self, job):
        with open(self.stop, "w"):
            pass
        until(lambda: self.slurm.job(job).get("JobState") == "COMPLETED", lambda: f"it ends: {self.text()}", 60)
        lines = lines_of(self.output)
        self.assertEqual(lines, [*map(str, range(len(lines) - 1)), "end"])
        self.assertFalse(os.path.exists(f"{self.slurm.shared}/sets/0/{job}"))

    def test_a_node_is_emptied(self):
        """It goes to the other node and back."""
        job = self.submit()
        for _ in range(2):
            node = self.slurm.job(job)["NodeList"]
            self.slurm.tell("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
            self.slurm.tell("scancel", "--batch", "--signal=USR1", job)
            self.assertNotEqual(self.runs_again(job), node)
            self.slurm.tell("scontrol", "update", f"nodename={node}", "state=resume")
        self.end(job)

    def test_its_time_is_up(self):
        """The node that it was at takes it again after two minutes only; so it goes to the other one."""
        job = self.submit("--time=1", "--signal=B:USR1@30")
        node = self.slurm.job(job)["NodeList"]
        self.slurm.tell("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        self.addCleanup(self.slurm.tell, "scontrol", "update", f"nodename={node}", "state=resume")
        self.assertNotEqual(self.runs_again(job), node)
        self.end(job)


if __name__ == "__main__":
    crxtest.main()
