"""Threads in calls that the kernel restarts by itself: killing the agent in a stop changes nothing, and no thread
loses a signal."""
import os
import random
import select
import signal
import struct
import subprocess

import crxtest
import hosts
from crxtest import lines_of, until
from dumptest import DumpTest
from hosts import read_text

THREADS = 64


class Sleepers(DumpTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = f"{cls.base}/sleepers"
        subprocess.run(["cc", "-std=gnu17", "-O2", "-pthread", "-o", cls.program, f"{hosts.PROGRAMS}/sleepers.c"], check=True)

    def start(self):
        process = self.host.spawn([self.program, f"{self.dir}/counts", THREADS], stdout=f"{self.dir}/out")
        self.addCleanup(process.kill)
        until(lambda: lines_of(f"{self.dir}/out") == ["ready"], "the program is ready")
        return process

    def counts(self):
        with open(f"{self.dir}/counts", "rb") as file:
            return struct.unpack("QQ", file.read(16))

    def threads(self, process, *fields):
        """Returns [{field: value}] of all threads."""
        found = []
        for task in os.listdir(process.proc("task")):
            lines = [line.split(":", 1) for line in read_text(process.proc(f"task/{task}/status")).splitlines()]
            found.append({name: value.strip() for name, value in lines if name in fields})
        return found

    def dump_on(self, process, turn):
        return self.host.spawn([f"{hosts.BIN}/crx-dump", "-R", "-t", process.pid, "-D", f"{self.dir}/set{turn}"],
                               stdout=f"{self.dir}/log")

    def send(self, process, count):
        for _ in range(count):
            process.send_signal(signal.SIGRTMIN)
        self.sent += count

    def test_killed_anywhere(self):
        process = self.start()
        usual = [{"SigBlk": "0" * 16}] * THREADS
        # A thread begins with all signals blocked (pthread_create of the C library).
        until(lambda: self.threads(process, "SigBlk") == usual, "no thread blocks a signal", 10)
        dice = random.Random(7)
        self.sent = 0
        began = crxtest.time.monotonic()
        self.assertEqual(self.dump_on(process, "").wait(), 0, read_text(f"{self.dir}/log"))
        whole = crxtest.time.monotonic() - began
        for turn in range(100 if crxtest.FULL else 30):
            tool = self.dump_on(process, turn)
            after = dice.uniform(0, whole)
            select.select([tool.pidfd], [], [], after)  # the test tries different lengths
            for pid in self.host.children(tool.pid):
                worker = self.host.find(pid)
                if worker:
                    worker.kill()
            tool.kill()
            tool.wait_end(10)
            until(lambda: all(t["TracerPid"] == "0" for t in self.threads(process, "TracerPid")), "nobody traces it", 10)
            context = f"killed after {after * 1000:.1f} of {whole * 1000:.1f} ms"
            self.send(process, 1)
            until(lambda: self.counts()[0] == self.sent, f"it handles its signals ({context})", 10)
            # A thread that was in a remote batch heals itself within 2 s.
            until(lambda: self.threads(process, "SigBlk") == usual, f"no signals are blocked ({context})", 10)
        self.assertEqual(self.counts(), (self.sent, 0))

    def test_signals(self):
        process = self.start()
        self.sent = 0
        for turn in range(4):
            tool = self.dump_on(process, turn)
            while not select.select([tool.pidfd], [], [], 0.001)[0]:
                self.send(process, 3)
            self.assertEqual(tool.wait(), 0, read_text(f"{self.dir}/log"))
        until(lambda: self.counts()[0] == self.sent, lambda: f"all of {self.sent} signals: {self.counts()}", 20)
        self.assertEqual(self.counts(), (self.sent, 0))
        self.assertGreater(self.sent, 30)


if __name__ == "__main__":
    crxtest.main()
