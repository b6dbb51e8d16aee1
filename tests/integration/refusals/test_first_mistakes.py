"""What goes wrong in the first quarter of an hour, and what is said then: the program runs on in every case."""
import os

import crxtest
from crxtest import lines_of, read_text, until
from hosts import BIN

PYTHON = "/usr/bin/python3"
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
# Its child ends, and it never asks for the exit status.
CARELESS = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print('ready', flush=True)
signal.sigwait([signal.SIGUSR1])
if os.fork() == 0: os._exit(0)
while True: time.sleep(1)
"""
NOBODY = ["setpriv", "--reuid", "65534", "--clear-groups"]


class FirstMistakes(crxtest.RingTest):
    HOSTS = 2

    def setUp(self):
        self.here, self.there = self.ring.hosts
        self.output = self.ring.path(f"{self.id()}.out")
        self.process = self.here.spawn(["sh", "-c", COUNT], stdout=self.output)
        self.addCleanup(self.process.kill)
        until(lambda: lines_of(self.output), "the program")

    def runs_on(self):
        self.assertTrue(self.process.alive())
        seen = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > seen, "the program runs on")

    def refused(self, result, *words):
        self.assertEqual(result.exit, 3, result)
        for word in words:
            self.assertIn(word, result.stderr)
        self.runs_on()

    def test_same_host(self):
        result = self.here.migrate(self.process, self.here)
        self.assertEqual(result.exit, 1, result)
        for words in ("is the very host on which the program runs", "give --to the address of another host"):
            self.assertIn(words, result.stderr)
        self.assertNotIn("end that process", result.stderr)
        self.runs_on()

    def to_the_same_host(self, *options):
        """With a folder of journals that is not the agent's."""
        return self.here.run([f"{BIN}/crx-migrate", "--to", f"{self.here.address}:{self.here.agent_port}", "--tls-dir",
                              self.here.tls, "--state", f"{self.here.dir}/other-state", *options, str(self.process.pid)],
                             check=False)

    def test_same_host_and_another_folder(self):
        """Preflight finds it where the folders of the journals differ."""
        code, text = self.to_the_same_host()
        self.assertEqual(code, 3, text)
        self.assertIn("is the very host on which the program runs", text)
        self.runs_on()

    def test_new_pids_within_one_host(self):
        code, text = self.to_the_same_host("--new-pids")
        self.assertEqual(code, 0, text)
        seen = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > seen, "the program goes on")

    def test_zombie_has_the_pid(self):
        ready = self.there.new_file(".out")
        parent = self.there.spawn([PYTHON, "-c", CARELESS], stdout=ready)
        self.addCleanup(parent.kill)
        until(lambda: lines_of(ready) == ["ready"], "the parent")
        self.there.set_next_pid(self.process.pid)
        parent.send_signal(10)
        zombie = until(lambda: self.there.find(self.process.pid), "the child")
        until(lambda: zombie.state() == "Z", "its end")
        self.refused(self.here.migrate(self.process, self.there), f"PID {self.process.pid}", "is held by a zombie",
                     f'which its parent "python3" (PID {parent.pid}) has not reaped', f"have process {parent.pid} reap it")

    def test_process_of_the_session_has_the_pid(self):
        for before in (0, 1):  # the first process that the agent makes, or the second, gets the PID of the program
            with self.subTest(before):
                self.there.set_next_pid(self.process.pid - before)
                self.refused(self.here.migrate(self.process, self.there), "is taken by a process that crx-agent has made",
                             "try again: the next one has another PID")
        self.process, _ = self.move(self.process, self.there)
        self.addCleanup(self.process.kill)
        self.runs_on()

    def test_agent_has_the_pid(self):
        mine = self.there.children(self.there.agent.pid)[0]
        self.here.set_next_pid(mine)
        process = self.here.spawn(["sleep", "1000"])
        self.addCleanup(process.kill)
        self.assertEqual(process.pid, mine)
        self.refused(self.here.migrate(process, self.there), "is taken by a process of crx-agent", "restart crx-agent there")

    def test_without_root(self):
        images = self.ring.path("images")
        os.makedirs(images, exist_ok=True)
        for tool, argv in [("crx-migrate", ["--to", self.there.address, str(self.process.pid)]),
                           ("crx-dump", ["-t", str(self.process.pid), "-D", images])]:
            with self.subTest(tool):
                code, text = self.here.run([*NOBODY, f"{BIN}/{tool}", *argv], check=False)
                self.assertEqual(code, 3 if tool == "crx-dump" else 1, text)
                self.assertIn("is of another user, and CAP_SYS_PTRACE is missing", text)
                self.assertIn(f"run {tool} as root", text)
        self.runs_on()

    def test_own_process_without_root(self):
        """A user who lacks the privileges is not told that the process is somebody else's."""
        process = self.here.spawn([*NOBODY, "sleep", "1000"])
        self.addCleanup(process.kill)
        images = self.ring.path("own")
        os.makedirs(images, exist_ok=True)
        os.chmod(images, 0o777)
        until(lambda: "65534" in read_text(f"/proc/{self.here.init}/root/proc/{process.pid}/status", ""), "it is nobody's")
        _, text = self.here.run([*NOBODY, f"{BIN}/crx-dump", "-t", str(process.pid), "-D", images], check=False)
        self.assertNotIn("of another user", text)

    def test_child_in_a_container(self):
        output = self.here.new_file(".out")
        process = self.here.spawn(["unshare", "--pid", "--fork", "sh", "-c", "echo $$; exec sleep 1000"], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) == ["1"], "the child")
        child = self.here.children(process.pid)[0]
        self.refused(self.here.migrate(process, self.there), "is in another pid namespace than crx",
                     f"run crx-migrate inside it (nsenter -t {child} -a), where its PID is 1")

    def test_default_port(self):
        """Nobody listens there: the message names the port that was meant."""
        code, text = self.here.run([f"{BIN}/crx-migrate", "--to", self.there.address, "--tls-dir", self.here.tls, "--state",
                                    f"{self.here.dir}/state", str(self.process.pid)], check=False)
        self.assertEqual(code, 1, text)
        self.assertIn(f"{self.there.address}:7077", text)
        self.assertIn("is crx-agent running", text)
        self.runs_on()


if __name__ == "__main__":
    crxtest.main()
