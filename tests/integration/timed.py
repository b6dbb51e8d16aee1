"""Victims in calls with a time limit (victims/timed.h): how late these end tells whether they went on or began anew.

A call that is at half of its time when the last move begins, and begins anew there, ends HALF_S late; one that goes on, no
later than the downtimes and what a busy machine makes of them.
"""
import time

from hosts import until

LIMIT_S = 3.0  # TIMED_SECONDS
HALF_S = LIMIT_S / 2
NOISE_S = HALF_S / 2


def until_half(began):
    """Until half of the time of calls is over that began at `began` (time.monotonic())."""
    until(lambda: time.monotonic() - began >= HALF_S, "half of the time is over")


def lateness(text):
    """Seconds that each call took longer than it asked for, by name, from what the victim has said."""
    timings = [line.split() for line in text.splitlines() if line.startswith("TIMING")]
    return {what: (int(taken) - int(wanted)) / 1e6 for _, what, wanted, taken in timings}
