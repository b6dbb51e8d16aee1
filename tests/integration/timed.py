"""Victims in calls with a time limit (victims/timed.h): how late these end tells whether they went on or began anew.

A call that is at half of its time when the last move begins, and begins anew there, ends HALF_S late; one that goes on, no
later than the downtimes and what a busy machine makes of them.
"""
import contextlib
import subprocess
import time

from hosts import until

LIMIT_S = 3.0  # TIMED_SECONDS
HALF_S = LIMIT_S / 2
NOISE_S = HALF_S / 2  # what a busy machine may do to a victim
TWIN_NOISE_S = 0.25   # beyond what it does to one that does not move, where tests run side by side: 0.1 in 4 of 50 runs
STRANGERS = 400


def until_half(began):
    """Until half of the time of calls is over that began at `began` (time.monotonic())."""
    until(lambda: time.monotonic() - began >= HALF_S, "half of the time is over")


def lateness(text):
    """Seconds that each call took longer than it asked for, by name, from what the victim has said."""
    timings = [line.split() for line in text.splitlines() if line.startswith("TIMING")]
    return {what: (int(taken) - int(wanted)) / 1e6 for _, what, wanted, taken in timings}


@contextlib.contextmanager
def strangers(program):
    """Meanwhile others arm and disarm thousands of timers on this machine. program: programs/strangers.c, built."""
    with subprocess.Popen([program, str(STRANGERS)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()
