"""The refusals of docs/supported.md about files that differ at the destination, about objects of others there, and
about its limits: the move is refused with these words, and the program runs on unchanged."""
import os
import subprocess

import crxtest
from crxtest import ROOT, read_text, state_of, until

PYTHON = "/usr/bin/python3"
HOLD = "\nimport os, time\nopen('READY.new', 'w').close(); os.rename('READY.new', 'READY')\nwhile True: time.sleep(0.05)\n"


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def library(path, number):
    source = path + ".c"
    write(source, f"int number(void) {{ return {number}; }}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-Wl,--build-id", "-o", path, source], check=True)
    os.unlink(source)


def device(path):
    os.mknod(path, 0o020600, os.makedev(1, 3))


# Name: commands that make the file here, and there; what the program does with it; words of the refusal.
CASES = {
    "missing": (lambda p: write(p, "x"), lambda p: None, "f = open('FILE')", "does not exist here"),
    "size": (lambda p: write(p, "four"), lambda p: write(p, "longer"), "f = open('FILE')", "has 6 bytes here and 4 there"),
    "content": (lambda p: write(p, "here"), lambda p: write(p, "there"[:4]), "f = open('FILE')", "has other content"),
    "build": (lambda p: library(p, 1), lambda p: library(p, 2),
              "import mmap; f = open('FILE', 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC)", "is another build"),
    "kind": (os.mkdir, lambda p: write(p, ""), "import os; f = os.open('FILE', os.O_RDONLY)", "is a regular file here and a directory there"),
    "written": (lambda p: write(p, "same"), lambda p: write(p, "same"), "f = open('FILE', 'a')", "is another file here, and it is being written"),
}


class RefusedFiles(crxtest.RingTest):
    HOSTS = 2

    def start(self, program, top):
        log, ready = f"{top}/log", f"{top}/ready"
        process = self.ring[0].spawn([PYTHON, "-c", program + HOLD.replace("READY", ready)], stdout=log)
        self.addCleanup(process.kill)
        until(lambda: os.path.exists(ready) or not process.alive(), "the program")
        self.assertTrue(process.alive(), read_text(log, ""))
        return process

    def folder(self):
        """Makes a folder that is a different one on each host; returns its parent and the folder."""
        top = self.ring.path(self.id())
        for name in ("data", "0", "1"):
            os.makedirs(f"{top}/{name}")
        for number in (0, 1):
            self.ring[number].bind(f"{top}/{number}", f"{top}/data")
            self.addCleanup(self.ring[number].unbind, f"{top}/data")
        return top, f"{top}/data"

    def refuse(self, process, words, *options, exit_code=3):
        before = state_of(process)
        result = self.ring[0].migrate(process, self.ring[1], *options)
        self.assertEqual(result.exit, exit_code, f"{result}")
        self.assertIn(words, result.stderr, f"{result}")
        self.assertTrue(process.alive(), f"{result}")
        self.assertEqual(state_of(process), before, f"{result}")

    def case(self, name):
        here, there, program, words = CASES[name]
        top, data = self.folder()
        here(f"{top}/0/file")
        there(f"{top}/1/file")
        self.refuse(self.start(program.replace("FILE", f"{data}/file"), top), words)

    def test_device_is_hidden(self):
        top, data = self.folder()
        device(f"{top}/0/null")
        device(f"{top}/1/null")
        write(f"{top}/over", "")
        process = self.start(f"f = open('{data}/null')", top)
        self.ring[0].bind(f"{top}/over", f"{data}/null")
        self.addCleanup(self.ring[0].unbind, f"{data}/null")
        self.refuse(process, "its device file is hidden; restore the device file under this path")

    def test_socket_of_another_program(self):
        top, data = self.folder()
        process = self.start(f"import os, socket; os.chdir('{data}'); s = socket.socket(socket.AF_UNIX); s.bind('name'); s.listen()", top)
        holder = self.ring[1].spawn([PYTHON, "-c", f"import os, socket, time; os.chdir('{data}'); s = socket.socket(socket.AF_UNIX)"
                                     f"; s.bind('name'); open('{top}/taken', 'w').close(); time.sleep(1000)"])
        self.addCleanup(holder.kill)
        until(lambda: os.path.exists(f"{top}/taken"), "the name is taken")
        self.refuse(process, "another program here uses a socket of this name", exit_code=1)

    def test_output_is_stopped(self):
        top = self.ring.path(self.id())
        os.makedirs(top)
        process = self.start("import os, termios; master, slave = os.openpty(); termios.tcflow(slave, termios.TCOOFF)"
                             "; os.write(master, b'x')", top)
        self.refuse(process, "is stopped, or nobody reads it; let it go on (^Q)", exit_code=1)

    def test_lock_of_somebody_else_there(self):
        top, data = self.folder()
        for number in (0, 1):
            write(f"{top}/{number}/file", "same")
        lock = f"import fcntl; f = open('{data}/file'); fcntl.flock(f, fcntl.LOCK_EX)"
        process = self.start(lock, top)
        holder = self.ring[1].spawn([PYTHON, "-c", f"{lock}; open('{top}/taken', 'w').close(); import time; time.sleep(1000)"])
        self.addCleanup(holder.kill)
        until(lambda: os.path.exists(f"{top}/taken"), "the lock is taken")
        result = self.ring[0].migrate(process, self.ring[1], "--file-locks")
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertRegex(result.stderr, rf"a write lock \(flock\) on {data}/file is held by somebody else", f"{result}")
        self.assertTrue(process.alive(), f"{result}")
        held = [line for fd in os.listdir(process.proc("fd")) for line in read_text(process.proc(f"fdinfo/{fd}")).splitlines()]
        self.assertTrue(any("FLOCK" in line and "WRITE" in line for line in held), f"the lock is not held here: {held}")

    def test_lease_that_is_being_broken(self):
        top, data = self.folder()
        write(f"{top}/0/file", "x")
        process = self.start("import fcntl, os, signal; signal.signal(signal.SIGIO, signal.SIG_IGN); f = open("
                             f"'{data}/file', 'r+'); fcntl.fcntl(f, 1024, fcntl.F_WRLCK)", top)
        breaker = self.ring[0].spawn([PYTHON, "-c", f"open('{data}/file')"])
        self.addCleanup(breaker.kill)
        fd = next(fd for fd in os.listdir(process.proc("fd")) if os.readlink(process.proc(f"fd/{fd}")) == f"{data}/file")
        until(lambda: "BREAKING" in read_text(process.proc(f"fdinfo/{fd}")), "the lease is being broken")
        result = self.ring[0].migrate(process, self.ring[1], "--file-locks")
        self.assertIn(result.exit, (1, 3), f"{result}")
        self.assertIn("its lease is being broken", result.stderr, f"{result}")
        self.assertTrue(process.alive(), f"{result}")

    def test_message_queue_over_the_limits(self):
        top = self.ring.path(self.id())
        os.makedirs(top)
        limit = "/proc/sys/fs/mqueue/msg_max"
        old = self.ring[1].run(["cat", limit])[1].strip()
        self.addCleanup(lambda: self.ring[1].run(["sh", "-c", f"echo {old} >{limit}"]))
        self.ring[1].run(["sh", "-c", f"echo 3 >{limit}"])
        process = self.start("import ctypes; fd = ctypes.CDLL(None).mq_open(b'/crx-large', 66, 384, None); assert fd > 0", top)
        result = self.ring[0].migrate(process, self.ring[1])
        if result.exit == 0:
            result.process.kill()
            self.skipTest("the agent may do what is over the limits (CAP_SYS_RESOURCE)")
        self.assertIn("are over the limits here; raise fs.mqueue.msg_max", result.stderr, f"{result}")
        self.assertTrue(process.alive(), f"{result}")

    def test_sessions_at_most(self):
        top = self.ring.path(self.id())
        os.makedirs(top)
        self.ring[1].restart_agent("--max-sessions", "1")
        self.addCleanup(self.ring[1].restart_agent)
        first, second = self.start("", top), None
        os.unlink(f"{top}/ready")
        second = self.start("", top)
        stages = crxtest.Stages(self.ring, "source.frozen")
        tool = self.ring[0].start_migrate(first, self.ring[1], "--hook", stages.command)
        stages.wait("source.frozen")
        try:
            result = self.ring[0].migrate(second, self.ring[1])
            self.assertNotEqual(result.exit, 0, f"{result}")
            self.assertIn("sessions are open already; try again later", result.stderr, f"{result}")
        finally:
            stages.go_on("source.frozen")
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 0, f"{result}")
        result.process.kill()

    def test_memory_at_most(self):
        top = self.ring.path(self.id())
        os.makedirs(top)
        self.ring[1].restart_agent("--max-memory", "1M")
        self.addCleanup(self.ring[1].restart_agent)
        process = self.start("", top)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("MiB are more than a session may have here; see --max-memory of crx-agent", result.stderr, f"{result}")
        self.assertTrue(process.alive(), f"{result}")

    def test_looking_for_what_is_watched_opens_nothing(self):
        top = self.ring.path(self.id())
        os.makedirs(f"{top}/mnt")
        for host in self.ring.hosts:
            host.run(["mount", "-t", "tmpfs", "none", f"{top}/mnt"])
            self.addCleanup(host.unbind, f"{top}/mnt")
        process = self.start("import ctypes, fcntl, os, termios, time; libc = ctypes.CDLL(None); os.mkdir('TOP/mnt/below')\n"
                             "fd = libc.inotify_init(); assert libc.inotify_add_watch(fd, b'TOP/mnt', 0xfff) > 0\n"
                             "assert libc.inotify_add_watch(fd, b'TOP/mnt/below', 0xfff) > 0\n"
                             "open('TOP/ready', 'w').close()\nwhile not os.path.exists('TOP/go'): time.sleep(0.01)\n"
                             "waits = ctypes.c_int(); libc.ioctl(fd, 0x541b, ctypes.byref(waits))\n"
                             "open('TOP/said', 'w').write(str(waits.value))".replace("TOP", top), top)
        result = self.ring[0].migrate(process, self.ring[1], "--hook", '[ "$CRX_STAGE" != prepared ]')
        self.assertEqual(result.exit, 1, f"{result}")
        open(f"{top}/go", "w").close()
        self.assertEqual(until(lambda: read_text(f"{top}/said", ""), "it says what it saw"), "0", f"{result}")

    def test_words_are_documented(self):
        page = read_text(f"{ROOT}/docs/supported.md")
        words = [words for *_, words in CASES.values() if not any(c.isdigit() for c in words) and "directory" not in words]
        self.assertEqual([w for w in words if w not in page], [])


def add_tests():
    for name in CASES:
        def test(self, name=name):
            self.case(name)
        setattr(RefusedFiles, f"test_{name}", test)


add_tests()
if __name__ == "__main__":
    crxtest.main()
