"""A process that waits for a vfork child cannot be stopped: crx waits for the child, and fails when that takes too
long."""
import crxtest
from crxtest import lines_of, read_text, until


class Vfork(crxtest.RingTest):
    HOSTS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("vforking")

    def start(self, name):
        self.output, self.go = self.ring.path(f"{name}.out"), self.ring.path(f"{name}.go")
        process = self.ring[0].spawn([self.program, self.go], stdout=self.output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(self.output) and process.state() == "D", "it waits in vfork")
        return process

    def end(self, process):
        open(self.go, "w").close()
        process.wait_end(20)
        self.assertEqual(read_text(self.output), "ready\nPASS\n")

    def test_waited_for(self):
        process = self.start("waited")
        tool = self.ring[0].start_migrate(process, self.ring[1], "--freeze-timeout", "60000")
        until(lambda: "TracerPid:\t0\n" not in read_text(process.proc("status"), ""), "crx-migrate waits for it")
        open(f"{self.go}.child", "w").close()
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 0, str(result))
        self.addCleanup(result.process.kill)
        self.end(result.process)

    def test_given_up(self):
        process = self.start("given-up")
        result = self.ring[0].migrate(process, self.ring[1], "--freeze-timeout", "200")
        self.assertEqual(result.exit, 1, str(result))
        for part in (f"thread {process.pid}", "cannot be stopped", "vfork child", "--freeze-timeout"):
            self.assertIn(part, result.stderr)
        self.assertEqual(process.state(), "D")
        self.assertIn("TracerPid:\t0\n", read_text(process.proc("status")))
        open(f"{self.go}.child", "w").close()
        self.end(process)


if __name__ == "__main__":
    crxtest.main()
