"""Running shell scripts on hosts: the words of the inventory's `reach`, then `sh -s`, which reads the script from its input."""
import os
import shlex
import subprocess

# Exit code of a script that has found another process at the PID, or none. crx-migrate does not use it.
OTHER_PROCESS = 75


class Unreachable(Exception):
    """The host did not run the script; the text says why, and what shows that by hand."""

    def __init__(self, host, why):
        super().__init__(f"{why}; try {shlex.join([*host.reach, 'true'])}")


def start(host, script, stdout, stderr):
    """Starts the script on the host, in a session of its own: a Ctrl-C at our terminal does not reach it, and it goes on when
    we end. stdout and stderr are files."""
    try:
        process = subprocess.Popen([*host.reach, "sh", "-s"], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr,
                                   start_new_session=True)
    except OSError as error:
        raise Unreachable(host, f"cannot run {host.reach[0] if host.reach else 'sh'}: {error.strerror}") from None
    try:
        with process.stdin:
            process.stdin.write(script.encode())
    except BrokenPipeError:
        pass  # it has ended already; its exit code says more
    return process


def ask(host, script, timeout_s=30):
    """Returns (exit code, output, errors) of a short script."""
    try:
        done = subprocess.run([*host.reach, "sh", "-s"], input=script.encode(), capture_output=True, timeout=timeout_s, check=False,
                              start_new_session=True, env=dict(os.environ, LC_ALL="C"))
    except subprocess.TimeoutExpired:
        raise Unreachable(host, f"no answer within {timeout_s} s") from None
    except OSError as error:
        raise Unreachable(host, f"cannot run {host.reach[0] if host.reach else 'sh'}: {error.strerror}") from None
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
