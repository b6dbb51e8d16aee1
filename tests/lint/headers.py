#!/usr/bin/env python3
"""Every header compiles alone, without what precompiled headers or an earlier include would give it.

A header with a source of its name is the first include there, which builds without precompiled headers prove. So the
quick run takes only the others, and of these the ones that the last commits have changed (all, where git does not tell);
CRX_FULL=1, or the argument --all, takes every header.

usage: headers.py [--all] [HEADER...]    CRX_BUILD names the build directory, which holds the generated messages
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ.get("CRX_BUILD", ROOT / "build" / "dev")
COMPILER = os.environ.get("CXX", "clang++")  # in half of the time of g++
ASIO = ("-DASIO_HAS_CO_AWAIT=1", "-DASIO_HAS_STD_COROUTINE=1")  # as CMakeLists.txt says
FOLDERS = ("common", "wire", "agent-src", "agent-dst")


RECENT = "HEAD~20"


def changed():
    """The files that differ from those of an older commit; nothing where git does not tell."""
    done = subprocess.run(["git", "-C", str(ROOT), "diff", "--name-only", RECENT], capture_output=True, text=True)
    return set(done.stdout.splitlines()) if done.returncode == 0 else None


def headers(everything):
    recent = None if everything else changed()
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.hpp")):
            name = path.relative_to(ROOT).as_posix()
            if everything or (not path.with_suffix(".cpp").exists() and (recent is None or name in recent)):
                yield name


def fault(header):
    """The compiler's first words about a header that does not compile alone, else nothing."""
    command = [COMPILER, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *ASIO, f"-I{ROOT}", "-isystem", str(BUILD),
               "-x", "c++", "-"]
    done = subprocess.run(command, input=f'#include "{header}"\n', capture_output=True, text=True)
    return f"{header}: {done.stderr.splitlines()[0] if done.stderr else 'does not compile'}" if done.returncode else None


def main():
    names = [word for word in sys.argv[1:] if word != "--all"]
    if not names:
        names = list(headers("--all" in sys.argv or os.environ.get("CRX_FULL") == "1"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = [each for each in pool.map(fault, names) if each]
    print("\n".join(faults) if faults else f"{len(names)} headers compile alone")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
