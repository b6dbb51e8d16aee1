"""Carrying moves out: n at a time, each checked first, until all are done, too many fail, one is in doubt, or a signal comes."""
import collections
import dataclasses
import signal
import threading

from . import cluster, mover

WHY_STOPPED = {"interrupted": "interrupted", "failures": "too many moves failed", "in_doubt": "a move is in doubt"}


@dataclasses.dataclass
class Summary:
    """How many moves ended how; `stopped`: why no more were begun (a key of WHY_STOPPED), or empty."""
    counts: collections.Counter
    stopped: str
    not_begun: int


class Runner:
    """Runs numbered Jobs. `say(record)` is called with each record of the history that is written."""

    def __init__(self, inventory, history, plan, parallel, max_failures, say, note):
        self.inventory, self.history, self.plan = inventory, history, plan
        self.parallel, self.max_failures, self.say, self.note = parallel, max_failures, say, note
        self.mutex = threading.Lock()
        self.todo = collections.deque()
        self.counts = collections.Counter()
        self.running = set()
        self.silent = set()
        self.stopped = ""
        self.error = None
        self.signals = 0

    def interrupt(self, *_):
        """The handler of the signals: the first one stops new moves, the second one stops waiting for those that run."""
        self.signals += 1
        self.stopped = self.stopped or "interrupted"
        if self.signals > 1:
            raise KeyboardInterrupt
        running = len(self.running)
        self.note(f"interrupted: {running} running {'move' if running == 1 else 'moves'} will be finished, no more are begun "
                  "(interrupt again to leave at once; running moves go on then)" if running else "interrupted: no more moves are begun")

    def run(self, jobs):
        """jobs: [(number in the plan, Job)]. Returns a Summary. Raises KeyboardInterrupt after a second signal; the moves that run go
        on then, and the next crx-rebalance asks the hosts what became of them."""
        self.todo.extend(jobs)
        threads = [threading.Thread(target=self.work, daemon=True) for _ in range(min(self.parallel, len(jobs)))]
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self.interrupt) for number in handled}
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.error:
            raise self.error
        return Summary(self.counts, self.stopped, len(self.todo))

    def work(self):
        while True:
            with self.mutex:
                if self.stopped or not self.todo:
                    return
                number, job = self.todo.popleft()
                self.running.add(number)
            try:
                self.carry_out(number, job)
            except Exception as error:  # raised again by run(), in the thread that shows it to the user
                with self.mutex:
                    self.error, self.stopped = self.error or error, self.stopped or "failures"
            finally:
                with self.mutex:
                    self.running.discard(number)

    def record(self, event, number, job, **fields):
        record = self.history.add(event, plan=self.plan, move=number, service=job.service, pid=job.pid, inner_pid=job.inner_pid,
                                  command=job.command, **{"from": job.source, "to": job.destination}, **fields)
        self.say(record)
        return record

    def carry_out(self, number, job):
        with self.mutex:
            is_silent = job.destination in self.silent
        if is_silent:
            self.end(number, job, mover.Outcome("skipped", f"{job.destination} did not answer a moment ago"))
            return
        checked = mover.check(self.inventory, job)
        if checked.event != "moved":
            self.end(number, job, checked)
            return
        with self.mutex:  # a signal that came during the check leaves the program where it is
            if self.stopped:
                self.todo.appendleft((number, job))
                return
        self.record("started", number, job, new_pids=checked.new_pids)
        outcome = mover.move(self.inventory, job, checked.new_pids)
        if outcome.event == "unseen":
            outcome = self.look_after(job, outcome)
        self.end(number, job, outcome)

    def look_after(self, job, outcome):
        """Asks the hosts once what became of the move."""
        looked = cluster.look(self.inventory, self.history)
        for record, event, message in looked.verdicts:
            if (record["service"], record["inner_pid"], record["command"]) == (job.service, job.inner_pid, job.command):
                return mover.Outcome(event, f"{outcome.message}; {message}")
        return mover.Outcome("in_doubt", outcome.message)

    def end(self, number, job, outcome):
        fields = {"message": outcome.message} if outcome.message else {}
        if outcome.downtime_us is not None:
            fields["downtime_us"] = outcome.downtime_us
        if outcome.session:
            fields["session"] = outcome.session
        self.record(outcome.event, number, job, **fields)
        with self.mutex:
            self.counts[outcome.event] += 1
            if outcome.silent:
                self.silent.add(job.destination)
            if outcome.event == "in_doubt":
                self.stopped = "in_doubt"
            elif self.counts["failed"] >= self.max_failures:
                self.stopped = self.stopped or "failures"
