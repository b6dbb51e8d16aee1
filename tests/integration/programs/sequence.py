"""A busy Python program for moves: sequence.py OUTPUT SEED COUNT STOP-FILE

One of several threads prints a seeded random sequence, a line every 50 ms, to the file and through a pipe that the
program itself reads; others sleep, wait in system calls and watch the clocks. It ends after COUNT lines, or, when
the stop file exists, after the present line; then it prints what it has seen.
"""
import ctypes
import os
import random
import select
import signal
import sys
import threading
import time

output, seed, count, stop_file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
problems = []
stopping = threading.Event()
libc = ctypes.CDLL(None, use_errno=True)


def numbers():
    source = random.Random(seed)
    while True:
        yield source.random(), source.randint(0, 1 << 64)


def clocks():
    last = time.monotonic()
    while not stopping.is_set():
        time.sleep(0.01)
        now = time.monotonic()
        if not 0.01 <= now - last < 30:
            problems.append(f"time.monotonic() went from {last} to {now} over a sleep of 10 ms")
        last = now


def long_sleep():
    before = time.monotonic()
    time.sleep(3)
    print(f"slept {time.monotonic() - before:.6f}", file=report, flush=True)


def epoll_waits():
    """Makes raw system calls, since Python itself would hide an EINTR."""
    epoll = select.epoll()
    events = (ctypes.c_char * 12)()
    while not stopping.is_set():
        result = libc.epoll_wait(epoll.fileno(), events, 1, 100)
        if result != 0:
            problems.append(f"epoll_wait: {result}, {os.strerror(ctypes.get_errno())}")


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def signal_waits():
    mask = (ctypes.c_ulong * 16)(1 << (signal.SIGUSR2 - 1))
    limit = Timespec(0, 100_000_000)
    while not stopping.is_set():
        result = libc.sigtimedwait(mask, None, ctypes.byref(limit))
        if result != -1 or ctypes.get_errno() != 11:
            problems.append(f"sigtimedwait: {result}, {os.strerror(ctypes.get_errno())}")


def message_waits():
    """msgrcv has no time limit: another thread sends a message every 100 ms."""
    queue = libc.msgget(0, 0o600)
    text = (ctypes.c_char * 64)()

    def send():
        message = (ctypes.c_long * 2)(1, 42)
        while not stopping.is_set():
            time.sleep(0.1)
            libc.msgsnd(queue, message, 8, 0)
        libc.msgsnd(queue, message, 8, 0)

    sender = threading.Thread(target=send)
    sender.start()
    while not stopping.is_set():
        result = libc.msgrcv(queue, text, 8, 0, 0)
        if result != 8:
            problems.append(f"msgrcv: {result}, {os.strerror(ctypes.get_errno())}")
    sender.join()
    libc.msgctl(queue, 0, None)


def through_pipe(reader, seen):
    with os.fdopen(reader) as lines:
        for line in lines:
            seen.append(line)


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
report = open(output + ".report", "w")
reader, writer = os.pipe()
seen = []
threads = [threading.Thread(target=body) for body in (clocks, epoll_waits, signal_waits, message_waits)]
sleeper = threading.Thread(target=long_sleep)
pipe_reader = threading.Thread(target=through_pipe, args=(reader, seen))
for thread in threads + [sleeper, pipe_reader]:
    thread.start()

written = []
with open(output, "w") as file, os.fdopen(writer, "w") as pipe:
    for index, (fraction, integer) in zip(range(count), numbers()):
        line = f"{index} {fraction!r} {integer}\n"
        for target in (file, pipe):
            target.write(line)
            target.flush()
        written.append(line)
        if os.path.exists(stop_file):
            break
        time.sleep(0.05)
stopping.set()
for thread in threads + [sleeper, pipe_reader]:
    thread.join()
if seen != written:
    problems.append(f"{len(written)} lines were written into the pipe, {len(seen)} came out")
for problem in problems:
    print("problem:", problem, file=report)
print(f"done {len(written)}", file=report, flush=True)
