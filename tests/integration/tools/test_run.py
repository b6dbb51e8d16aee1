"""crx-run: what it starts shares nothing with its caller and moves; what would keep a program from moving is said."""
import json
import os

import crxtest
from crxtest import lines_of, read_text, readlink_or_none, until
from hosts import BIN

PYTHON = "/usr/bin/python3"
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
NETLINK = """
import socket, time
kept = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 10)
while True: time.sleep(0.1)
"""


class Run(crxtest.RingTest):
    HOSTS = 2

    def setUp(self):
        self.here, self.there = self.ring.hosts
        self.output = self.ring.path(f"{self.id()}.out")
        self.pidfile = self.ring.path(f"{self.id()}.pid")

    def run_tool(self, *words, prefix=(), **options):
        """Runs crx-run; returns its exit code, and what it has written to stdout and to stderr."""
        errors = self.here.new_file(".err")
        code, text = self.here.run([*prefix, f"{BIN}/crx-run", *words], check=False, stderr=errors, **options)
        return code, text, read_text(errors)

    def started(self, text):
        process = self.here.find(int(text))
        self.assertIsNotNone(process)
        self.addCleanup(process.kill)
        return process

    def test_moves(self):
        read_end, write_end = os.pipe()  # as a shell may leave one open
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        code, text, errors = self.run_tool("--output", self.output, "--pidfile", self.pidfile, "--", "sh", "-c", COUNT,
                                           stdin=read_end, fds={7: write_end}, prefix=["setsid", "-w"])
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(read_text(self.pidfile), text)
        process = self.started(text)
        stat = read_text(process.proc("stat")).rpartition(")")[2].split()
        self.assertEqual(stat[2:5], [text.strip(), text.strip(), "0"])  # group, session, no terminal
        self.assertEqual({int(fd): readlink_or_none(process.proc(f"fd/{fd}")) for fd in os.listdir(process.proc("fd"))},
                         {0: "/dev/null", 1: self.output, 2: self.output})
        moved, _ = self.move(process, self.there)
        self.addCleanup(moved.kill)
        seen = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > seen + 2, "it goes on")
        lines = lines_of(self.output)
        self.assertEqual(lines, [str(n + 1) for n in range(len(lines))])

    def test_signals(self):
        ignoring = [PYTHON, "-c", "import os, signal, sys\n"
                    "for number in (signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)\n"
                    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\nos.execv(sys.argv[1], sys.argv[1:])"]
        code, text, errors = self.run_tool("--", "sleep", "1000", prefix=ignoring)
        self.assertEqual((code, errors), (0, ""))
        status = read_text(self.started(text).proc("status"))
        for name in ("SigBlk", "SigIgn"):
            self.assertIn(f"{name}:\t{0:016x}\n", status)

    def test_obstacle_is_said(self):
        code, text, errors = self.run_tool("--", PYTHON, "-c", NETLINK)
        self.assertEqual(code, 0, errors)
        process = self.started(text)
        self.assertIn("runs, but would not move", errors)
        self.assertIn("it is a netlink socket of family 10, which cannot be moved", errors)
        self.assertTrue(process.alive())
        code, text, errors = self.run_tool("--json", "--", PYTHON, "-c", NETLINK)
        started, found = (json.loads(line) for line in text.splitlines())
        self.started(started["pid"])
        self.assertEqual((code, started["event"], found["event"]), (0, "started", "finding"))

    def test_without_root(self):
        code, text, errors = self.run_tool("--", "sleep", "1000", prefix=["setpriv", "--reuid", "65534", "--clear-groups"])
        self.assertEqual(code, 0, errors)
        self.started(text)
        self.assertIn("that takes root", errors)

    def test_failures(self):
        missing = self.ring.path("missing")
        for words, told in [
                (["--pidfile", self.pidfile, "--", missing], [missing, "No such file", "check the name of the program"]),
                (["--output", f"{missing}/out", "--", "sleep", "1"], [f"{missing}/out", "No such file", "can be written"]),
                (["--pidfile", f"{missing}/pid", "--", "sleep", "1"], [f"{missing}/pid", "No such file"]),
                (["--output", self.output, "--", "sh", "-c", "echo no; exit 3"], ["ended already, with exit status 3", f"see {self.output}"])]:
            with self.subTest(words):
                code, _, errors = self.run_tool(*words)
                self.assertEqual(code, 1, errors)
                self.assertEqual(len(errors.splitlines()), 1, errors)
                for each in told:
                    self.assertIn(each, errors)
        self.assertFalse(os.path.exists(self.pidfile))
        self.assertEqual(lines_of(self.output), ["no"])
        code, _, errors = self.run_tool("sleep", "1")
        self.assertEqual(code, 2, errors)
        code, _, errors = self.run_tool()
        self.assertEqual(code, 2)
        self.assertIn("crx-run -- COMMAND", errors)


if __name__ == "__main__":
    crxtest.main()
