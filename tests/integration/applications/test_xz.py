"""xz -T2 compresses a large file and is moved five times meanwhile; its output equals that of a run without moves."""
import hashlib
import os

import crxtest
from crxtest import until

SIZE = 200 << 20


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_input(path):
    """Writes half compressible data, so that the compressor is busy for a while; the same in every run."""
    import random
    source = random.Random(5)
    block = b"".join(b"%d %s\n" % (source.randint(0, 10 ** 6), source.choice([b"alpha", b"beta", b"gamma"]))
                     for _ in range(40_000))
    with open(path, "wb") as file:
        while file.tell() < SIZE:
            file.write(source.randbytes(64 << 10))
            file.write(block[:448 << 10])
        file.truncate(SIZE)


class Xz(crxtest.RingTest):
    def compress(self, name, moves):
        output = self.ring.path(f"{name}.xz")
        process = self.ring[0].spawn(["xz", "-T2", "--block-size=4MiB", "-1", "-k", "-c", self.input], stdout=output,
                                     stderr=self.ring.path(f"{name}.err"))
        try:
            for move in range(moves):
                have = os.path.getsize(output)
                until(lambda: os.path.getsize(output) > have or not process.alive(), "more output", 60)
                self.assertTrue(process.alive(), f"xz ended before move {move + 1}")
                process, _ = self.move(process, self.ring[move + 1])
            process.wait_end(300)
        finally:
            process.kill()
        self.assertEqual(crxtest.read_text(self.ring.path(f"{name}.err")), "")
        return output

    def test_moved_five_times(self):
        self.input = self.ring.path("input")
        write_input(self.input)
        plain = digest(self.compress("unmoved", 0))
        self.assertEqual(digest(self.compress("moved", 5)), plain)


if __name__ == "__main__":
    crxtest.main()
