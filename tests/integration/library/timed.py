"""Victims in calls with a time limit (victims/process/calls/timed.h): how late the calls end shows whether they went
on or began anew.

A call that is at half of its time when the last move begins, and begins anew there, ends HALF_S late; a call that
goes on ends late only by the downtimes and the delays of a busy machine.
"""
import contextlib
import subprocess
import time

from hosts import until

LIMIT_S = 3.0  # TIMED_SECONDS
HALF_S = LIMIT_S / 2
NOISE_S = HALF_S / 2  # the delay that a busy machine may cause
TWIN_NOISE_S = 0.25  # beyond the delay of a twin that does not move, where tests run side by side: 0.1 in 4 of 50 runs
STRANGERS = 400


def until_half(began):
    """Waits until half of the time of calls that began at `began` (time.monotonic()) is over."""
    until(lambda: time.monotonic() - began >= HALF_S, "half of the time is over")


def lateness(text):
    """Returns how many seconds each call ended late, by name, from the victim's output."""
    timings = [line.split() for line in text.splitlines() if line.startswith("TIMING")]
    return {what: (int(taken) - int(wanted)) / 1e6 for _, what, wanted, taken in timings}


@contextlib.contextmanager
def strangers(program):
    """Runs a program meanwhile that arms and disarms thousands of timers on this machine. program:
    programs/strangers.c, built."""
    with subprocess.Popen([program, str(STRANGERS)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()
