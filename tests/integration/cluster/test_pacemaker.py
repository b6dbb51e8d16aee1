"""ocf:crx:process in a real cluster of three nodes: live moves, saved stops, revived programs."""
import os
import re
import unittest

import crxtest
from cluster import Cluster
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

    def add(self, name, *more, operations=(), **parameters):
        """Adds a program to the cluster, as docs/cluster.md says; returns the node at which it runs."""
        shared = self.cluster.shared
        given = {"command": f"/usr/bin/python3 {self.program}", "images": f"{shared}/{name}", "output": f"{shared}/{name}.out",
                 "state": "/run/crx", "tls_dir": "/run/tls", **parameters}
        self.cluster.crm("crm", "-F", "configure", "primitive", name, "ocf:crx:process", "params",
                         *(f"{key}={value}" for key, value in given.items()), "op", "monitor", "interval=2s", "timeout=30s", *operations,
                         *(word for action in ("start", "stop", "migrate_to", "migrate_from")
                           for word in ("op", action, "timeout=60s", "interval=0")), "meta", "allow-migrate=true", *more)
        self.addCleanup(self.cluster.remove, name)
        return until(lambda: len(self.lines(name)) > 1 and self.cluster.place_of(name),
                     lambda: f"{name} runs: {self.cluster.explain()}", 60)

    def lines(self, name):
        return [line.split() for line in lines_of(f"{self.cluster.shared}/{name}.out")]

    def move(self, name, node):
        until(lambda: self.cluster.place_of(name), lambda: f"{name} runs: {self.cluster.explain()}", 60)
        self.cluster.crm("crm_resource", "--move", "-r", name, "-N", node)
        self.arrives(name, node)
        self.cluster.crm("crm_resource", "--clear", "-r", name)

    def arrives(self, name, *nodes):
        """Waits until the program writes at one of the nodes, and the cluster knows it there."""
        until(lambda: self.lines(name)[-1][1:2] == [self.cluster.place_of(name)] and self.lines(name)[-1][1] in nodes
              and self.cluster.is_idle(),
              lambda: f"{name} runs at {nodes}: {self.lines(name)[-1]} {self.cluster.explain()}", 60)

    def pids(self, name):
        """The PIDs that the program has seen itself to have."""
        return {line[2] for line in self.lines(name)[:-1]}

    def is_logged(self, pattern):
        """The cluster engine writes what an agent has said a moment after its end."""
        until(lambda: re.search(pattern, self.cluster.agent_log()), lambda: f"{pattern} in {self.cluster.agent_log()}", 20)

    def check_lines(self, name):
        """Each number was written once, in order."""
        numbers = [int(line[0]) for line in self.lines(name)[:-1]]
        self.assertEqual(numbers, list(range(len(numbers))))


class Moves(ClusterTest):
    def test_ring(self):
        for node in self.cluster.after(self.add("ring", "resource-stickiness=100")):
            self.move("ring", node)
        self.assertEqual(len(self.pids("ring")), 1)
        self.assertFalse(os.path.exists(f"{self.cluster.shared}/ring/set"), self.cluster.agent_log())
        self.check_lines("ring")

    def test_failing_move(self):
        """A move that fails ends in a stop and a start, which lose nothing."""
        veto = f"{self.cluster.shared}/veto"
        here = self.add("failing", "resource-stickiness=100", migrate_options=f"--hook 'test ! -e {veto} || test $CRX_STAGE = aborted'")
        there = self.cluster.after(here)[0]
        with open(veto, "w"):
            pass
        self.move("failing", there)
        os.unlink(veto)
        self.is_logged(r"has not moved to")
        self.is_logged(r"revived as process \d+ from the set of .*, which is \d+ s old")
        self.assertTrue(os.path.exists(f"{self.cluster.shared}/failing/set/inventory.img"))
        self.move("failing", here)
        self.check_lines("failing")


@unittest.skipUnless(crxtest.FULL, "runs with CRX_FULL=1")
class Operations(ClusterTest):
    def standby(self, node, value):
        self.cluster.crm("crm_attribute", "-N", node, "-n", "standby", "-v", value)

    def target_role(self, name, role):
        self.cluster.crm("crm_resource", "-r", name, "--meta", "--set-parameter", "target-role", "--parameter-value", role)

    def stop(self, name):
        self.target_role(name, "Stopped")
        until(lambda: not self.cluster.is_active(name), lambda: f"{name} stops: {self.cluster.explain()}", 60)

    def start(self, name):
        """Starts a program that was stopped; returns where it writes on."""
        count = len(self.lines(name))
        self.target_role(name, "Started")
        return until(lambda: len(self.lines(name)) > count + 1 and self.cluster.place_of(name),
                     lambda: f"{name} writes on: {self.cluster.explain()}", 60)

    def test_drain(self):
        """Standby moves four programs away, live."""
        names = [f"drain{number}" for number in range(4)]
        for name in names:
            if self.add(name, "resource-stickiness=100") != "h1":
                self.move(name, "h1")
        self.standby("h1", "on")
        for name in names:
            self.arrives(name, "h2", "h3")
        self.standby("h1", "off")
        for name in names:
            self.assertEqual(len(self.pids(name)), 1)
            self.assertFalse(os.path.exists(f"{self.cluster.shared}/{name}/set"), "all moves were live")
            self.check_lines(name)

    def test_rebalance(self):
        """A node that comes back after maintenance gets programs again, live, by their utilisation."""
        for node in ("h1", "h2", "h3"):
            self.cluster.crm("crm_attribute", "-N", node, "-z", "-n", "memory", "-v", "1000")
        names = [f"balanced{number}" for number in range(3)]
        for name in names:
            self.add(name, "utilization", "memory=300")
        until(lambda: len({self.cluster.place_of(name) for name in names}) == 3, "one program at each node", 60)
        self.standby("h2", "on")
        for name in names:
            self.arrives(name, "h1", "h3")
        self.cluster.kill(1)
        self.cluster.bring_back(1)
        self.standby("h2", "off")
        until(lambda: "h2" in {self.cluster.place_of(name) for name in names}, lambda: f"a program comes: {self.cluster.explain()}", 60)
        for name in names:
            self.assertEqual(len(self.pids(name)), 1)
            self.check_lines(name)

    def test_stop_and_start(self):
        self.add("stopped", "resource-stickiness=100")
        self.stop("stopped")
        self.start("stopped")
        self.check_lines("stopped")

    def test_taken_pid(self):
        """A program whose PID is taken goes on in a PID namespace of its own, and moves and stops as any other."""
        here = self.add("clash", "resource-stickiness=100")
        there, last = self.cluster.after(here)[:2]
        pid = int(self.lines("clash")[-1][2])
        self.occupy(there, pid)
        self.move("clash", there)
        self.is_logged(r"moving with new PIDs")
        self.check_lines("clash")
        self.move("clash", last)
        self.check_lines("clash")
        self.assertFalse(os.path.exists(f"{self.cluster.shared}/clash/set"), "both moves were live")
        self.stop("clash")
        self.occupy(here, pid)
        self.occupy(last, pid)
        here = self.start("clash")
        self.is_logged(r"restoring with new PIDs")
        self.stop("clash")
        here = self.start("clash")
        self.move("clash", self.cluster.after(here)[0])
        self.assertEqual(self.pids("clash"), {str(pid)})
        self.check_lines("clash")

    def test_killed_move(self):
        """crx-migrate is killed after the commit: the journals say where the program is, and it runs in one place."""
        hook = "test $CRX_STAGE = committed && kill -9 $PPID || true"
        here = self.add("doubt", "resource-stickiness=100", migrate_options=f"--hook '{hook}'")
        for node in self.cluster.after(here)[:2]:
            self.move("doubt", node)
            self.is_logged(f"process .* has moved to {node}")
        self.assertEqual(len(self.pids("doubt")), 1)
        self.assertFalse(os.path.exists(f"{self.cluster.shared}/doubt/set"), self.cluster.agent_log())
        self.check_lines("doubt")

    def occupy(self, node, pid):
        host = next(each for each in self.cluster.hosts if each.name == node)
        host.set_next_pid(pid)
        other = host.spawn(["sleep", "1000"])
        self.addCleanup(other.kill)
        self.assertEqual(other.pid, pid)

    def test_killed_node(self):
        """A node dies: its program is revived elsewhere from its last dump, and the log says how old that is."""
        name = "killed"
        here = self.add(name, "resource-stickiness=100",
                        operations=["op", "monitor", "interval=3s", "timeout=30s", "OCF_CHECK_LEVEL=10"])
        saved = f"{self.cluster.shared}/{name}/set/inventory.img"
        until(lambda: os.path.exists(saved), lambda: f"a dump: {self.cluster.explain()}", 30)
        count = len(self.lines(name))
        until(lambda: len(self.lines(name)) > count + 50, "it writes on")
        index = int(here[1:]) - 1
        self.cluster.kill(index)
        before = self.lines(name)
        until(lambda: len(self.lines(name)) > len(before) + 10, lambda: f"it is revived: {self.cluster.explain()}", 60)
        after = [line for line in self.lines(name)[:-1] if line[1] != here]
        numbers = [int(line[0]) for line in after]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        self.assertLessEqual(numbers[0], int(before[-1][0]) + 1)
        self.assertGreater(numbers[0], 0)
        self.assertEqual(len(self.pids(name)), 1)
        self.is_logged(r"revived as process \d+ from the set of .*, which is \d+ s old")
        self.cluster.bring_back(index)
        self.move(name, here)


if __name__ == "__main__":
    crxtest.main()
