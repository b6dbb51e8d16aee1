"""Features of crx-migrate and crx-agent beside the move itself: events, --wait, --once, --check-only, several moves
at once."""
import os
import signal

import crxtest
from crxtest import lines_of, read_text, until

COUNT = "import sys, time\ni = 0\nwhile not __import__('os').path.exists(sys.argv[1]):\n    print(i, flush=True)\n" \
        "    i += 1\n    time.sleep(0.01)\nsys.exit(int(sys.argv[2]))\n"


class Tool(crxtest.RingTest):
    HOSTS = 2

    def start(self, name, code=0):
        self.output, self.stop = self.ring.path(f"{name}.out"), self.ring.path(f"{name}.stop")
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", COUNT, self.stop, str(code)], stdout=self.output)
        self.addCleanup(process.kill)
        until(lambda: len(lines_of(self.output)) > 3, "the program counts")
        return process

    def check_sequence(self, output):
        numbers = [int(line) for line in lines_of(output)]
        self.assertEqual(numbers, list(range(len(numbers))))

    def test_events(self):
        process = self.start("events")
        moved, result = self.move(process, self.ring[1])
        self.addCleanup(moved.kill)
        names = [event.get("event") for event in result.events]
        self.assertEqual([n for n in names if n not in ("round", "progress")],
                         ["hello", "preflight", "freeze", "prepared", "committed", "done"], f"{result}")
        self.assertIn("round", names)
        self.assertIn(result.events[0]["tracker"], ("wp-async", "soft-dirty", "hash"))
        done = result.last
        self.assertIn(done["tracker"], ("wp-async", "soft-dirty", "hash"))
        for key in ("session", "pid", "downtime_us", "frozen_us", "total_ms", "rounds", "pages_sent", "bytes_raw",
                    "bytes_wire", "verify"):
            self.assertIn(key, done, f"{result}")
        self.assertEqual(done["pid"], process.pid)
        self.assertGreater(done["pages_sent"], 100)

    def test_wait(self):
        process = self.start("wait", 7)
        tool = self.ring[0].start_migrate(process, self.ring[1], "--wait")
        until(lambda: '"committed"' in read_text(tool.output) or not tool.alive(), "the move")
        until(lambda: self.ring[1].find(process.pid) or not tool.alive(), "the program at the destination")
        moved = self.ring[1].find(process.pid)
        self.assertIsNotNone(moved, read_text(tool.errors))
        self.addCleanup(moved.kill)
        with open(self.stop, "w"):
            pass
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 7, f"{result}")
        self.check_sequence(self.output)

    def test_wait_is_interrupted(self):
        process = self.start("interrupted")
        tool = self.ring[0].start_migrate(process, self.ring[1], "--wait")
        until(lambda: '"committed"' in read_text(tool.output) or not tool.alive(), "the move")
        moved = self.ring[1].find(process.pid)
        self.addCleanup(moved.kill)
        tool.send_signal(signal.SIGTERM)
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 0, f"{result}")
        self.assertIn("told to stop", result.last["wait_ended"])
        self.assertNotIn("exit_status", result.last)
        self.assertTrue(moved.alive())

    def test_report(self):
        process = self.start("report")
        report = self.ring.path("report.html")
        moved, result = self.move(process, self.ring[1], "--report", report)
        moved.kill()
        self.assertIn(f'data-key="downtime_us" data-value="{result.last["downtime_us"]}"', read_text(report))

    def test_several_at_once(self):
        programs = []
        for index in range(4):
            process = self.start(f"several{index}")
            programs.append((process, self.output, self.stop))
        tools = [(self.ring[0].start_migrate(process, self.ring[1]), output, stop)
                 for process, output, stop in programs]
        for tool, output, stop in tools:
            result = self.ring[0].finish_migrate(tool)
            self.assertEqual(result.exit, 0, f"{result}\n{self.ring[1].agent_tail()}")
            have = len(lines_of(output))
            until(lambda: len(lines_of(output)) > have + 3, "it counts on")
            with open(stop, "w"):
                pass
            result.process.wait_end(20)
            self.check_sequence(output)

    def test_agent_restart_keeps_what_was_moved(self):
        process = self.start("restart")
        moved, _ = self.move(process, self.ring[1])
        self.addCleanup(moved.kill)
        self.ring[1].restart_agent()
        have = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > have + 3, "it counts on under a new agent")
        back, _ = self.move(moved, self.ring[0])
        with open(self.stop, "w"):
            pass
        back.wait_end(20)
        self.check_sequence(self.output)

    def test_nothing_is_left(self):
        """After moves and the ends of their programs, neither host has more processes, cgroups or descriptors than
        before."""
        def residents():
            return [sorted(read_text(host.proc(p, "comm"), "").strip() for p in host.pids()) for host in self.ring.hosts]

        def descriptors():
            return [len(os.listdir(host.proc(host.agent.pid, "fd"))) for host in self.ring.hosts]
        before = [["crx-agent", "crx-front", "crx-signer", "python3"]] * 2  # the last one is init
        until(lambda: residents() == before, lambda: f"only {before} to begin with: {residents()}", 10)
        open_before = descriptors()
        for turn in range(3):
            process = self.start(f"left{turn}")
            moved, _ = self.move(process, self.ring[1])
            with open(self.stop, "w"):
                pass
            moved.wait_end(20)
        until(lambda: residents() == before, lambda: f"only {before} are left: {residents()}", 10)
        until(lambda: descriptors() == open_before, lambda: f"{open_before} descriptors: {descriptors()}", 10)
        for host in self.ring.hosts:
            until(lambda: not [d for d, _, _ in os.walk(host.cgroup) if d != host.cgroup],
                  lambda: f"no cgroups below {host.cgroup}: {list(os.walk(host.cgroup))}", 10)


if __name__ == "__main__":
    crxtest.main()
