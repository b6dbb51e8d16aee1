#!/usr/bin/python3
"""Dump and restore of one heap, crx and CRIU in turn, images on tmpfs. Prints medians and ratios; see README.md.

usage: images.py [--size MIB] [--runs N]       CRX_BUILD chooses the build; needs root
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.environ.get("CRX_BUILD", os.path.join(ROOT, "build", "release"))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration", "library"))
os.environ["CRX_BUILD"] = BUILD
from criutest import criu  # noqa: E402  (needs the path above)

BARS = {"dump": 1.5, "frozen": 1.5, "restore": 1.2, "incremental frozen": 20.0}


class Heap:
    """tests/integration/programs/heap.c in a posix session of its own, with no descriptors but its output."""

    def __init__(self, folder, megabytes):
        self.control, self.output = f"{folder}/control", f"{folder}/out"
        if os.path.exists(self.output):
            os.unlink(self.output)
        closed = " ".join(f"{fd}>&-" for fd in range(3, 10))
        self.process = subprocess.Popen(["setsid", "sh", "-c", f"exec {folder}/heap {megabytes} {self.control} 100 >{self.output} 2>&1 "
                                                               f"</dev/null {closed}"])
        self.pid = self.process.pid
        self.wait("ready")

    def wait(self, word):
        while not (os.path.exists(self.output) and word in open(self.output, encoding="ascii").read()):
            time.sleep(0.01)

    def change(self, number):
        with open(f"{self.control}.{number}", "w", encoding="ascii"):
            pass
        self.wait(f"round {number} ")
        os.unlink(f"{self.control}.{number}")

    def end(self):
        subprocess.run(["kill", "-9", str(self.pid)], stderr=subprocess.DEVNULL, check=False)
        self.process.wait()
        while os.path.exists(f"/proc/{self.pid}"):
            time.sleep(0.01)


def warm(megabytes):
    """Touches memory first: the host of a virtual machine takes free memory back after some seconds, and getting it
    again costs more than what is measured."""
    subprocess.run([f"{BUILD}/bin/bench/touch", str(megabytes)], stdout=subprocess.DEVNULL, check=True)


def timed(command):
    began = time.monotonic()
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stdout}")
    return time.monotonic() - began, done.stdout


def frozen_by_criu(folder):
    """Returns microseconds, from CRIU's own statistics."""
    from criutest import crit
    entry = json.loads(crit("decode", "-i", f"{folder}/stats-dump"))["entries"][0]["dump"]
    return (entry["freezing_time"] + entry["frozen_time"]) / 1e6


def one_run(folder, megabytes, figures):
    tools = {"crx": lambda verb, images, *more: [f"{BUILD}/bin/crx-{verb}", "-D", images, *more],
             "criu": lambda verb, images, *more: criu(verb, "-D", images, "-o", f"{verb}.log", *more)}
    for name, tool in tools.items():
        images = f"{folder}/{name}"
        shutil.rmtree(images, ignore_errors=True)
        os.mkdir(images)
        heap = Heap(folder, megabytes)
        more = ["--json"] if name == "crx" else []
        warm(2 * megabytes)
        began = time.monotonic()
        _, text = timed(tool("dump", images, "-t", str(heap.pid), *more))
        # crx returns when the process has gone and its PID is free, CRIU when the process has been killed.
        heap.process.wait()
        seconds = time.monotonic() - began
        figures[name, "dump"].append(seconds)
        figures[name, "frozen"].append(json.loads(text.splitlines()[-1])["frozen_us"] / 1e6 if name == "crx" else frozen_by_criu(images))
        warm(2 * megabytes)
        figures[name, "restore"].append(timed(tool("restore", images, "-d"))[0])
        heap.end()
        shutil.rmtree(images)
    heap = Heap(folder, megabytes)
    for number in (1, 2):
        os.mkdir(f"{folder}/{number}")
    timed([f"{BUILD}/bin/crx-dump", "-t", str(heap.pid), "-D", f"{folder}/1", "--pre"])
    heap.change(1)
    _, text = timed([f"{BUILD}/bin/crx-dump", "-t", str(heap.pid), "-D", f"{folder}/2", "--prev-images-dir", "../1", "--json"])
    figures["crx", "incremental frozen"].append(json.loads(text.splitlines()[-1])["frozen_us"] / 1e6)
    figures["criu", "incremental frozen"].append(figures["criu", "frozen"][-1])
    heap.end()
    for number in (1, 2):
        shutil.rmtree(f"{folder}/{number}")


def print_row(what, ours, theirs, bar):
    print(f"| {what} | {ours * 1000:.1f} ms | {theirs * 1000:.1f} ms | {theirs / ours:.1f} | {bar:g} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="crx-bench-", dir="/dev/shm")
    try:
        subprocess.run(["cc", "-std=gnu17", "-O2", "-o", f"{folder}/heap", f"{ROOT}/tests/integration/programs/heap.c"], check=True)
        figures = {(tool, what): [] for tool in ("crx", "criu") for what in BARS}
        for _ in range(options.runs):
            one_run(folder, options.size, figures)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"| {options.size} MiB heap, images on tmpfs | crx | CRIU 4.1.1 | ratio | bar |\n| --- | --- | --- | --- | --- |")
    for what, bar in BARS.items():
        print_row(what, *(statistics.median(figures[tool, what]) for tool in ("crx", "criu")), bar)
    both = [[sum(pair) for pair in zip(figures[tool, "dump"], figures[tool, "restore"])] for tool in ("crx", "criu")]
    print_row("dump and restore", *map(statistics.median, both), 1.0)


if __name__ == "__main__":
    main()
