"""A 1 GiB process that writes 20 MB/s at random places: five moves under load, and every page's checksum is right."""
import crxtest
from crxtest import lines_of, read_text, until

SIZE_MIB = 1024


class Writer(crxtest.RingTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("writer")

    def run_writer(self, name, mib, moves, *options):
        output, go = self.ring.path(f"{name}.out"), self.ring.path(f"{name}.go")
        process = self.ring[0].spawn([self.program, go, str(mib), "20"], stdout=output)
        rounds = []
        try:
            until(lambda: "ready" in lines_of(output), "the writer has filled its memory", 120)
            for move in range(moves):
                process, result = self.move(process, self.ring[move + 1], *options, timeout=300)
                rounds.append((result.last.get("rounds"), result.last.get("downtime_us")))
            with open(go, "w"):
                pass
            process.wait_end(60)
        finally:
            process.kill()
        self.assertTrue(read_text(output).endswith("PASS\n"), f"{read_text(output)}\n(rounds, downtime us): {rounds}")
        print(f"(rounds, downtime us): {rounds} ", end="", flush=True)

    def test_five_moves_under_load(self):
        self.run_writer("load", SIZE_MIB, 5)

    def test_stop_and_copy(self):
        self.run_writer("stop-and-copy", 128, 2, "--max-rounds", "0")

    def test_hash_tracker(self):
        self.run_writer("hash", 128, 2, "--tracker", "hash")

    def test_compressed(self):
        self.run_writer("compressed", 128, 2, "--compress", "zstd:1")

    def test_one_stream_limited(self):
        self.run_writer("limited", 64, 2, "--streams", "1", "--max-bandwidth", "100M")


if __name__ == "__main__":
    crxtest.main()
