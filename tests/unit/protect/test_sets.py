"""Chains of sets: what may be continued, and what may be removed."""
import unittest

from protect import sets


def made(number, parent=0, kind="dump", size=100, damage="", program="web", host="h"):
    name = sets.name_of(host, program, number)
    one = {"name": name, "time": "2026-01-01T00:00:00Z", "bytes": size, "kind": kind,
           "parent": sets.name_of(host, program, parent) if parent else None}
    return {**one, "damage": damage} if damage else one


def parse(*all_sets):
    return sets.parse({"sets": list(all_sets)})


def numbers(found):
    return [one.number for one in found]


# A chain that begins with a pre-dump, and one that does not.
TWO_CHAINS = (made(1, kind="pre-dump"), made(2, 1, size=5), made(3, 2, size=5), made(4, size=100), made(5, 4, size=5))


class Sets(unittest.TestCase):
    def test_names(self):
        found = parse({"name": "nightly", "time": ""}, {"name": "h.web.1", "time": ""}, {"name": ".staging-h.web.000001", "time": ""},
                      made(7), made(1234567))
        self.assertEqual([(one.host, one.program, one.number) for one in found], [("h", "web", 7), ("h", "web", 1234567)])
        self.assertEqual(found[0].made, 1767225600)
        self.assertEqual(sets.of(parse(made(1), made(2, program="db"), made(3, host="g")), "h", "web"), parse(made(1)))

    def test_generations(self):
        self.assertEqual(numbers(sets.generations(parse(*TWO_CHAINS))), [5, 4, 3, 2])
        self.assertEqual(numbers(sets.generations(parse(*TWO_CHAINS[1:]))), [5, 4], "the first set of a chain is missing")
        self.assertEqual(numbers(sets.generations(parse(made(1, damage="x"), made(2, 1), made(3)))), [3])
        self.assertEqual(numbers(sets.generations(parse(made(1, 2), made(2, 1)))), [], "a circle")

    def test_removable(self):
        found = parse(*TWO_CHAINS)
        for count, gone in ((1, [3, 2, 1]), (2, [3, 2, 1]), (3, []), (4, [])):
            self.assertEqual(numbers(sets.removable(found, count)), gone, count)
        self.assertEqual(sets.removable(parse(made(1), made(2, damage="x")), 1), [], "the newest one is not whole")
        self.assertEqual(numbers(sets.removable(parse(made(1), made(2, damage="x"), made(3)), 2)), [2])
        self.assertEqual(numbers(sets.removable(parse(made(1), made(2), made(3, kind="pre-dump")), 1)), [1])
        self.assertEqual(sets.removable([], 1), [])

    def test_what_is_continued_stays(self):
        """No set goes before what continues it, for any count."""
        found = parse(*TWO_CHAINS, made(6, 5, size=5), made(7), made(8, 7, size=5), made(9, 8, damage="x"))
        for count in range(1, 9):
            left = {one.name for one in found}
            for one in sets.removable(found, count):
                left.remove(one.name)
                self.assertFalse([each for each in found if each.name in left and each.parent == one.name], (count, one))
            self.assertGreaterEqual(len(sets.generations([one for one in found if one.name in left])), min(count, 7))

    def test_may_continue(self):
        found = parse(*TWO_CHAINS)
        self.assertTrue(sets.may_continue(found[-1], found, 3))
        self.assertFalse(sets.may_continue(found[-1], found, 2), "the chain is long")
        self.assertTrue(sets.may_continue(found[2], found, 3), "a pre-dump is no generation")
        self.assertFalse(sets.may_continue(found[0], found, 3), "a pre-dump of a dump that failed")
        large = parse(made(1, size=100), made(2, 1, size=60), made(3, 2, size=60))
        self.assertTrue(sets.may_continue(large[1], large, 9))
        self.assertFalse(sets.may_continue(large[2], large, 9), "the increments are larger than the first set")


if __name__ == "__main__":
    unittest.main()
