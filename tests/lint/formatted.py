#!/usr/bin/env python3
"""clang-format would change nothing, and the subjects of new commits are `area: imperative` in at most 72 characters."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUFFIXES = {".cpp", ".hpp", ".c", ".h"}
FOLDERS = ("common", "wire", "agent-src", "agent-dst", "tests", "bench")
# The rule holds for the commits after this one.
RULE_SINCE = "d09b40b41fde3c719fde2430607e09faa4ca66b7"
SUBJECT = re.compile(r"^[a-z0-9][a-z0-9/_., -]*: \S")
MAX_SUBJECT = 72


def unformatted():
    files = [str(path) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES]
    size = len(files) // (os.cpu_count() or 1) + 1
    runs = [subprocess.Popen(["clang-format", "--dry-run", "-Werror", *files[at:at + size]], stderr=subprocess.PIPE, text=True)
            for at in range(0, len(files), size)]
    seen = {line.split(":")[0] for run in runs for line in run.communicate()[1].splitlines() if ": error: " in line}
    return [f"{path}: run clang-format -i on it" for path in sorted(seen)]


def subject_fault(subject):
    if len(subject) > MAX_SUBJECT:
        return f"longer than {MAX_SUBJECT} characters"
    return None if SUBJECT.match(subject) else "not of the form `area: imperative`"


def bad_subjects():
    """Faults of the commits since the rule; none where there is no history (a release's archive)."""
    log = subprocess.run(["git", "-C", str(ROOT), "log", "--no-merges", "--format=%h %s", f"{RULE_SINCE}..HEAD"], capture_output=True,
                         text=True)
    if log.returncode:
        print("no history here: commit subjects are not checked")
        return []
    commits = [line.split(" ", 1) for line in log.stdout.splitlines()]
    return [f"commit {commit}: {fault}: {subject}" for commit, subject in commits if (fault := subject_fault(subject))]


def main():
    faults = unformatted() + bad_subjects()
    print("\n".join(faults) if faults else "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
