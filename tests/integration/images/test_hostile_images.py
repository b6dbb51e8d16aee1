"""Image sets that are damaged in a thousand ways, with and without a manifest that agrees: see imagefuzz.py.

CRX_FUZZ_TURNS and CRX_FUZZ_SEED make the search longer.
"""
import os
import subprocess

import crxtest
import hosts
from hosts import lines_of, until
from test_dump import Heap

TURNS = int(os.environ.get("CRX_FUZZ_TURNS", "140"))
SEED = int(os.environ.get("CRX_FUZZ_SEED", "1"))


class HostileImages(Heap):
    def begin(self, folder, *argv):
        os.makedirs(folder)
        output = f"{folder}/out"
        process = self.host.spawn(list(argv), stdout=output, cwd=folder)
        self.addCleanup(lambda: (self.host.find(process.pid) or process).kill())
        until(lambda: lines_of(output) or not process.alive(), f"{argv[0]} is ready")
        self.assertTrue(process.alive(), lines_of(output))
        return process

    def compile(self, name):
        path = f"{self.base}/{name}"
        subprocess.run(["cc", "-std=gnu17", "-O1", "-pthread", "-o", path, f"{hosts.PROGRAMS}/{name}.c", "-lm"], check=True)
        return path

    def sets(self):
        """Makes sets of a plain program, threads, a tree with pipes and sockets, queues and ghosts, and an
        incremental chain."""
        victims = {"threads": "threads_many", "tree": "unix_mix", "files": "fd_deleted", "timers": "timer_interval",
                   "shared": "mem_shared_anon", "epoll": "fd_epoll"}
        made = []
        for name, victim in victims.items():
            folder = f"{self.dir}/{name}"
            process = self.begin(folder, f"{hosts.VICTIMS}/{victim}", f"{folder}/go")
            self.dump(process, f"{folder}/set", "--ghost-limit", "16M")
            self.wait_gone(process)
            made.append(f"{folder}/set")
        folder = f"{self.dir}/family"
        process = self.begin(folder, self.compile("family"), f"{folder}/go")
        self.dump(process, f"{folder}/set")
        self.wait_gone(process)
        made.append(f"{folder}/set")
        folder = f"{self.dir}/chain"
        process = self.begin(folder, self.program, "1", f"{folder}/control")
        self.dump(process, f"{folder}/1", "--pre")
        self.dump(process, f"{folder}/2", "--prev-images-dir", "../1")
        self.wait_gone(process)
        return made + [f"{folder}/2"]

    def test_hostile_images(self):
        code, text = self.host.run(["unshare", "-m", "/usr/bin/python3", f"{hosts.HERE}/imagefuzz.py", hosts.BIN, self.dir,
                                    SEED, TURNS, *self.sets()], check=False, timeout=3600,
                                   env={"CRX_FUZZ_MESSAGES": os.environ.get("CRX_FUZZ_MESSAGES", "")})
        if TURNS > 1000:
            print(text)
        self.assertEqual(code, 0, text)


if __name__ == "__main__":
    crxtest.main()
