"""ocf:crx:process in a real cluster of three nodes: live moves, saved stops, revived programs."""
import os
import subprocess
import unittest

import crxtest
from cluster import AGENT, Cluster
from crxtest import lines_of, until

# Writes a numbered line every 10 ms.
PROGRAM = """
import os, time
number = 0
while True:
    print(number, os.uname().nodename, os.getpid(), flush=True)
    number += 1
    time.sleep(0.01)
"""


class ClusterTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.program = f"{cls.cluster.shared}/program.py"
        with open(cls.program, "w") as file:
            file.write(PROGRAM)

    def shortDescription(self):
        return None

    def add(self, name, *more, **parameters):
        """Adds a program to the cluster, as docs/cluster.md says."""
        shared = self.cluster.shared
        given = {"command": f"/usr/bin/python3 {self.program}", "images": f"{shared}/{name}", "output": f"{shared}/{name}.out",
                 "state": "/run/crx", "tls_dir": "/run/tls", **parameters}
        self.cluster[0].crm("crm", "-F", "configure", "primitive", name, "ocf:crx:process", "params",
                            *(f"{key}={value}" for key, value in given.items()),
                            "op", "monitor", "interval=2s", "op", "migrate_to", "timeout=60s", "op", "start", "timeout=30s", "op", "stop", "timeout=30s",
                            "meta", "allow-migrate=true", *more)
        until(lambda: self.cluster.place_of(name) and len(self.lines(name)) > 1, lambda: f"{name} runs: {self.cluster.explain()}", 40)

    def lines(self, name):
        return [line.split() for line in lines_of(f"{self.cluster.shared}/{name}.out")]

    def move(self, name, node):
        self.cluster[0].crm("crm_resource", "--move", "-r", name, "-N", node)
        self.arrives(name, node)
        self.cluster[0].crm("crm_resource", "--clear", "-r", name)

    def arrives(self, name, node):
        until(lambda: self.lines(name)[-1][1:2] == [node] and self.cluster.place_of(name) == node,
              lambda: f"{name} runs at {node}: {self.lines(name)[-1]} {self.cluster.explain()}", 60)

    def check_lines(self, name):
        """Each number was written once, in order."""
        numbers = [int(line[0]) for line in self.lines(name)[:-1]]
        self.assertEqual(numbers, list(range(len(numbers))))


class Moves(ClusterTest):
    def test_ring(self):
        self.add("ring")
        pid = self.lines("ring")[-1][2]
        for node in self.cluster.after(self.cluster.place_of("ring")):
            self.move("ring", node)
            self.assertEqual(self.lines("ring")[-1][2], pid)
        self.check_lines("ring")


if __name__ == "__main__":
    crxtest.main()
