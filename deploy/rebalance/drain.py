"""Emptying a host before maintenance: looks, plans and moves in rounds until no program of a service is left there."""
import secrets
import time

from . import cluster, mover, plan_file
from .errors import DONE, IN_DOUBT, INCOMPLETE, INTERRUPTED, Failure

RETRY_S = 5


class Drain:
    """`runner_of(plan, failures)` makes a Runner that gives up after so many failures."""

    def __init__(self, inventory, history, host, wait_s, max_failures, check, runner_of, note):
        self.inventory, self.history, self.host, self.check = inventory, history, host, check
        self.wait_s, self.failures_left, self.runner_of, self.note = wait_s, max_failures, runner_of, note
        self.plan = secrets.token_hex(8)
        self.refused = {}
        self.moved = 0
        self.number = 0
        self.failed = set()  # (program, destination): not tried again in this run, however long it waits

    def look(self):
        looked = cluster.look(self.inventory, self.history)
        cluster.write_verdicts(self.history, looked.verdicts)
        if looked.facts[self.host].problem:
            raise Failure(f"{self.host}: {looked.facts[self.host].problem}")
        return looked

    def round(self, looked):
        """Moves what can be moved now; returns (Plan, Summary, or None where nothing can be)."""
        for key in self.failed:
            self.refused.setdefault(key, "a move there has failed")
        plan, _ = plan_file.make(looked, self.history, {self.host}, even=False, check=self.check, refused=self.refused)
        if not plan.moves:
            return plan, None
        jobs = []
        for move in plan.moves:
            self.number += 1
            jobs.append((self.number, mover.job_of(looked.program(move.key), move.destination)))
        summary = self.runner_of(self.plan, self.failures_left).run(jobs)
        self.moved += summary.counts["moved"]
        self.failures_left -= summary.counts["failed"]
        outcomes = self.history.outcomes(self.plan)
        for move, (number, _) in zip(plan.moves, jobs):
            record = outcomes.get(number, {})
            if record.get("event") in ("failed", "refused", "skipped"):
                self.refused[move.key, move.destination] = record.get("message", "a move there has failed")
            if record.get("event") == "failed":
                self.failed.add((move.key, move.destination))
        return plan, summary

    def run(self):
        """Returns (exit code, [(Program, why it is still there)])."""
        if self.host not in self.history.drained():
            self.history.add("drain", host=self.host)
        deadline = time.monotonic() + self.wait_s
        while True:
            looked = self.look()
            plan, summary = self.round(looked)
            if summary and summary.stopped:
                code = {"interrupted": INTERRUPTED, "in_doubt": IN_DOUBT}.get(summary.stopped, INCOMPLETE)
                return code, self.left(self.look(), plan)
            if summary:
                continue
            left = self.left(looked, plan)
            if not left:
                return DONE, []
            if time.monotonic() >= deadline:
                doubtful = {(record["service"], record["pid"]) for record, _ in looked.doubts if self.host == record["from"]}
                return IN_DOUBT if doubtful else INCOMPLETE, left
            self.note(f"{self.host} is not empty yet (programs: {len(left)}); trying again in {RETRY_S} s")
            time.sleep(min(RETRY_S, max(0.0, deadline - time.monotonic())))
            self.refused.clear()

    def left(self, looked, plan):
        why = dict(plan.stays)
        return [(one, why.get(cluster.place_of(one)) or one.stays or "it was not moved yet")
                for one in looked.programs if one.host == self.host]
