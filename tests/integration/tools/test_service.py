"""crx-agent as a service: the test stands for systemd's sockets. (test_booted runs it with systemd itself.)"""
import os
import select
import signal
import socket
import threading

import crxtest
from crxtest import lines_of, until

SOCKETS = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal"


class Service(crxtest.RingTest):
    HOSTS = 2
    AGENTS = False

    def setUp(self):
        self.here, self.there = self.ring[0], self.ring[1]
        self.there.run(["sh", "-c", SOCKETS])
        self.notices = self.listen("/run/notify")
        self.texts = []
        threading.Thread(target=self.keep_journal, args=[self.listen("/run/systemd/journal/socket")], daemon=True).start()
        self.config = self.ring.path("crx.conf")
        self.configure("allow = 10.77.0.1")
        with open(self.there.agent_log, "a"):
            pass
        log = os.stat(self.there.agent_log)
        self.there.start_agent("--config", self.config, env={"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "600000",
                                                             "JOURNAL_STREAM": f"{log.st_dev}:{log.st_ino}"})
        self.seen = []
        self.addCleanup(self.there.kill_agent)

    def listen(self, path):
        endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(endpoint.close)
        endpoint.bind(f"/proc/{self.there.init}/root{path}")
        return endpoint

    def configure(self, text):
        with open(self.config, "w") as file:
            file.write(f"{text}\n")

    def notice(self, start):
        """Reads notices until one begins with the text."""
        def read():
            if not select.select([self.notices], [], [], 0.1)[0]:
                return None
            self.seen.append(self.notices.recv(4096).decode())
            return self.seen[-1] if self.seen[-1].startswith(start) else None
        return until(read, lambda: f"{start}; {self.seen}\n{self.there.agent_tail()}")

    def reload(self):
        self.there.agent.send_signal(signal.SIGHUP)
        self.notice("RELOADING=1\nMONOTONIC_USEC=")
        self.notice("READY=1")

    def keep_journal(self, endpoint):
        try:
            while text := endpoint.recv(65536).decode():
                self.texts.append(text)
        except OSError:
            pass

    def entries(self):
        """What the journal has got, each entry as {field: value}."""
        return [dict(line.split("=", 1) for line in text.splitlines()) for text in self.texts]

    def check(self):
        process = self.here.spawn(["sleep", "1000"])
        self.addCleanup(process.kill)
        return self.here.migrate(process, self.there, "--check-only")

    def test_notices(self):
        self.notice("READY=1")
        self.assertIn(f"listens on port {self.there.agent_port}; open sessions: 0", self.notice("STATUS="))
        self.notice("WATCHDOG=1")
        self.notice("WATCHDOG=1")
        self.there.agent.send_signal(signal.SIGTERM)
        self.assertIn("a signal arrived", self.notice("STOPPING=1"))
        self.there.agent.wait_end(10)

    def test_rules_are_read_again(self):
        self.assertEqual(self.check().exit, 0)
        self.configure("allow = nobody")
        self.assertEqual(self.check().exit, 0)  # not before the reload
        self.reload()
        result = self.check()
        self.assertIn("10.77.0.1 is not allowed to move processes here", result.stderr)
        self.assertNotEqual(result.exit, 0)
        self.configure("allow = 10.77.0.1\nno-such-key = 1")
        self.reload()
        self.assertNotEqual(self.check().exit, 0)  # the file is wrong, so all stays as it was
        errors = [entry["MESSAGE"] for entry in self.entries() if entry["PRIORITY"] == "3"]
        self.assertRegex("\n".join(errors), "stay as they were: .*no-such-key")
        self.configure("allow = 10.77.0.1\n[peer 10.77.0.1]\nallow-uid = 7777")
        self.reload()
        self.assertIn("uid 0", self.check().stderr)

    def test_journal(self):
        process = self.here.spawn(["sleep", "1000"])
        result = self.here.migrate(process, self.there)
        self.assertEqual(result.exit, 0, f"{result}")
        self.addCleanup(result.process.kill)
        session = result.last["session"]
        entries = self.entries()
        self.assertLessEqual({"PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE"}, set(entries[0]))
        ours = [entry for entry in entries if entry.get("CRX_SESSION") == session]
        self.assertIn("crx-engine", {entry["SYSLOG_IDENTIFIER"] for entry in ours})
        self.assertTrue(any(entry["PRIORITY"] == "6" for entry in entries))
        # Processes that may not open sockets write to stderr, with their level.
        plain = lines_of(self.there.agent_log)
        self.assertTrue(all(line.startswith("<") for line in plain), plain)

    def test_elsewhere_lines_have_dates(self):
        self.here.start_agent()
        self.addCleanup(self.here.kill_agent)
        self.assertRegex(lines_of(self.here.agent_log)[0], r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \S+\[\d+\] \w+: ")


if __name__ == "__main__":
    crxtest.main()
