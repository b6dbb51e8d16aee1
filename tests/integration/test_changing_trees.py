"""Trees that exec, fork, end, make sessions and change parents all the time while their memory is on its way."""
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
                # Slow enough for rounds to be longer than the lives of most of the tree.
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


if __name__ == "__main__":
    crxtest.main()
