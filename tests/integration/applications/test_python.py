"""CPython with several threads, moved while it prints a seeded random sequence."""
import os
import random
import unittest

import crxtest
from crxtest import lines_of, read_text, until

PROGRAM = os.path.join(crxtest.PROGRAMS, "sequence.py")


def expected(seed, count):
    source = random.Random(seed)
    return [f"{index} {source.random()!r} {source.randint(0, 1 << 64)}" for index in range(count)]


class Python(crxtest.RingTest):
    def run_program(self, name, seed, moves, options=()):
        output, stop = self.ring.path(f"{name}.txt"), self.ring.path(f"{name}.stop")
        process = self.ring[0].spawn(["/usr/bin/python3", PROGRAM, output, str(seed), "100000", stop],
                                     stdout=self.ring.path(f"{name}.log"))
        downtime = 0.0
        try:
            for move in range(moves):
                have = len(lines_of(output))
                until(lambda: len(lines_of(output)) >= have + 2, lambda: f"two more lines before move {move + 1}; "
                      f"log: {read_text(self.ring.path(f'{name}.log'))}")
                process, result = self.move(process, self.ring[move + 1], *options)
                downtime += result.downtime_s
            have = len(lines_of(output))
            until(lambda: len(lines_of(output)) >= have + 5, "five more lines after the last move")
            with open(stop, "w"):
                pass
            process.wait_end(30)
        finally:
            process.kill()
        report = lines_of(f"{output}.report")
        text = "\n".join(report) + "\n" + read_text(self.ring.path(f"{name}.log"))
        lines = lines_of(output)
        self.assertEqual(lines, expected(seed, len(lines)), "the sequence differs from that of an unmoved run")
        self.assertEqual([line for line in report if line.startswith("problem")], [], text)
        self.assertIn(f"done {len(lines)}", report, text)
        slept = [float(line.split()[1]) for line in report if line.startswith("slept")]
        self.assertEqual(len(slept), 1, text)
        self.assertGreaterEqual(slept[0], 3.0)
        self.assertLessEqual(slept[0], 3.0 + downtime + 0.05, f"with {downtime:.3f} s of downtime")

    def test_unmoved(self):
        """The program runs without a move, so that failures of the other tests are due to the move."""
        self.run_program("unmoved", 1, 0)

    def test_moves(self):
        self.run_program("moved", 42, crxtest.MOVES)

    def test_without_rounds(self):
        self.run_program("without-rounds", 7, crxtest.MOVES, ["--max-rounds", "0"])

    def test_hash_tracker(self):
        self.run_program("hash", 8, crxtest.MOVES, ["--tracker", "hash"])


if __name__ == "__main__":
    crxtest.main()
