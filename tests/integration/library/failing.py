"""The common part of the failure tests: a counting program, and checks of where it runs."""
import glob
import os
import sys

import crxtest
from crxtest import lines_of, read_text, state_of, until
from record import Record


class FailureTest(crxtest.RingTest):
    HOSTS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("counter", "-rdynamic")
        cls.library = cls.ring.compile("library", "-shared", "-fPIC", "-Wl,--build-id", output="libvictim.so")
        cls.other = cls.ring.compile("library", "-shared", "-fPIC", "-Wl,--build-id", "-DOTHER", output="other.so")
        cls.number = 0
        cls.record = Record(os.path.splitext(os.path.basename(sys.argv[0]))[0])
        cls.addClassCleanup(cls.record.save)

    def setUp(self):
        self.source, self.target = self.ring[0], self.ring[1]
        for host in self.ring.hosts:
            if host.agent is None or not host.agent.alive():
                host.restart_agent()

    def start(self, ghost_kib=64, library=None, ghost_dir=None):
        type(self).number += 1
        self.base = self.ring.path(f"counter{self.number}")
        self.ghosts = ghost_dir or f"{self.base}.ghosts"
        os.makedirs(self.ghosts, exist_ok=True)
        os.makedirs(f"{self.base}.d")
        self.output, self.stop = f"{self.base}.d/out", f"{self.base}.stop"
        arguments = [self.program, self.output, self.stop, self.ghosts, str(ghost_kib)]
        process = self.source.spawn(arguments + ([library] if library else []), stdout=f"{self.base}.log")
        self.addCleanup(self.end_everywhere, process.pid)
        self.wait_progress("the counter starts")
        return process

    def end_everywhere(self, pid):
        for host in self.ring.hosts:
            crxtest.thaw_all(host.cgroup)
            process = host.find(pid)
            if process and read_text(process.proc("cmdline"), "").startswith(self.program):
                process.kill()
                process.wait_end(10)

    def count(self):
        return len(lines_of(self.output))

    def wait_progress(self, what):
        have = self.count()
        until(lambda: self.count() >= have + 5, f"{what}: no progress beyond {have} lines")

    def copies(self, pid):
        """Returns {host name: process} of all existing copies, running or not."""
        found = {}
        for host in self.ring.hosts:
            process = host.find(pid)
            if process and read_text(process.proc("cmdline"), "").startswith(self.program + "\0"):
                found[host.name] = process
        return found

    def frozen(self, process):
        """Returns whether the cgroup of the process is frozen."""
        for line in read_text(process.proc("cgroup"), "").splitlines():
            hierarchy, controllers, path = line.split(":", 2)
            if hierarchy == "0" and crxtest.CGROUP2:
                if read_text(f"{crxtest.CGROUP2}{path}/cgroup.events", "").find("frozen 1") >= 0:
                    return True
            if "freezer" in controllers.split(","):
                if read_text(f"/sys/fs/cgroup/freezer{path}/freezer.state", "").strip() == "FROZEN":
                    return True
        return False

    def check_once(self, pid, context):
        """Checks the rule of all failures, once the agents of both hosts run: the program runs in exactly one place,
        without anybody's help. Returns the name of that host."""
        have = self.count()
        try:
            # A moment of the cutover has frozen copies on both hosts; wait until one of them is gone.
            until(lambda: self.count() >= have + 5 and len(self.copies(pid)) == 1,
                  lambda: f"{pid} runs: {self.describe(pid)}\n{context}", 30)
        except crxtest.Timeout:
            running = [name for name, p in self.copies(pid).items() if not self.frozen(p)]
            self.record.bad["lost" if not self.copies(pid) else "doubled" if len(running) > 1 else "unresolved"] += 1
            raise
        running = [name for name, p in self.copies(pid).items() if not self.frozen(p)]
        self.assertEqual(len(running), 1, f"{pid} does not run in one place: {self.describe(pid)}\n{context}")
        self.record.fault("runs at the source" if running[0] == self.source.name else "runs at the destination")
        return running[0]

    def nothing_is_left(self, context):
        try:
            self.wait_clean(context)
        except crxtest.Timeout:
            self.record.bad["leaked"] += 1
            raise

    def wait_clean(self, context):
        for host in self.ring.hosts:
            until(lambda h=host: not [t for t in h.run(["nft", "list", "tables"], check=False)[1].splitlines() if "crx" in t],
                  f"{host.name}: no nftables table is left\n{context}", 10)
        until(lambda: not self.groups_of_originals(), lambda: f"groups of originals are left: {self.groups_of_originals()}\n{context}",
              10)
        until(lambda: not self.unfinished(), lambda: f"every session is finished: {self.unfinished()}\n{context}", 10)

    def unfinished(self):
        """Returns what `crx-agent --list` prints on all hosts."""
        return "".join(host.run([f"{crxtest.BIN}/crx-agent", "--list", "--json", "--store", f"{host.dir}/state", "--state",
                                 f"{host.dir}/state"])[1] for host in self.ring.hosts).strip()

    def groups_of_originals(self):
        """Returns the cgroups in which originals of this ring's sessions were stopped; those of trees that were moved here
        go with the agent that made them."""
        sessions = {name[:16] for host in self.ring.hosts for name in os.listdir(f"{host.dir}/state/journal")}
        return [group for group in glob.glob("/sys/fs/cgroup/**/crx-*-src", recursive=True)
                if os.path.basename(group)[4:20] in sessions]

    def is_engine(self, pid):
        """Whether it is an engine at the destination, and not a process that an engine is building."""
        return (read_text(self.target.proc(pid, "comm"), "").strip() == "crx-engine" and
                "TracerPid:\t0\n" in read_text(self.target.proc(pid, "status"), ""))

    def describe(self, pid):
        return {name: (p.state(), "frozen" if self.frozen(p) else "not frozen",
                       [line for line in read_text(p.proc("status"), "").splitlines() if line.startswith("Tracer")])
                for name, p in self.copies(pid).items()}

    def check_finish(self, context=""):
        """Ends the counter; its numbers must have no gap and no repetition, and its own checks must pass."""
        with open(self.stop, "w"):
            pass
        until(lambda: read_text(f"{self.base}.log", "").endswith("\n"), f"the counter's verdict\n{context}")
        self.assertEqual(read_text(f"{self.base}.log"), "PASS\n", context)
        numbers = [int(line) for line in lines_of(self.output)]
        self.assertEqual(numbers, list(range(len(numbers))), context)

    def check_unharmed(self, process, before, result, exits, *words):
        """Checks that the move failed with one of `exits` and a message with all `words`, and that the process is
        unchanged and runs."""
        self.assertIn(result.exit, exits, f"{result}\n{self.target.agent_tail()}")
        message = result.stderr.lower()
        for word in words:
            self.assertIn(word.lower(), message, f"{result}")
        last = result.last
        self.assertEqual(last.get("event"), "failed", f"{result}")
        self.wait_progress(f"after the failed move: {result}")
        after = state_of(process)
        self.assertEqual([f"- {line}" for line in before if line not in after] +
                         [f"+ {line}" for line in after if line not in before], [], f"what the failed move left: {result}")
        self.assertEqual(list(self.copies(process.pid)), [self.source.name], f"{result}")
        self.record.fault("refused, unchanged at the source" if result.exit == 3 else "failed, unchanged at the source")
