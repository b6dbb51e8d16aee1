#!/usr/bin/env python3
"""Checks what no compiler checks: who may include whom, and where a few calls may stand.

usage: lint.py [ROOT]    prints one line for each fault; exit 1 if there is one
"""
import pathlib
import re
import sys

CODE = ("common", "wire", "agent-src", "agent-dst", "tests", "bench")
SUFFIXES = {".cpp", ".hpp", ".c", ".h", ".S", ".py", ".proto"}
MAX_LINES = 500

# Folder -> folders whose headers it may include, besides its own. The longest folder that fits a file counts.
# Whatever is not listed here (a header of the system or of a library) is free unless FORBIDDEN names it.
COMMON = ["common/base", "common/proc", "common/kernel", "common/remote", "common/image"]
MAY_INCLUDE = {
    "common/base": [],
    "common/proc": ["common/base"],
    "common/kernel": ["common/base", "common/proc"],
    "common/remote": ["common/base", "common/proc", "common/kernel"],
    "common/image": ["common/base"],
    "wire": COMMON,
    "agent-src": COMMON + ["wire"],
    "agent-src/collect": COMMON + ["agent-src"],
    "agent-src/memory": COMMON + ["agent-src"],
    "agent-dst": COMMON + ["wire"],
    "agent-dst/restore": COMMON + ["agent-dst"],
    "agent-dst/vessel": COMMON + ["agent-dst"],
}

PROTOBUF = re.compile(r"google/protobuf/|\.pb\.h$")
ASIO = re.compile(r"^(boost/)?asio([/.]|$)")
FORBIDDEN = {
    "common/base": [PROTOBUF, ASIO],
    "common/proc": [PROTOBUF, ASIO],
    "common/kernel": [PROTOBUF, ASIO],
    "common/remote": [PROTOBUF, ASIO],
    "common/image": [ASIO],
    "agent-src/collect": [ASIO],
    "agent-src/memory": [ASIO],
    "agent-dst/restore": [ASIO],
    "agent-dst/vessel": [ASIO],
}

# Calls that belong to one owner: what, the files (or folders) that may make them, what to use instead.
OWNED = [
    (re.compile(r"(?<![\w.>])::close\s*\("), ["common/base/fd.cpp"], "crx::Fd"),
    (re.compile(r"(?<![\w.>])::munmap\s*\("), ["common/base/mapping.cpp"], "crx::Mapping"),
    (re.compile(r"\bPTRACE_DETACH\b"), ["common/remote/"], "the types of common/remote"),
    (re.compile(r"(?<![\w.>])::ptrace\s*\("), ["common/remote/"], "the types of common/remote"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')
COMMENT = re.compile(r"//.*$")


def folder_of(path, table):
    """The longest key of `table` that is a folder above `path`."""
    fits = [key for key in table if path.startswith(key + "/")]
    return max(fits, key=len, default=None)


def check_include(path, header):
    mine = folder_of(path, MAY_INCLUDE)
    if mine is None:
        return
    for pattern in FORBIDDEN.get(mine, []):
        if pattern.search(header):
            yield f"{mine} may not include {header}"
    theirs = folder_of(header, MAY_INCLUDE)
    if theirs is None or theirs == mine:
        return
    # A folder that is allowed allows what is below it, and a folder may include its own subfolders, unless
    # the table has a narrower rule for the includer.
    allowed = MAY_INCLUDE[mine] + [mine]
    if not any(theirs == folder or theirs.startswith(folder + "/") for folder in allowed):
        yield f"{mine} may not include {theirs} ({header})"


def check_own_header_first(path, includes, files):
    own = re.sub(r"\.cpp$", ".hpp", path)
    if own != path and own in files and (not includes or includes[0] != own):
        yield f"its own header {own} should be the first include"


def check_text(path, text, files):
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        yield 0, f"{len(lines)} lines are more than {MAX_LINES}: split it by meaning"
    if path.endswith(".hpp") and not re.search(r"^#pragma once$", text, re.M):
        yield 0, "#pragma once is missing"
    includes = []
    product = path.startswith(("common/", "wire/", "agent-src/", "agent-dst/"))
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            includes.append(match[1])
            for fault in check_include(path, match[1]):
                yield number, fault
        elif product:
            for pattern, owners, instead in OWNED:
                if pattern.search(COMMENT.sub("", line)) and not path.startswith(tuple(owners)):
                    yield number, f"{pattern.search(line)[0].strip()} belongs to {owners[0]}: use {instead}"
    for fault in check_own_header_first(path, includes, files):
        yield 0, fault


def check_tree(root):
    root = pathlib.Path(root)
    files = {}
    for folder in CODE:
        for file in sorted((root / folder).rglob("*")):
            if file.is_file() and file.suffix in SUFFIXES and "__pycache__" not in file.parts:
                files[file.relative_to(root).as_posix()] = file
    for path, file in files.items():
        for number, fault in check_text(path, file.read_text(errors="replace"), files):
            yield f"{path}:{number}: {fault}" if number else f"{path}: {fault}"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    faults = list(check_tree(root))
    print("\n".join(faults) if faults else "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
