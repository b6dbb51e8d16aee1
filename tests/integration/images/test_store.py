"""Dumps that use no disk of their host: crx-dump --to an agent's store, crx-restore --store from there."""
import fcntl
import json
import os
import signal
import subprocess

import crxtest
import hosts
from hosts import lines_of, read_text, until
from test_dump import Heap

# Starts a program in an environment where every filesystem is read-only but the folder of its own files.
READ_ONLY = r"""
mount --make-rprivate /
awk '{print $5}' /proc/self/mountinfo | while read -r at; do mount -o remount,bind,ro "$at" 2>/dev/null; done
mount --bind "$0" "$0" && mount -o remount,bind,rw "$0" || exit 98
touch "$0/../probe" 2>/dev/null && exit 99
exec "$@" >"$0/out" 2>&1
"""


class Store(Heap):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tls = f"{cls.base}/tls"
        subprocess.run([f"{hosts.ROOT}/deploy/crx-keys", cls.tls, "127.0.0.1", "localhost"], check=True, stdout=subprocess.DEVNULL)

    def serve(self, *options, store="store"):
        self.store = f"{self.dir}/{store}"
        read_end, write_end = os.pipe()
        agent = self.host.spawn([f"{hosts.BIN}/crx-agent", "--listen", "127.0.0.1:0", "--tls-dir", f"{self.tls}/127.0.0.1",
                                 "--store", self.store, "--ready-fd", "9", *options], stdout=f"{self.dir}/agent.log", fds={9: write_end})
        os.close(write_end)
        self.addCleanup(lambda: agent.alive() and (agent.send_signal(signal.SIGTERM), agent.wait_end(20)))
        with os.fdopen(read_end) as ready:
            self.to = f"127.0.0.1:{ready.readline().split()[1]}"
        return agent

    def words(self, process, name, *options):
        return ["crx-dump", "-t", process.pid, "--to", self.to, "--tls-dir", f"{self.tls}/localhost", "--name", name, "--json",
                *options]

    def send(self, process, name, *options, code=0):
        result, text = self.run_tool(*self.words(process, name, *options))
        self.assertEqual(result, code, text + read_text(f"{self.dir}/agent.log", ""))
        if code:
            return text
        return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])

    def sets(self):
        return sorted(name for name in os.listdir(self.store) if name != "journal")

    def revive(self, process, name, digest):
        self.wait_gone(process)
        code, text = self.run_tool("crx-restore", "--store", self.store, "--name", name, "-d")
        self.assertEqual(code, 0, text)
        self.assertEqual(self.digest(), digest)

    def test_nothing_is_written_at_the_source(self):
        own = f"{self.dir}/own"
        os.mkdir(own)
        self.control, self.output, self.rounds = f"{own}/control", f"{own}/out", 0
        process = self.host.spawn(["unshare", "-m", "sh", "-c", READ_ONLY, own, self.program, "32", self.control])
        self.addCleanup(lambda: (self.host.find(process.pid) or process).kill())
        until(lambda: lines_of(self.output) or not process.alive(), "the heap is filled")
        self.assertTrue(process.alive(), read_text(self.output))
        digest = self.digest()
        self.serve()
        before = {name: os.stat(f"{own}/{name}").st_mtime_ns for name in os.listdir(own)}
        words = self.words(process, "one")
        code, text = self.host.run(["nsenter", "-t", process.pid, "-m", f"{hosts.BIN}/{words[0]}", *words[1:]], check=False)
        self.assertEqual(code, 0, text)
        self.assertEqual({name: os.stat(f"{own}/{name}").st_mtime_ns for name in os.listdir(own)}, before)
        self.assertEqual(self.sets(), ["one"])
        self.assertEqual(self.run_tool("crx-image", "verify", f"{self.store}/one")[0], 0)
        self.revive(process, "one", digest)

    def test_incremental(self):
        process = self.start(32)
        self.serve()
        first = self.send(process, "1", "--pre")
        self.change()
        second = self.send(process, "2", "--pre", "--prev-set", "1")
        self.assertLess(second["pages"] * 10, first["pages"])
        digest = self.change()
        third = self.send(process, "3", "--prev-set", "2")
        self.assertLess(third["pages"] * 10, first["pages"])
        self.assertGreater(third["parent_pages"], first["pages"] // 2)
        self.assertEqual(os.readlink(f"{self.store}/3/parent"), "../2")
        self.assertEqual(self.run_tool("crx-image", "verify", f"{self.store}/3")[0], 0)
        self.revive(process, "3", digest)

    def test_names(self):
        process = self.start(16)
        self.serve()
        self.send(process, "one", "-R")
        before = os.stat(f"{self.store}/one/inventory.img")
        self.assertIn("has a set one already", self.send(process, "one", "-R", code=3))
        self.assertEqual(os.stat(f"{self.store}/one/inventory.img").st_ino, before.st_ino)
        for name in ("../one", "a/b", ".hidden", "..", "journal", "x" * 65, ""):
            self.assertEqual(self.run_tool(*self.words(process, name, "-R"))[0], 2, name)
            self.assertEqual(self.run_tool("crx-restore", "--store", self.store, "--name", name, "-d")[0], 2, name)
        self.assertIn("crx-image list there", self.send(process, "two", "-R", "--prev-set", "none", code=1))
        self.assertEqual(self.sets(), ["one"])
        self.assertTrue(process.alive())

    def test_keeping(self):
        """crx-image list and remove: no set is removed that another one needs."""
        process = self.start(16)
        self.serve()
        for name, *options in (("1", "--pre"), ("2", "-R", "--prev-set", "1"), ("other", "-R")):
            self.send(process, name, *options)
        code, text = self.run_tool("crx-image", "list", "--store", self.store, "--json")
        self.assertEqual(code, 0, text)
        sets = {one["name"]: one for one in json.loads(text)["sets"]}
        self.assertEqual(sorted(sets), ["1", "2", "other"])
        self.assertEqual((sets["1"]["kind"], sets["1"]["parent"], sets["1"]["continued_by"]), ("pre-dump", None, ["2"]))
        self.assertEqual((sets["2"]["kind"], sets["2"]["parent"], sets["2"]["pid"]), ("dump", "1", process.pid))
        self.assertGreater(sets["other"]["bytes"], 16 << 20)
        self.assertLess(sets["2"]["bytes"] * 4, sets["1"]["bytes"])
        text = self.run_tool("crx-image", "list", "--store", self.store)[1]
        self.assertRegex(text, r"(?m)^1 .* 0 min .*pre-dump of .*, continued by 2$")
        code, text = self.run_tool("crx-image", "remove", "--store", self.store, "--name", "1")
        self.assertEqual(code, 1, text)
        self.assertIn("1 is continued by 2; remove what continues it first", text)
        self.assertEqual(self.run_tool("crx-image", "verify", "--store", self.store, "--name", "2")[0], 0)
        for name in ("other", "2", "1"):
            code, text = self.run_tool("crx-image", "remove", "--store", self.store, "--name", name, "--json")
            self.assertEqual(code, 0, text)
            self.assertEqual((json.loads(text)["event"], json.loads(text)["name"]), ("removed", name))
        self.assertEqual(self.sets(), [])
        self.assertIn("has no set 1", self.run_tool("crx-image", "remove", "--store", self.store, "--name", "1")[1])

    def test_what_is_used_is_kept(self):
        process = self.start(16)
        self.serve()
        self.send(process, "1", "-R")
        folder = os.open(f"{self.store}/1", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_SH)  # like a reader, or a writer of a set that continues it
        code, text = self.run_tool("crx-image", "remove", "--store", self.store, "--name", "1")
        self.assertEqual(code, 1, text)
        self.assertIn("try again when that is done", text)
        fcntl.flock(folder, fcntl.LOCK_EX)  # like a process that removes it
        self.assertIn("is being removed", self.send(process, "2", "-R", "--prev-set", "1", code=3))
        fcntl.flock(folder, fcntl.LOCK_UN)
        self.send(process, "2", "-R", "--prev-set", "1")
        self.assertEqual(self.run_tool("crx-image", "verify", f"{self.store}/2")[0], 0)

    def test_too_much(self):
        process = self.start(64)
        digest = self.digest()
        self.serve("--max-memory", "16M")
        self.assertIn("--max-memory", self.send(process, "big", code=3))
        self.assertEqual(self.sets(), [])
        self.assertTrue(process.alive())
        self.assertEqual(self.digest(), digest)

    def test_interrupted(self):
        """Either process is killed at any moment: the store has the whole set or nothing of it, and the process runs
        on."""
        process = self.start(96)
        digest = self.digest()
        self.serve()
        for turn in range(6):
            tool = self.host.spawn([f"{hosts.BIN}/{word}" if i == 0 else word for i, word in
                                    enumerate(self.words(process, f"set{turn}", "-R"))], stdout=f"{self.dir}/log")
            wanted = (turn + 1) * 12 << 20
            until(lambda: self.staged_bytes() > wanted or not tool.alive(), "pages arrive")
            for pid in self.host.children(tool.pid) + [tool.pid]:
                found = self.host.find(pid)
                if found:
                    found.kill()
            tool.wait_end(20)
            until(lambda: not any(name.startswith(".") for name in self.sets()), "what is not whole is removed")
            self.assertTrue(process.alive())
            self.assertEqual(self.digest(), digest)
            for name in self.sets():
                self.assertEqual(self.run_tool("crx-image", "verify", f"{self.store}/{name}")[0], 0, name)
        # The agent is killed: the next one removes the remains of its engine.
        agent = self.serve(store="other")
        tool = self.host.spawn([f"{hosts.BIN}/{word}" if i == 0 else word for i, word in
                                enumerate(self.words(process, "set", "-R"))], stdout=f"{self.dir}/log")
        until(lambda: self.staged_bytes() > 16 << 20, "pages arrive")
        family = [found for found in (self.host.find(pid) for pid in self.host.children(agent.pid)) if found]
        for each in family + [agent]:
            each.kill()
        for each in family + [agent]:
            each.wait_end(20)
        self.assertEqual(tool.wait(60), 1, read_text(f"{self.dir}/log"))
        self.assertTrue(process.alive())
        self.assertEqual([name[:9] for name in self.sets()], [".staging-"])
        self.serve(store="other")
        self.assertEqual(self.sets(), [])
        self.send(process, "set")
        self.revive(process, "set", digest)

    def staged_bytes(self):
        # Files get their names at the end: before that they are visible only in the engine's descriptors.
        total = 0
        for pid in self.host.pids():
            try:
                if read_text(self.host.proc(pid, "comm")).strip() != "crx-engine":
                    continue
                folder = self.host.proc(pid, "fd")
                total += sum(os.stat(f"{folder}/{fd}").st_size for fd in os.listdir(folder)
                             if self.store in os.readlink(f"{folder}/{fd}"))
            except OSError:
                pass
        return total


class Tree(Store):
    """A tree with shared memory is dumped incrementally there, too."""

    PROGRAM = "herd"

    test_nothing_is_written_at_the_source = test_names = test_too_much = test_interrupted = test_keeping = None
    test_what_is_used_is_kept = None

    def test_incremental(self):
        process = self.start(8)
        self.serve()
        first = self.send(process, "1", "-R", "--track-mem")
        digest = self.digest()
        second = self.send(process, "2", "--prev-set", "1")
        self.assertLess(second["pages"] * 10, first["pages"])
        self.assertTrue(any(name.startswith("crx-shmem-") for name in os.listdir(f"{self.store}/1")))
        self.revive(process, "2", digest)


class Options(Heap):
    def test_wrong_usage(self):
        for words in (["--to", "127.0.0.1:1"], ["--name", "x", "-D", "/x"], ["--to", "127.0.0.1:1", "--name", "x", "-D", "/x"],
                      ["--to", "127.0.0.1:1", "--name", "x", "--prev-images-dir", "../1"],
                      ["--to", "127.0.0.1:1", "--name", "x", "--prev-set", "x"]):
            code, text = self.run_tool("crx-dump", "-t", "1", *words)
            self.assertEqual(code, 2, text)


if __name__ == "__main__":
    crxtest.main()
