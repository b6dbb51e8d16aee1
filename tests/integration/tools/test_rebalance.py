"""crx-rebalance over three hosts with a dozen programs: plan, apply with an interruption and with a host that dies, drain.
Programs that run twice or get lost show up in the numbers that they write."""
import json
import os
import signal
import subprocess

import crxtest
from crxtest import lines_of, read_text, until

SIZES = (4, 4, 4, 4, 8, 8, 8, 12, 12, 16, 16, 16)  # MiB of each program
REFUSES = 3  # the number of the program that holds a pipe to the test


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
        self.count = 0

    # -- the cluster

    def write_inventory(self, policy="", services=None, hosts=""):
        """Hosts are reached by entering their namespaces; one with a file NAME.dead is not reached at all."""
        text = ""
        for host in self.ring.hosts:
            enter = (f"[ ! -e {self.dir}/{host.name}.dead ] || exit 255; "
                     f"exec nsenter --target {host.init} -n -p -m -u -i -C -T -- \"$@\"")
            text += (f"[hosts.{host.name}]\naddress = \"{host.address}:{host.agent_port}\"\n"
                     f"reach = {json.dumps(['sh', '-c', enter, 'enter'])}\nmigrate = \"{crxtest.BIN}/crx-migrate\"\n"
                     f"state = \"{host.dir}/state\"\ntls-dir = \"{host.tls}\"\nmemory = \"160M\"\n{hosts}")
        hook = json.dumps(["--hook", self.stages.command, "--hook-timeout", "60000"])
        text += services or (f"[services.tally]\ncommand = \"^{self.program} \"\ninstances = {len(SIZES)}\noptions = {hook}\n")
        text += f"[policy]\nbalance = \"memory\"\nthreshold = 12\ntarget = 6\n{policy}"
        self.inventory = f"{self.dir}/inventory.toml"
        with open(self.inventory, "w") as file:
            file.write(text)

    def start_program(self, host, size, stdin=None):
        self.count += 1
        output = f"{self.dir}/tally{self.count}"
        process = host.spawn([self.program, output, self.stop, str(size)], stdin=stdin)
        until(lambda: lines_of(output), "the program counts")
        return process, output

    def tool(self, verb, *words, code=0):
        """Runs crx-rebalance; returns the objects that it printed, and its messages."""
        tool = self.start_tool(verb, *words)
        return self.finish_tool(tool, code)

    def start_tool(self, verb, *words):
        return subprocess.Popen([f"{crxtest.BIN}/crx-rebalance", verb, "--inventory", self.inventory, "--state", self.state, "--json",
                                 *words], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish_tool(self, tool, code):
        output, errors = tool.communicate(timeout=120)
        self.assertEqual(tool.returncode, code, f"{output}\n{errors}\n{self.ring.logs()}" if code == 0 else f"{output}\n{errors}")
        return [json.loads(line) for line in output.splitlines()], errors

    def places(self):
        """{output: [names of the hosts on which its program runs]}."""
        found = {}
        for host in self.ring.hosts:
            for pid in host.pids():
                words = read_text(host.proc(pid, "cmdline"), "").split("\0")
                if words[0] == self.program:
                    found.setdefault(words[1], []).append(host.name)
        return found

    def check_all_run(self, outputs):
        """Every program runs once, and makes progress."""
        have = {output: len(lines_of(output)) for output in outputs}
        until(lambda: all(len(lines_of(output)) > have[output] for output in outputs), "all programs count", 20)
        self.assertEqual({output: len(hosts) for output, hosts in self.places().items()}, dict.fromkeys(outputs, 1))

    def check_numbers(self, outputs):
        with open(self.stop, "w"):
            pass
        for output in outputs:
            until(lambda: lines_of(output)[-1:] == ["end"], f"{output} ends", 20)
            count = len(lines_of(output)) - 1
            self.assertEqual(lines_of(output)[:-1], [str(number) for number in range(count)])

    def load_of(self, document, when="load_after"):
        return {host["host"]: host[when] for host in document["hosts"]}

    # -- tests

    def test_a_dozen_programs(self):
        self.write_inventory()
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        outputs = []
        for number, size in enumerate(SIZES):
            _, output = self.start_program(self.ring[0], size, reader if number == REFUSES else None)
            outputs.append(output)
        os.close(reader)
        plan = f"{self.dir}/plan"
        (document,), _ = self.tool("plan", "--output", plan)
        self.assertTrue(document["moves"])
        self.tool("apply", plan, "--parallel", "2")
        self.check_all_run(outputs)
        (document,), _ = self.tool("plan", "--output", plan)
        self.assertEqual(document["moves"], [])
        self.check_numbers(outputs)


if __name__ == "__main__":
    crxtest.main()
