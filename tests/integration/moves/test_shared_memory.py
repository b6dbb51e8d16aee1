"""Memory that fork shares: it is sent once, and is shared at the destination."""
import re
import subprocess

import crxtest
from crxtest import PROGRAMS, lines_of, read_text, until
from dumptest import DumpTest

SIZE_MIB = 1024 if crxtest.FULL else 256
WORKERS = 8


def pss_mib(process):
    """Returns the memory of a process and its descendants in MiB; shared memory counts once."""
    total = 0
    for pid in [process.pid] + process.host.children(process.pid):
        total += int(re.search(r"^Pss: +(\d+) kB", read_text(process.host.proc(pid, "smaps_rollup")), re.M)[1])
    return total / 1024


class SharedMemory(crxtest.RingTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("workers")

    def run_workers(self, name, mib, *options, workers=WORKERS, rate=0, moves=2, most=1.15, most_sent=1.15):
        output, go = self.ring.path(f"{name}.out"), self.ring.path(f"{name}.go")
        process = self.ring[0].spawn([self.program, go, str(mib), str(workers), str(rate)], stdout=output)
        figures = []
        try:
            until(lambda: lines_of(output) or not process.alive(), "the workers are ready", 120)
            self.assertEqual(lines_of(output), ["ready"])
            for move in range(moves):
                before = pss_mib(process)
                process, result = self.move(process, self.ring[move + 1], *options, timeout=300)
                after, sent = pss_mib(process), result.last["bytes_raw"] / (1 << 20)
                figures.append(f"{before:.0f} MiB, sent {sent:.0f}, {after:.0f} there")
                self.assertLessEqual(after, before * most, figures)
                self.assertLessEqual(sent, before * most_sent, figures)
            with open(go, "w"):
                pass
            process.wait_end(60)
        finally:
            for pid in process.host.children(process.pid):
                child = process.host.find(pid)
                if child:
                    child.kill()
            process.kill()
        text = read_text(output)
        self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, f"{text}\n{figures}")
        print(f"({'; '.join(figures)}) ", end="", flush=True)

    def test_eight_workers(self):
        self.run_workers("workers", SIZE_MIB)

    def test_stop_and_copy(self):
        self.run_workers("stop", 64, "--max-rounds", "0")

    def test_hash_tracker(self):
        self.run_workers("hash", 64, "--tracker", "hash")

    def test_everybody_writes(self):
        self.run_workers("load", 64, "--max-bandwidth", "200M", rate=2000, workers=4, most=2.5, most_sent=50)


class Restored(DumpTest):
    def test_eight_workers(self):
        program, output, go = f"{self.base}/workers", f"{self.dir}/out", f"{self.dir}/go"
        subprocess.run(["cc", "-std=gnu17", "-O2", "-o", program, f"{PROGRAMS}/workers.c"], check=True)
        process = self.host.spawn([program, go, "32", str(WORKERS)], stdout=output)
        until(lambda: lines_of(output), "the workers are ready", 60)
        before = pss_mib(process)
        self.dump(process, f"{self.dir}/set")
        self.wait_gone(process)
        process = self.restore(f"{self.dir}/set", pid=process.pid)
        self.addCleanup(process.kill)
        after = pss_mib(process)
        self.assertLessEqual(after, before * 1.15)
        with open(go, "w"):
            pass
        process.wait_end(60)
        text = read_text(output)
        self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, text)
        print(f"({before:.0f} MiB, {after:.0f} restored) ", end="", flush=True)


if __name__ == "__main__":
    crxtest.main()
