"""A job on a terminal outside the tree: refused by name without --shell-job, and with it moved from one terminal to
another by way of images. crx-migrate refuses the option, since crx-agent has no terminal to give."""
import os

import crxtest
import dumptest
from hosts import BIN, read_text, until

PYTHON = "/usr/bin/python3"

# Runs argv[2:] as the foreground job of a posix session on a new terminal, as a shell does. The content of the file
# argv[1].in is typed there; the terminal's output goes to stdout.
SHELL = """
import fcntl, os, select, signal, sys, termios, time
master, slave = os.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    os.close(master)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(slave, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        for number in range(3):
            os.dup2(slave, number)
        os.closerange(3, 20)
        os.execv(sys.argv[2], sys.argv[2:])
    with open(sys.argv[1] + '.pid', 'w') as file:
        file.write(str(job))
    status = os.waitpid(job, 0)[1]
    os.write(slave, b'[job ended with %d]' % os.waitstatus_to_exitcode(status))
    time.sleep(30)
os.close(slave)
typed = 0
while True:
    if select.select([master], [], [], 0.02)[0]:
        os.write(1, os.read(master, 4096))
    try:
        with open(sys.argv[1] + '.in', 'rb') as file:
            file.seek(typed)
            more = file.read()
    except FileNotFoundError:
        continue
    typed += os.write(master, more) if more else 0
"""

PROGRAM = """
import os, sys
print('at', os.ttyname(0), flush=True)
for line in sys.stdin:
    print('<' + line.strip().upper() + '>', flush=True)
"""


class ShellJob(dumptest.DumpTest):
    def shell(self, name, *argv):
        """Starts a posix session on a terminal; returns its process, with `.shown()` and `.type(text)`."""
        base = os.path.join(self.dir, name)
        log = f"{base}.log"
        shell = self.host.spawn([PYTHON, "-c", SHELL, base, *argv], stdout=log)
        self.addCleanup(shell.kill)

        def type_in(text):
            with open(f"{base}.in", "ab") as file:
                file.write(text.encode())

        shell.shown = lambda: read_text(log, "")
        shell.type = type_in
        shell.job = lambda: int(until(lambda: read_text(f"{base}.pid", ""), "the job"))
        return shell

    def test_moves_to_another_terminal(self):
        first = self.shell("first", PYTHON, "-c", PROGRAM)
        until(lambda: "at /dev/pts/" in first.shown(), lambda: f"the program: {first.shown()}")
        first.type("one\n")
        until(lambda: "<ONE>" in first.shown(), lambda: first.shown())
        images = os.path.join(self.dir, "images")
        refusal = self.dump(first.job(), images, code=3)
        for word in ("/dev/pts/", "controlling terminal", "held by pid", "--shell-job"):
            self.assertIn(word, refusal)
        first.type("two\n")
        until(lambda: "<TWO>" in first.shown(), lambda: first.shown())
        code, text = self.run_tool("crx-migrate", "--to", "127.0.0.1:7000", "--shell-job", str(first.job()))
        self.assertEqual(code, 2, text)
        for words in ("no terminal that it could give to the program", "dump the program with crx-dump --shell-job"):
            self.assertIn(words, text)
        self.dump(first.job(), images, "--shell-job")
        until(lambda: "[job ended" in first.shown(), lambda: first.shown())

        code, text = self.run_tool("crx-restore", "-D", images)
        self.assertNotEqual(code, 0)
        self.assertIn("--shell-job", text)

        second = self.shell("second", f"{BIN}/crx-restore", "-D", images, "--shell-job")
        second.type("three\n")
        until(lambda: "<THREE>" in second.shown(), lambda: second.shown())
        self.assertNotIn("<THREE>", first.shown())
        second.type("\x04")
        until(lambda: "[job ended with 0]" in second.shown(), lambda: second.shown())


if __name__ == "__main__":
    crxtest.main()
