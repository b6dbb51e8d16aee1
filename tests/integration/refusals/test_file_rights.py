"""Files at the destination are found once, as the task could, and compared and opened by what was found."""
import os

import crxtest
from crxtest import read_text, until

PROGRAM = """
import os, sys, time
top = sys.argv[1]
secret = open(f"{top}/data/secret", "rb") if sys.argv[2] == "secret" else None
os.setgroups([])
os.setresgid(1000, 1000, 1000)
os.setresuid(1000, 1000, 1000)
own = open(f"{top}/data/own", "rb")
open(f"{top}/ready", "w").close()
while not os.path.exists(f"{top}/stop"): time.sleep(0.01)
with open(f"{top}/said", "w") as said:
    for file in (own, secret):
        if file: print(file.read().decode(), file=said)
"""
OWN, SECRET = "content of the user's file", "content of the root's file"


class FileRights(crxtest.RingTest):
    HOSTS = 2

    def start(self, which="own"):
        """Starts the program on host 0; its folder `data` is a different one on each host, with files of the same content."""
        top = self.ring.path(self.id())
        data = f"{top}/data"
        os.makedirs(data)
        os.chmod(top, 0o777)
        for number in (0, 1):
            folder = f"{top}/{number}"
            os.makedirs(folder)
            for name, content, user in (("own", OWN, 1000), ("secret", SECRET, 0)):
                with open(f"{folder}/{name}", "w") as file:
                    file.write(content)
                os.chmod(f"{folder}/{name}", 0o600)
                os.chown(f"{folder}/{name}", user, user)
            self.ring[number].bind(folder, data)
            self.addCleanup(self.ring[number].unbind, data)
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", PROGRAM, top, which], stderr=f"{top}/err")
        self.addCleanup(process.kill)
        until(lambda: os.path.exists(f"{top}/ready") or not process.alive(), "the program")
        self.assertTrue(process.alive(), read_text(f"{top}/err", ""))
        return top, process

    def says(self, process, top, *lines):
        open(f"{top}/stop", "w").close()
        process.wait_end(20)
        self.assertEqual(read_text(f"{top}/said").splitlines(), list(lines))

    def replaced(self, replace, words):
        """`replace` changes the file of the user at the destination between preflight and the stop."""
        top, process = self.start()
        stages = crxtest.Stages(self.ring, "source.pre-freeze")
        tool = self.ring[0].start_migrate(process, self.ring[1], "--hook", stages.command)
        self.assertTrue(stages.wait("source.pre-freeze", lambda: not tool.alive()))
        os.rename(f"{top}/1/own", f"{top}/1/aside")
        replace(f"{top}/1")
        stages.go_on("source.pre-freeze")
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn(words, result.stderr, f"{result}")
        self.assertTrue(process.alive())
        os.unlink(f"{top}/1/own")
        os.rename(f"{top}/1/aside", f"{top}/1/own")
        process, _ = self.move(process, self.ring[1])
        self.says(process, top, OWN)

    def test_replaced_by_a_symbolic_link(self):
        self.replaced(lambda folder: os.symlink(f"{folder}/secret", f"{folder}/own"),
                      "own is reached by a symbolic link here")

    def test_replaced_by_a_hard_link(self):
        self.replaced(lambda folder: os.link(f"{folder}/secret", f"{folder}/own"),
                      "own was replaced here after it had been compared: it has other content")

    def test_replaced_by_a_file_of_other_content(self):
        def replace(folder):
            with open(f"{folder}/own", "w") as file:
                file.write(SECRET)
            os.chown(f"{folder}/own", 1000, 1000)
        self.replaced(replace, "own was replaced here after it had been compared: it has other content")

    def test_opened_as_root(self):
        """A program may have opened a file before it became another user; a source that may have root tasks can move it."""
        top, process = self.start("secret")
        self.ring[1].restart_agent("--allow-uid", "1000-1999")
        self.addCleanup(self.ring[1].restart_agent)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("secret (pid", result.stderr)
        self.assertIn("cannot be read here: Permission denied", result.stderr)
        self.ring[1].restart_agent()
        process, _ = self.move(process, self.ring[1])
        self.says(process, top, OWN, SECRET)


if __name__ == "__main__":
    crxtest.main()
