"""Every victim passes on a test host when it is not moved, so that failures of test_victims are due to the move."""
import os

import crxtest
from crxtest import read_text, until


class VictimsUnmoved(crxtest.RingTest):
    HOSTS = 1
    AGENTS = False

    def test_all_pass(self):
        names = sorted(os.listdir(crxtest.VICTIMS))
        self.assertGreater(len(names), 90)
        running = {}
        for name in names:
            out = self.ring.path(f"{name}.out")
            running[name] = self.ring[0].spawn([f"{crxtest.VICTIMS}/{name}", self.ring.path(f"{name}.go")], stdout=out)
            until(lambda: read_text(out, "") or not running[name].alive(), f"{name} is ready")
            if not name.startswith("timed_"):
                self.finish(name, running.pop(name))
        for name in list(running):
            self.finish(name, running.pop(name))

    def finish(self, name, process):
        with self.subTest(victim=name):
            with open(self.ring.path(f"{name}.go"), "w"):
                pass
            try:
                process.wait_end(60)
            finally:
                process.kill()
            text = read_text(self.ring.path(f"{name}.out"))
            self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, f"{name}:\n{text}")


if __name__ == "__main__":
    crxtest.main()
