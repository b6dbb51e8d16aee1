"""crx-dump and crx-restore as a user sees them: incremental sets, damaged sets, taken PIDs, exit codes,
repeatability."""
import glob
import json
import os
import shutil
import signal
import subprocess

import crxtest
import hosts
from dumptest import DumpTest
from hosts import lines_of, read_text, until

NUMBERS = """
import os, random, sys, time
random.seed(11)
while not os.path.exists(sys.argv[1]):
    print(random.random(), flush=True)
    time.sleep(0.003)
"""


class Heap(DumpTest):
    """A process with known memory: programs/heap.c, or another program with the same commands."""

    PROGRAM = "heap"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = f"{cls.base}/{cls.PROGRAM}"
        subprocess.run(["cc", "-std=gnu17", "-O2", "-o", cls.program, f"{hosts.PROGRAMS}/{cls.PROGRAM}.c"], check=True)

    def start(self, megabytes=64):
        self.control, self.output = f"{self.dir}/control", f"{self.dir}/out"
        self.rounds = 0
        process = self.host.spawn([self.program, str(megabytes), self.control], stdout=self.output)
        self.addCleanup(lambda: (self.host.find(process.pid) or process).kill())
        until(lambda: lines_of(self.output), "the heap is filled")
        return process

    def start_inside(self, megabytes):
        """Starts the same program with descriptors of the host's mount namespace, as CRIU requires."""
        self.control, self.output, self.rounds = f"{self.dir}/control", f"{self.dir}/out", 0
        closed = " ".join(f"{fd}>&-" for fd in range(3, 10))
        process = self.host.spawn(["sh", "-c", f'exec "$0" {megabytes} "$1" >"$2" </dev/null 2>&1 {closed}', self.program, self.control,
                                   self.output])
        self.addCleanup(lambda: (self.host.find(process.pid) or process).kill())
        until(lambda: lines_of(self.output), "the heap is filled")
        return process

    def touch(self, name):
        with open(f"{self.control}.{name}", "w"):
            pass

    def change(self):
        """Makes the process write 2% of its pages; returns the digest of its memory afterwards."""
        self.rounds += 1
        self.touch(self.rounds)
        until(lambda: lines_of(self.output)[-1].startswith(f"round {self.rounds} "), "the heap is changed")
        return lines_of(self.output)[-1].split()[2]

    def digest(self):
        count = len(lines_of(self.output))
        self.touch("check")
        until(lambda: len(lines_of(self.output)) > count, "the heap is checked")
        return lines_of(self.output)[-1].split()[1]

    def report(self, process, images, *options):
        code, text = self.run_tool("crx-dump", "-t", process.pid, "-D", images, "--json", *options)
        self.assertEqual(code, 0, text)
        return json.loads([line for line in text.splitlines() if line.startswith("{")][-1]), text

    def refused(self, images, *words):
        code, text = self.run_tool("crx-restore", "-D", images, "-d")
        self.assertEqual(code, 1, text)
        for word in words:
            self.assertIn(word, text)


class Incremental(Heap):
    def chain(self, *last):
        """Makes three sets, each against the one before; returns the process, ended by the last dump, and the digest
        of its memory."""
        process = self.start()
        first, text = self.report(process, f"{self.dir}/1", "--pre")
        self.assertLess(first["frozen_us"], 50_000, text)
        self.change()
        second, text = self.report(process, f"{self.dir}/2", "--pre", "--prev-images-dir", "../1")
        self.assertLess(second["pages"] * 10, first["pages"], text)
        digest = self.change()
        third, text = self.report(process, f"{self.dir}/3", "--prev-images-dir", "../2", *last)
        self.assertLess(third["pages"] * 10, first["pages"], text)
        self.assertGreater(third["parent_pages"], first["pages"] // 2, text)
        self.wait_gone(process)
        return process, digest

    def test_chain(self):
        process, digest = self.chain()
        for _ in range(2):
            revived = self.restore(f"{self.dir}/3", pid=process.pid)
            self.assertEqual(self.digest(), digest)
            revived.kill()
            self.wait_gone(revived)
        self.refused(f"{self.dir}/2", "pre-dump")

    def test_criu_restores_a_chain(self):
        from criutest import criu
        process = self.start_inside(16)
        self.report(process, f"{self.dir}/1", "--pre")
        digest = self.change()
        self.report(process, f"{self.dir}/2", "--prev-images-dir", "../1")
        self.wait_gone(process)
        code, text = self.host.run(criu("restore", "-D", f"{self.dir}/2", "-d", "-v4", "-o", "restore.log"), check=False)
        errors = [line for line in lines_of(f"{self.dir}/2/restore.log") if "Error" in line]
        self.assertEqual(code, 0, f"{text}{errors}")
        self.assertEqual(self.digest(), digest)

    def test_chain_of_criu_s_files_only(self):
        """A chain as CRIU leaves it; CRIU itself cannot make one on a kernel without soft-dirty bits."""
        process, digest = self.chain()
        for path in glob.glob(f"{self.dir}/[123]/crx-*"):
            os.unlink(path)
        self.restore(f"{self.dir}/3", pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_dedup(self):
        process, digest = self.chain("--auto-dedup")
        size = os.stat(f"{self.dir}/1/pages-1.img")
        self.assertLess(size.st_blocks * 512, size.st_size - (1 << 20), "blocks of the first set are freed")
        code, text = self.run_tool("crx-image", "verify", f"{self.dir}/3")
        self.assertEqual(code, 0, text)
        self.restore(f"{self.dir}/3", pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_track_mem_after_a_full_dump(self):
        process = self.start()
        self.report(process, f"{self.dir}/1", "-R", "--track-mem")
        digest = self.change()
        report, text = self.report(process, f"{self.dir}/2", "--prev-images-dir", "../1")
        self.assertLess(report["pages"] * 10, report["parent_pages"], text)
        self.wait_gone(process)
        self.restore(f"{self.dir}/2", pid=process.pid)
        self.assertEqual(self.digest(), digest)
        code, text = self.run_tool("crx-image", "show", f"{self.dir}/2")
        self.assertEqual(code, 0, text)
        self.assertIn("in its parents", text)

    def test_without_tracking_a_dump_is_full(self):
        process = self.start(16)
        self.report(process, f"{self.dir}/1", "-R")
        report, text = self.report(process, f"{self.dir}/2", "-R", "--prev-images-dir", "../1")
        self.assertEqual(report["parent_pages"], 0)
        self.assertIn("this dump is full", text)
        self.assertFalse(os.path.lexists(f"{self.dir}/2/parent"))

    def test_another_parent_is_not_taken(self):
        process = self.start(16)
        self.report(process, f"{self.dir}/1", "--pre")
        self.report(process, f"{self.dir}/2", "--pre", "--prev-images-dir", "../1")
        report, text = self.report(process, f"{self.dir}/3", "-R", "--prev-images-dir", "../1")
        self.assertEqual(report["parent_pages"], 0)
        self.assertIn("tracked for another set", text)

    def test_an_attempted_move_makes_the_next_dump_full(self):
        # crx-migrate protects the same pages, so earlier writes have lost their marks.
        process = self.start(16)
        self.report(process, f"{self.dir}/1", "--pre")
        self.change()
        tls = f"{self.dir}/tls"
        subprocess.run([f"{hosts.ROOT}/deploy/crx-keys", tls, "127.0.0.1"], check=True, stdout=subprocess.DEVNULL)
        self.host.run(["ip", "link", "set", "lo", "up"])
        read_end, write_end = os.pipe()
        agent = self.host.spawn([f"{hosts.BIN}/crx-agent", "--listen", "127.0.0.1:0", "--tls-dir", f"{tls}/127.0.0.1", "--store",
                                 f"{self.dir}/store", "--ready-fd", "9"], stdout=f"{self.dir}/agent.log", fds={9: write_end})
        os.close(write_end)
        with os.fdopen(read_end) as ready:
            port = ready.readline().split()[1]
        code, text = self.run_tool("crx-migrate", "--to", f"127.0.0.1:{port}", "--tls-dir", f"{tls}/127.0.0.1", "--state",
                                   f"{self.dir}/state", "--hook", 'test "$CRX_STAGE" != frozen', process.pid)
        self.assertNotEqual(code, 0, "the move is rolled back")
        agent.send_signal(signal.SIGTERM)
        digest = self.change()
        self.report(process, f"{self.dir}/2", "--prev-images-dir", "../1")
        self.wait_gone(process)
        self.restore(f"{self.dir}/2", pid=process.pid)
        self.assertEqual(self.digest(), digest)


class Herd(Heap):
    """A tree with shared memory, programs/herd.c: all of it is dumped incrementally."""

    PROGRAM = "herd"

    def test_chain_of_a_tree(self):
        process = self.start(8)
        first, text = self.report(process, f"{self.dir}/1", "--pre")
        self.assertLess(first["frozen_us"], 50_000, text)
        self.change()
        second, text = self.report(process, f"{self.dir}/2", "--pre", "--prev-images-dir", "../1")
        # A third child has been forked: this set holds its heap, and the memory that it shares with its parent.
        self.assertGreater(second["parent_pages"], first["pages"] * 8 // 10, text)
        self.assertIn("this dump is full", text)
        digest = self.change()
        third, text = self.report(process, f"{self.dir}/3", "-R", "--track-mem", "--prev-images-dir", "../2")
        self.assertEqual(self.digest(), digest)
        digest = self.change()
        fourth, text = self.report(process, f"{self.dir}/4", "--prev-images-dir", "../3")
        self.wait_gone(process)
        self.assertEqual(self.run_tool("crx-image", "verify", f"{self.dir}/4")[0], 0)
        for _ in range(2):
            revived = self.restore(f"{self.dir}/4", pid=process.pid)
            self.assertEqual(self.digest(), digest)
            for pid in self.host.children(process.pid):
                self.host.find(pid).kill()
            revived.kill()
            self.wait_gone(revived)

    def test_quiet_tree_costs_nothing(self):
        process = self.start(8)
        first, _ = self.report(process, f"{self.dir}/1", "-R", "--track-mem")
        digest = self.digest()
        second, text = self.report(process, f"{self.dir}/2", "-R", "--prev-images-dir", "../1")
        self.assertLess(second["pages"] * 10, first["pages"], text)
        self.assertNotIn("this dump is full", text)
        process.kill()
        self.wait_gone(process)
        self.restore(f"{self.dir}/2", pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_criu_restores_a_chain_of_a_tree(self):
        from criutest import criu
        process = self.start_inside(4)
        self.report(process, f"{self.dir}/1", "-R", "--track-mem")
        self.digest()
        second, text = self.report(process, f"{self.dir}/2", "--prev-images-dir", "../1")
        self.assertGreater(second["parent_pages"], second["pages"], text)
        digest = lines_of(self.output)[-1].split()[1]
        self.wait_gone(process)
        code, text = self.host.run(criu("restore", "-D", f"{self.dir}/2", "-d", "-v4", "-o", "restore.log"), check=False)
        errors = [line for line in lines_of(f"{self.dir}/2/restore.log") if "Error" in line]
        self.assertEqual(code, 0, f"{text}{errors}")
        self.assertEqual(self.digest(), digest)


class Sets(Heap):
    def test_numbers_three_times(self):
        script, stop = f"{self.dir}/numbers.py", f"{self.dir}/stop"
        with open(script, "w") as file:
            file.write(NUMBERS)
        output = f"{self.dir}/out"
        process = self.host.spawn(["sh", "-c", 'exec /usr/bin/python3 "$0" "$1" >"$2" 2>&1 </dev/null', script, stop, output])
        until(lambda: len(lines_of(output)) > 10, "python prints")
        self.dump(process, f"{self.dir}/set")
        self.wait_gone(process)
        before = len(lines_of(output))
        runs = []
        for _ in range(3):
            revived = self.restore(f"{self.dir}/set", pid=process.pid)
            wanted = before + 40
            until(lambda: len(lines_of(output)) > wanted, "python prints on")
            revived.kill()
            self.wait_gone(revived)
            runs.append(lines_of(output)[before:wanted])
            os.truncate(output, sum(len(line) + 1 for line in lines_of(output)[:before]))
        self.assertEqual(runs[0], runs[1])
        self.assertEqual(runs[0], runs[2])

    def test_leave_running(self):
        process = self.start(16)
        self.dump(process, f"{self.dir}/set", "-R")
        self.assertTrue(process.alive())
        self.change()
        # The number of the process is taken.
        self.refused(f"{self.dir}/set", f"PID {process.pid}", "is taken by \"heap\"")

    def test_foreground_status_and_signals(self):
        process = self.start(16)
        self.dump(process, f"{self.dir}/set")
        self.wait_gone(process)
        pidfile = f"{self.dir}/pid"
        tool = self.start_restore(f"{self.dir}/set", "--pidfile", pidfile)
        until(lambda: "runs after" in tool.text(), tool.text)
        self.assertEqual(read_text(pidfile), str(process.pid))
        self.touch("end")
        self.assertEqual(tool.wait(), 7, "the status of the program")
        os.unlink(f"{self.control}.end")
        tool = self.start_restore(f"{self.dir}/set")
        until(lambda: "runs after" in tool.text(), tool.text)
        tool.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait(), 128 + signal.SIGTERM)

    def test_new_pids(self):
        process = self.start(16)
        digest = self.digest()
        self.dump(process, f"{self.dir}/set", "-R")
        os.rename(self.output, f"{self.output}.first")
        shutil.copy(f"{self.output}.first", self.output)
        pidfile = f"{self.dir}/pid"
        tool = self.start_restore(f"{self.dir}/set", "-n", "-d", "--pidfile", pidfile)
        self.assertEqual(tool.wait(), 0, tool.text())
        process.kill()
        self.assertEqual(self.digest(), digest)
        revived = self.host.find(int(read_text(pidfile)))
        self.assertIn(f"\t{process.pid}\n", read_text(revived.proc("status")))
        revived.kill()

    def test_damage_is_named_and_nothing_starts(self):
        process = self.start(16)
        self.dump(process, f"{self.dir}/good")
        self.wait_gone(process)

        def damaged(change, *words):
            shutil.rmtree(f"{self.dir}/bad", ignore_errors=True)
            shutil.copytree(f"{self.dir}/good", f"{self.dir}/bad")
            change(f"{self.dir}/bad")
            self.refused(f"{self.dir}/bad", *words)
            self.assertIsNone(self.host.find(process.pid))

        def flip(name, offset):
            def change(folder):
                with open(f"{folder}/{name}", "r+b") as file:
                    file.seek(offset)
                    byte = file.read(1)
                    file.seek(offset)
                    file.write(bytes([byte[0] ^ 1]))
            return change

        for path in glob.glob(f"{self.dir}/good/*.img"):
            name = os.path.basename(path)
            size = os.path.getsize(path)
            damaged(flip(name, size // 2), name.split(".")[0])
            damaged(lambda folder, name=name, size=size: os.truncate(f"{folder}/{name}", size - 1), name.split(".")[0])
            damaged(lambda folder, name=name: os.unlink(f"{folder}/{name}"), "crx-restore")
        damaged(flip("pages-1.img", 5 << 20), "pages-1.img: it was altered: the MiB at offset 5242880")
        # Without the manifest the images themselves must be checked.
        for path in glob.glob(f"{self.dir}/good/*.img"):
            name = os.path.basename(path)
            if name.startswith(("pages", "crx-")):
                continue
            for part in (3, 5, 7):
                def change(folder, name=name, part=part, path=path):
                    for own in glob.glob(f"{folder}/crx-*.img"):
                        os.unlink(own)
                    flip(name, os.path.getsize(path) * part // 8)(folder)
                shutil.rmtree(f"{self.dir}/bad", ignore_errors=True)
                shutil.copytree(f"{self.dir}/good", f"{self.dir}/bad")
                change(f"{self.dir}/bad")
                code, text = self.run_tool("crx-restore", "-D", f"{self.dir}/bad", "-d")
                self.assertIn(code, (0, 1), text)
                found = self.host.find(process.pid)
                if found:
                    found.kill()
                    self.wait_gone(found)

    def test_check_only(self):
        process = self.start(16)
        before = crxtest.state_of(process)
        self.dump(process, f"{self.dir}/set", "--check-only")
        self.assertTrue(process.alive())
        self.assertEqual(crxtest.state_of(process), before)
        self.assertFalse(glob.glob(f"{self.dir}/set/pages-*"))
        code, text = self.run_tool("crx-restore", "-D", f"{self.dir}/set")
        self.assertEqual(code, 3, text)
        self.assertIn("is taken by \"heap\"", text)
        process.kill()
        self.wait_gone(process)
        code, text = self.run_tool("crx-restore", "-D", f"{self.dir}/set")
        self.assertEqual(code, 0, text)
        self.assertIsNone(self.host.find(process.pid))
        moved = f"{self.program}.moved"
        os.rename(self.program, moved)
        try:
            code, text = self.run_tool("crx-restore", "-D", f"{self.dir}/set")
            self.assertEqual(code, 3, text)
            self.assertIn(f"{self.program}: does not exist here", text)
        finally:
            os.rename(moved, self.program)

    def test_killed_at_any_point(self):
        process = self.start(64)
        digest = self.digest()
        whole = 0
        for turn in range(crxtest.FULL and 60 or 15):
            images = f"{self.dir}/set{turn}"
            tool = self.host.spawn([f"{hosts.BIN}/crx-dump", "-t", process.pid, "-D", images, "-R"])
            crxtest.time.sleep(turn * 0.012)
            workers = [self.host.find(pid) for pid in self.host.children(tool.pid)]
            for each in workers + [tool]:
                if each:
                    each.kill()
            tool.wait_end(20)
            for each in workers:
                if each:
                    each.wait_end(20)
            self.assertTrue(process.alive(), f"turn {turn}")
            self.assertEqual(self.digest(), digest, f"turn {turn}")
            if os.path.exists(f"{images}/inventory.img"):
                whole += 1
                self.assertEqual(self.run_tool("crx-image", "verify", images)[0], 0, f"turn {turn}")
            elif os.path.isdir(images):
                self.assertNotEqual(self.run_tool("crx-image", "verify", images)[0], 0, f"turn {turn}")
            shutil.rmtree(images, ignore_errors=True)
        self.dump(process, f"{self.dir}/last")
        self.wait_gone(process)
        self.restore(f"{self.dir}/last", pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_told_to_stop(self):
        process = self.start(512)
        tool = self.host.spawn([f"{hosts.BIN}/crx-dump", "-t", process.pid, "-D", f"{self.dir}/set"], stdout=f"{self.dir}/log")
        until(lambda: self.host.children(tool.pid), "the worker starts")
        tool.send_signal(signal.SIGTERM)
        code = tool.wait(30)
        self.assertEqual(code, 1, read_text(f"{self.dir}/log"))
        self.assertTrue(process.alive())
        self.digest()

    def test_reservations_cost_nothing(self):
        script = f"{self.dir}/reserve.py"
        with open(script, "w") as file:
            file.write("import ctypes, mmap, os, sys, time\n"
                       "libc = ctypes.CDLL(None, use_errno=True); libc.mmap.restype = ctypes.c_void_p\n"
                       "libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]\n"
                       "assert libc.mmap(None, 1 << 40, 0, 0x4022, -1, 0) not in (None, ctypes.c_void_p(-1).value)\n"
                       "sparse = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); os.ftruncate(sparse, 64 << 30)\n"
                       "shown = mmap.mmap(sparse, 64 << 30)\n"
                       "shown[5 << 30] = 7\n"
                       "print('ready', flush=True)\n"
                       "while not os.path.exists(sys.argv[2]): time.sleep(0.005)\n"
                       "print('end', shown[5 << 30], shown[6 << 30], flush=True)\n")
        output, stop = f"{self.dir}/out", f"{self.dir}/stop"
        process = self.host.spawn(["/usr/bin/python3", script, f"{self.dir}/sparse", stop], stdout=output)
        until(lambda: lines_of(output) == ["ready"], "the memory is reserved")
        began = crxtest.time.monotonic()
        self.dump(process, f"{self.dir}/set")
        self.wait_gone(process)
        self.restore(f"{self.dir}/set", pid=process.pid)
        self.assertLess(crxtest.time.monotonic() - began, 20)
        self.assertLess(sum(os.path.getsize(path) for path in glob.glob(f"{self.dir}/set/*")), 64 << 20)
        with open(stop, "w"):
            pass
        until(lambda: lines_of(output)[-1] == "end 7 0", lambda: read_text(output))

    def test_usage(self):
        for argv in (["crx-dump"], ["crx-dump", "-t", "1"], ["crx-restore"], ["crx-restore", "--name", "../x"],
                     ["crx-image"], ["crx-image", "frob", "."], ["crx-check", "--frob"], ["crx-dump", "-t", "1", "-D", "-R"],
                     ["crx-restore", "-D", "-d"]):
            self.assertEqual(self.run_tool(*argv)[0], 2, argv)
        self.assertEqual(self.run_tool("crx-restore", "-D", "/nowhere")[0], 1)
        self.assertEqual(self.run_tool("crx-dump", "-t", "99999", "-D", f"{self.dir}/x")[0], 1)


if __name__ == "__main__":
    crxtest.main()
