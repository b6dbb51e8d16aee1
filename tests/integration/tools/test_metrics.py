"""The agent's reports about itself: /metrics, the status page, and --json, over moves, refusals and failures."""
import json
import re

import crxtest
from crxtest import Stages, lines_of, until

PORT = 9100
ASK = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode(), end='')"
TREE = "import os, time\nos.fork()\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)"


class Metrics(crxtest.RingTest):
    HOSTS = 2

    def setUp(self):
        self.there = self.ring[1]
        with open(self.there.agent_log, "w"):
            pass
        self.there.restart_agent("--metrics", f"{self.there.address}:{PORT}", "--json")

    def page(self, path, host=None):
        return (host or self.ring[0]).run(["/usr/bin/python3", "-c", ASK, f"http://{self.there.address}:{PORT}{path}"])[1]

    def metrics(self):
        """Returns {name with labels: value}; checks the format as well."""
        found, families = {}, set()
        for line in self.page("/metrics").splitlines():
            if line.startswith("# TYPE "):
                families.add(line.split()[2])
                continue
            if line.startswith("#"):
                continue
            name, value = line.rsplit(" ", 1)
            family = name.split("{")[0]
            self.assertTrue({re.sub("_(sum|count|bucket)$", "", family), family} & families, line)
            self.assertNotIn(name, found)
            found[name] = float(value)
        return found

    def events(self):
        return [json.loads(line) for line in lines_of(self.there.agent_log) if line.startswith("{")]

    def start(self):
        output = self.ring.path(f"{self.id()}.out")
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", TREE], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) == ["ready", "ready"], "the tree is there")
        return process

    def test_a_move(self):
        self.assertIn('id="open">None.<', self.page("/"))
        process = self.start()
        stages = Stages(self.ring, "destination.prepared")
        self.there.restart_agent("--metrics", f"{self.there.address}:{PORT}", "--json", "--hook", stages.command)
        tool = self.ring[0].start_migrate(process, self.there)
        stages.wait("destination.prepared")
        during, page = self.metrics(), self.page("/")
        stages.go_on("destination.prepared")
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 0, f"{result}")
        self.addCleanup(result.process.kill)
        self.addCleanup(lambda: [self.there.find(p).kill() for p in self.there.children(result.process.pid)])

        self.assertEqual((during["crx_sessions_open"], during["crx_vessels_warm"]), (1, 2), during)
        self.assertEqual(during["crx_trees_running"], 0)
        self.assertIn(result.last["session"][:8], page)
        self.assertIn("<span>frozen</span>", page)

        until(lambda: self.metrics()["crx_sessions_open"] == 0, "the session is over")
        after = self.metrics()
        for name, value in (('crx_sessions_total{outcome="committed"}', 1), ("crx_processes_moved_total", 2),
                            ("crx_trees_running", 1), ("crx_vessels_warm", 0), ("crx_downtime_seconds_count", 1),
                            ('crx_downtime_seconds_bucket{le="+Inf"}', 1), ("crx_move_duration_seconds_count", 1)):
            self.assertEqual(after[name], value, f"{name} in {after}")
        pages = sum(value for name, value in after.items() if name.startswith("crx_received_pages_total"))
        self.assertEqual(pages, result.last["pages_sent"], f"{result}")
        self.assertEqual(after["crx_received_raw_bytes_total"], pages * 4096)
        self.assertGreater(after["crx_received_wire_bytes_total"], 10_000)
        self.assertLess(after["crx_received_wire_bytes_total"], pages * 4096)
        # As crx-migrate reports it, from the first stop of a task on. The time of the hook is part of it.
        self.assertAlmostEqual(after["crx_last_downtime_seconds"], result.last["downtime_us"] / 1e6, delta=0.001)
        self.assertEqual(after["crx_last_downtime_seconds"], after["crx_downtime_seconds_sum"])

        result.process.kill()
        until(lambda: self.metrics()["crx_trees_running"] == 0, "the root's end is counted")
        until(lambda: "exited" in [event["event"] for event in self.events()], "and told")
        events = self.events()[-6:]
        self.assertEqual([e["event"] for e in events][:3], ["listening", "opened", "resumed"], events)
        self.assertEqual(sorted(e["event"] for e in events[3:]), ["closed", "ended", "exited"], events)
        told = {event["event"]: event for event in events}
        self.assertEqual({e["session"] for e in events[1:]}, {result.last["session"]})
        self.assertEqual((told["opened"]["purpose"], told["ended"]["outcome"]), ("move", "committed"))
        self.assertEqual((told["resumed"]["pid"], told["exited"]["exit_status"]), (result.process.pid, 137))
        self.assertEqual((told["closed"]["pages"], told["closed"]["processes"]), (pages, 2))

    def test_what_does_not_come_to_be(self):
        process = self.start()
        check = self.ring[0].migrate(process, self.there, "--check-only", verify=False)
        self.assertEqual(check.exit, 0, f"{check}")
        failed = self.ring[0].migrate(process, self.there, "--hook", 'test "$CRX_STAGE" != frozen')
        self.assertEqual(failed.exit, 1, f"{failed}")
        self.there.set_next_pid(process.pid)
        blocker = self.there.spawn(["/bin/sleep", "1000"])
        self.addCleanup(blocker.kill)
        self.assertEqual(blocker.pid, process.pid)
        refused = self.ring[0].migrate(process, self.there)
        self.assertEqual(refused.exit, 3, f"{refused}")
        until(lambda: self.metrics()["crx_sessions_open"] == 0, "the sessions are over")
        after = self.metrics()
        for outcome, count in (("checked", 1), ("failed", 1), ("refused", 1), ("committed", 0), ("in_doubt", 0)):
            self.assertEqual(after[f'crx_sessions_total{{outcome="{outcome}"}}'], count, f"{outcome} in {after}")
        self.assertEqual(after["crx_downtime_seconds_count"], 0)
        outcomes = [event["outcome"] for event in self.events() if event["event"] == "ended"]
        self.assertEqual(outcomes, ["checked", "failed", "refused"])

    def test_counters_outlive_the_front(self):
        process = self.start()
        self.assertEqual(self.ring[0].migrate(process, self.there, "--check-only", verify=False).exit, 0)
        front = next(p for p in self.there.children(self.there.agent.pid)
                     if crxtest.read_text(self.there.proc(p, "comm"), "").strip() == "crx-front")
        self.there.find(front).kill()
        until(lambda: self.answers(), "there is a new front")
        after = self.metrics()
        self.assertEqual(after['crx_sessions_total{outcome="checked"}'], 1)
        self.assertEqual(after["crx_front_starts_total"], 2)

    def answers(self):
        code, text = self.ring[0].run(["/usr/bin/python3", "-c", ASK, f"http://{self.there.address}:{PORT}/metrics"], check=False)
        return code == 0 and "crx_front_starts_total 2" in text


if __name__ == "__main__":
    crxtest.main()
