"""The page of --report, as a browser shows it: the figures of --json, steps that add up, for moves that came to be and for
those that did not. CRX_PICTURES=DIR keeps pictures of the pages there."""
import os

import browser
import crxtest
from crxtest import lines_of, until

PROGRAM = """
import os, time
memory = bytearray(os.urandom(1 << 20)) * 48
os.fork()
print('ready', flush=True)
while True: time.sleep(0.01); memory[::8192] = bytes(len(memory[::8192]))
"""
PHASES = ["greeting", "preflight", "start of tracking", "rounds", "before the stop", "stop"]
PICTURES = os.environ.get("CRX_PICTURES")


class Report(crxtest.RingTest):
    HOSTS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def start(self):
        output = self.ring.path(f"{self.id()}.out")
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", PROGRAM], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) == ["ready", "ready"], "the tree is there")
        for child in self.ring[0].children(process.pid):
            self.addCleanup(self.ring[0].find(child).kill)
        return process

    def migrate(self, process, name, *options, **named):
        path = self.ring.path(f"{name}.html")
        result = self.ring[0].migrate(process, self.ring[1], "--report", path, *options, **named)
        self.assertTrue(os.path.exists(path), f"{result}")
        return result, browser.check_looks(self, self.browser, f"file://{path}", PICTURES, name,
                                           browser.FULL or name == "moved")

    def check_steps(self, rows, steps, whole_us):
        """The rows of a chart are these steps, and add up."""
        self.assertEqual([(name, us) for name, us, _ in rows], [(step["name"], step["us"]) for step in steps])
        self.assertEqual(sum(us for _, us, _ in rows), whole_us)
        for _, us, shown in rows:
            self.assertEqual(shown, f"{us:,} µs")

    def test_moved(self):
        process = self.start()
        result, page = self.migrate(process, "moved", "--hook", "true")
        self.assertEqual(result.exit, 0, f"{result}")
        self.addCleanup(result.process.kill)
        self.addCleanup(lambda: [self.ring[1].find(p).kill() for p in self.ring[1].children(result.process.pid)])
        done = result.last
        for key in ("downtime_us", "total_us", "frozen_us", "memory_bytes", "bytes_wire", "verify"):
            self.assertEqual(page["values"][key], str(done[key]), key)
        self.assertIn(f"{done['downtime_us'] / 1000:.3f} ms", page["text"])
        self.check_steps(page["rows"]["step"], done["cutover"]["stop_steps"], done["downtime_us"])
        names = [step["name"] for step in done["cutover"]["stop_steps"]]
        self.assertEqual(names, ["freeze", "hook frozen", "collect", "last pages", "digests", "written files", "leave", "await pages",
                                 "build there", "hook prepared", "freeze group", "journal GO", "GO travels", "resume"])
        phases = [row for row in page["rows"]["phase"] if row[0] in PHASES]
        self.assertEqual([name for name, _, _ in phases], PHASES)
        self.check_steps(phases, done["phases"], done["total_us"])
        rounds = [event for event in result.events if event["event"] == "round"]
        self.assertEqual([us for name, us, _ in page["rows"]["phase"] if name.startswith("round ")],
                         [event["duration_us"] for event in rounds])
        self.assertEqual([pages for _, pages, _ in page["rows"]["pages"]][:-1], [event["pages_sent"] for event in rounds])
        self.assertEqual(sum(pages for _, pages, _ in page["rows"]["pages"]), done["pages_sent"])
        self.assertEqual(len(page["tables"]["rounds"]), done["rounds"])

    def test_refused(self):
        process = self.start()
        self.ring[1].set_next_pid(process.pid)
        blocker = self.ring[1].spawn(["/bin/sleep", "1000"])
        self.addCleanup(blocker.kill)
        self.assertEqual(blocker.pid, process.pid)
        result, page = self.migrate(process, "refused")
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("Refused: nothing was touched", page["text"])
        self.assertIn(result.last["message"], page["text"])
        findings = next(event for event in result.events if event["event"] == "preflight")["findings"]
        self.assertEqual([[f["object"], f["reason"], f["remedy"] or "-", f["where"]] for f in findings],
                         [row[:4] for row in page["tables"]["findings"]])
        self.assertEqual([name for name, _, _ in page["rows"]["phase"]], PHASES[:2])
        self.check_steps(page["rows"]["phase"], result.last["phases"], result.last["total_us"])
        self.assertNotIn("downtime_us", page["values"])

    def test_failed_in_the_stop(self):
        process = self.start()
        result, page = self.migrate(process, "failed", "--hook", 'test "$CRX_STAGE" != prepared')
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("the process runs on here, unharmed", page["text"])
        self.assertIn(result.last["message"], page["text"])
        self.check_steps([row for row in page["rows"]["phase"] if row[0] in PHASES], result.last["phases"],
                         result.last["total_us"])
        self.assertIn("collect", [name for name, _, _ in page["rows"]["step"]])
        self.assertNotIn("downtime_us", page["values"])

    def test_nobody_there(self):
        process = self.start()
        result, page = self.migrate(process, "unreachable", port=9)
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn(result.last["message"], page["text"])

    def test_check_only(self):
        process = self.start()
        result, page = self.migrate(process, "checked", "--check-only", verify=False)
        self.assertEqual(result.exit, 0, f"{result}")
        self.assertIn("can move", page["title"])
        self.assertIn("Nothing stands in its way.", page["text"])

    def test_killed(self):
        process = self.start()
        path = self.ring.path("killed.html")
        tool = self.ring[0].start_migrate(process, self.ring[1], "--report", path, env={"CRX_FAULT_POINT": "source_frozen=kill"})
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 1, f"{result}")
        page = self.browser.look(f"file://{path}")
        self.assertIn("killed by signal 9", page["text"])
        self.assertIn("unharmed", page["text"])


if __name__ == "__main__":
    crxtest.main()
