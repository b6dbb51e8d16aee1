"""Trees that execve, fork, end, make posix sessions, change parents, open and close all the time while they are
inspected and while their memory is sent."""
import crxtest
from crxtest import lines_of, read_text, until


class ChangingTrees(crxtest.RingTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("changing")

    def run_changing(self, mode, *options, mib=12):
        output, go = self.ring.path(f"{mode}.out"), self.ring.path(f"{mode}.go")
        process = self.ring[0].spawn([self.program, go, str(mib), mode], stdout=output)
        rounds = []
        try:
            until(lambda: lines_of(output) or not process.alive(), "the tree is ready")
            self.assertEqual(lines_of(output), ["ready"])
            for move in range(crxtest.MOVES):
                # Slow enough that a round takes longer than most processes of the tree live.
                process, result = self.move(process, self.ring[move + 1], "--max-bandwidth", "40M", "--max-rounds", "6",
                                            *options, timeout=200)
                rounds.append(result.last.get("rounds"))
                self.assertTrue(process.alive(), f"it died in move {move + 1}: {read_text(output)}\n{result}")
            with open(go, "w"):
                pass
            process.wait_end(60)
        finally:
            process.kill()
        text = read_text(output)
        self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, f"{text}\n(rounds: {rounds})")

    def test_exec(self):
        self.run_changing("exec")

    def test_forks(self):
        self.run_changing("forks")

    def test_daemons(self):
        self.run_changing("daemons")

    def test_restless(self):
        """A process or descriptor that goes away while it is inspected does not make the move fail."""
        program, output, go = self.ring.compile("restless"), self.ring.path("restless.out"), self.ring.path("restless.go")
        process = self.ring[0].spawn([program, go, self.ring.dir], stdout=output)
        try:
            until(lambda: lines_of(output) == ["ready"] or not process.alive(), "the tree is ready")
            for look in range(60 if crxtest.FULL else 12):
                result = self.ring[0].migrate(process, self.ring[1], "--check-only")
                self.assertEqual(result.exit, 0, f"look {look + 1}: {result}")
            for move in range(crxtest.MOVES):
                process, result = self.move(process, self.ring[move + 1])
                self.assertTrue(process.alive(), f"it died in move {move + 1}: {read_text(output)}\n{result}")
            with open(go, "w"):
                pass
            process.wait_end(60)
        finally:
            process.kill()
        self.assertEqual(lines_of(output)[1:], ["PASS"])


if __name__ == "__main__":
    crxtest.main()
