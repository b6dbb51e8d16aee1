#!/usr/bin/env python3
"""Checks rules that no compiler checks: which folder may include which, and where a few calls may be made.

usage: lint.py [ROOT]    prints one line for each fault; exit 1 if there is one
"""
import collections
import pathlib
import re
import sys

CODE = ("common", "wire", "agent-src", "agent-dst", "tests", "bench")
SUFFIXES = {".cpp", ".hpp", ".c", ".h", ".S", ".py", ".proto"}
MAX_LINES = 400
MAX_FUNCTION = 60
MAX_FILES = 27

PROTOBUF = re.compile(r"google/protobuf/|\.pb\.h$")
ASIO = re.compile(r"^(boost/)?asio([/.]|$)")
# Folders that may use neither protobuf nor the network, and folders that may not use the network.
FORBIDDEN = [
    (re.compile(r"^common/(base|proc|kernel|remote|plan|tool)/"), PROTOBUF),
    (re.compile(r"^common/|^agent-src/|^agent-dst/(?!(front|session)/)"), ASIO),
]
ROW = re.compile(r"^(crx_library|crx_tool)\(([^)]*)\)", re.M)
PRODUCT = ("common/", "wire/", "agent-src/", "agent-dst/")
GENERATED = ("common/image/schema",)

# Calls that belong to one owner: what, the files (or folders) that may make them, what to use instead.
OWNED = [
    (re.compile(r"(?<![\w.>])::close\s*\("), ["common/base/fd.cpp"], "crx::Fd"),
    (re.compile(r"(?<![\w.>])::munmap\s*\("), ["common/base/mapping.cpp"], "crx::Mapping"),
    (re.compile(r"\b(opendir|fdopendir|readdir|scandir|directory_iterator)\b"), ["common/base/directory.cpp"],
     "crx::list_directory or crx::ProcDir"),
    (re.compile(r"(?<![\w.>])::(waitpid|waitid|wait3|wait4|wait)\s*\("),
     ["common/kernel/process/child_process.cpp", "common/remote/"], "crx::ChildProcess, or common/remote for tracees"),
    (re.compile(r"(?<![\w.>])::v?fork\s*\("), ["common/kernel/process/child_process.cpp"], "crx::ChildProcess"),
    (re.compile(r"(?<![\w.>])::syscall\s*\(\s*SYS_(clone3?|v?fork)\b"),
     ["common/kernel/process/child_process.cpp", "agent-dst/vessel/"], "crx::ChildProcess"),
    (re.compile(r"\bPTRACE_DETACH\b"), ["common/remote/"], "the types of common/remote"),
    (re.compile(r"(?<![\w.>])::ptrace\s*\("), ["common/remote/"], "the types of common/remote"),
]

# A catch of everything hides faults of crx itself, and one that does not look at what it catches needs a reason, which a
# comment on its line or the next one gives.
NAMELESS_CATCH = re.compile(r"\bcatch\s*\(\s*\.\.\.\s*\)")
BLIND_CATCH = re.compile(r"\bcatch\s*\(\s*(const\s+)?[\w:]+\s*&\s*\)")

INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')
COMMENT = re.compile(r"//.*$")


def read_rows(root):
    """Folder -> folders whose headers it may include, besides its own: the crx_library and crx_tool rows of CMake."""
    rows = {}
    for top in ("common", "wire", "agent-src", "agent-dst"):
        file = root / top / "CMakeLists.txt"
        for kind, body in ROW.findall(file.read_text() if file.exists() else ""):
            words = body.split()
            folders = [word for word in words[1:] if "/" in word or word in rows]
            rows.setdefault(words[0], set()).update(folders)
            if kind == "crx_tool":
                rows[words[0]].add("common/tool")
    return rows


def check_rows(rows, files):
    """Every folder has a row, and a row names only folders whose rows stand before it: so no two include one another."""
    folders = {path.rpartition("/")[0] for path in files if path.startswith(PRODUCT) and path.endswith((".cpp", ".hpp"))}
    for folder in sorted(folders - set(rows)):
        yield f"{folder}: has no crx_library row in CMake"
    seen = set(GENERATED)
    for folder, allowed in rows.items():
        for other in sorted(allowed - seen):
            yield f"{folder}: its row names {other}, whose row does not stand before it"
        seen.add(folder)


def check_folders(root, files):
    """No folder is too full, and a README.md says of every folder of tests what it is for: its own, or one above it, by name."""
    counts = collections.Counter(path.rpartition("/")[0] for path in files)
    for folder, count in sorted(counts.items()):
        if count > MAX_FILES:
            yield f"{folder}: {count} files are more than {MAX_FILES}: split it by purpose"
        if folder.startswith("tests/") and not is_explained(root, pathlib.PurePosixPath(folder)):
            yield f"{folder}: add a README.md, or name the folder in one above it"


def is_explained(root, folder):
    if (root / folder / "README.md").exists():
        return True
    above = (root / parent / "README.md" for parent in folder.parents)
    return any(f"`{folder.relative_to(page.parent.relative_to(root)).as_posix()}/`" in page.read_text() for page in above if page.exists())


def check_include(path, header, rows):
    mine, theirs = path.rpartition("/")[0], header.rpartition("/")[0]
    if mine not in rows:
        return
    for folders, pattern in FORBIDDEN:
        if folders.search(mine + "/") and pattern.search(header):
            yield f"{mine} may not include {header}"
    if theirs in rows and theirs != mine and theirs not in rows[mine]:
        yield f"{mine} may not include {theirs} ({header}): its row in CMake does not name it"


def check_own_header_first(path, includes, files):
    own = re.sub(r"\.cpp$", ".hpp", path)
    if own != path and own in files and (not includes or includes[0] != own):
        yield f"its own header {own} should be the first include"


# A line at the left edge of formatted code that begins a function, or something else that ends with a brace there.
FUNCTION = re.compile(r"^(?!namespace|class|struct|enum|union|extern|#|template|using|typedef|static_assert)[A-Za-z_~]")


def functions(text):
    """(first line, number of lines) of every function at namespace level, in text as clang-format leaves it."""
    begin = None
    for number, line in enumerate(text.splitlines(), 1):
        if begin is None and FUNCTION.match(line) and not line.endswith(";") and " = {" not in line:
            begin = number
        elif line == "}" and begin is not None:
            yield begin, number - begin + 1
            begin = None
        elif line.startswith("}") or (FUNCTION.match(line) and line.endswith(";")):
            begin = None


def check_text(path, text, files, rows):
    lines = text.splitlines()
    if len(lines) > MAX_LINES and path.startswith(PRODUCT):
        yield 0, f"{len(lines)} lines are more than {MAX_LINES}: split it by meaning"
    if path.endswith(".hpp") and not re.search(r"^#pragma once$", text, re.M):
        yield 0, "#pragma once is missing"
    includes = []
    product = path.startswith(PRODUCT)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            includes.append(match[1])
            for fault in check_include(path, match[1], rows):
                yield number, fault
        elif product:
            for pattern, owners, instead in OWNED:
                if pattern.search(COMMENT.sub("", line)) and not path.startswith(tuple(owners)):
                    yield number, f"{pattern.search(line)[0].strip()} belongs to {owners[0]}: use {instead}"
        if product:
            following = lines[number] if number < len(lines) else ""
            if NAMELESS_CATCH.search(COMMENT.sub("", line)):
                yield number, "catch (...): name a type, or return a value where the outcome is expected"
            elif BLIND_CATCH.search(COMMENT.sub("", line)) and "//" not in line + following:
                yield number, "a catch that ignores what it catches needs a comment that says why"
    if product and path.endswith(".cpp"):
        for number, length in functions(text):
            if length > MAX_FUNCTION:
                yield number, f"a function of {length} lines: more than {MAX_FUNCTION}"
    for fault in check_own_header_first(path, includes, files):
        yield 0, fault


def check_tree(root):
    root = pathlib.Path(root)
    files = {}
    for folder in CODE:
        for file in sorted((root / folder).rglob("*")):
            if file.is_file() and file.suffix in SUFFIXES and "__pycache__" not in file.parts:
                files[file.relative_to(root).as_posix()] = file
    rows = read_rows(root)
    yield from check_rows(rows, files)
    yield from check_folders(root, files)
    for path, file in files.items():
        for number, fault in check_text(path, file.read_text(errors="replace"), files, rows):
            yield f"{path}:{number}: {fault}" if number else f"{path}: {fault}"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    faults = list(check_tree(root))
    print("\n".join(faults) if faults else "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
