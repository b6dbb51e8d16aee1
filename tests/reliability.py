#!/usr/bin/env python3
"""Writes docs/reliability.md from what the failure tests have recorded.

    tests/reliability.py [BUILD]    BUILD: the build directory, default build/dev

Every failure test keeps a record (BUILD/results/NAME.json, see integration/library/record.py); the fuzzers' runs are
counted by their own records. Only records of `tests/run.sh --full` make the committed document.
"""
import glob
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BAD = ("lost", "doubled", "unresolved", "leaked")
HEAD = """# Reliability

`tests/run.sh --full` writes this file (`tests/reliability.py`). Each line is one test program: how many faults it injected, how
many moves succeeded meanwhile, and what came of the faults. A program is *lost* when it runs nowhere, *doubled* when it
runs in two places, *unresolved* when it stays stopped for 30 s with the agents of both hosts running, and something is
*leaked* when a control group, an nftables table, a descriptor, a process or memory is left behind.

"""


def table(records):
    lines = ["| test | faults | moves | lost | doubled | unresolved | leaked |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    total = {word: 0 for word in ("faults", "moves") + BAD}
    for record in records:
        row = {"faults": record["faults"], "moves": record["moves"], **record["bad"]}
        for word in total:
            total[word] += row[word]
        lines.append(f"| {record['name']} | " + " | ".join(f"{row[w]:,}" for w in total) + " |")
    lines.append("| **all** | " + " | ".join(f"**{total[w]:,}**" for w in total) + " |")
    return "\n".join(lines) + "\n"


def outcomes(records):
    text = "\n## Outcomes\n\n"
    for record in records:
        if record["outcomes"]:
            seen = ", ".join(f"{count:,} x {name}" for name, count in sorted(record["outcomes"].items()))
            text += f"- {record['name']}: {seen}\n"
    notes = [f"- {record['name']}: {note}\n" for record in records for note in record["notes"]]
    return text + ("\n## Notes\n\n" + "".join(notes) if notes else "")


def fuzzing(results):
    runs = []
    for path in sorted(glob.glob(f"{results}/fuzz/*.json")):
        with open(path) as file:
            runs.append(json.load(file))
    if not runs:
        return ""
    lines = ["\n## Fuzzing\n", "| fuzzer | seconds | executions | found |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {run['name']} | {run['seconds']:,} | {run['executions']:,} | {run['found']} |" for run in runs]
    return "\n".join(lines) + "\n"


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else f"{ROOT}/build/dev"
    records = []
    for path in sorted(glob.glob(f"{build}/results/*.json")):
        with open(path) as file:
            records.append(json.load(file))
    if not records:
        sys.exit(f"reliability.py: no records in {build}/results; run tests/run.sh --full first")
    text = HEAD + table(records) + outcomes(records) + fuzzing(f"{build}/results")
    with open(f"{ROOT}/docs/reliability.md", "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
