"""Nothing is left behind when tools die: control groups, nftables tables, file locks."""
import fcntl
import glob
import itertools
import os
import sys

import crxtest
from crxtest import CGROUP2, lines_of, read_text, until
from failing import FailureTest
from test_operator import OperatorTest

# Takes a lock of each kind on a file of its own, and numbers its lines.
LOCKER = """
import fcntl, os, struct, sys, time
base = sys.argv[1]
files = [open(f"{base}.{kind}", "w") for kind in ("posix", "flock", "ofd")]
fcntl.lockf(files[0], fcntl.LOCK_EX)
fcntl.flock(files[1], fcntl.LOCK_EX)
fcntl.fcntl(files[2], 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
number = 0
while not os.path.exists(base + ".stop"):
    print(number, flush=True)
    number += 1
    time.sleep(0.01)
"""

# The same with a write lease; says so when somebody breaks it.
LESSEE = """
import fcntl, os, signal, sys, time
base = sys.argv[1]
file = open(f"{base}.lease", "w")
signal.signal(signal.SIGRTMIN + 1, lambda *_: open(base + ".broken", "w").close())
fcntl.fcntl(file, 10, signal.SIGRTMIN + 1)  # F_SETSIG
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
number = 0
while not os.path.exists(base + ".stop"):
    print(number, flush=True)
    number += 1
    time.sleep(0.01)
"""


# The same with more locks than a journal has room for.
MANY = """
import fcntl, os, sys, time
base = sys.argv[1]
file = open(f"{base}.many", "w")
for i in range(1000):
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * i)
number = 0
while not os.path.exists(base + ".stop"):
    print(number, flush=True)
    number += 1
    time.sleep(0.01)
"""


def is_leased(path):
    """Whether somebody has a lease of the file (proc_locks(5)); does not break it."""
    number = f":{os.stat(path).st_ino} "
    return any("LEASE" in line and number in line for line in read_text("/proc/locks").splitlines())


class Groups(FailureTest):
    def groups(self, host):
        return glob.glob(f"{host.cgroup}/**/crx-*", recursive=True)

    def no_groups(self, host, context=""):
        until(lambda: not self.groups(host), lambda: f"{host.name} has {self.groups(host)}\n{context}", 10)

    def test_engine_killed(self):
        self.target.restart_agent(env={"CRX_FAULT_POINT": "destination_prepared=kill"})
        self.addCleanup(self.target.restart_agent)
        process = self.start()
        result = self.source.finish_migrate(self.source.start_migrate(process, self.target))
        self.assertEqual(result.exit, 1, f"{result}")
        self.no_groups(self.target, f"{result}")
        self.check_finish()

    def test_agent_restarted(self):
        process = self.start()
        result = self.source.finish_migrate(self.source.start_migrate(process, self.target))
        self.assertEqual(result.exit, 0, f"{result}")
        self.target.restart_agent()
        self.check_finish()
        self.no_groups(self.target)

    def test_agent_killed_with_its_engine(self):
        self.target.restart_agent(env={"CRX_FAULT_POINT": "destination_prepared=stop"})
        process = self.start()
        tool = self.source.start_migrate(process, self.target)
        until(lambda: self.groups(self.target), "the engine has made its group")
        until(lambda: "stop at destination_prepared" in read_text(self.target.agent_log), "the engine has stopped")
        self.target.restart_agent()
        self.source.finish_migrate(tool)
        self.no_groups(self.target)
        self.check_finish()


class Recovered(OperatorTest):
    numbers = itertools.count()

    def killed_at(self, step, *options, process=None):
        process, tool, worker, guard = self.stop_at(step, *options, process=process)
        for each in (tool, guard, worker):
            each.kill()
        worker.wait_end(10)
        return process

    def test_homes(self):
        """Processes of a tree whose crx-migrate was killed come back to the control groups that they came from."""
        if not CGROUP2:
            self.skipTest("no cgroup v2")
        tree = self.source.spawn(["sh", "-c", "sleep 1000 & wait"])
        self.addCleanup(tree.kill)
        child = until(lambda: [self.source.find(p) for p in self.source.children(tree.pid)], "the child is there")[0]
        self.addCleanup(child.kill)
        os.mkdir(f"{self.source.cgroup}/of-the-child")
        child.enter_cgroup(f"{self.source.cgroup}/of-the-child")
        before = [read_text(p.proc("cgroup")) for p in (tree, child)]
        self.killed_at("source_go_journalled", process=tree)
        self.assertNotEqual([read_text(p.proc("cgroup")) for p in (tree, child)], before)
        self.source.start_agent()
        until(lambda: [read_text(p.proc("cgroup")) for p in (tree, child)] == before,
              lambda: f"{[read_text(p.proc('cgroup')) for p in (tree, child)]} instead of {before}")

    def start_locker(self, program=LOCKER):
        base = self.ring.path(f"locker-{self.id()}-{next(self.numbers)}")
        process = self.source.spawn([sys.executable, "-c", program, base], stdout=f"{base}.out")
        self.addCleanup(process.kill)
        until(lambda: len(lines_of(f"{base}.out")) > 3, "the program counts")
        return process, base

    def runs_on(self, process, base):
        """Checks that the program runs, has lost no line, and ends, and that nothing else is left."""
        seen = len(lines_of(f"{base}.out"))
        until(lambda: len(lines_of(f"{base}.out")) > seen + 5, "the program runs on")
        with open(f"{base}.stop", "w"):
            pass
        process.wait_end(10)
        numbers = [int(line) for line in lines_of(f"{base}.out")]
        self.assertEqual(numbers, list(range(len(numbers))))
        self.nothing_is_left(base)

    def held(self, base):
        """Returns the kinds of the locks that somebody has."""
        held = []
        for kind in ("posix", "flock", "ofd"):
            with open(f"{base}.{kind}", "r+") as file:
                try:
                    (fcntl.flock if kind == "flock" else fcntl.lockf)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(kind)
        return held

    def test_locks_are_taken_back(self):
        process, base = self.start_locker()
        self.assertEqual(self.held(base), ["posix", "flock", "ofd"])
        self.target.restart_agent(env={"CRX_FAULT_POINT": "destination_go=error"})
        self.addCleanup(self.target.restart_agent)
        self.killed_at("source_go_sent", "--file-locks", process=process)
        until(lambda: not self.held(base), "the locks have been released")
        self.source.start_agent()
        until(lambda: self.held(base) == ["posix", "flock", "ofd"], lambda: self.source.agent_tail())
        self.runs_on(process, base)

    def test_the_guard_takes_locks_back(self):
        """Only the worker is killed, after POSIX locks were released and before GO; there is no agent."""
        for step in ("source_locks_released", "source_group_frozen"):
            process, base = self.start_locker()
            _, tool, worker, _ = self.stop_at(step, "--file-locks", process=process)
            self.assertEqual(self.held(base), ["flock", "ofd"])
            worker.kill()
            result = self.source.finish_migrate(tool)
            self.assertEqual((result.exit, result.last["event"]), (1, "failed"), f"{result}")
            self.assertEqual(self.held(base), ["posix", "flock", "ofd"], f"{step}: {result}")
            self.runs_on(process, base)

    def test_the_guard_does_not_thaw_without_a_lock(self):
        process, base = self.start_locker()
        _, tool, worker, _ = self.stop_at("source_group_frozen", "--file-locks", process=process)
        with open(f"{base}.posix", "r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            seen = len(lines_of(f"{base}.out"))
            worker.kill()
            result = self.source.finish_migrate(tool, 60)
            self.assertEqual(result.exit, 4, f"{result}")
            self.assertIn("was taken by somebody else meanwhile", result.last["message"])
            self.assertTrue(self.frozen(process))
            self.assertEqual(len(lines_of(f"{base}.out")), seen)
        self.source.start_agent()
        until(lambda: len(lines_of(f"{base}.out")) > seen, lambda: self.source.agent_tail())
        self.assertEqual(self.held(base), ["posix", "flock", "ofd"])
        self.runs_on(process, base)

    def test_leases_are_taken_back(self):
        process, base = self.start_locker(LESSEE)
        self.target.restart_agent(env={"CRX_FAULT_POINT": "destination_go=error"})
        self.addCleanup(self.target.restart_agent)
        self.killed_at("source_go_sent", "--file-locks", process=process)
        self.assertFalse(is_leased(f"{base}.lease"))
        self.source.start_agent()
        # The control group is thawed before: ptrace stops the program until it has the lease again.
        until(lambda: is_leased(f"{base}.lease"), lambda: self.source.agent_tail())
        with self.assertRaises(BlockingIOError):
            os.open(f"{base}.lease", os.O_RDONLY | os.O_NONBLOCK)
        until(lambda: os.path.exists(f"{base}.broken"), "the program is told that its lease is broken")
        self.runs_on(process, base)

    def test_too_many_locks(self):
        """The tree stays frozen until a human thaws it."""
        process, base = self.start_locker(MANY)
        self.killed_at("source_group_frozen", "--file-locks", process=process)
        said = len(read_text(self.source.agent_log))
        self.source.start_agent()
        until(lambda: "they were too many for its journal" in read_text(self.source.agent_log)[said:], "the agent says so")
        self.assertTrue(self.frozen(process), self.source.agent_tail())
        crxtest.thaw_all(self.source.cgroup)
        self.source.restart_agent()
        until(lambda: not self.groups_of_originals(), lambda: self.source.agent_tail())
        self.runs_on(process, base)

    def test_a_lock_of_somebody_else(self):
        self.lock_of_somebody_else("source_go_journalled")

    def test_a_lock_of_somebody_else_before_go(self):
        self.lock_of_somebody_else("source_group_frozen")

    def lock_of_somebody_else(self, step):
        process, base = self.start_locker()
        self.killed_at(step, "--file-locks", process=process)
        said = len(read_text(self.source.agent_log))
        with open(f"{base}.posix", "r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            seen = len(lines_of(f"{base}.out"))
            self.source.start_agent()
            until(lambda: "was taken by somebody else meanwhile" in read_text(self.source.agent_log)[said:], "the agent says so", 20)
            self.assertTrue(self.frozen(process), self.source.agent_tail())
            self.assertEqual(len(lines_of(f"{base}.out")), seen)
        self.source.restart_agent()
        until(lambda: len(lines_of(f"{base}.out")) > seen + 5, lambda: self.source.agent_tail())
        self.assertEqual(self.held(base), ["posix", "flock", "ofd"])
        self.runs_on(process, base)


del OperatorTest
if __name__ == "__main__":
    crxtest.main()
