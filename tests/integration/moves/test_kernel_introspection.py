"""What is read from the kernel's own structures: with it, without the privileges, and switched off."""
import os
import time

import crxtest
import hosts
from crxtest import lines_of, state_of, until
from dumptest import DumpTest

PYTHON = "/usr/bin/python3"
HOLD = "\nimport time\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)\n"
AIO = """
import ctypes
context = ctypes.c_ulong(0)
assert ctypes.CDLL(None).syscall(206, 8, ctypes.byref(context)) == 0  # io_setup
"""
UNACCEPTED = """
import socket
s = socket.socket(socket.AF_UNIX)
s.bind('\\0crxtest-unaccepted')
s.listen()
c = socket.socket(socket.AF_UNIX)
c.connect('\\0crxtest-unaccepted')
c.sendall(b'x' * BYTES)
"""
WAITING = """
import os, select, time
epoll = select.epoll()
began = time.monotonic()
print('ready', flush=True)
epoll.poll(4)
print('early' if time.monotonic() < began + 4 else 'PASS', flush=True)
"""
WITHOUT = ["setpriv", "--bounding-set", "-sys_admin,-bpf,-perfmon", "--inh-caps=-all"]
OFF = "--no-kernel-introspection"


class Starting:
    """Starts Python programs that print "ready"."""

    def start_on(self, host, folder, program):
        log = f"{folder}/program.log"
        process = host.spawn([PYTHON, "-c", program], stdout=log)
        self.addCleanup(process.kill)
        until(lambda: lines_of(log) or not process.alive(), "ready")
        self.assertEqual(lines_of(log), ["ready"])
        return process, log


class Dumps(Starting, DumpTest):
    def dump_once(self, process, code, words, prefix=(), options=()):
        before = state_of(process)
        folder = f"{self.dir}/set{len(os.listdir(self.dir))}"
        argv = [*prefix, f"{hosts.BIN}/crx-dump", "-R", "-t", process.pid, "-D", folder, *options]
        result, text = self.host.run(argv, check=False)
        self.assertEqual(result, code, text)
        self.assertIn(words, text)
        self.assertEqual(state_of(process), before)

    def in_three_ways(self, program, refused):
        process, _ = self.start_on(self.host, self.dir, program)
        self.dump_once(process, 0, "")
        self.dump_once(process, 3, f"{refused}: looking into the kernel is switched off", options=[OFF])
        self.dump_once(process, 3, f"{refused}: looking into the kernel is not permitted", prefix=WITHOUT)

    def test_asynchronous_io(self):
        self.in_three_ways(AIO + HOLD, "its asynchronous I/O requests in flight (io_submit) cannot be counted")

    def test_unaccepted_connection(self):
        self.in_three_ways(UNACCEPTED.replace("BYTES", "3") + HOLD,
                           "it has sent data over a connection that is not accepted yet")


class Moves(Starting, crxtest.RingTest):
    HOSTS = 2

    def start(self, program):
        folder = self.ring.path(f"{self.id()}-{time.monotonic_ns()}")
        os.makedirs(folder)
        return self.start_on(self.ring[0], folder, program)

    def test_asynchronous_io(self):
        process, _ = self.start(AIO + HOLD)
        result = self.ring[0].migrate(process, self.ring[1], OFF)
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("leave out --no-kernel-introspection", result.stderr)
        self.move(process, self.ring[1])[0].kill()

    def test_unaccepted_connection(self):
        process, _ = self.start(UNACCEPTED.replace("BYTES", "3") + HOLD)
        result = self.ring[0].migrate(process, self.ring[1], OFF)
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("not accepted yet: looking into the kernel is switched off", result.stderr)
        self.move(process, self.ring[1])[0].kill()

    # Data that the kernel holds in pages.
    def test_large_data_on_an_unaccepted_connection(self):
        process, _ = self.start(UNACCEPTED.replace("BYTES", "50000") + HOLD)
        before = state_of(process)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("not accepted yet: more than 3 KiB of it were sent at once", result.stderr)
        self.assertEqual(state_of(process), before)

    def test_calls_with_a_limit_never_end_early(self):
        for options in ([], [OFF]):
            process, log = self.start(WAITING)
            self.move(process, self.ring[1], *options)[0].wait_end(20)
            self.assertEqual(lines_of(log), ["ready", "PASS"])


if __name__ == "__main__":
    crxtest.main()
