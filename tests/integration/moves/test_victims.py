"""Every victim passes after moves around a ring of three hosts, one of which has another uptime.

    tests/one victims                 all victims
    tests/one victims Victims.test_fd_pipe
"""
import contextlib
import os
import subprocess
import time

import crxtest
import hosts
import timed
from crxtest import lines_of, read_text, until

# Options that a user has to give for this victim, as with CRIU.
OPTIONS = {"lock_flock": ["--file-locks"], "lock_posix": ["--file-locks"], "lock_ofd": ["--file-locks"], "lock_lease": ["--file-locks"],
           "blocked_flock": ["--file-locks"], "blocked_fcntl_lock": ["--file-locks"],
           "lock_write_lease": ["--file-locks"], "fd_deleted": ["--ghost-limit", "16M"], "fd_deleted_sparse": ["--ghost-limit", "2G"]}

# Victims that are refused by name in the stop: the program runs on where it is, and passes there.
REFUSED = {"blocked_io_getevents": "requests (io_submit) have not finished", "blocked_connect": "that is being made"}


class VictimTest(crxtest.RingTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for host in cls.ring.hosts:
            # Closed connections of one victim (TIME_WAIT) would occupy the ports that the kernel assigns to the next.
            host.run(["sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets"])

    def run_victim(self, name):
        with hosts.huge_pages(64) if "huge" in name else contextlib.nullcontext():
            self.run_victim_here(name)

    def run_victim_here(self, name):
        base = self.ring.path(name)
        output, go = f"{base}.out", f"{base}.go"
        process = self.ring[0].spawn([f"{crxtest.VICTIMS}/{name}", go], stdout=output)
        twin = self.start_twin(name) if name.startswith("timed_") else None
        try:
            until(lambda: lines_of(output) or not process.alive(), f"{name} says ready")
            self.assertEqual(lines_of(output), ["ready"], f"{name} before any move")
            began, downtime = time.monotonic(), 0.0
            if name in REFUSED:
                result = self.ring[0].migrate(process, self.ring[1], *OPTIONS.get(name, []))
                self.assertIn(result.exit, (1, 3), f"{result}")
                self.assertIn(REFUSED[name], result.stderr)
            for move in range(0 if name in REFUSED else crxtest.MOVES):
                if twin and move == crxtest.MOVES - 1:
                    timed.until_half(began)
                process, result = self.move(process, self.ring[move + 1], *OPTIONS.get(name, []))
                downtime += result.downtime_s
                self.assertTrue(process.alive(), f"{name} died in move {move + 1}: {read_text(output)}\n{result}")
            with open(go, "w"):
                pass
            process.wait_end(30)
            text = read_text(output)
            self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text,
                            f"{name} after {crxtest.MOVES} moves:\n{text}")
            self.check_timing(name, text, downtime, twin)
        finally:
            process.kill()
            if twin:
                twin.kill()
                twin.wait()
            if name.startswith("sysv_"):
                # Objects that were never used stay where they were made, since they may belong to another process of
                # that second.
                for host in self.ring.hosts:
                    host.run(["ipcrm", "--all"])

    def start_twin(self, name):
        """Runs the same victim without a move, which shows how late its calls end because of the machine. Not on a
        host of the ring: there it would share IPC objects with the one that moves."""
        with open(self.ring.path(f"{name}.twin"), "w") as out:
            return subprocess.Popen([f"{crxtest.VICTIMS}/{name}", self.ring.path(f"{name}.go")], stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=out, start_new_session=True)

    def check_timing(self, name, text, downtime, twin):
        if not twin:
            return
        twin.wait(30)
        usual = timed.lateness(read_text(self.ring.path(f"{name}.twin")))
        for what, late in timed.lateness(text).items():
            self.assertLess(late, downtime + usual[what] + timed.TWIN_NOISE_S,
                            f"{name}: {what} ended {late:.3f} s late, with {downtime:.3f} s of downtime; "
                            f"{usual[what]:.3f} s late where it was not moved")


class Victims(VictimTest):
    pass


class AmongStrangers(VictimTest):
    def test_timed(self):
        with timed.strangers(self.ring.compile("strangers")):
            for name in ("timed_wait", "timed_sleep", "timed_poll"):
                with self.subTest(name):
                    self.run_victim(name)


def add_tests():
    for name in sorted(os.listdir(crxtest.VICTIMS)):
        def test(self, name=name):
            self.run_victim(name)
        setattr(Victims, f"test_{name}", test)


add_tests()
if __name__ == "__main__":
    crxtest.main()
