"""--timeout, SIGTERM and Ctrl-C end crx-migrate and crx-dump also when a file lies on storage that does not answer; a program in
a frozen control group is refused at once."""
import os
import signal
import sys
import time

import crxtest
from crxtest import BIN, CGROUP2, PROGRAMS, lines_of, read_text, until

READER = ("import os, sys, time\nfile = open(sys.argv[1])\nnumber = 0\n"
          "while not os.path.exists(sys.argv[2]):\n    print(number, flush=True)\n    number += 1\n    time.sleep(0.01)\n")
LONGEST = 25  # the time-out, the ten seconds that a rollback may take, and a slow machine


class Stuck(crxtest.RingTest):
    HOSTS = 2

    def setUp(self):
        self.source, self.target = self.ring[0], self.ring[1]
        base = self.ring.path(self.id())
        os.mkdir(f"{base}.d")
        self.server = self.source.spawn([sys.executable, f"{PROGRAMS}/stuckfs.py", f"{base}.d"], stdout=f"{base}.server")
        self.addCleanup(self.source.run, ["umount", "-l", f"{base}.d"], check=False)
        self.addCleanup(self.server.kill)
        until(lambda: "ready" in read_text(f"{base}.server"), "the file system is mounted")
        self.output, self.stop = f"{base}.out", f"{base}.stop"
        self.process = self.source.spawn([sys.executable, "-c", READER, f"{base}.d/file", self.stop], stdout=self.output)
        self.addCleanup(self.process.kill)
        until(lambda: len(lines_of(self.output)) > 3, "the program counts")
        self.server.send_signal(signal.SIGSTOP)

    def check_runs_on(self):
        seen = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > seen + 5, "the program runs on")
        self.server.send_signal(signal.SIGCONT)
        with open(self.stop, "w"):
            pass
        self.process.wait_end(10)
        numbers = [int(line) for line in lines_of(self.output)]
        self.assertEqual(numbers, list(range(len(numbers))))

    def is_stuck(self, tool):
        """Whether a process of the tool waits for the file system."""
        return any("fuse" in read_text(self.source.proc(pid, "stack"), "") or
                   "request_wait_answer" in read_text(self.source.proc(pid, "wchan"), "")
                   for pid in self.source.children(tool.pid))

    def test_timeout(self):
        began = time.monotonic()
        tool = self.source.start_migrate(self.process, self.target, "--timeout", "1")
        result = self.source.finish_migrate(tool, LONGEST)
        self.assertLess(time.monotonic() - began, LONGEST)
        self.assertEqual((result.exit, result.last["event"]), (1, "failed"), f"{result}")
        self.assertIn("storage that does not answer", result.stderr)
        self.check_runs_on()

    def test_sigterm(self):
        tool = self.source.start_migrate(self.process, self.target)
        until(lambda: self.is_stuck(tool), "crx-migrate waits for the file system")
        tool.send_signal(signal.SIGTERM)
        result = self.source.finish_migrate(tool, LONGEST)
        self.assertEqual((result.exit, result.last["event"]), (1, "failed"), f"{result}")
        self.check_runs_on()

    def test_dump(self):
        errors = self.ring.path("dump.err")
        tool = self.source.spawn([f"{BIN}/crx-dump", "-t", self.process.pid, "-D", self.ring.path("dump"), "-R"], stdout=errors)
        until(lambda: self.is_stuck(tool), "crx-dump waits for the file system")
        tool.send_signal(signal.SIGINT)
        self.assertEqual(tool.wait(LONGEST), 1, read_text(errors))
        self.assertIn("storage that does not answer", read_text(errors))
        self.check_runs_on()

    def test_dump_of_a_frozen_program(self):
        """crx-dump is killed as it hangs: the group that it has thawed is frozen again."""
        if not CGROUP2:
            self.skipTest("no cgroup v2")
        group = f"{self.source.cgroup}/paused"
        os.mkdir(group)
        self.process.enter_cgroup(group)

        def freeze(value):
            with open(f"{group}/cgroup.freeze", "w") as state:
                state.write(value)
        freeze("1")
        self.addCleanup(freeze, "0")
        tool = self.source.spawn([f"{BIN}/crx-dump", "-t", self.process.pid, "-D", self.ring.path("frozen-dump"), "-R", "--thaw"])
        until(lambda: self.is_stuck(tool), "crx-dump waits for the file system")
        self.assertIn("frozen 0", read_text(f"{group}/cgroup.events"))
        tool.send_signal(signal.SIGINT)
        self.assertEqual(tool.wait(LONGEST), 1)
        until(lambda: "frozen 1" in read_text(f"{group}/cgroup.events"), "the program is frozen again")
        freeze("0")
        self.check_runs_on()


class Frozen(crxtest.RingTest):
    HOSTS = 2

    def frozen(self, group, file, freeze, thaw, fault=""):
        host = self.ring[0]
        os.makedirs(group)
        process = host.spawn(["sleep", "1000"])
        self.addCleanup(os.rmdir, group)
        self.addCleanup(process.wait_end, 10)
        self.addCleanup(process.kill)
        process.enter_cgroup(group)

        def write(value):
            with open(f"{group}/{file}", "w") as state:
                state.write(value)
        write(freeze)
        self.addCleanup(write, thaw)
        result = host.migrate(process, self.ring[1], timeout=30)
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertRegex(result.stderr, rf"pid {process.pid}: is in the frozen control group \S*/{os.path.basename(group)}; thaw that first "
                         r"\(unpause the container\), or use --thaw")
        code, text = host.run([f"{BIN}/crx-dump", "-t", process.pid, "-D", self.ring.path("set"), "-R"], check=False, timeout=30)
        self.assertEqual(code, 3, text)
        self.assertIn("is in the frozen control group", text)
        code, text = host.run([f"{BIN}/crx-dump", "-t", process.pid, "-D", self.ring.path("thawed-set"), "-R", "--thaw"])
        self.is_frozen(process)
        result = host.migrate(process, self.ring[1], "--thaw", "--hook", "[ $CRX_STAGE != prepared ]")
        self.assertEqual(result.exit, 1, f"{result}")
        self.is_frozen(process)
        result = host.finish_migrate(host.start_migrate(process, self.ring[1], "--thaw",
                                                        env={"CRX_FAULT_POINT": "source_round=kill"}))
        self.assertEqual(result.exit, 1, f"{result}")
        self.is_frozen(process)
        if fault:
            self.ring[1].restart_agent(env={"CRX_FAULT_POINT": fault})
            self.addCleanup(self.ring[1].restart_agent)
        moved, _ = self.move(process, self.ring[1], "--thaw")
        self.is_frozen(moved)
        self.assertRegex(read_text(self.ring[1].agent_log), "stays (so|frozen) in the control group")
        with open(f"{group}/{file}") as state:
            self.assertIn(state.read().strip(), (freeze, "FREEZING"))
        moved.kill()

    def is_frozen(self, process):
        """Whether the process is in a frozen group: it takes a signal and does nothing about it."""
        process.send_signal(signal.SIGCONT)
        until(lambda: "frozen 1" in self.groups_of(process) or "FROZEN" in self.groups_of(process),
              lambda: f"{process.pid} is not frozen: {self.groups_of(process)}", 10)

    def groups_of(self, process):
        text = ""
        for line in read_text(process.proc("cgroup"), "").splitlines():
            hierarchy, controllers, path = line.split(":", 2)
            if hierarchy == "0" and CGROUP2:
                text += read_text(f"{CGROUP2}{path}/cgroup.events", "")
            if "freezer" in controllers.split(","):
                text += read_text(f"/sys/fs/cgroup/freezer{path}/freezer.state", "")
        return text

    def test_version_2(self):
        if not CGROUP2:
            self.skipTest("no cgroup v2")
        self.frozen(f"{self.ring[0].cgroup}/paused", "cgroup.freeze", "1", "0")

    def test_engine_killed(self):
        """The engine dies after the decision, and the supervisor finishes the session."""
        if not CGROUP2:
            self.skipTest("no cgroup v2")
        self.frozen(f"{self.ring[0].cgroup}/paused", "cgroup.freeze", "1", "0", "destination_released=kill")

    def test_version_1(self):
        top = "/sys/fs/cgroup/freezer"
        if not os.path.exists(f"{top}/cgroup.procs"):
            self.skipTest("no v1 freezer")
        self.frozen(f"{top}/crxtest-paused-{os.getpid()}", "freezer.state", "FROZEN", "THAWED")


if __name__ == "__main__":
    crxtest.main()
