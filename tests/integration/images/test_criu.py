"""Compatibility with the real CRIU: it restores sets of crx-dump, crx-restore restores sets of CRIU, and crit reads
every image.

The victims check themselves: registers, memory, files, clocks, maps, descriptors.
"""
import os
import re
import subprocess

import crxtest
import hosts
from criutest import criu, decode_all, fetch
from dumptest import DumpTest
from hosts import lines_of, read_text, until

VICTIMS = ["mem_anon", "mem_brk", "mem_stack", "mem_prot", "mem_file_private", "mem_file_shared", "mem_shared_anon",
           "mem_fields", "mem_churn", "mem_memfd", "mem_thp", "mem_many_vmas",
           "fd_file", "fd_epoll", "fd_signalfd", "fd_deleted",
           "regs_general", "regs_fs_gs", "sig_actions", "sig_mask", "sig_altstack",
           "threads_many", "thread_robust", "thread_tid_address", "proc_ids", "proc_umask_cwd", "timer_interval",
           "tree_children", "unix_mix", "unix_epoll", "unix_rights_only"]
# Victims that one of the two directions does not support because of CRIU: restored directories lose O_DIRECTORY; a
# service descriptor needs space below the limit; names of threads are text; orphans get another parent, zombies lose
# the top bit of their status; it may not read the limits of processes with fewer capabilities.
BY_CRX_ONLY = ["creds_caps"]
BY_CRIU_ONLY = ["fd_directory", "fd_removed", "fd_many", "thread_names", "tree_sessions", "tree_zombies"]

NUMBERS = """
import os, random, sys, threading, time
random.seed(7)
stop = sys.argv[1]
for each in range(3):
    threading.Thread(target=lambda: [time.sleep(0.003) for _ in iter(lambda: os.path.exists(stop), True)]).start()
while not os.path.exists(stop):
    print(random.random(), flush=True)
    time.sleep(0.005)
print("end", flush=True)
"""
MADE_OF_MEMFD = r"FAIL: maps: .* (/dev/zero|/memfd:/?[a-z/]*) \(deleted\)"
CLOSED = " ".join(f"{fd}>&-" for fd in range(3, 10))


class CriuTest(DumpTest):
    @classmethod
    def setUpClass(cls):
        fetch()
        super().setUpClass()
        cls.host.run(["ip", "link", "set", "lo", "up"])  # CRIU does not start otherwise

    def compile(self, name):
        """Builds programs/NAME.c; returns the path of the program."""
        path = f"{self.base}/{name}"
        subprocess.run(["cc", "-std=gnu17", "-O1", "-pthread", "-o", path, f"{hosts.PROGRAMS}/{name}.c", "-lm"], check=True)
        return path

    def python(self, dump, revive):
        """A seeded generator with threads goes on printing as if nothing had happened."""
        script, output, stop = f"{self.dir}/numbers.py", f"{self.dir}/numbers", f"{self.dir}/stop"
        with open(script, "w") as file:
            file.write(NUMBERS)
        process = self.host.spawn(["sh", "-c", f'exec /usr/bin/python3 "$0" "$1" >"$2" 2>&1 </dev/null {CLOSED}', script, stop, output])
        self.addCleanup(lambda: (self.host.find(process.pid) or process).kill())
        until(lambda: len(lines_of(output)) > 20, "python prints")
        images = f"{self.dir}/set"
        dump(process.pid, images)
        self.wait_gone(process)
        before = len(lines_of(output))
        revive(process.pid, images)
        until(lambda: len(lines_of(output)) > before + 20, "python prints on")
        with open(stop, "w"):
            pass
        revived = self.host.find(process.pid)
        if revived:
            revived.wait_end(20)
        numbers = lines_of(output)
        self.assertEqual(numbers.pop(), "end")
        random = __import__("random").Random(7)
        self.assertEqual(numbers, [str(random.random()) for _ in numbers])

    def start(self, name):
        self.output, self.go = f"{self.dir}/out", f"{self.dir}/go"
        # Opened inside the host: CRIU looks for the mounts of descriptors.
        process = self.host.spawn(["sh", "-c", f'exec "$0" "$1" >"$2" 2>&1 </dev/null {CLOSED}', name if name.startswith("/") else f"{hosts.VICTIMS}/{name}", self.go,
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
        # CRIU makes shared anonymous memory from memfds.
        lines = [line for line in text.splitlines()[1:] if not re.fullmatch(MADE_OF_MEMFD, line)]
        self.assertIn(lines, ([], ["PASS"]), text)

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
    """crx-dump, then criu restore."""

    def test_pipes(self):
        self.dumped_by_crx(self.compile("pipes"))

    def test_family(self):
        self.dumped_by_crx(self.compile("family"))

    def test_python(self):
        self.python(lambda pid, images: self.dump(pid, images),
                    lambda pid, images: self.run_criu("restore", images, "-d"))


class DumpedByCriu(CriuTest):
    """criu dump, then crx-restore."""

    def test_pipes(self):
        self.dumped_by_criu(self.compile("pipes"))

    def test_family(self):
        self.dumped_by_criu(self.compile("family"))

    def test_python(self):
        self.python(lambda pid, images: (os.mkdir(images), self.run_criu("dump", images, "-t", pid)),
                    lambda pid, images: self.restore(images, pid=pid))


for each in VICTIMS + BY_CRX_ONLY:
    setattr(DumpedByCrx, f"test_{each}", lambda self, name=each: self.dumped_by_crx(name))
for each in VICTIMS + BY_CRIU_ONLY:
    setattr(DumpedByCriu, f"test_{each}", lambda self, name=each: self.dumped_by_criu(name))

if __name__ == "__main__":
    crxtest.main()
