"""crx-hibernate: programs that are saved, whose host ends, and that go on at a new host with the same storage."""
import json
import os
import subprocess
import sys

import crxtest
import hosts
from dumptest import DumpTest
from hosts import Host, lines_of, until

# Answers every number that a client sends with the same number.
SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", 7100)) as listener:
    print("ready", flush=True)
    connection, _ = listener.accept()
    for line in connection.makefile("rb"):
        connection.sendall(line)
"""
# Sends numbers, and writes those that come back; ends when the file exists. Its last line is "end" if all went well.
CLIENT = """
import os, socket, sys, time
connection = socket.create_connection(("127.0.0.1", 7100))
answers = connection.makefile("rb")
number = 0
while not os.path.exists(sys.argv[1]):
    connection.sendall(b"%d\\n" % number)
    answer = int(answers.readline())
    print(answer if answer == number else f"wrong: {answer}", flush=True)
    number += 1
    time.sleep(0.01)
print("end", flush=True)
"""


class Hibernate(DumpTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = f"{cls.base}/tally"
        subprocess.run(["cc", "-std=gnu17", "-O2", "-o", cls.program, f"{hosts.PROGRAMS}/tally.c"], check=True)
        cls.boots = 0

    def setUp(self):
        super().setUp()
        self.config, self.stop, self.numbers = f"{self.dir}/hibernate.toml", f"{self.dir}/stop", f"{self.dir}/numbers"
        self.images = f"{self.dir}/images"

    # -- hosts

    def reboot(self):
        """The host ends, with everything that runs there; a new one has the same storage."""
        cls = type(self)
        cls.host.close()
        cls.boots += 1

        class Ground:
            dir = f"{cls.base}/boot{cls.boots}"

        cls.host = Host(Ground, 0)
        cls.host.run(["ip", "link", "set", "lo", "up"])

    # -- programs, and crx-hibernate

    def configure(self, *programs):
        """programs: (name, what its command line holds, more lines)."""
        with open(self.config, "w") as file:
            file.write(f'[hibernate]\nimages = "{self.images}"\n')
            for name, command, more in programs:
                file.write(f'[programs.{name}]\ncommand = "{command}"\n{more}\n')

    def hibernate(self, verb, *words, code=0):
        result, text = self.run_tool("crx-hibernate", verb, "--config", self.config, "--state", f"{self.dir}/state", "--json", *words)
        self.assertEqual(result, code, text)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    @staticmethod
    def told(records, *events):
        return [(record["event"], record["program"]) for record in records if record["event"] in events]

    def count(self, path):
        count = len(lines_of(path))
        until(lambda: len(lines_of(path)) > count + 1, f"{path} grows")

    def start_tally(self, name, **options):
        output = f"{self.dir}/{name}"
        process = self.host.spawn([self.program, output, self.stop, "1"], **options)
        self.addCleanup(process.kill)
        self.count(output)
        return process

    def ends_well(self, *paths):
        with open(self.stop, "w"):
            pass
        for path in paths:
            until(lambda: lines_of(path)[-1:] == ["end"], lambda: f"{path} ends: {lines_of(path)[-3:]}")
            lines = lines_of(path)
            self.assertEqual(lines, [*map(str, range(len(lines) - 1)), "end"])

    def test_a_reboot(self):
        """A server, the client that it waits for, with a connection between them, and a program on its own. The client goes on first,
        and sends to a server that is not there yet: no reset may answer it."""
        for name, text in (("server.py", SERVER), ("client.py", CLIENT)):
            with open(f"{self.dir}/{name}", "w") as file:
                file.write(text)
        server = self.host.spawn([sys.executable, f"{self.dir}/server.py"], stdout=f"{self.dir}/server")
        until(lambda: lines_of(f"{self.dir}/server"), "the server is ready")
        client = self.host.spawn([sys.executable, f"{self.dir}/client.py", self.stop], stdout=self.numbers)
        self.count(self.numbers)
        self.start_tally("alone")
        self.configure(("server", f"{self.dir}/server.py", 'after = "client"\noptions = "--tcp-established"'),
                       ("alone", f"{self.program} {self.dir}/", ""),
                       ("client", f"{self.dir}/client.py", 'options = "--tcp-established"'))
        saved = self.told(self.hibernate("save"), "saved", "failed")
        self.assertEqual(sorted(saved), [("saved", "alone"), ("saved", "client"), ("saved", "server")])
        self.assertLess(saved.index(("saved", "server")), saved.index(("saved", "client")))
        self.assertFalse(server.alive() or client.alive())
        self.reboot()
        self.assertEqual(self.hibernate("hold"), [])
        self.assertIn("crx-hibernate", self.host.run(["nft", "list", "tables"])[1])
        restored = self.told(self.hibernate("restore"), "restored", "failed")
        self.assertEqual(sorted(restored), [("restored", "alone"), ("restored", "client"), ("restored", "server")])
        self.assertLess(restored.index(("restored", "client")), restored.index(("restored", "server")))
        self.assertEqual(self.host.run(["nft", "list", "tables"])[1], "")
        for path in (self.numbers, f"{self.dir}/alone"):
            self.count(path)
        self.assertEqual(self.hibernate("restore"), [], "nothing waits any more")
        self.ends_well(self.numbers, f"{self.dir}/alone")

    def test_failures(self):
        """A program that cannot be saved runs on, with what it needs; one that cannot be restored keeps its set, and so do those that
        need it."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        first, second, third = self.start_tally("first"), self.start_tally("second", stdin=reader), self.start_tally("third")
        os.close(reader)
        programs = [("first", f"{self.dir}/first ", ""), ("second", f"{self.dir}/second ", 'after = "first"'),
                    ("third", f"{self.dir}/third ", 'after = ["second"]')]
        self.configure(*programs)
        records = self.hibernate("save", code=1)
        self.assertEqual(self.told(records, "saved", "failed"), [("saved", "third"), ("failed", "second"), ("failed", "first")])
        self.assertIn("pipe", records[1]["message"])
        self.assertIn("second needs it", records[2]["message"])
        self.assertTrue(first.alive() and second.alive())
        self.assertFalse(third.alive())
        self.assertEqual(self.told(self.hibernate("save", "--going-down", code=1), "saved", "failed"),
                         [("failed", "second"), ("saved", "first")])
        os.rename(f"{self.dir}/first", f"{self.dir}/moved")
        self.reboot()
        programs[2] = ("third", f"{self.dir}/third ", 'after = "first"')
        self.configure(*programs)
        records = self.hibernate("restore", code=1)
        self.assertEqual(self.told(records, "restored", "failed"), [("failed", "first"), ("failed", "third")])
        self.assertIn("needs first", records[-1]["message"])
        (status,) = self.hibernate("status")
        self.assertEqual([(one["program"], one["waits"]) for one in status["programs"]], [("first", True), ("second", False), ("third", True)])
        os.rename(f"{self.dir}/moved", f"{self.dir}/first")
        # Its PID is taken meanwhile.
        self.host.set_next_pid(first.pid)
        squatter = self.host.spawn(["sleep", "1000"])
        self.addCleanup(squatter.kill)
        self.assertEqual(squatter.pid, first.pid)
        records = self.hibernate("restore")
        self.assertEqual(self.told(records, "restored"), [("restored", "first"), ("restored", "third")])
        self.assertTrue(records[1]["new_pids"])
        for name in ("first", "third"):
            self.count(f"{self.dir}/{name}")
        # Once more, with a program that has a PID namespace of its own by now.
        self.assertEqual(self.told(self.hibernate("save"), "saved"), [("saved", "third"), ("saved", "first")])
        self.reboot()
        self.hibernate("restore")
        self.ends_well(f"{self.dir}/first", f"{self.dir}/third")

    def test_started_anew(self):
        """A program that somebody has started anew is not restored beside it, and no set is lost."""
        self.start_tally("one")
        self.configure(("one", f"{self.dir}/one ", ""))
        self.hibernate("save")
        self.start_tally("one")
        (record,) = self.hibernate("restore", code=1)
        self.assertIn("runs already", record["message"])
        self.assertEqual(self.told(self.hibernate("save"), "left", "saved"), [("left", "one"), ("saved", "one")])
        kept = sorted(os.listdir(f"{self.images}/one"))
        self.assertRegex(kept[0], "^left-")
        self.assertEqual(kept[1:], ["set"])
        self.assertEqual(self.told(self.hibernate("restore"), "restored"), [("restored", "one")])
        self.assertEqual(sorted(os.listdir(f"{self.images}/one"))[1:], ["restored"])


if __name__ == "__main__":
    crxtest.main()
