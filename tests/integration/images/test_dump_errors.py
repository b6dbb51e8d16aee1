"""Error messages of crx-dump, crx-restore and crx-image: each failure names its object and a remedy, in JSON too."""
import fcntl
import json
import os

import crxtest
import test_dump
from dumptest import DumpTest
from hosts import BIN, lines_of, read_text, until

SERVER = """
import socket, sys
server = socket.socket()
at = ("127.0.0.1", int(sys.argv[2]))
server.bind(at)
server.listen(4)
connected = [socket.create_connection(at), server.accept()[0]] if sys.argv[1] == "connected" else []
client, accepted = socket.create_connection(at), server.accept()[0]
accepted.close()  # first: it lingers here
client.close()
print("ready", flush=True)
while True:
    server.accept()
"""


class Errors(DumpTest):
    def objects(self, text):
        """Returns the JSON lines of a tool's output."""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def fails(self, code, argv, *words):
        """Checks that a tool fails with these words, without and with --json."""
        for options in ([], ["--json"]):
            result, text = self.run_tool(*argv, *options)
            self.assertEqual(result, code, f"{argv}: {text}")
            for word in words:
                self.assertIn(word, text, argv)
        last = self.objects(text)[-1]
        self.assertEqual(last["event"], "failed", text)
        return self.objects(text)

    def sleeper(self):
        process = self.host.spawn(["sleep", "1000"], stdout=f"{self.dir}/out")
        self.addCleanup(lambda: (self.host.find(process.pid) or process).kill())
        return process

    def test_directories(self):
        pid = self.sleeper().pid
        file, link, new = f"{self.dir}/file", f"{self.dir}/link", f"{self.dir}/new"
        with open(file, "w"):
            pass
        os.symlink("nowhere", link)
        self.fails(1, ["crx-dump", "-t", pid, "-D", file], file, "a directory is wanted where a file is")
        self.fails(1, ["crx-dump", "-t", pid, "-D", f"{file}/below"], f"{file}/below", "a directory is wanted where a file is")
        self.fails(1, ["crx-dump", "-t", pid, "-D", link], link, "leads nowhere")
        self.fails(1, ["crx-dump", "-t", pid, "-D", "/proc"], "/proc", "choose another directory")
        self.fails(1, ["crx-dump", "-t", pid, "-D", new, "--prev-images-dir", "../gone"], f"{new}/../gone", "give the directory")
        self.assertFalse(os.path.exists(new), "a directory without a set is not left behind")
        for argv in (["crx-restore", "-D"], ["crx-restore", "--check-only", "-D"], ["crx-image", "show"], ["crx-image", "verify"],
                     ["crx-image", "dedup"], ["crx-image", "decode"]):
            self.fails(1, [*argv, new], new, "give the directory that the set was written to")
            self.fails(1, [*argv, file], file, "give the directory that the set was written to")
        os.mkdir(new)
        self.fails(1, ["crx-restore", "-D", new], f"{new}/inventory.img", "use a directory that holds a whole set")
        self.assertIsNotNone(self.host.find(pid))

    def test_no_such_process(self):
        self.fails(1, ["crx-dump", "-t", 99999, "-D", f"{self.dir}/set"], "(pid 99999)", "see ps")

    def test_crx_below_the_tree(self):
        # The first process of the namespace is the ancestor of all others.
        found = self.fails(3, ["crx-dump", "-t", 1, "-D", f"{self.dir}/set"], "pid 1: crx itself is below it", "from outside of the tree")
        self.assertEqual([each["event"] for each in found], ["finding", "failed"])
        self.assertEqual(found[0]["object"], "pid 1")
        result, text = self.run_tool("crx-migrate", "--to", "127.0.0.1:1", "--check-only", 1)
        self.assertNotEqual(result, 0, text)

    def test_refusals_are_json_too(self):
        read_end, write_end = os.pipe()
        process = self.host.spawn(["sleep", "1000"], stdout=f"{self.dir}/out", fds={7: write_end})
        self.addCleanup(process.kill)
        found = self.fails(3, ["crx-dump", "-t", process.pid, "-D", f"{self.dir}/set"], f"pid {process.pid} fd 7", "held outside", "end the other process")
        self.assertEqual(found[0]["event"], "finding")
        self.assertIn("end the other process", found[0]["remedy"])
        self.assertFalse(os.path.exists(f"{self.dir}/set"))
        os.close(read_end)
        os.close(write_end)

    def test_odd_beginnings(self):
        """Tools started by a program that ignores its children, or without standard descriptors."""
        process = self.sleeper()
        images = f"{self.dir}/set"
        for before in ("trap '' CHLD", "exec <&- >&- 2>&-"):
            with self.subTest(before):
                code, text = self.host.run(["sh", "-c", f"{before}; exec {BIN}/crx-dump -t {process.pid} -D {images} --json"], check=False)
                self.assertEqual(code, 0, text)
                self.wait_gone(process)
                self.assertEqual(self.run_tool("crx-image", "verify", images)[0], 0)
                code, text = self.host.run(["sh", "-c", f"{before}; exec {BIN}/crx-restore -d -D {images} --json"], check=False)
                self.assertEqual(code, 0, text)
                process = self.host.find(process.pid)
                self.assertIsNotNone(process)

    def test_what_a_killed_crx_leaves(self):
        """A userfaultfd that was made in the process and not taken out before crx was killed."""
        stop = f"{self.dir}/stop"
        process = self.host.spawn(["/usr/bin/python3", "-c", "import ctypes, os, sys, time\n"
                                   "assert ctypes.CDLL(None).syscall(323, 1) == 3\n"
                                   "print('ready', flush=True)\n"
                                   f"while not os.path.exists('{stop}'): time.sleep(0.01)\n"
                                   "print(os.path.exists('/proc/self/fd/3'), flush=True)\n"], stdout=f"{self.dir}/out")
        until(lambda: lines_of(f"{self.dir}/out"), "it has one")
        self.assertIn("never set up", self.dump(process, f"{self.dir}/1", "-R", "--track-mem"))
        self.dump(process, f"{self.dir}/2", "--prev-images-dir", "../1")
        self.wait_gone(process)
        revived = self.restore(f"{self.dir}/2", pid=process.pid)
        with open(stop, "w"):
            pass
        revived.wait_end(20)
        self.assertEqual(lines_of(f"{self.dir}/out"), ["ready", "False"])

    def test_numbers_of_our_own(self):
        """In a new PID namespace crx-restore itself may get the numbers that the tree had."""
        process = self.sleeper()
        images = f"{self.dir}/set"
        self.dump(process, images)
        self.wait_gone(process)

        def restore(before, *options):
            script = f"echo {process.pid - before} >/proc/sys/kernel/ns_last_pid; {BIN}/crx-restore -d -D {images} {' '.join(options)}; exit $?"
            return self.host.run(["sh", "-c", script], check=False)

        code, text = restore(1)
        self.assertEqual(code, 1, text)
        self.assertIn(f"PID {process.pid} is crx-restore's own; start it again", text)
        code, text = restore(2)
        self.assertEqual(code, 0, text)
        revived = self.host.find(process.pid)
        self.assertEqual(read_text(revived.proc("comm")), "sleep\n")
        revived.kill()
        self.wait_gone(revived)
        # The first builder of a new namespace gets number 2.
        script = (f"echo 1 >/proc/sys/kernel/ns_last_pid; setsid sleep 1000 <&- >&- 2>&- & test $! = 2 && {BIN}/crx-dump -t 2 -D {images}.2 && wait; "
                  f"{BIN}/crx-restore -d -n -D {images}.2 --pidfile {images}.pid")
        code, text = self.host.run(["unshare", "-pf", "--mount-proc", "sh", "-c", script], check=False)
        self.assertEqual(code, 0, text)

    def test_newer_formats(self):
        """Sets of a later version of crx or CRIU."""
        process = self.sleeper()
        images = f"{self.dir}/set"
        self.dump(process, images)
        self.wait_gone(process)

        def patch(name, offset):
            with open(f"{images}/{name}", "r+b") as file:
                file.seek(offset)
                self.assertEqual(file.read(1), b"\x08", "the first field, its version")
                file.seek(offset + 1)
                file.write(b"\x63")

        patch("crx-integrity.img", 12)
        self.fails(1, ["crx-restore", "-D", images], "crx-integrity.img: it has format 99", "use the version of crx that made it, or a newer one")
        self.fails(1, ["crx-image", "verify", images], "crx-integrity.img: it has format 99", "a newer one")
        for name in os.listdir(images):
            if name.startswith("crx-"):
                os.unlink(f"{images}/{name}")
        patch("inventory.img", 8)
        self.fails(1, ["crx-restore", "-D", images], "inventory.img: image version 99 is unknown", "use a newer crx")
        self.assertIsNone(self.host.find(process.pid))

    def test_two_at_once(self):
        """One of them makes its set; the other one makes one, too, or names the first one."""
        process = self.sleeper()
        for turn in range(4):
            tools = [self.host.spawn([f"{BIN}/crx-dump", "-t", process.pid, "-R", "-D", f"{self.dir}/{turn}{name}"], stdout=f"{self.dir}/log{name}")
                     for name in "ab"]
            codes = [tool.wait(30) for tool in tools]
            texts = [read_text(f"{self.dir}/log{name}") for name in "ab"]
            self.assertIn(0, codes, texts)
            for name, code, text in zip("ab", codes, texts):
                images = f"{self.dir}/{turn}{name}"
                if code == 0:
                    self.assertEqual(self.run_tool("crx-image", "verify", images)[0], 0)
                else:
                    self.assertRegex(text, r"is traced by process \d+ \(crx-dump\)|another has just traced it")
                    self.assertFalse(os.path.exists(images))
            self.assertTrue(process.alive())
            self.assertIn("TracerPid:\t0", read_text(process.proc("status")))

    def test_limits(self):
        process = self.sleeper()
        images = f"{self.dir}/set"
        self.dump(process, images)
        self.wait_gone(process)
        code, text = self.host.run(["sh", "-c", f"ulimit -n 20; exec {BIN}/crx-restore -d -D {images}"], check=False)
        self.assertEqual(code, 1, text)
        self.assertIn("raise the limit of open files", text)
        self.assertIsNone(self.host.find(process.pid))
        code, text = self.run_tool("crx-restore", "-d", "-D", images, "--pidfile", f"{self.dir}/none/pid")
        self.assertEqual(code, 1, text)
        self.assertIn("choose another --pidfile", text)
        self.assertIsNone(self.host.find(process.pid))
        full = f"{self.dir}/full"
        os.mkdir(full)
        self.host.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", full])
        self.addCleanup(lambda: self.host.run(["umount", full]))
        process = self.restore(images, pid=process.pid)
        self.fails(1, ["crx-dump", "-t", process.pid, "-D", f"{full}/set"], f"{full}/set/", "free space there, or choose another directory")
        self.assertTrue(process.alive())
        self.assertEqual(self.host.run(["ls", "-A", full])[1], "")
        self.host.run(["mount", "-o", "remount,ro", full])
        self.fails(1, ["crx-dump", "-t", process.pid, "-D", f"{full}/set"], f"{full}/set", "is read-only: choose another directory")
        self.assertTrue(process.alive())

    def test_lingering_connections_hold_a_port(self):
        script = f"{self.dir}/server.py"
        with open(script, "w") as file:
            file.write(SERVER)
        for mode, port in (("alone", 7007), ("connected", 7008)):
            with self.subTest(mode):
                output, images = f"{self.dir}/{mode}", f"{self.dir}/{mode}.set"
                process = self.host.spawn(["/usr/bin/python3", script, mode, str(port)], stdout=output)
                until(lambda: lines_of(output) == ["ready"], lambda: read_text(output))
                self.dump(process, images)
                self.wait_gone(process)
                found = self.fails(1, ["crx-restore", "-D", images, "-d"], f"127.0.0.1:{port}", "is held here for a minute", "TIME_WAIT", "try again in a minute")
                self.assertEqual(found[-1]["code"], "refused")
                code, text = self.run_tool("crx-restore", "-D", images, "--check-only", "--json")
                self.assertEqual(code, 3, text)
                self.assertIn("TIME_WAIT", self.objects(text)[0]["reason"])
                # Another network namespace is not affected by it.
                code, text = self.host.run(["unshare", "-n", "sh", "-c", f"ip link set lo up && exec {BIN}/crx-restore -D {images} -d"], check=False)
                self.assertEqual(code, 0, text)
                revived = self.host.find(process.pid)
                revived.kill()
                self.wait_gone(revived)


class Chains(test_dump.Heap):
    """Parents that are moved, replaced, read or written meanwhile, and sets that would replace their own parents."""

    def chain(self):
        process = self.start(4)
        self.report(process, f"{self.dir}/1", "-R", "--track-mem")
        for number in (2, 3):
            self.change()
            self.report(process, f"{self.dir}/{number}", "-R", "--track-mem", "--prev-images-dir", f"../{number - 1}")
        return process

    def dump_fails(self, process, images, code, words, *options):
        result, text = self.run_tool("crx-dump", "-t", process.pid, "-D", images, *options)
        self.assertEqual(result, code, text)
        self.assertIn(words, text)
        self.assertTrue(process.alive())

    def whole(self, images):
        code, text = self.run_tool("crx-image", "verify", images)
        self.assertEqual(code, 0, text)

    def test_a_set_does_not_replace_its_parents(self):
        process = self.chain()
        for number in (1, 2, 3):
            self.dump_fails(process, f"{self.dir}/{number}", 3, "write the new set to another directory", "--prev-images-dir", "../3")
        self.whole(f"{self.dir}/3")

    def test_parents_that_are_elsewhere(self):
        process = self.chain()
        os.rename(f"{self.dir}/1", f"{self.dir}/one")
        for argv in (["crx-restore", "-n", "-D"], ["crx-image", "verify"]):
            code, text = self.run_tool(*argv, f"{self.dir}/3")
            self.assertEqual(code, 1, text)
            self.assertIn("parent/parent does not lead to the set that this one was made against; put that set back", text)
        self.dump_fails(process, f"{self.dir}/4", 1, "put that set back", "--prev-images-dir", "../3")
        os.rename(f"{self.dir}/one", f"{self.dir}/1")
        self.whole(f"{self.dir}/3")

    def test_what_is_read_is_not_replaced(self):
        process = self.chain()
        reader = os.open(f"{self.dir}/3", os.O_RDONLY)
        fcntl.flock(reader, fcntl.LOCK_SH)
        self.dump_fails(process, f"{self.dir}/3", 1, "is being read, or written by another")
        self.whole(f"{self.dir}/3")
        os.close(reader)
        self.report(process, f"{self.dir}/3", "-R")
        self.whole(f"{self.dir}/3")

    def test_dedup_of_what_cannot_be_written(self):
        process = self.chain()
        self.change()
        self.host.run(["mount", "--bind", f"{self.dir}/3", f"{self.dir}/3"])
        self.addCleanup(lambda: self.host.run(["umount", f"{self.dir}/3"]))
        self.host.run(["mount", "-o", "remount,bind,ro", f"{self.dir}/3"])
        # The set is complete, and the process has ended with it: no failure.
        report, text = self.report(process, f"{self.dir}/4", "--prev-images-dir", "../3", "--auto-dedup")
        self.assertEqual(report["freed_bytes"], 0)
        self.assertIn("are not freed", text)
        self.wait_gone(process)
        self.whole(f"{self.dir}/4")


if __name__ == "__main__":
    crxtest.main()
