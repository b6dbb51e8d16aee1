"""What people read after common mistakes: one message with the tool, the step, the object and a remedy; nothing twice, and
findings with the same words once."""
import json
import os
import re

import crxtest
from crxtest import lines_of, until
from hosts import BIN

PYTHON = "/usr/bin/python3"
NO_PID = str(2**22 - 1)
SOCKETS = 500
PROGRAM = f"""
import socket, time
sockets = [socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 10) for _ in range({SOCKETS})]
print('ready', flush=True)
while True: time.sleep(0.1)
"""


def doubled(line):
    """What a line says twice: a part between its commas, colons and brackets, three words in a row, the tool's name."""
    tool, _, message = line.partition(": ")
    if not message:
        tool, message = "crx-", line
    parts = [part.strip() for part in re.split(r"[;,()]|: ", message) if part.strip()]
    words = message.split()
    runs = [" ".join(words[at:at + 3]) for at in range(len(words) - 2)]
    found = {part for part in parts if parts.count(part) > 1} | {run for run in runs if runs.count(run) > 1}
    return sorted(found) + ([tool] if tool in parts[0] else [])


class Messages(crxtest.RingTest):
    HOSTS = 2

    def setUp(self):
        self.here, self.there = self.ring.hosts

    def start(self, program):
        output = self.ring.path(f"{self.id()}.out")
        process = self.here.spawn([PYTHON, "-c", program], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) == ["ready"], "the program")
        return process

    def migrate(self, *options):
        return [f"{BIN}/crx-migrate", "--state", f"{self.here.dir}/state", *options]

    def test_the_check_sees_doubles(self):
        for line in ("crx-agent: starting crx-agent: reading keys: x", "t: a: it is a ring, which cannot be moved, which cannot be moved",
                     "t: the certificate of beta (beta, beta) is odd: the certificate of x", "t: not there: a b: not there"):
            self.assertTrue(doubled(line), line)
        self.assertEqual(doubled("crx-agent: listening: 1.2.3.4:7: Address already in use; check that no other program uses the port"), [])

    def test_mistakes(self):
        process = self.start("import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.1)")
        pid, keys, missing = str(process.pid), ["--tls-dir", self.here.tls], self.ring.path("missing")
        agent = f"{self.there.address}:{self.there.agent_port}"
        own = f"{self.here.address}:{self.here.agent_port}"
        folder = self.ring.path("folder")
        os.makedirs(folder, exist_ok=True)
        file = self.ring.path("file")
        open(file, "w").close()
        store = ["--store", self.ring.path("store")]
        for name, argv, words in [
                ("no agent", self.migrate("--to", f"{self.there.address}:9", *keys, pid), ["Connection refused", "is crx-agent running"]),
                ("unknown host", self.migrate("--to", "nowhere.invalid:7000", *keys, pid), ["nowhere.invalid", "--to"]),
                ("no keys", self.migrate("--to", agent, "--tls-dir", missing, pid), [missing, "No such file", "crx-keys"]),
                ("no process", self.migrate("--to", agent, *keys, NO_PID), [NO_PID, "ps -e"]),
                ("no process to dump", [f"{BIN}/crx-dump", "-t", NO_PID, "-D", folder], [NO_PID, "ps -e"]),
                ("nowhere to dump to", [f"{BIN}/crx-dump", "-t", pid, "-D", f"{file}/x"], [file]),
                ("no set", [f"{BIN}/crx-restore", "-D", missing], [missing, "No such file"]),
                ("no set to show", [f"{BIN}/crx-image", "show", missing], [missing, "No such file"]),
                ("port in use", [f"{BIN}/crx-agent", "--listen", own, *keys, *store], [own, "in use", "no other program uses the port"]),
                ("address of others", [f"{BIN}/crx-agent", "--listen", agent, *keys, *store], [agent, "--listen belongs to this host"]),
                ("agent without keys", [f"{BIN}/crx-agent", "--listen", f"{self.here.address}:7999", "--tls-dir", missing, *store],
                 [missing, "No such file", "crx-keys"])]:
            with self.subTest(name):
                code, text = self.here.run(argv, check=False)
                self.assertNotEqual(code, 0, text)
                for word in words:
                    self.assertIn(word, text)
                for line in text.splitlines():
                    self.assertEqual(doubled(line), [], line)
                self.assertLessEqual(len(text.splitlines()), 3, text)
        self.assertTrue(process.alive())

    def test_many_findings(self):
        process = self.start(PROGRAM)
        agent = ["--to", f"{self.there.address}:{self.there.agent_port}", "--tls-dir", self.here.tls]
        images = self.ring.path("images")
        os.makedirs(images, exist_ok=True)
        for argv in (self.migrate(*agent, str(process.pid)), [f"{BIN}/crx-dump", "-t", str(process.pid), "-D", images]):
            with self.subTest(argv[0]):
                code, text = self.here.run(argv, check=False)
                self.assertEqual(code, 3, text)
                self.assertLess(len(text.splitlines()), 6, text)
                self.assertEqual(text.count("which cannot be moved"), 1, text)
                self.assertIn(f"and {SOCKETS - 3} more: it is a netlink socket of family 10, which cannot be moved", text)
                for line in text.splitlines():
                    # The objects that are listed before are alike.
                    said = line.partition(" more: ")[2]
                    self.assertEqual(doubled(f"crx: {said}" if said else line), [], line)
                code, text = self.here.run(["sh", "-c", "exec \"$@\" 2>/dev/null", "sh", *argv, "--json"], check=False)
                self.assertEqual(code, 3, text)
                events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
                found = [e for e in events if e["event"] == "finding"] or next(
                    e["findings"] for e in events if e["event"] == "preflight")
                self.assertEqual(len(found), SOCKETS)
        self.assertTrue(process.alive())


if __name__ == "__main__":
    crxtest.main()
