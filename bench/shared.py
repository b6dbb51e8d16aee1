"""Prints the cost at the destination of memory that fork shares, as a ratio to its cost at the source.

    shared.py [--size MIB] [--workers N] [--runs N]

A parent with SIZE MiB and N forked workers that have written a few pages each is moved. Memory is the sum of Pss,
which counts each page once, and the decrease of MemAvailable; `sent` is all page bytes before compression.
"""
import argparse
import os
import sys

from moves import crxtest, median, ms, table, verdict

sys.path.insert(0, os.path.join(crxtest.ROOT, "tests", "integration", "moves"))
from test_shared_memory import pss_mib  # noqa: E402

BAR = 1.15


def available_mib():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) / 1024


def move_once(ring, program, size, workers, run):
    output, go = ring.path(f"{run}.out"), ring.path(f"{run}.go")
    empty = available_mib()
    process = ring[0].spawn([program, go, str(size), str(workers)], stdout=output)
    try:
        crxtest.until(lambda: crxtest.lines_of(output), "the workers are ready", 300)
        before, taken = pss_mib(process), empty - available_mib()
        result = ring[0].migrate(process, ring[1], verify=False, timeout=600)
        if result.exit != 0:
            raise SystemExit(f"not moved: {result}\n{ring[1].agent_tail()}")
        process.wait_end(10)
        process = result.process
        after, there = pss_mib(process), empty - available_mib()
        open(go, "w").close()
        process.wait_end(120)
        if not crxtest.read_text(output).endswith("PASS\n"):
            raise SystemExit(f"damaged: {crxtest.read_text(output)}")
        return before, after, taken, there, result.last["bytes_raw"] / (1 << 20), result.last["downtime_us"]
    finally:
        process.kill()


def main():
    parser = argparse.ArgumentParser(description="Prints what memory shared by fork costs at the destination.")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    ring = crxtest.Ring(2, cable=True)
    try:
        for host in ring.hosts:
            host.start_agent("--log-level", "warn")
        program = ring.compile("workers")
        runs = [move_once(ring, program, arguments.size, arguments.workers, run) for run in range(arguments.runs)]
    finally:
        ring.close()
    before, after, taken, there, sent, downtime = (median(column) for column in zip(*runs))
    ratio = median([run[1] / run[0] for run in runs])
    print(f"{arguments.size} MiB and {arguments.workers} workers: {ratio:.2f} times the source's memory; bar {BAR}: "
          f"{verdict(ratio <= BAR)}")
    print(f"  sent {sent / before:.2f} times the source's memory; bar {BAR}: {verdict(sent / before <= BAR)}")
    table([("", "source", "destination"), ("sum of Pss, MiB", f"{before:.0f}", f"{after:.0f}"),
           ("less available, MiB", f"{taken:.0f}", f"{there:.0f}"), ("downtime", "", ms(downtime))])


if __name__ == "__main__":
    main()
