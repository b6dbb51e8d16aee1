"""Files that differ at the destination: --with-files carries them; --link-remap finds files by another name."""
import os

import crxtest
from crxtest import read_text, until

# Has one file open for reading, writes another, maps a third; prints at the end what it finds in them and their names.
HOLDER = r"""
import mmap, os, sys, time
folder = sys.argv[1]
reading = open(f"{folder}/reading")
head = reading.readline()
writing = open(f"{folder}/writing", "a+")
mapping = mmap.mmap(os.open(f"{folder}/mapping", os.O_RDWR), 8192)
open(f"{folder}/../ready", "w").close()
count = 0
while not os.path.exists(f"{folder}/../stop"):
    count += 1
    writing.write(f"{count}\n"); writing.flush()
    mapping[0:4] = count.to_bytes(4, "little")
    time.sleep(0.001)
writing.seek(0)
with open(f"{folder}/../said", "w") as said:
    print(head + reading.read() == "".join(f"line {i}\n" for i in range(2000)), file=said)
    print(writing.read() == "".join(f"{i}\n" for i in range(1, count + 1)), file=said)
    print(int.from_bytes(mapping[0:4], "little") == count, mapping[4096:4100] == b"tail", file=said)
    for fd in (reading.fileno(), writing.fileno()): print(os.readlink(f"/proc/self/fd/{fd}"), file=said)
    print(any(line.rstrip().endswith(f"{folder}/mapping") for line in open("/proc/self/maps")), file=said)
    with open(f"{folder}/writing") as again: print(again.read() == "".join(f"{i}\n" for i in range(1, count + 1)), file=said)
"""
LINKED = r"""
import os, sys, time
folder = sys.argv[1]
file = open(f"{folder}/name", "w+")
file.write("content\n"); file.flush()
os.link(f"{folder}/name", f"{folder}/other"); os.unlink(f"{folder}/name")
open(f"{folder}/ready", "w").close()
while not os.path.exists(f"{folder}/stop"): time.sleep(0.001)
file.write("more\n"); file.flush(); file.seek(0)
with open(f"{folder}/said", "w") as said:
    print(file.read() == "content\nmore\n", file=said)
    print(os.stat(f"{folder}/other").st_ino == os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_nlink, file=said)
"""


class Files(crxtest.RingTest):
    HOSTS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ring[1].restart_agent("--allow-files", cls.ring.dir)

    def folder(self, name):
        path = self.ring.path(f"{self.id()}.{name}")
        os.makedirs(path, exist_ok=True)
        return path

    def start(self, program, folder):
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", program, folder], stderr=self.ring.path(f"{self.id()}.err"))
        self.addCleanup(process.kill)
        ready = f"{folder}/ready" if program is LINKED else f"{folder}/../ready"
        until(lambda: os.path.exists(ready) or not process.alive(), "the program")
        self.assertTrue(process.alive(), read_text(self.ring.path(f"{self.id()}.err"), ""))
        return process

    def finish(self, process, folder):
        open(f"{folder}/stop", "w").close()
        process.wait_end(20)
        return read_text(f"{folder}/said").splitlines()

    def holder(self, program=HOLDER):
        """Starts the program on host 0; its folder `data` is a different one on each host."""
        top = self.ring.path(self.id())
        data = f"{top}/data"
        for path in (data, f"{top}/0", f"{top}/1"):
            os.makedirs(path)
        os.chmod(top, 0o777)
        for number in (0, 1):
            self.ring[number].bind(f"{top}/{number}", data)
            self.addCleanup(self.ring[number].unbind, data)
        with open(f"{top}/0/reading", "w") as file:
            file.writelines(f"line {i}\n" for i in range(2000))
        with open(f"{top}/0/mapping", "wb") as file:
            file.write(b"\0" * 4096 + b"tail" + b"\0" * 4092)
        with open(f"{top}/1/mapping", "wb") as file:
            file.write(b"another file of the same name")
        return top, data, self.start(program, data)

    def test_refused_without_the_option(self):
        top, data, process = self.holder()
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn(f"{data}/reading", result.stderr)
        self.assertIn("does not exist here", result.stderr)
        process.kill()

    def test_refused_where_no_files_are_allowed(self):
        top, data, process = self.holder()
        for option in ((), ("--allow-files", f"{top}/dat")):
            self.ring[1].restart_agent(*option)
            self.addCleanup(self.ring[1].restart_agent, "--allow-files", self.ring.dir)
            result = self.ring[0].migrate(process, self.ring[1], "--with-files")
            self.assertEqual(result.exit, 3, f"{result}")
            self.assertIn("and files may not be made there; start crx-agent with --allow-files and a directory above it",
                          result.stderr, f"{result}")
            self.assertEqual(os.listdir(f"{top}/1"), ["mapping"])
        process.kill()

    def test_carried_for_a_user(self):
        """The files are the user's; where the user could not make them, the move is refused."""
        program = HOLDER.replace("open(f\"{folder}/../ready", "os.setgroups([]); os.setresgid(1000, 1000, 1000); "
                                 "os.setresuid(1000, 1000, 1000)\nopen(f\"{folder}/../ready")
        top, data, process = self.holder(program)
        result = self.ring[0].migrate(process, self.ring[1], "--with-files")
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("cannot be created here: Permission denied", result.stderr, f"{result}")
        self.assertEqual(os.listdir(f"{top}/1"), ["mapping"])
        os.chmod(f"{top}/1", 0o777)
        process, _ = self.move(process, self.ring[1], "--with-files")
        self.assertEqual(self.finish(process, top)[:3], ["True", "True", "True True"])
        self.assertEqual(os.stat(f"{top}/1/reading").st_uid, 1000)

    def test_carried(self):
        top, data, process = self.holder()
        process, result = self.move(process, self.ring[1], "--with-files")
        self.assertIn("it is carried along", result.stderr + result.stdout)
        said = self.finish(process, top)
        self.assertEqual(said, ["True", "True", "True True", f"{data}/reading", f"{data}/writing", "True", "True"])
        self.assertEqual(sorted(os.listdir(f"{top}/1")), ["mapping", "reading", "writing"])

    def test_rollback(self):
        """The files of the destination are unchanged, and there are no others."""
        top, data, process = self.holder()
        result = self.ring[0].migrate(process, self.ring[1], "--with-files", "--hook", '[ "$CRX_STAGE" != prepared ]')
        self.assertEqual(result.exit, 1, f"{result}")
        until(lambda: os.listdir(f"{top}/1") == ["mapping"], lambda: f"only what was there: {os.listdir(f'{top}/1')}", 10)
        self.assertEqual(read_text(f"{top}/1/mapping"), "another file of the same name")
        said = self.finish(process, top)
        self.assertEqual(said[:3], ["True", "True", "True True"])

    def test_link_remap(self):
        folder = self.folder("linked")
        process = self.start(LINKED, folder)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("--link-remap", result.stderr)
        process, _ = self.move(process, self.ring[1], "--link-remap")
        self.assertEqual(self.finish(process, folder), ["True", "True 1"])
        self.assertEqual([name for name in os.listdir(folder) if name.startswith("link_remap")], [])

    def test_link_remap_rollback(self):
        folder = self.folder("linked")
        process = self.start(LINKED, folder)
        result = self.ring[0].migrate(process, self.ring[1], "--link-remap", "--hook", '[ "$CRX_STAGE" != prepared ]')
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertEqual([name for name in os.listdir(folder) if name.startswith("link_remap")], [])
        self.assertEqual(self.finish(process, folder), ["True", "True 1"])


if __name__ == "__main__":
    crxtest.main()
