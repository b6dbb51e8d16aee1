#!/usr/bin/env python3
"""Checks the model of the commit and its recovery (commit.pml) with spin, and that each of its rules is needed.

usage: test_model.py [unittest's arguments]
       test_model.py --show RULE    prints a counterexample for the model without that rule
"""
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

MODEL = pathlib.Path(__file__).with_name("commit.pml")
SAFETY = ["-DSAFETY", "-DNOCLAIM"]  # the assertions
LIVENESS = ["-DNFAIR=3"]            # the assertions, and the formula under weak fairness
DEPTH = 10_000

# Macro: (the kind of check that must fail, the rule that the macro breaks).
RULES = {
    "NO_ASKING": (LIVENESS, "after GO the source asks until there is an answer"),
    "NO_LOST": (LIVENESS, "LOST is recorded when a decided tree has no tasks left"),
    "NO_NEVER": (SAFETY, "NEVER is in the journal before it is the answer, and never while an engine lives"),
    "NO_TAKEOVER": (LIVENESS, "the source's agent takes over what a dead tool has left"),
    "NO_LOCK": (SAFETY, "nobody settles a session while its engine lives"),
    "GO_SENT_FIRST": (SAFETY, "GO is in the journal before Go is sent"),
    "RESUMED_AFTER_THAW": (SAFETY, "RESUMED is on disk before the thaw, so LOST is never said of a tree that ran"),
    "NO_THAW_AFTER_RESUMED": (LIVENESS, "a tree that is still frozen after RESUMED is thawed"),
    "PARTIAL_IS_THERE": (SAFETY, "a tree of which tasks are missing is not resumed"),
    "DYING_IS_THERE": (LIVENESS, "a task that is about to be killed is not there"),
    "ABORTED_BEFORE_THAW": (LIVENESS, "a final record is written after the step that it reports"),
}
# Flushes that crx does not make, since nothing depends on them: RESUMING and GO may be in the page cache only. (So the
# source's agent also asks about sessions of an earlier boot that have no GO.)
SPARED = ["RESUMING_FLUSHED", "GO_FLUSHED"]


class Result:
    def __init__(self, text):
        self.text = text
        found = re.search(r"errors: (\d+)", text)
        if not found:
            raise RuntimeError(text)
        self.errors = int(found.group(1))
        self.states = int(re.search(r"(\d+) states, stored", text).group(1))
        self.complete = not re.search(r"Search not completed|max search depth too small|out of memory", text)
        self.unreached = re.findall(r'^\t(.*\.pml:.*, state .*(?<!"-end-"))$', text, re.M)


def build(folder, macros, flags, optimise):
    defines = [f"-D{macro}" for macro in macros]
    for command in (["spin", *defines, "-a", MODEL], ["cc", optimise, "-w", *flags, "-o", "pan", "pan.c"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


def run(folder, flags, depth=DEPTH):
    command = ["./pan", f"-m{depth}", "-w20", *(["-a", "-f"] if flags == LIVENESS else [])]
    return Result(subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout)


def check(macros, flags, optimise="-O2"):
    with tempfile.TemporaryDirectory() as folder:
        build(folder, macros, flags, optimise)
        return run(folder, flags)


class Model(unittest.TestCase):
    def holds(self, macros, flags):
        result = check(macros, flags)
        self.assertEqual((result.errors, result.complete), (0, True), result.text)
        self.assertEqual(result.unreached, [], "steps that never happen")
        kind = "safety" if flags == SAFETY else "liveness"
        print(f"{' '.join(macros) or 'all rules'}: {kind} holds in all {result.states} states")

    def test_safety(self):
        self.holds([], SAFETY)

    def test_liveness(self):
        self.holds([], LIVENESS)

    def test_spared_flushes(self):
        self.holds(SPARED, LIVENESS)

    def test_each_rule_is_needed(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = {name: pool.submit(check, [name], flags, "-O0") for name, (flags, _) in RULES.items()}
        for name, (flags, rule) in RULES.items():
            with self.subTest(name):
                result = results[name].result()
                why = "assertion violated" if flags == SAFETY else "acceptance cycle"
                self.assertEqual(result.errors, 1, f"the model holds without the rule: {rule}")
                self.assertIn(why, result.text)
                print(f"{name}: {why} after {result.states} states")


def steps(trail):
    """The steps of `spin -t -p -g`: who took the step, and what it changed."""
    actor, changes = "", {}
    for line in trail.splitlines():
        statement = re.match(r"\s*\d+:\s+proc\s+\d+ \((\w+):\d+\) .*\[(.*)\]", line)
        change = re.match(r"\t\t(\w+) = (\w+)$", line)
        if statement and (statement.group(1) != actor or statement.group(2).startswith("(")):
            if changes:
                yield f"{actor:18} " + ", ".join(f"{name} = {value}" for name, value in changes.items())
            actor, changes = statement.group(1), {}
        elif change and not change.group(1).endswith("_disk"):
            changes[change.group(1)] = change.group(2)
        if re.search(r"START OF CYCLE|assertion violated|spin: trail ends", line):
            if changes:
                yield f"{actor:18} " + ", ".join(f"{name} = {value}" for name, value in changes.items())
            changes = {}
            if "trail ends" in line:
                return
            yield line.strip()


def show(macro):
    flags, rule = RULES[macro]
    print(f"Without the rule: {rule}")
    with tempfile.TemporaryDirectory() as folder:
        build(folder, [macro], flags + (["-DBFS"] if flags == SAFETY else []), "-O1")
        for depth in (40, 60, 80, 100, 150, DEPTH):  # a short one is easier to read
            if run(folder, flags, depth).errors:
                break
        command = ["spin", f"-D{macro}", "-t", "-p", "-g", "-k", "commit.pml.trail", MODEL]
        for step in steps(subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout):
            print(step)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--show"]:
        sys.exit(show(*sys.argv[2:]))
    unittest.main()
