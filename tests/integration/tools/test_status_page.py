"""What an agent serves to people and to Prometheus: the status page as a browser shows it, its JSON form, /healthz, and metrics
that promtool and the dashboard of deploy/grafana agree with. CRX_PICTURES=DIR keeps pictures of the page there."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

import browser
import crxtest
from crxtest import lines_of, until

PORT = 9100
PICTURES = os.environ.get("CRX_PICTURES")
DASHBOARD = os.path.join(os.path.dirname(__file__), "../../../deploy/grafana/crx-agents.json")
PYTHON = "/usr/bin/python3"
ASK = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status)
print(answer.read().decode(), end='')
"""
# A name that would be a script, if it were not escaped. 30 MiB of memory that is all there.
NAME = "<script>alert"
PROGRAM = f"""
import ctypes, os, time
memory = bytearray(os.urandom(1 << 20)) * 30
ctypes.CDLL(None).prctl(15, {NAME.encode()!r}, 0, 0, 0)
if os.fork() == 0: memory = None
print('ready', flush=True)
while True: time.sleep(0.05)
"""


class StatusPage(crxtest.RingTest):
    HOSTS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser.Browser(["/usr/bin/nsenter", f"--net=/proc/{cls.ring[0].init}/ns/net"])
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.here, self.there = self.ring[0], self.ring[1]
        self.url = f"http://{self.there.address}:{PORT}"
        self.serve()

    def serve(self, *options):
        self.there.restart_agent("--metrics", f"{self.there.address}:{PORT}", *options)

    def ask(self, path):
        status, text = self.here.run([PYTHON, "-c", ASK, self.url + path])[1].split("\n", 1)
        return int(status), text

    def status(self):
        status, text = self.ask("/status.json")
        self.assertEqual(status, 200)
        return json.loads(text)

    def look(self, name):
        """Looks at the page in a browser, and at the JSON form of the same moment; returns both."""
        for _ in range(5):
            before = self.status()
            page = browser.check_looks(self, self.browser, self.url + "/", PICTURES, name, True)
            if {**before, "time": 0} == {**self.status(), "time": 0}:
                break
        for key in ("trees_running", "last_downtime_us", "bytes_wire", "store_free_bytes"):
            if key in page["values"] and key != "store_free_bytes":
                self.assertEqual(page["values"][key], str(before[key]), key)
        self.assertEqual(page["values"]["committed"], str(before["sessions"]["committed"]))
        return page, before

    def start(self, program=PROGRAM):
        output = self.ring.path(f"{self.id()}.{time.monotonic()}.out")
        process = self.here.spawn([PYTHON, "-c", program], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: "ready" in lines_of(output), "the program")
        for child in self.here.children(process.pid):
            self.addCleanup(self.here.find(child).kill)
        return process

    def moved(self, process, *options):
        result = self.here.migrate(process, self.there, *options, verify=False)
        self.assertEqual(result.exit, 0, f"{result}")
        self.addCleanup(result.process.kill)
        for child in self.there.children(result.process.pid):
            self.addCleanup(self.there.find(child).kill)
        return result

    def test_what_runs_and_what_was(self):
        before = len(self.status()["history"])
        process = self.start()
        result = self.moved(process)
        refused = self.start()
        self.there.set_next_pid(refused.pid)
        blocker = self.there.spawn(["/bin/sleep", "1000"])
        self.addCleanup(blocker.kill)
        self.assertEqual(blocker.pid, refused.pid)
        self.assertEqual(self.here.migrate(refused, self.there).exit, 3)
        self.here.run([f"{crxtest.BIN}/crx-dump", "-t", str(refused.pid), "-R", "--to", f"{self.there.address}:{self.there.agent_port}",
                       "--name", "nightly", "--tls-dir", self.here.tls])
        until(lambda: len(self.status()["history"]) == before + 3 and self.status()["sessions"]["open"] == 0,
              lambda: f"all has ended: {self.status()}")
        until(lambda: self.status()["sets_stored"] == 1, "the set")
        until(lambda: self.status()["trees"][0]["processes"] == 2, "both processes")
        page, status = self.look("status")
        self.assertEqual((page["title"], status["host"]), ("crx-agent on h2", "h2"))

        tree = status["trees"][0]
        self.assertEqual((tree["comm"], tree["pid"], tree["session"]), (NAME, process.pid, result.last["session"]))
        self.assertIn(self.here.address, tree["peer"])
        self.assertLess(abs(time.time() - tree["since"]), 120)
        self.assertGreater(tree["memory_bytes"], 30 << 20)
        self.assertLess(tree["memory_bytes"], 200 << 20)
        self.assertEqual(len(page["tables"]["trees"]), 1)
        shown = page["tables"]["trees"][0]
        self.assertEqual((shown[0], shown[1], shown[5]), (NAME, str(process.pid), "2"))
        self.assertEqual(shown[6], f"{tree['memory_bytes'] / (1 << 20):.1f} MiB")

        history = status["history"][:3]
        stored, no, yes = history
        self.assertEqual([h["outcome"] for h in history], ["stored", "refused", "committed"])
        self.assertEqual([h["purpose"] for h in history], ["store", "move", "move"])
        self.assertEqual([row[1] for row in page["tables"]["history"]][:3], ["stored", "refused", "committed"])
        self.assertEqual((yes["comm"], yes["pages"], yes["processes"]), (NAME, result.last["pages_sent"], 2))
        self.assertAlmostEqual(yes["downtime_us"], result.last["downtime_us"], delta=1000)
        us = yes["downtime_us"]
        self.assertEqual(page["tables"]["history"][2][4], f"{us // 1000}.{us % 1000:03} ms")
        self.assertGreater(yes["duration_us"], yes["downtime_us"])
        self.assertNotIn("downtime_us", no)
        self.assertEqual([s["name"] for s in status["sets"]], ["nightly"])
        self.assertGreater(status["sets"][0]["bytes"], 1 << 20)
        self.assertEqual([row[0] for row in page["tables"]["sets"]], ["nightly"])
        self.assertEqual((status["healthy"], page["values"]["healthy"]), (True, "true"))
        self.assertEqual(self.ask("/healthz"), (200, "ok\n"))
        self.check_metrics(self.ask("/metrics")[1])

        # Another agent shows what this one has left.
        self.serve()
        until(lambda: self.status()["trees_running"] == 1 and self.status()["trees"][0]["processes"] == 2, "the tree is found again")
        again = self.status()
        self.assertEqual({k: v for k, v in again["trees"][0].items() if k in ("comm", "pid", "session")},
                         {k: v for k, v in tree.items() if k in ("comm", "pid", "session")})
        self.assertIn(result.last["session"], [h["session"] for h in again["history"] if h["outcome"] == "committed"])
        result.process.kill()
        until(lambda: self.status()["trees_running"] == 0, "its end is noticed")

    def check_metrics(self, text):
        """promtool has no complaint, and every query of the dashboard is valid and names metrics that there are."""
        told = subprocess.run(["/usr/bin/promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        self.assertEqual((told.returncode, told.stdout, told.stderr), (0, "", ""))
        there = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
        for name in ("cpu_seconds_total", "resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds", "start_time_seconds"):
            self.assertRegex(text, rf"\nprocess_{name} [0-9.]*[1-9]")
        self.assertRegex(text, r'\ncrx_refusals_total\{reason="preflight"\} 1\n')
        self.assertRegex(text, r'\ncrx_move_duration_seconds_count 1\n')
        with open(DASHBOARD, encoding="utf-8") as file:
            dashboard = json.load(file)
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        named = set()
        for query in queries + [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]:
            names = set(re.findall(r"\b(?:crx|process)_\w+", query))
            self.assertTrue(names and names <= there, f"{query}: {names - there}")
            named |= names
        known = {"$__rate_interval": "5m", "$__range": "6h", "$instance": ".*", "$job": ".*"}
        rules = "groups: [{name: queries, rules: [" + ", ".join(
            json.dumps({"record": f"query:{i}", "expr": re.sub(r"\$\w+", lambda m: known[m[0]], query)})
            for i, query in enumerate(queries)) + "]}]\n"
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(rules)
            file.flush()
            told = subprocess.run(["/usr/bin/promtool", "check", "rules", file.name], capture_output=True, text=True)
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        shown = {re.sub("_(bucket|sum|count)$", "", name) for name in named}
        for name in ("crx_sessions_total", "crx_refusals_total", "crx_downtime_seconds", "crx_move_duration_seconds", "crx_healthy"):
            self.assertIn(name, shown)

    def test_a_session_in_progress(self):
        process = self.start("import os, time\nm = bytearray(os.urandom(1 << 20)) * 800\nprint('ready', flush=True)\ntime.sleep(1000)")
        tool = self.here.start_migrate(process, self.there, "--max-bandwidth", "24M", "--compress", "none", verify=False)
        try:
            until(lambda: self.status()["open"] and self.status()["open"][0]["bytes_wire"] > 48 << 20, "some seconds of it")
            session = self.status()["open"][0]
            page = self.browser.look(self.url + "/", 1280, False, PICTURES and f"{PICTURES}/progress.png")
        finally:
            tool.send_signal(15)  # the rest of it would take a minute
            result = self.here.finish_migrate(tool)
            if result.process:  # the signal came too late
                result.process.kill()
        self.assertEqual(session["state"], "receiving")
        self.assertGreater(session["bytes_per_second"], 4 << 20)
        self.assertLess(session["bytes_per_second"], 48 << 20)
        shown = page["tables"]["open"][0]
        self.assertEqual((shown[0], shown[2]), (session["session"][:8], "receiving"))
        self.assertRegex(shown[6], r"^[1-9][0-9]?\.[0-9] MiB/s$")
        self.assertEqual(page["errors"], [])

    @unittest.skipUnless(crxtest.FULL, "takes 20 s of waiting")
    def test_not_healthy(self):
        self.there.agent.send_signal(signal.SIGSTOP)
        try:
            until(lambda: self.ask("/healthz")[0] == 503, "the supervisor is missed", 60)
            self.assertIn("the supervisor has done nothing for", self.ask("/healthz")[1])
            page = self.browser.look(self.url + "/")
            self.assertEqual(page["values"]["healthy"], "false")
            self.assertIn("the supervisor has done nothing for", page["text"])
            self.assertRegex(self.ask("/metrics")[1], r"\ncrx_healthy 0\n")
        finally:
            self.there.agent.send_signal(signal.SIGCONT)
        until(lambda: self.ask("/healthz") == (200, "ok\n"), "it is back")


if __name__ == "__main__":
    crxtest.main()
