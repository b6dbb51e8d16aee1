"""The real CRIU (Debian trixie's), unpacked beside the build, and started on a test host. See tests/fetch-criu.sh."""
import ctypes
import functools
import glob
import json
import os
import signal
import subprocess

from hosts import BUILD, ROOT

# ptrace(2); offsetof(struct user, u_debugreg) of sys/user.h.
PTRACE_TRACEME, PTRACE_POKEUSER, PTRACE_CONT, USER_DEBUGREG = 0, 6, 7, 848
FOLDER = os.environ.get("CRX_CRIU", os.path.join(BUILD, "criu"))


@functools.cache
def has_hardware_breakpoints():
    """Whether a debug register stops a child at an address; some virtual machines take the register and never stop."""
    libc = ctypes.CDLL(None)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    pid = os.fork()
    if pid == 0:
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        libc.getppid()
        os._exit(0)
    os.waitpid(pid, 0)
    libc.ptrace(PTRACE_POKEUSER, pid, USER_DEBUGREG, ctypes.cast(libc.getppid, ctypes.c_void_p))
    libc.ptrace(PTRACE_POKEUSER, pid, USER_DEBUGREG + 7 * 8, 1)  # DR7: DR0 is on, for the execution of one byte
    libc.ptrace(PTRACE_CONT, pid, None, None)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return os.WIFSTOPPED(status)


@functools.cache
def fetch():
    """Unpacks CRIU if it is missing; returns its folder. Fails if that is not possible."""
    done = subprocess.run([os.path.join(ROOT, "tests", "fetch-criu.sh"), FOLDER], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise AssertionError(f"CRIU, against which the images are tested, cannot be fetched: {done.stdout}")
    return os.path.join(FOLDER, "root")


def criu(*arguments):
    """Returns the command line of `criu ARGUMENTS`."""
    root = fetch()
    # CRIU waits for the end of the code that it runs in a task by a hardware breakpoint, for ever where there is none.
    # This fault of its own test suite makes it wait by system calls.
    without = [] if has_hardware_breakpoints() else ["/usr/bin/env", "CRIU_FAULT=130"]
    return [*without, f"{root}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{root}/usr/lib/x86_64-linux-gnu",
            f"{root}/usr/sbin/criu", *map(str, arguments)]


def crit(*arguments):
    """Runs `crit ARGUMENTS`; returns its output. Fails if crit fails."""
    root = fetch()
    environment = {**os.environ, "PYTHONPATH": f"{root}/usr/lib/python3/dist-packages"}
    done = subprocess.run(["/usr/bin/python3", f"{root}/usr/bin/crit", *map(str, arguments)], text=True, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise AssertionError(f"crit {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


# Runs crit for many images in one process, since starting it takes far longer than reading an image.
DECODE = """
import contextlib, io, json, sys
from crit.__main__ import main
decoded = {}
for path in sys.argv[1:]:
    sys.argv = ["crit", "decode", "-i", path]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            failed = main()
        except SystemExit as end:
            failed = end.code
    if failed:
        sys.exit(f"{path}: {failed} {text.getvalue()}")
    decoded[path.rpartition("/")[2]] = json.loads(text.getvalue())
print(json.dumps(decoded))
"""


def decode_all(images):
    """Returns {image: the output of `crit decode`} for every image that CRIU knows."""
    paths = [path for path in sorted(glob.glob(f"{images}/*.img")) if not os.path.basename(path).startswith(("pages-", "crx-"))]
    done = subprocess.run(["/usr/bin/python3", "-c", DECODE, *paths], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": f"{fetch()}/usr/lib/python3/dist-packages"}, check=False)
    if done.returncode != 0:
        raise AssertionError(f"crit decode: {done.stderr}")
    return json.loads(done.stdout)
