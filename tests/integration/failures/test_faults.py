"""A fault at each step of each phase, on either side, over a tree of processes and threads: the tree runs in exactly one
place within 30 s without anybody's help, no number is missing or comes twice, and nothing is left behind. All faults at
all steps with --full, a selection otherwise."""
import os
import random
import signal

import crxtest
from crxtest import lines_of, read_text, until
from failing import FailureTest

SOURCE = ("source_greeted", "source_cleared", "source_gathered", "source_tracking", "source_round", "source_frozen",
          "source_state_sent", "source_memory_sent", "source_prepared", "source_locks_released", "source_group_frozen",
          "source_go_journalled", "source_go_sent", "source_verdict", "source_original_end",
          "source_final_record")
DESTINATION = ("destination_greeted", "destination_surveyed", "destination_layout", "destination_round",
               "destination_building", "destination_prepared", "destination_go", "destination_group_frozen",
               "destination_resuming", "destination_released", "destination_resumed", "destination_thawed",
               "destination_answered")
# The process at the step does this to itself.
OWN = ("kill", "error", "nospace", "nomemory")
# The process at the step is stopped; this happens, and then it goes on.
OUTSIDE = ("peer_killed", "all_killed", "link_cut", "link_stalled", "child_killed", "forks", "execs")
SAMPLE = 24  # cases without --full

RESET = """table ip cut {
  chain output {
    type filter hook output priority 0; policy accept;
    tcp dport %(port)d reject with tcp reset
    tcp sport %(port)d reject with tcp reset
  }
}
"""


class Faults(FailureTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("counters")

    def start_family(self):
        type(self).number += 1
        self.base = self.ring.path(f"family{self.number}")
        os.makedirs(f"{self.base}.d")
        self.prefix, self.stop = f"{self.base}.d/out", f"{self.base}.stop"
        self.output = f"{self.prefix}.0"
        process = self.source.spawn([self.program, self.prefix, self.stop], stdout=f"{self.base}.log")
        self.addCleanup(self.end_family)
        until(lambda: all(len(lines_of(f"{self.prefix}.{i}")) > 3 for i in range(6)), "the family starts")
        return process

    def members(self, host):
        """Returns the processes of the family on a host."""
        found = [host.find(pid) for pid in host.pids()
                 if read_text(host.proc(pid, "cmdline"), "").startswith(f"{self.program}\0{self.prefix}\0")]
        return [process for process in found if process]

    def end_family(self):
        for host in self.ring.hosts:
            crxtest.thaw_all(host.cgroup)
            members = self.members(host)
            for process in members:
                process.kill()
            for process in members:
                process.wait_end(10)

    def check_numbers(self, context):
        """Every living thread goes on; then the family ends, and no file has a gap or a repetition."""
        files = sorted(name for name in os.listdir(os.path.dirname(self.prefix)))
        have = {name: len(lines_of(f"{self.base}.d/{name}")) for name in files}
        dead = {"out.2", "out.3"} if self.child_dies else set()
        until(lambda: all(len(lines_of(f"{self.base}.d/{name}")) > have[name] for name in files if name not in dead),
              lambda: f"all threads go on: {have}, now { {n: len(lines_of(f'{self.base}.d/{n}')) for n in files} }\n{context}")
        with open(self.stop, "w"):
            pass
        until(lambda: read_text(f"{self.base}.log", "").endswith("\n"), f"the verdict of the family\n{context}")
        self.assertEqual(read_text(f"{self.base}.log"), "PASS\n", context)
        for name in sorted(os.listdir(os.path.dirname(self.prefix))):
            numbers = [int(line) for line in lines_of(f"{self.base}.d/{name}")]
            self.assertEqual(numbers, list(range(len(numbers))), f"{name}\n{context}")

    # -- what happens while the process at the step is stopped

    def engine(self):
        for pid in self.target.children(self.target.agent.pid):
            if self.is_engine(pid):
                return self.target.find(pid)
        return None

    def tool_family(self, tool):
        return [tool] + [found for found in map(self.source.find, self.source.children(tool.pid)) if found]

    def kill_all(self, processes):
        for process in reversed([p for p in processes if p]):
            process.kill()

    def happen(self, what, side, process, tool, at_step):
        """Lets it happen; at_step: the stopped process."""
        if what == "peer_killed":
            self.kill_all([self.engine()] if side == "source" else self.tool_family(tool))
        elif what == "all_killed" and side == "source":
            self.kill_all(self.tool_family(tool))
        elif what == "all_killed":
            self.target.kill_agent()
            self.target.start_agent()
        elif what == "link_cut":
            rules = self.ring.path("cut.nft")
            with open(rules, "w") as file:
                file.write(RESET % {"port": self.target.agent_port})
            self.source.run(["nft", "-f", rules])
            # A stopped process sends nothing; the reset comes once it, or the other side, does.
            at_step.send_signal(signal.SIGCONT)
            crxtest.time.sleep(1)
            self.source.run(["nft", "delete", "table", "ip", "cut"])
        elif what == "link_stalled":
            self.source.run(["ip", "link", "set", "eth0", "down"])
            at_step.send_signal(signal.SIGCONT)
            crxtest.time.sleep(2)
            self.source.run(["ip", "link", "set", "eth0", "up"])
        elif what == "child_killed":
            self.child_dies = True
            children = [p for p in self.members(self.source) if p.pid != process.pid]
            (children or [process])[0].kill()
        elif what == "forks":
            process.send_signal(signal.SIGUSR1)
        elif what == "execs":
            process.send_signal(signal.SIGUSR2)
        if at_step:
            at_step.send_signal(signal.SIGCONT)

    def stopped(self, side, tool):
        """Returns the process that has stopped itself at the step."""
        def look():
            candidates = self.tool_family(tool) if side == "source" else [self.engine()]
            self.at_step = next((p for p in candidates if p and p.state() == "T"), None)
            return self.at_step
        until(look, lambda: f"a process is stopped at the step: {self.target.agent_tail()} {read_text(tool.errors)}", 10)
        return self.at_step

    def check_fault(self, side, step, action):
        self.child_dies = False
        env = {"CRX_FAULT_POINT": f"{step}={action if action in OWN else 'stop'}"}
        if side == "destination":
            self.target.kill_agent()
            self.target.start_agent(env=env)
            self.addCleanup(self.target.restart_agent)
        process = self.start_family()
        seen = len(read_text(self.target.agent_log, "")) if side == "destination" else 0
        tool = self.source.start_migrate(process, self.target, env=env if side == "source" else None)
        log = tool.errors if side == "source" else self.target.agent_log
        until(lambda: f" at {step}" in read_text(log, "")[seen:] or not tool.alive(), f"{step} is reached", 30)
        if action not in OWN:
            self.happen(action, side, process, tool, self.stopped(side, tool))
        tool.wait_end(90)
        result = self.source.finish_migrate(tool)
        context = f"{action} at {step}: {result}\n{self.target.agent_tail()}\n{self.source.agent_tail()}"
        self.assertIn(f" at {step}", read_text(log, "")[seen:], f"the step was not reached\n{context}")
        where = self.check_once(process.pid, context)
        if result.exit in (0, 1, 3):
            self.assertEqual(where, self.target.name if result.exit == 0 else self.source.name, context)
        self.check_numbers(context)
        self.nothing_is_left(context)


def add_tests():
    cases = [("source", step, action) for step in SOURCE for action in OWN + OUTSIDE]
    cases += [("destination", step, action) for step in DESTINATION for action in OWN + OUTSIDE]
    if not crxtest.FULL:
        cases = random.Random(6).sample(cases, SAMPLE)
    for side, step, action in cases:
        setattr(Faults, f"test_{step}_{action}", lambda self, c=(side, step, action): self.check_fault(*c))


add_tests()
if __name__ == "__main__":
    crxtest.main()
