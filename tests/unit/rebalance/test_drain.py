"""Emptying a host: rounds, hosts that refuse, waiting. Hosts and moves are made for the test; looking and planning are real."""
import collections
import tempfile
import unittest
from unittest import mock

from rebalance import cluster, drain, history, inventory
from rebalance.errors import DONE, IN_DOUBT, INCOMPLETE, INTERRUPTED, Failure
from rebalance.probe import Facts
from rebalance.programs import Program
from rebalance.runner import Summary

MIB = 1 << 20


class Drain(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.history = history.History(folder.name)
        self.inventory = inventory.parse("[hosts.a]\n[hosts.b]\n[hosts.c]\n[services.web]\ncommand = 'web'\ninstances = 9")
        self.facts = {name: Facts(name, "", 100 * MIB, free * MIB) for name, free in (("a", 50), ("b", 40), ("c", 60))}
        self.where = {5: "a", 6: "a", 7: "b"}
        self.stays, self.ends, self.tried = {}, {}, []
        self.sleeps, self.stopped = 0, ""

    def look(self, *_):
        found = [Program("web", host, pid, 1, pid, "web", MIB, 0, self.stays.get(pid, "")) for pid, host in self.where.items()]
        return cluster.Cluster(self.inventory, self.facts, found, [])

    def runner_of(self, plan, failures):
        test = self

        class Runner:
            def run(self, jobs):
                counts = collections.Counter()
                for number, job in jobs:
                    event = test.ends.get((job.pid, job.destination), "moved")
                    counts[event] += 1
                    test.tried.append((job.pid, job.destination))
                    test.history.add(event, plan=plan, move=number, service=job.service, inner_pid=job.pid, command=job.command,
                                     message="it went wrong", **{"from": job.source, "to": job.destination})
                    if event == "moved":
                        test.where[job.pid] = job.destination
                return Summary(counts, test.stopped or ("failures" if counts["failed"] >= failures else ""), 0)
        return Runner()

    def sleep(self, _):
        self.sleeps += 1
        if self.sleeps == 2:
            self.stays.clear()

    def run_it(self, wait_s=0, max_failures=3):
        emptying = drain.Drain(self.inventory, self.history, "a", wait_s, max_failures, False, self.runner_of, lambda text: None)
        with mock.patch.object(cluster, "look", self.look), mock.patch.object(drain.time, "sleep", self.sleep):
            code, left = emptying.run()
        return code, [(one.pid, why) for one, why in left]

    def test_empties(self):
        self.assertEqual(self.run_it(), (DONE, []))
        self.assertNotIn("a", self.where.values())
        self.assertEqual(self.history.drained(), {"a"})
        self.history.add("drain_end", host="a")
        self.assertEqual(self.history.drained(), set())

    def test_another_host_after_a_failure(self):
        self.ends = {(5, "b"): "failed", (5, "c"): "failed"}
        code, left = self.run_it()
        self.assertEqual((code, left), (INCOMPLETE, [(5, "c: it went wrong; b: it went wrong")]))
        self.assertEqual(sorted(self.tried), [(5, "b"), (5, "c"), (6, "c")])

    def test_waits(self):
        self.stays = {5: "its session is open"}
        self.assertEqual(self.run_it(wait_s=60), (DONE, []))
        self.assertEqual(self.sleeps, 2)

    def test_does_not_wait_for_ever(self):
        self.stays = {5: "its session is open"}
        self.assertEqual(self.run_it(), (INCOMPLETE, [(5, "its session is open")]))

    def test_ends_early(self):
        for stopped, code in (("interrupted", INTERRUPTED), ("in_doubt", IN_DOUBT), ("failures", INCOMPLETE)):
            self.stopped = stopped
            self.where = {5: "a"}
            self.ends = {(5, "b"): "refused", (5, "c"): "refused"}
            self.assertEqual(self.run_it()[0], code)

    def test_a_host_that_does_not_answer(self):
        self.facts["a"].problem = "no answer within 30 s"
        with self.assertRaisesRegex(Failure, "^a: no answer within 30 s"):
            self.run_it()


if __name__ == "__main__":
    unittest.main()
