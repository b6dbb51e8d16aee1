"""Many moves of one program in a ring, failed ones among them: nothing that the hosts or the program hold grows."""
import os
import random
import re
import select

import crxtest
from crxtest import read_text, until
from failing import FailureTest

TURNS = 1000 if crxtest.FULL else 40
WARM = 20        # turns after which everything that is made once has been made
SAMPLE = 20      # a sample every so many turns
GROWTH = 1.05    # the memory that a process may have, compared with the first sample
SLACK_KIB = 512  # the allocator's own steps

# Ways in which a move fails, or may fail: the move is stopped at a random moment, or a step of it fails.
FAULTS = ("kill the tool", "kill the worker", "kill the engine", "ask the tool to stop", "cut the time short",
          "fail in a hook", "fail before GO", "fail after GO")


class Soak(FailureTest):
    HOSTS = 3

    def soak_options(self, fault):
        """Returns (options of crx-migrate, its environment) for a fault."""
        if fault == "cut the time short":
            return ["--timeout", "0.05"], None
        if fault == "fail in a hook":
            return ["--hook", 'test "$CRX_STAGE" != frozen'], None
        if fault == "fail before GO":
            return [], {"CRX_FAULT_POINT": "source_group_frozen=error"}
        if fault == "fail after GO":
            return [], {"CRX_FAULT_POINT": "source_go_sent=kill"}
        return [], None

    def strike(self, fault, tool, after):
        """Does to a running move what the fault says, after so many seconds."""
        if fault not in FAULTS[:4]:
            return
        select.select([tool.pidfd], [], [], after)
        if fault == "kill the tool":
            tool.kill()
        elif fault == "ask the tool to stop":
            tool.send_signal(15)
        elif fault == "kill the worker":
            for pid in self.source.children(tool.pid)[:1]:
                self.kill_one(self.source, pid)
        elif fault == "kill the engine":
            for pid in self.target.children(self.target.agent.pid):
                if self.is_engine(pid):
                    self.kill_one(self.target, pid)

    def kill_one(self, host, pid):
        found = host.find(pid)
        if found:
            found.kill()

    def turn(self, dice, process, fault, whole):
        """Makes one move; returns the process where it runs."""
        options, env = self.soak_options(fault)
        tool = self.source.start_migrate(process, self.target, *options, env=env, verify=fault is None)
        self.strike(fault, tool, dice.uniform(0, whole * 1.1))
        result = self.source.finish_migrate(tool)
        context = f"{fault}: {result}\n{self.target.agent_tail()}\n{self.source.agent_tail()}"
        if fault is None:
            self.assertEqual(result.exit, 0, context)
            self.record.moves += 1
            return result.process
        where = self.check_once(process.pid, context)
        self.record.moves += where == self.target.name
        return next(host for host in self.ring.hosts if host.name == where).find(process.pid)

    # -- what is held

    def memory_kib(self, host, pid):
        """Returns the private memory of a process: what it alone would give back."""
        text = read_text(host.proc(pid, "smaps_rollup"), "")
        return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.M))

    def held_by(self, host, pid):
        """Returns what a process holds: {what: number}."""
        maps = read_text(host.proc(pid, "maps"), "").splitlines()
        return {"descriptors": len(os.listdir(host.proc(pid, "fd"))), "mappings": len(maps),
                "threads": len(os.listdir(host.proc(pid, "task")))}

    def agent_processes(self, host):
        """Returns the processes of crx-agent by name; engines and recoveries of sessions that are over must be gone."""
        pids = [host.agent.pid] + [p for p in host.children(host.agent.pid)
                                   if os.path.basename(crxtest.readlink_or_none(host.proc(p, "exe")) or "") == "crx-agent"]
        return {f"{host.name} {read_text(host.proc(p, 'comm'), '').strip()}": p for p in pids}

    def empty_groups(self, host):
        """Returns the control groups of crx that no process is in any more."""
        return [d for d, _, _ in os.walk(host.cgroup or "/nowhere") if os.path.basename(d).startswith("crx-") and
                "populated 0" in read_text(f"{d}/cgroup.events", "")]

    def sample(self, process):
        """Returns ({what: held}, {what: KiB}) of all hosts and of the program, once nothing is under way."""
        for host in self.ring.hosts:
            until(lambda h=host: not [n for n in self.agent_processes(h) if "engine" in n or "recovery" in n],
                  f"{host.name}: no session is open", 20)
            until(lambda h=host: "crx" not in h.run(["nft", "list", "tables"], check=False)[1],
                  f"{host.name}: no nftables table is left", 10)
            until(lambda h=host: not self.empty_groups(h), lambda h=host: f"groups are left: {self.empty_groups(h)}", 10)
        held, memory = {"program": self.held_by(process.host, process.pid)}, {}
        memory["program"] = self.memory_kib(process.host, process.pid)
        for host in self.ring.hosts:
            held[f"{host.name} processes"] = len(host.pids()) - (1 if host is process.host else 0)
            for name, pid in self.agent_processes(host).items():
                held[name] = {k: v for k, v in self.held_by(host, pid).items() if k != "mappings"}
                memory[name] = self.memory_kib(host, pid)
        return held, memory

    def test_ring(self):
        dice = random.Random(5)
        process = self.start()
        whole, at, first = 0.5, 0, None
        for turn in range(1, TURNS + 1):
            at = self.ring.hosts.index(process.host)
            self.source, self.target = self.ring[at], self.ring[at + 1]
            fault = dice.choice(FAULTS) if dice.random() < 0.3 else None
            process = self.turn(dice, process, fault, whole)
            if turn % SAMPLE != 0:
                continue
            held, memory = self.sample(process)
            if turn == WARM:
                first = held, memory
                continue
            self.assertEqual(held, first[0], f"after {turn} turns")
            for name, kib in memory.items():
                most = first[1][name] * GROWTH + SLACK_KIB
                self.assertLessEqual(kib, most, f"after {turn} turns the memory of {name} grew from {first[1][name]} KiB")
        grown = {name: f"{first[1][name]} -> {memory[name]} KiB" for name in memory}
        self.record.notes.append(f"{TURNS} turns in a ring of {self.HOSTS} hosts; private memory: {grown}")
        print(f"{dict(self.record.outcomes)}, {self.record.moves} moves, {grown} ", end="", flush=True)
        self.check_finish()


if __name__ == "__main__":
    crxtest.main()
