"""Every victim passes after it was dumped, ended, and restored from the images; twice.

    tests/one dump_victims                 all victims
    tests/one dump_victims DumpVictims.test_fd_pipe
"""
import contextlib
import os

import hosts
import timed
from dumptest import DumpTest
from hosts import lines_of, read_text, until
import crxtest
from test_victims import OPTIONS, REFUSED


class DumpVictims(DumpTest):
    def run_victim(self, name):
        with hosts.huge_pages(64) if "huge" in name else contextlib.nullcontext():
            self.run_victim_here(name)

    def run_victim_here(self, name):
        output, go = f"{self.dir}/out", f"{self.dir}/go"
        process = self.host.spawn([f"{hosts.VICTIMS}/{name}", go], stdout=output)
        try:
            until(lambda: lines_of(output) or not process.alive(), f"{name} says ready")
            self.assertEqual(lines_of(output), ["ready"], f"{name} before the dump")
            options = [o for o in OPTIONS.get(name, []) if o not in ("--ext-unix-sk",)]
            if name in REFUSED:
                text = self.dump(process, f"{self.dir}/set", code=3)
                self.assertIn(REFUSED[name], text)
                with open(go, "w"):
                    pass
                process.wait_end(30)
                self.assertTrue(read_text(output).endswith("PASS\n"), f"{name} after a refusal:\n{read_text(output)}")
                return
            began = crxtest.time.monotonic()
            for number in (1, 2):
                if number == 2 and name.startswith("timed_"):
                    timed.until_half(began)
                images = f"{self.dir}/set{number}"
                self.dump(process, images, *options)
                self.wait_gone(process)
                tool = self.start_restore(images)
                until(lambda: "runs after" in tool.text() or not tool.alive(), f"{name} is revived")
                process = self.host.find(process.pid)
                self.assertIsNotNone(process, f"{name} in round {number}: {tool.text()}\n{read_text(output)}")
            away = crxtest.time.monotonic() - began
            with open(go, "w"):
                pass
            code = tool.wait(30)
            text = read_text(output)
            self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, f"{name}:\n{text}\n{tool.text()}")
            self.assertEqual(code, 0, f"{name}: crx-restore ends with the program's status")
            for what, late in timed.lateness(text).items():
                self.assertLess(late, away + timed.NOISE_S, f"{name}: {what} ended late")
        finally:
            process.kill()


class HugePages(DumpTest):
    def test_too_few_at_the_restore(self):
        output, go, images = f"{self.dir}/out", f"{self.dir}/go", f"{self.dir}/set"
        with hosts.huge_pages(64):
            process = self.host.spawn([f"{hosts.VICTIMS}/mem_hugetlb", go], stdout=output)
            try:
                until(lambda: lines_of(output) or not process.alive(), "it says ready")
                self.dump(process, images)
                self.wait_gone(process)
            finally:
                process.kill()
        with hosts.huge_pages(2, exactly=True):
            tool = self.start_restore(images)
            self.assertNotEqual(tool.wait(30), 0, tool.text())
            self.assertIn("huge pages of 2048 KiB", tool.text())
            self.assertIn("raise vm.nr_hugepages", tool.text())
        with hosts.huge_pages(64):
            tool = self.start_restore(images)
            until(lambda: "runs after" in tool.text() or not tool.alive(), "it is revived")
            with open(go, "w"):
                pass
            self.assertEqual(tool.wait(30), 0, f"{tool.text()}\n{read_text(output)}")
            self.assertTrue(read_text(output).endswith("PASS\n"), read_text(output))


def add_tests():
    for name in sorted(os.listdir(hosts.VICTIMS)):
        def test(self, name=name):
            self.run_victim(name)
        setattr(DumpVictims, f"test_{name}", test)


add_tests()
if __name__ == "__main__":
    crxtest.main()
