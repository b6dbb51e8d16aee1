"""--new-pids: at the destination the tree gets its own PID namespace, so that a number that is taken there does not
matter."""
import os
import re
import signal

import crxtest
from crxtest import read_text, until

# A root with a child. Both count; the root waits for its child, ends with a given code, and prints the signals it has
# received.
FAMILY = r"""
import os, signal, sys, time
folder, code = sys.argv[1], int(sys.argv[2])
def say(text):
    with open(f"{folder}/said", "a") as out: out.write(text + "\n")
signal.signal(signal.SIGTERM, lambda *_: say(f"TERM {os.getpid()}"))
child = os.fork()
if child == 0:
    os.setsid()
    while not os.path.exists(f"{folder}/child"): time.sleep(0.01)
    say(f"child {os.getpid()} {os.getppid()}")
    sys.exit(5)
say(f"root {os.getpid()} {child}")
while not os.path.exists(f"{folder}/stop"): time.sleep(0.01)
say(f"end {os.getpid()} {os.waitpid(child, 0)[0]} " + str(os.listdir("/proc").count(str(os.getpid()))))
sys.exit(code)
"""


class NewPids(crxtest.RingTest):
    HOSTS = 2

    def start(self, name, code=0):
        self.dir = self.ring.path(name)
        os.mkdir(self.dir)
        self.said = f"{self.dir}/said"
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", FAMILY, self.dir, str(code)])
        self.addCleanup(process.kill)
        self.child = int(until(lambda: re.search(r"root \d+ (\d+)\n", read_text(self.said, "")), "the family").group(1))
        return process

    def touch(self, name):
        open(f"{self.dir}/{name}", "w").close()

    def occupy(self, pid):
        """Lets another process at the destination take this number."""
        self.ring[1].set_next_pid(pid)
        other = self.ring[1].spawn(["sleep", "1000"])
        self.addCleanup(other.kill)
        self.assertEqual(other.pid, pid)

    def tool_output(self, tool):
        return read_text(tool.output) + read_text(tool.errors) + self.ring[1].agent_tail()

    def arrived(self, tool):
        """Returns the first process of the PID namespace that the moved root is in, as the agent reports it."""
        wanted = r"root pid \d+ in the PID namespace of process (\d+)"
        seen = len(re.findall(wanted, self.logged))

        def found():
            all_of_them = re.findall(wanted, read_text(self.ring[1].agent_log))
            return int(all_of_them[-1]) if len(all_of_them) > seen else not tool.alive() and None
        return self.ring[1].find(until(found, lambda: f"the tree at the destination: {self.tool_output(tool)}"))

    def start_move(self, process, *options):
        self.logged = read_text(self.ring[1].agent_log)
        return self.ring[0].start_migrate(process, self.ring[1], "--new-pids", *options)

    def test_taken_number(self):
        process = self.start("taken", 7)
        self.occupy(process.pid)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("or use --new-pids", result.stderr)
        tool = self.start_move(process, "--wait")
        init = self.arrived(tool)
        process.wait_end(10)
        init.send_signal(signal.SIGTERM)
        until(lambda: f"TERM {process.pid}\n" in read_text(self.said), "the signal reaches the root")
        self.touch("child")
        until(lambda: "child " in read_text(self.said), "the child ends")
        self.touch("stop")
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 7, f"{result}")
        text = read_text(self.said)
        self.assertIn(f"child {self.child} {process.pid}\n", text)
        self.assertIn(f"end {process.pid} {self.child} 1\n", text)
        init.wait_end(10)
        self.assertRegex(read_text(self.ring[1].agent_log)[len(self.logged):], r"its root task .* ended: exit status 7")

    def test_who_outlives_the_root(self):
        """The namespace lives until the last process of the tree has ended; its first process adopts and reaps."""
        process = self.start("outlive")
        with self.subTest("move"):
            tool = self.start_move(process)
            init = self.arrived(tool)
            self.assertEqual(self.ring[0].finish_migrate(tool).exit, 0)
        inside = [self.ring[1].find(pid) for pid in self.ring[1].children(init.pid)]
        self.assertEqual(len(inside), 2)
        root = next(p for p in inside if f"\t{process.pid}\n" in read_text(p.proc("status")))
        root.kill()
        root.wait_end(10)
        until(lambda: "ended: killed by signal 9" in read_text(self.ring[1].agent_log)[len(self.logged):], "the agent's word")
        self.assertTrue(init.alive())
        self.touch("child")
        init.wait_end(10)
        self.assertIn(f"child {self.child} 1\n", read_text(self.said))

    def test_rollback(self):
        """Nothing remains at the destination, and the agent goes on."""
        process = self.start("rollback")
        there = self.ring[1]
        before = there.children(there.agent.pid)  # the agent's own processes
        result = self.ring[0].migrate(process, there, "--new-pids", "--hook", '[ "$CRX_STAGE" != prepared ]')
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertTrue(process.alive())
        until(lambda: set(there.children(there.agent.pid)) <= set(before), "the namespace has gone")
        self.touch("child")
        self.touch("stop")
        self.assertEqual(process.wait(10), 0)


if __name__ == "__main__":
    crxtest.main()
