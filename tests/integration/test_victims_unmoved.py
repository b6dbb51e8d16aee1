"""Every victim passes when it is not moved at all: what test_victims finds is the move's doing."""
import os
import subprocess
import tempfile
import unittest

import crxtest


class VictimsUnmoved(unittest.TestCase):
    def test_all_pass(self):
        with tempfile.TemporaryDirectory(prefix="crxtest-") as folder:
            os.chmod(folder, 0o777)
            names = sorted(os.listdir(crxtest.VICTIMS))
            self.assertGreater(len(names), 90)
            running = {}
            try:
                for name in names:
                    with open(f"{folder}/{name}.out", "w") as out:
                        running[name] = subprocess.Popen(
                            [f"{crxtest.VICTIMS}/{name}", f"{folder}/{name}.go"], stdin=subprocess.DEVNULL, stdout=out,
                            stderr=out, start_new_session=True)
                    crxtest.until(lambda: crxtest.read_text(f"{folder}/{name}.out", "") or
                                  running[name].poll() is not None, f"{name} is ready")
                    if not name.startswith("timed_"):
                        self.finish(folder, name, running.pop(name))
                for name in list(running):
                    self.finish(folder, name, running.pop(name))
            finally:
                for process in running.values():
                    process.kill()
                    process.wait()

    def finish(self, folder, name, process):
        with self.subTest(victim=name):
            with open(f"{folder}/{name}.go", "w"):
                pass
            try:
                code = process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = "none, it hangs"
            text = crxtest.read_text(f"{folder}/{name}.out")
            self.assertTrue(code == 0 and text.endswith("PASS\n"), f"{name}: exit code {code}\n{text}")


if __name__ == "__main__":
    crxtest.main()
