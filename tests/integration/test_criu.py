"""Against the real CRIU: it restores what crx-dump wrote, crx-restore revives what it dumped, and crit reads every image.

The victims check themselves: registers, memory, files, clocks, maps, descriptors.
"""
import os

import crxtest
import hosts
from criutest import criu, decode_all, fetch
from dumptest import DumpTest
from hosts import lines_of, read_text, until

# What CRIU's images can hold. Signals, timers and sleeps under way are told less exactly there.
VICTIMS = ["mem_anon", "mem_brk", "mem_stack", "mem_prot", "mem_file_private", "mem_file_shared", "mem_shared_anon",
           "mem_vdso", "mem_fields", "mem_churn", "mem_memfd", "mem_thp", "mem_many_vmas",
           "fd_file", "fd_directory", "fd_many", "fd_eventfd", "fd_epoll", "fd_signalfd", "fd_deleted",
           "regs_general", "regs_fs_gs", "sig_actions", "sig_mask", "sig_altstack",
           "threads_many", "thread_names", "thread_robust", "thread_tid_address",
           "proc_ids", "proc_umask_cwd", "timer_interval", "creds_caps"]


CLOSED = " ".join(f"{fd}>&-" for fd in range(3, 10))


class CriuTest(DumpTest):
    @classmethod
    def setUpClass(cls):
        fetch()
        super().setUpClass()
        cls.host.run(["ip", "link", "set", "lo", "up"])  # or CRIU does not start

    def start(self, name):
        self.output, self.go = f"{self.dir}/out", f"{self.dir}/go"
        # Opened inside: CRIU looks for the mounts that descriptors are of.
        process = self.host.spawn(["sh", "-c", f'exec "$0" "$1" >"$2" 2>&1 </dev/null {CLOSED}', f"{hosts.VICTIMS}/{name}", self.go,
                                   self.output])
        self.addCleanup(lambda: (self.host.find(process.pid) or process).kill())
        until(lambda: lines_of(self.output) or not process.alive(), f"{name} says ready")
        self.assertEqual(lines_of(self.output), ["ready"])
        return process

    def run_criu(self, verb, images, *options):
        log = f"{images}/{verb}.log"
        code, text = self.host.run(criu(verb, "-D", images, "-v4", "-o", f"{verb}.log", *options), check=False)
        interesting = [line for line in lines_of(log) if "Error" in line or "Warn" in line][-12:]
        self.assertEqual(code, 0, f"criu {verb}: {text}\n" + "\n".join(interesting))

    def finish(self, process):
        with open(self.go, "w"):
            pass
        process.wait_end(15)
        text = read_text(self.output)
        self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, text)

    def dumped_by_crx(self, name):
        process = self.start(name)
        images = f"{self.dir}/set"
        options = ["--ghost-limit", "16M"] if name == "fd_deleted" else []
        self.dump(process, images, *options)
        self.wait_gone(process)
        decode_all(images)
        self.run_criu("restore", images, "-d")
        revived = self.host.find(process.pid)
        self.assertIsNotNone(revived)
        self.finish(revived)

    def dumped_by_criu(self, name):
        process = self.start(name)
        images = f"{self.dir}/set"
        os.mkdir(images)
        options = ["--ghost-limit", "16777216"] if name == "fd_deleted" else []
        self.run_criu("dump", images, "-t", process.pid, *options)
        self.wait_gone(process)
        self.finish(self.restore(images, pid=process.pid))


class DumpedByCrx(CriuTest):
    """crx-dump, criu restore."""


class DumpedByCriu(CriuTest):
    """criu dump, crx-restore."""


for each in VICTIMS:
    setattr(DumpedByCrx, f"test_{each}", lambda self, name=each: self.dumped_by_crx(name))
    setattr(DumpedByCriu, f"test_{each}", lambda self, name=each: self.dumped_by_criu(name))

if __name__ == "__main__":
    crxtest.main()
