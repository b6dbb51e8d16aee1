"""A move that fails after the sockets were collected harms no socket, and leaves no packet filter behind."""
import os

import crxtest
from crxtest import lines_of, read_text, until

NAMES = [name for name in sorted(os.listdir(crxtest.VICTIMS)) if name.startswith("inet_")]


class Rollback(crxtest.RingTest):
    HOSTS = 2

    def start(self, name):
        base = self.ring.path(f"{self.id()}-{name}")
        process = self.ring[0].spawn([f"{crxtest.VICTIMS}/{name}", f"{base}.go"], stdout=f"{base}.out")
        until(lambda: lines_of(f"{base}.out"), f"{name} says ready")
        return process, base

    def passes(self, process, base):
        with open(f"{base}.go", "w"):
            pass
        process.wait_end(30)
        text = read_text(f"{base}.out")
        self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, text)

    def check_no_tables(self):
        for host in self.ring.hosts:
            self.assertNotIn("crx-", host.run(["nft", "list", "tables"])[1], host.name)

    def test_failed_hook(self):
        for name in NAMES:
            with self.subTest(name):
                process, base = self.start(name)
                try:
                    for _ in range(2):
                        result = self.ring[0].migrate(process, self.ring[1], "--hook", "[ $CRX_STAGE != prepared ]")
                        self.assertEqual(result.exit, 1, f"{result}")
                        self.assertIn("hook", result.stderr)
                        self.check_no_tables()
                    self.passes(process, base)
                finally:
                    process.kill()

    def test_killed_in_the_stop(self):
        for name in ("inet_tcp_loopback", "inet_tcp_states"):
            with self.subTest(name):
                process, base = self.start(name)
                stages = crxtest.Stages(self.ring, "source.prepared")
                tool = self.ring[0].start_migrate(process, self.ring[1], "--hook", stages.command)
                try:
                    stages.wait("source.prepared")
                    self.assertIn("crx-", self.ring[0].run(["nft", "list", "tables"])[1])
                    tool.kill()
                    tool.wait_end(10)
                    stages.go_on("source.prepared")
                    until(lambda: "crx-" not in self.ring[0].run(["nft", "list", "tables"])[1], "the packet filter goes")
                    self.passes(process, base)
                finally:
                    process.kill()


if __name__ == "__main__":
    crxtest.main()
