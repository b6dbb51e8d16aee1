#!/usr/bin/env python3
"""Comments and documents name only what exists: files, folders, types and constants of this repository."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = "agent-dst|agent-src|bench|common|deploy|docs|tests|wire"

FILE = re.compile(r"(?<![\w./*-])((?:[\w-]+/)*[\w-]+\.(?:hpp|cpp|proto))\b")
PATH = re.compile(rf"(?<![\w./-])((?:{TOP})/[\w./-]*\w/?)(?![\w*])")
TYPE = re.compile(r"(?<![\w./])([A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+)\b")
CONSTANT = re.compile(r"\b(k[A-Z][A-Za-z0-9]+)\b(?!\.\.\.)")

# Names of others that look like ours, and names that stand for any.
OUTSIDE = {"AddressSanitizer", "UndefinedBehaviorSanitizer", "ThreadSanitizer", "ChaCha20", "kTLS", "TasksMax",
           "CamelCase", "kName"}
PLACEHOLDER = re.compile(r"(?:^|/)[A-Z]{3,}(?:[_./]|$)")

COMMENT = {"cpp": re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|//[^\n]*|/\*.*?\*/', re.DOTALL),
           "sh": re.compile(r"(?m)^[^\n]*?(#[^\n]*)$")}


def split(text, kind):
    """(comments with their line numbers, the code without them)."""
    comments = []
    if kind == "md":
        return [(number, line) for number, line in enumerate(text.split("\n"), 1)], ""

    def take(match):
        part = match.group(0)
        if kind == "cpp" and part[0] in "\"'":
            return part
        number = text.count("\n", 0, match.start()) + 1
        comments.extend((number + at, line) for at, line in enumerate(part.split("\n")))
        return " "
    return comments, COMMENT[kind].sub(take, text)


def kind_of(path):
    return {"hpp": "cpp", "cpp": "cpp", "c": "cpp", "h": "cpp", "S": "cpp", "proto": "cpp", "md": "md"}.get(path.suffix[1:])


class Names:
    """Returns the names in the repository: paths, and identifiers in code."""

    def __init__(self, files):
        self.paths = set()
        for name in files:
            parts = name.split("/")
            for end in range(1, len(parts) + 1):
                for start in range(end):
                    self.paths.add("/".join(parts[start:end]))
        self.words = set()

    def add_code(self, code):
        self.words.update(re.findall(r"\w+", code))

    def faults(self, line):
        for name in sorted({name.rstrip("/.") for name in FILE.findall(line) + PATH.findall(line)}):
            if name not in self.paths and not PLACEHOLDER.search(name):
                yield f"names {name}, which does not exist"
        for name in sorted(set(TYPE.findall(line) + CONSTANT.findall(line))):
            if name not in self.words and name not in OUTSIDE:
                yield f"names {name}, which is in no code"


def check(texts):
    """texts: {path: content} of the whole repository; the faults."""
    names = Names(texts)
    comments = {}
    for path, text in sorted(texts.items()):
        kind = kind_of(pathlib.Path(path))
        if kind is None:
            names.add_code(text)
            continue
        comments[path], code = split(text, kind)
        names.add_code(code)
    return [f"{path}:{number}: {fault}" for path, lines in comments.items() for number, line in lines
            for fault in names.faults(line)]


def list_files():
    """The project's files: those that git does not ignore, or, in an archive of a release, all."""
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"], check=False, text=True,
                          capture_output=True)
    if done.returncode == 0:
        return done.stdout.split("\n")
    return [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if "build" not in path.relative_to(ROOT).parts[:1]]


def main():
    listed = list_files()
    texts = {}
    for name in listed:
        path = ROOT / name
        if name and path.is_file() and not name.startswith("tests/fuzz/corpus/"):
            texts[name] = path.read_text(errors="replace")
    faults = check(texts)
    print("\n".join(faults) if faults else "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
