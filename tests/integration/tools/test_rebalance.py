"""crx-rebalance over three hosts with a dozen programs: plans, an interruption, a host that dies, drain, a death of its own.
Programs that run twice or get lost show up in the numbers that they write."""
import json
import os
import signal
import subprocess

import crxtest
from crxtest import lines_of, read_text, until

SIZES = (4, 4, 4, 4, 8, 8, 8, 12, 12, 16, 16, 16)  # MiB of each program
REFUSES = 11  # the index of the program that holds a pipe to the test


class Rebalance(crxtest.RingTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("tally")

    def setUp(self):
        self.stages = crxtest.Stages(self.ring)
        self.dir = self.stages.dir
        self.stop = f"{self.dir}/end"
        self.state = f"{self.dir}/history"
        self.outputs = []
        self.plans = 0

    # -- the cluster

    def write_inventory(self, services=None, policy=""):
        """Hosts are reached by entering their namespaces; a host with a file NAME.dead is not reached at all."""
        text = ""
        for host in self.ring.hosts:
            enter = (f"[ ! -e {self.dir}/{host.name}.dead ] || exit 255; "
                     f"exec nsenter --target {host.init} -n -p -m -u -i -C -T -- \"$@\"")
            text += (f"[hosts.{host.name}]\naddress = \"{host.address}:{host.agent_port}\"\n"
                     f"reach = {json.dumps(['sh', '-c', enter, 'enter'])}\nmigrate = \"{crxtest.BIN}/crx-migrate\"\n"
                     f"state = \"{host.dir}/state\"\ntls-dir = \"{host.tls}\"\nmemory = \"160M\"\n")
        hook = json.dumps(["--hook", self.stages.command, "--hook-timeout", "60000"])
        text += services or f"[services.tally]\ncommand = \"{self.dir}/\"\ninstances = {len(SIZES)}\noptions = {hook}\n"
        text += f"[policy]\nthreshold = 12\ntarget = 6\n{policy}"
        self.inventory = f"{self.dir}/inventory.toml"
        with open(self.inventory, "w") as file:
            file.write(text)

    def start_program(self, host, size=1, stdin=None):
        output = f"{self.dir}/tally{len(self.outputs)}"
        self.outputs.append(output)
        process = host.spawn([self.program, output, self.stop, str(size)], stdin=stdin)
        until(lambda: lines_of(output), "the program counts")
        return process

    def start_tool(self, verb, *words):
        self.errors = f"{self.dir}/errors"
        with open(self.errors, "w") as errors:
            return subprocess.Popen([f"{crxtest.BIN}/crx-rebalance", verb, "--inventory", self.inventory, "--state", self.state,
                                     "--json", *words], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)

    def finish_tool(self, tool, code):
        """Returns the objects that it printed."""
        output, _ = tool.communicate(timeout=120)
        self.assertIn(tool.returncode, [code] if code is not None else [0, 4], f"{output}\n{read_text(self.errors)}")
        return [json.loads(line) for line in output.splitlines()]

    def tool(self, verb, *words, code=0):
        return self.finish_tool(self.start_tool(verb, *words), code)

    def plan(self, *words, code=0):
        self.plans += 1
        self.plan_file = f"{self.dir}/plan{self.plans}"
        return self.tool("plan", "--output", self.plan_file, *words, code=code)[-1]

    def records(self, event):
        return [record for record in map(json.loads, lines_of(f"{self.state}/history.jsonl")) if record["event"] == event]

    def places(self):
        """{output: [names of the hosts on which its program runs]}."""
        found = {}
        for host in self.ring.hosts:
            for pid in host.pids():
                words = read_text(host.proc(pid, "cmdline"), "").split("\0")
                if words[0] == self.program and words[1] in self.outputs:
                    found.setdefault(words[1], []).append(host.name)
        return found

    def on(self, host):
        return [output for output, hosts in self.places().items() if host.name in hosts]

    def check_all_run(self):
        """Every program runs once, and makes progress."""
        have = {output: len(lines_of(output)) for output in self.outputs}
        until(lambda: all(len(lines_of(output)) > have[output] for output in self.outputs), "all programs count", 20)
        self.assertEqual({output: len(hosts) for output, hosts in self.places().items()}, dict.fromkeys(self.outputs, 1))

    def check_numbers(self):
        """Ends all programs; no number may be missing or be there twice."""
        with open(self.stop, "w"):
            pass
        for output in self.outputs:
            until(lambda: lines_of(output)[-1:] == ["end"], f"{output} ends", 20)
            count = len(lines_of(output)) - 1
            self.assertEqual(lines_of(output)[:-1], [str(number) for number in range(count)])

    def set_link(self, host, state):
        subprocess.run(["nsenter", f"--net=/proc/{self.ring.switch.init}/ns/net", "ip", "link", "set", host.name, state], check=True)

    def kill_host(self, host):
        """Its agent dies with all that it is building, and nothing reaches the host any more. Its programs run on, so that the test
        can tell what has become of them."""
        open(f"{self.dir}/{host.name}.dead", "w").close()
        host.kill_agent()
        self.set_link(host, "down")

    def revive_host(self, host):
        os.unlink(f"{self.dir}/{host.name}.dead")
        self.set_link(host, "up")
        host.start_agent()

    # -- a dozen programs, in the order of the story

    def test_a_dozen_programs(self):
        self.write_inventory()
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        for number, size in enumerate(SIZES):
            self.start_program(self.ring[0], size, reader if number == REFUSES else None)
        os.close(reader)
        self.look_at_the_first_plan()
        self.interrupt_an_apply()
        self.let_a_host_die()
        self.go_on_when_it_is_back()
        self.drain_the_first_host()
        started, ends = self.records("started"), self.records("moved") + self.records("failed")
        self.assertEqual(len(started), len([record for record in ends if "session" in record]), (started, ends))
        self.check_numbers()

    def look_at_the_first_plan(self):
        document = self.plan()
        moves = document["moves"]
        self.assertGreaterEqual(len(moves), 5)
        self.assertEqual({move["source"] for move in moves}, {"h1"})
        self.assertEqual({move["destination"] for move in moves}, {"h2", "h3"})
        after = [host["load_after"] for host in document["hosts"]]
        self.assertLess(max(after) - min(after), 12)
        (stays,) = document["stays"]
        self.assertIn("pipe", stays["why"])
        self.assertNotIn(stays["pid"], [move["pid"] for move in moves])
        self.assertEqual(self.places(), dict.fromkeys(self.outputs, ["h1"]))

    def interrupt_an_apply(self):
        """A signal lets the running moves end, and no other begin."""
        open(f"{self.dir}/stop.source.pre-freeze", "w").close()
        tool = self.start_tool("apply", self.plan_file, "--parallel", "2")
        self.stages.wait("source.pre-freeze")
        tool.send_signal(signal.SIGINT)
        until(lambda: "will be finished" in read_text(self.errors), "the signal is taken")
        self.stages.go_on("source.pre-freeze")
        summary = self.finish_tool(tool, 130)[-1]
        self.assertEqual(summary["stopped"], "interrupted")
        self.assertIn(summary["moved"], (1, 2))
        self.assertEqual(len(self.records("started")), summary["moved"])
        self.assertEqual(summary["not_begun"], summary["moves"] - summary["moved"])
        self.check_all_run()

    def let_a_host_die(self):
        """The third host dies when it has built a program: that runs on where it was, and the others go to the second host."""
        there = self.ring[2]
        there.restart_agent("--hook", self.stages.command)
        open(f"{self.dir}/stop.destination.prepared", "w").close()
        before = len(self.on(there))
        tool = self.start_tool("apply", self.plan_file, "--parallel", "2")
        self.stages.wait("destination.prepared")
        self.kill_host(there)
        self.stages.go_on("destination.prepared")
        summary = self.finish_tool(tool, 1)[-1]
        self.assertGreaterEqual(summary["failed"], 1)
        self.assertEqual(summary["in_doubt"], 0)
        self.assertEqual(len(self.on(there)), before)
        self.check_all_run()
        document = self.plan("--no-check")
        self.assertIn("cannot be reached: exit 255", document["hosts"][2]["problem"])
        self.assertNotIn("h3", [move["destination"] for move in document["moves"]])

    def go_on_when_it_is_back(self):
        """A new plan puts the rest where it belongs; after that there is nothing to move."""
        self.revive_host(self.ring[2])
        for _ in range(2):
            document = self.plan()
            if document["moves"]:
                self.tool("apply", self.plan_file, "--parallel", "2")
                self.check_all_run()
        self.assertEqual(document["moves"], [])
        loads = [host["load_before"] for host in document["hosts"]]
        self.assertLess(max(loads) - min(loads), 12)
        self.assertTrue(all(self.on(host) for host in self.ring.hosts))

    def drain_the_first_host(self):
        """All leave but the one that cannot; none comes back until that is allowed."""
        summary = self.tool("drain", "h1", "--parallel", "2", code=1)[-1]
        (left,) = summary["left"]
        self.assertIn("pipe", left["why"])
        self.assertEqual(self.on(self.ring[0]), [self.outputs[REFUSES]])
        self.check_all_run()
        self.assertNotIn("h1", [move["destination"] for move in self.plan("--no-check")["moves"]])
        (status,) = self.tool("status")
        self.assertEqual([host["drained"] for host in status["hosts"]], [True, False, False])
        self.assertEqual([host["programs"] for host in status["hosts"]], [len(self.on(host)) for host in self.ring.hosts])
        self.assertEqual(self.tool("drain", "h1", "--end"), [{"event": "drain_end", "host": "h1"}])

    # -- a program or two

    def write_pinned(self, host, options, more=""):
        self.write_inventory(f"[services.tally]\ncommand = \"{self.dir}/\"\ninstances = 2\npin = \"{host.name}\"\n"
                             f"options = {json.dumps(options)}\n{more}")

    def test_it_is_killed(self):
        """crx-rebalance is killed during a move, which goes on; the next one asks the hosts, and makes the other move."""
        self.write_pinned(self.ring[1], ["--hook", self.stages.command, "--hook-timeout", "60000"])
        for _ in range(2):
            self.start_program(self.ring[0])
        self.assertEqual(len(self.plan()["moves"]), 2)
        plan = self.plan_file
        open(f"{self.dir}/stop.source.frozen", "w").close()
        tool = self.start_tool("apply", plan)
        self.stages.wait("source.frozen")
        tool.kill()
        tool.communicate()
        (doubt,) = self.tool("status", code=4)[0]["doubts"]
        self.assertIn("has an unfinished session of it", doubt["why"])
        self.assertEqual(len(self.plan(code=4)["moves"]), 1)
        self.stages.go_on("source.frozen")
        until(lambda: not self.tool("status", code=None)[0]["doubts"], "the move ends", 20)
        summary = self.tool("apply", plan)[-1]
        self.assertEqual((summary["moved"], summary["moves"], len(self.records("started"))), (2, 2, 2))
        self.assertEqual(sorted(self.on(self.ring[1])), self.outputs)
        self.check_all_run()
        self.check_numbers()

    def test_a_pid_that_is_taken(self):
        """The program gets PIDs of its own, and moves on from there."""
        process = self.start_program(self.ring[0])
        self.ring[1].set_next_pid(process.pid)
        other = self.ring[1].spawn(["sleep", "1000"])
        self.addCleanup(other.kill)
        self.write_pinned(self.ring[1], [])
        self.assertIn("--new-pids", self.plan()["stays"][0]["why"])
        for host in (self.ring[1], self.ring[2]):
            self.write_pinned(host, [], "new-pids = \"if-taken\"\n")
            document = self.plan()
            (move,) = document["moves"] or self.fail(document)
            self.assertEqual((move["destination"], move["inner_pid"]), (host.name, process.pid))
            self.tool("apply", self.plan_file)
            self.assertEqual(self.on(host), self.outputs)
            self.check_all_run()
        self.assertEqual([record["new_pids"] for record in self.records("started")][0], True)
        self.check_numbers()


if __name__ == "__main__":
    crxtest.main()
