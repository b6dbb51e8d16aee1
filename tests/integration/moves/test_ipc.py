"""System V and POSIX IPC objects are in exactly one place after a move, also after one that failed; an obstacle is
named."""
import crxtest
from crxtest import VICTIMS, lines_of, read_text, until

PYTHON = "/usr/bin/python3"
KEYS = {"sysv_shm": ("shm", 0x43525801), "sysv_sem": ("sem", 0x43525802), "sysv_msg": ("msg", 0x43525803)}


class Ipc(crxtest.RingTest):
    HOSTS = 2

    def objects(self, host):
        """Returns the rows of /proc/sysvipc/*, and whether the message queue's name exists."""
        rows = []
        for kind in ("shm", "sem", "msg"):
            text = host.run(["cat", f"/proc/sysvipc/{kind}"])[1]
            rows += [(kind, *line.split()[:2]) for line in text.splitlines()[1:]]
        found = host.run([PYTHON, "-c", "import ctypes; print(ctypes.CDLL(None).mq_open(b'/crx-victim', 0) >= 0)"])[1]
        return rows + (["queue"] if found.strip() == "True" else [])

    def start(self, name):
        output, go = self.ring.path(f"{self.id()}.{name}.out"), self.ring.path(f"{self.id()}.{name}.go")
        process = self.ring[0].spawn([f"{VICTIMS}/{name}", go], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) or not process.alive(), f"{name} says ready")
        return process, output, go

    def finish(self, process, output, go):
        with open(go, "w"):
            pass
        process.wait_end(30)
        self.assertTrue(read_text(output).endswith("PASS\n"), read_text(output))

    def test_a_move_that_fails_leaves_nothing_behind(self):
        for name in ("sysv_shm", "sysv_sem", "sysv_msg", "mq_posix"):
            with self.subTest(name):
                process, output, go = self.start(name)
                before = self.objects(self.ring[0])
                result = self.ring[0].migrate(process, self.ring[1], "--hook", '[ "$CRX_STAGE" != prepared ]')
                self.assertEqual(result.exit, 1, f"{result}")
                self.assertEqual(self.objects(self.ring[0]), before)
                until(lambda: self.objects(self.ring[1]) == [], lambda: f"left at the destination: {self.objects(self.ring[1])}")
                self.finish(process, output, go)

    def test_a_move_takes_them_away(self):
        for name in ("sysv_shm", "sysv_sem", "sysv_msg", "mq_posix"):
            with self.subTest(name):
                process, output, go = self.start(name)
                before = self.objects(self.ring[0])
                moved, result = self.move(process, self.ring[1])
                self.assertEqual(self.objects(self.ring[0]), [])
                self.assertEqual(self.objects(self.ring[1]), before)
                self.finish(moved, output, go)

    def test_what_is_taken_is_named(self):
        for name, (kind, key) in KEYS.items():
            with self.subTest(name):
                process, output, go = self.start(name)
                call = {"shm": f"shmget({key}, 300000, 0o1600)", "sem": f"semget({key}, 3, 0o1600)", "msg": f"msgget({key}, 0o1600)"}
                self.ring[1].run([PYTHON, "-c", f"import ctypes; assert ctypes.CDLL(None).{call[kind]} >= 0"])
                result = self.ring[0].migrate(process, self.ring[1])
                self.assertEqual(result.exit, 1, f"{result}")
                self.assertIn(f"{key:#x} exists here already", result.stderr)
                # No other object gets the number that the move needs.
                self.ring[1].run([PYTHON, "-c", f"""
import ctypes
libc = ctypes.CDLL(None)
libc.{'shmctl' if kind == 'shm' else 'semctl' if kind == 'sem' else 'msgctl'}(libc.{call[kind]}, 0{', 0' if kind == 'sem' else ''}, None)
"""])
                self.finish(process, output, go)


if __name__ == "__main__":
    crxtest.main()
