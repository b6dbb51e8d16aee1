"""Common code of the benchmarks: two hosts, moving a process between them, and printing figures."""
import os
import re
import signal
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "integration", "library"))
import crxtest  # noqa: E402
from crxtest import lines_of, until  # noqa: E402

PROGRAMS = os.path.join(crxtest.BIN, "bench")
median = statistics.median


class Move:
    """One finished move: the last event of crx-migrate, its rounds, and the gap that the process saw."""

    def __init__(self, result, gap_us):
        self.done = result.last
        self.rounds = [e for e in result.events if e["event"] == "round"]
        self.prepared = next(e for e in result.events if e["event"] == "prepared")
        self.gap_us = gap_us
        self.stderr = result.stderr

    @property
    def downtime_us(self):
        return self.done["downtime_us"]

    @property
    def tracking_stop_us(self):
        """Returns the length of the one stop of the process before the cutover."""
        return self.done.get("tracking_stop_us", 0)

    def steps(self):
        """Returns {name: microseconds}, in the order of the cutover."""
        cutover = self.done["cutover"]
        steps = {}
        for side in ("source_steps", "destination_steps"):
            for step in cutover[side]:
                name = f"{side.partition('_')[0]}: {step['name']}"
                steps[name] = steps.get(name, 0) + step["us"]
        for name in ("freeze", "collect", "last_pages", "transfer", "apply", "rebuild", "commit", "resume"):
            if f"{name}_us" in cutover:
                steps[f"total: {name}"] = cutover[f"{name}_us"]
        return steps


class Bench:
    """Two hosts with their agents, while the block runs."""

    def __enter__(self):
        self.ring = crxtest.Ring(2, cable=True)
        for host in self.ring.hosts:
            host.start_agent("--log-level", os.environ.get("CRX_LOG", "warn"))
        self.count = 0
        return self

    def __exit__(self, *unused):
        self.ring.close()

    def start(self, argv):
        """Starts argv (with GO replaced by the go file) on the first host; returns the process when it has printed
        `ready`."""
        self.count += 1
        output, go = self.ring.path(f"{self.count}.out"), self.ring.path(f"{self.count}.go")
        process = self.ring[0].spawn([go if a == "GO" else a for a in argv], stdout=output)
        process.output, process.go = output, go
        until(lambda: lines_of(output) == ["ready"] or not process.alive(), f"{argv} says ready", 300)
        return process

    def move(self, argv, *options, before=lambda: None):
        """Starts a process, calls `before`, moves the process, ends it."""
        process = self.start(argv)
        before()
        gauge = os.path.basename(argv[0]) == "gauge"
        arrived = None
        try:
            if gauge:
                process.send_signal(signal.SIGUSR1)
            result = self.ring[0].migrate(process, self.ring[1], *options, "--log-level",
                                          os.environ.get("CRX_LOG", "warn"), verify=False, timeout=600)
            if result.exit != 0:
                raise SystemExit(f"{' '.join(argv)} was not moved: {result}\n{self.ring[1].agent_tail()}")
            arrived = result.process
            open(process.go, "w").close()
            arrived.wait_end(60)
            gap = re.search(r"^gap (\d+)$", crxtest.read_text(process.output), re.M)
            return Move(result, int(gap[1]) if gap else None)
        finally:
            (arrived or process).kill()

    def first_touch_us(self, mib):
        code, text = self.ring[1].run([f"{PROGRAMS}/touch", str(mib)])
        return int(text)


def gauge(mib=1, threads=0, hot=0, rate=0, idle=False):
    return [f"{PROGRAMS}/gauge", "GO", str(mib), str(threads), str(hot), str(rate), *(["idle"] if idle else [])]


def python(threads):
    return ["/usr/bin/python3", os.path.join(HERE, "programs", "sleeper.py"), "GO", str(threads)]


def ms(us):
    return f"{us / 1000:.1f} ms"


def verdict(holds):
    return "holds" if holds else "MISSED"


def table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))))
    print(flush=True)
