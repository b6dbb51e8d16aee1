#!/usr/bin/env python3
"""Every refusal that docs/supported.md quotes is in the code, and is looked for by a test: three of its words in a row."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDS = 3

# Refusals that no test can cause on every machine, and why.
UNTESTED = {
    "HOST: OBJECT: REASON": "how refusals read",
    "uses FEATURES (control-flow enforcement)": "takes a CPU and a kernel with shadow stacks",
    "the ring at ADDR has another size here": "takes hosts with other numbers of CPUs",
    "lacks instruction sets that programs here may use": "takes hosts with other CPUs",
    "timer id N cannot be made": "takes a kernel before 6.15 at the destination",
    "holding packets back": "takes a kernel without nftables",
    "is above pid_max N here": "takes hosts with other limits of the whole machine",
    "cannot get its number": "takes a kernel without CONFIG_CHECKPOINT_RESTORE",
    "memory: N MiB are needed": "takes more memory than the machine has",
    "thread TID, which is not there yet": "the kernel of a failure inside the restorer, see proc_files",
    "thread TID may not be traced": "takes a tracer that comes between two looks",
    "key N cannot be allocated": "takes a CPU with protection keys at the source only",
    "kernel feature NAME": "takes a kernel without a feature that crx needs",
    "userfaultfd without asynchronous write protection": "takes a kernel before 6.7",
    "this kernel keeps no soft-dirty bits": "takes a kernel without CONFIG_MEM_SOFT_DIRTY",
    "this kernel has no unix_diag": "takes a kernel without CONFIG_UNIX_DIAG",
    "its controlling terminal is device": "takes a console or a serial line",
    "there are too many rings here": "takes hosts with other limits of the whole machine",
    "was replaced here while it was opened": "takes a rename between two system calls",
    "the source speaks protocol N": "takes two versions of crx",
    "HOST does not store signatures": "takes two versions of crx",
}
# Messages that the code puts together from parts of a few words.
COMPOSED = {
    "shares its memory with process": "the thing that is shared",
    "a directory here and a regular file there": "the two kinds of file",
    "not allowed: Operation not permitted": "the text of an errno value",
    "raise pids.max there": "the limit of the control group",
}
# Names and numbers of the case.
PLACEHOLDER = re.compile(r"\(NAME\)|\b[A-Z][A-Z0-9_]*\b|\.\.\.|[0-9]+")
GLUE = re.compile(r'"\s*\n\s*r?f?"')


def messages(page):
    """(line number, message) of all that stands in backquotes and is more than a name."""
    for number, line in enumerate(page.splitlines(), 1):
        for message in re.findall(r"`([^`]+)`", line):
            if len(message.split()) >= WORDS:
                yield number, message


def pieces(message):
    """Runs of words of the reason (of the remedy where that is all names): as many as a test must have in a row, fewer where there
    are no more."""
    for part in (message.split(";")[0], message):
        runs = [run.strip(" .,:;\"'()").split() for run in PLACEHOLDER.split(part)]
        if max(map(len, runs)) > 1:
            break
    wanted = min(WORDS, max(map(len, runs)))
    for words in runs:
        for at in range(len(words) - wanted + 1):
            yield " ".join(words[at:at + wanted]).strip(",:")


def runs_of(text):
    """All runs of three words in the text (of two where there are no more)."""
    for run in PLACEHOLDER.split(text):
        words = run.strip(" .,:;\"'()").split()
        count = min(WORDS, len(words))
        if count > 1:
            yield from (" ".join(words[at:at + count]).strip(",:()") for at in range(len(words) - count + 1))


def is_said(message, code):
    """Whether half of the runs of the reason, and half of those of the remedy, are in the code: names and parts of a sentence come
    from other places."""
    for part in message.split("; "):
        runs = list(runs_of(part))
        if not any(known in part for known in COMPOSED) and sum(run in code for run in runs) * 2 < len(runs):
            return False
    return True


def read_code():
    """The sources without comments; literals that the compiler joins are joined."""
    texts = []
    for folder in ("common", "wire", "agent-src", "agent-dst"):
        for path in sorted((ROOT / folder).rglob("*.[ch]pp")):
            text = re.sub(r"^\s*//.*$", "", path.read_text(errors="replace"), flags=re.M)
            texts.append(" ".join(re.sub(r'"\s*"', "", text).replace('\\"', '"').split()))
    return "\n".join(texts)


def main():
    code = read_code()
    tests = "\n".join(GLUE.sub("", path.read_text(errors="replace")) for folder, kind in (("integration", "*.py"), ("unit", "*.cpp"))
                      for path in sorted((ROOT / "tests" / folder).rglob(kind)))
    faults = []
    for number, message in messages((ROOT / "docs" / "supported.md").read_text()):
        if "REASON" not in message and not is_said(message, code):
            faults.append(f"docs/supported.md:{number}: the code does not say: {message}")
        if any(known in message for known in UNTESTED):
            continue
        if not any(piece in tests for piece in pieces(message)):
            faults.append(f"docs/supported.md:{number}: no test looks for: {message}")
    print("\n".join(faults) if faults else "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
