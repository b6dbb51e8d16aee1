"""The planner: what it moves, what it leaves, and that it comes to rest."""
import random
import unittest

from rebalance import planner
from rebalance.planner import Candidate, Rules, Site, plan

GIB = 1 << 30
HOSTS = ("a", "b", "c")


def sites(*loads, **changes):
    result = [Site(name, load, 100 * GIB) for name, load in zip(HOSTS, loads)]
    for site in result:
        for name, value in changes.get(site.name, {}).items():
            setattr(site, name, value)
    return result


def program(number, host, weight, **more):
    return Candidate(("service", host, number), more.pop("service", "service"), host, dict.fromkeys(HOSTS, weight), **more)


def moves_of(result):
    return [(move.key[2], move.source, move.destination) for move in result.moves]


class Balance(unittest.TestCase):
    def test_nothing_below_the_threshold(self):
        result = plan(sites(40, 30, 26), [program(n, "a", 3) for n in range(5)], Rules(threshold=15))
        self.assertEqual(moves_of(result), [])
        self.assertEqual(result.stays, [])

    def test_goes_on_to_the_target_once_begun(self):
        candidates = [program(n, "a", 5) for n in range(12)]
        result = plan(sites(60, 0, 0), candidates, Rules(threshold=15, target=6))
        self.assertEqual(len(result.moves), 8)
        self.assertEqual(result.after, {"a": 20, "b": 20, "c": 20})
        self.assertEqual({move.source for move in result.moves}, {"a"})
        self.assertIn("a is at 60.0 points", result.moves[0].why)

    def test_does_not_swap_the_hosts(self):
        """A program as large as the gap would only make the other host the fuller one."""
        self.assertEqual(moves_of(plan(sites(60, 20, 20), [program(1, "a", 40)], Rules())), [])

    def test_takes_the_next_fullest_host_where_the_fullest_has_nothing_to_move(self):
        result = plan(sites(80, 60, 0), [program(1, "b", 20)], Rules(threshold=10))
        self.assertEqual(moves_of(result), [(1, "b", "c")])

    def test_rests_and_stays(self):
        candidates = [program(1, "a", 20, rests="moved a moment ago"), program(2, "a", 20, stays="its session is open")]
        result = plan(sites(60, 0, 0), candidates, Rules())
        self.assertEqual(moves_of(result), [])
        self.assertEqual(dict(result.stays), {("service", "a", 1): "moved a moment ago", ("service", "a", 2): "its session is open"})

    def test_refused(self):
        """Where one host refuses it another is taken; where all do it stays, and is reported."""
        refused = {(("service", "a", 1), "b"): "no such file"}
        self.assertEqual(moves_of(plan(sites(60, 0, 10), [program(1, "a", 20)], Rules(), refused)), [(1, "a", "c")])
        refused[("service", "a", 1), "c"] = "no such user"
        result = plan(sites(60, 0, 10), [program(1, "a", 20)], Rules(), refused)
        self.assertEqual(result.moves, [])
        self.assertEqual(result.stays, [(("service", "a", 1), "b: no such file; c: no such user")])

    def test_limits(self):
        four = [program(n, "a", 10, memory_bytes=GIB) for n in range(4)]
        self.assertEqual(len(plan(sites(60, 0, 0), four, Rules(max_moves=1)).moves), 1)
        self.assertEqual(plan(sites(99, 85, 85), [program(1, "a", 6)], Rules(threshold=5, limit=90)).moves, [])
        full = sites(60, 0, 0, b={"free_bytes": GIB // 2}, c={"free_bytes": GIB})
        self.assertEqual(moves_of(plan(full, four, Rules())), [(0, "a", "c")])

    def test_closed_hosts_take_nothing_and_count_for_nothing(self):
        result = plan(sites(60, 0, 50, b={"closed": "is drained"}), [program(n, "a", 10) for n in range(4)], Rules(threshold=15))
        self.assertEqual(moves_of(result), [])

    def test_comes_to_rest(self):
        """After the moves of a plan, another plan moves nothing: neither with the moved programs at rest, nor by moving them back."""
        source = random.Random(7)
        for _ in range(200):
            candidates, loads = [], dict.fromkeys(HOSTS, 5.0)
            for number in range(source.randint(1, 20)):
                host, weight = source.choice(HOSTS), source.uniform(0.1, 15)
                if loads[host] + weight < 100:
                    candidates.append(program(number, host, weight))
                    loads[host] += weight
            first = plan([Site(name, load, GIB) for name, load in loads.items()], candidates, Rules())
            self.assertLessEqual(max(first.after.values()), max(first.before.values()) + 1e-6)
            moved = {move.key: move.destination for move in first.moves}
            after = [Candidate(one.key, one.service, moved.get(one.key, one.host), one.weights,
                               rests="moved" if one.key in moved else "") for one in candidates]
            second = plan([Site(name, load, GIB) for name, load in first.after.items()], after, Rules())
            self.assertEqual(second.moves, [])


class Places(unittest.TestCase):
    def test_pin(self):
        candidates = [program(1, "a", 5, pin=("b",)), program(2, "b", 5, pin=("b", "c"))]
        self.assertEqual(moves_of(plan(sites(5, 5, 0), candidates, Rules())), [(1, "a", "b")])

    def test_pin_that_cannot_be_kept(self):
        result = plan(sites(5, 95, 0), [program(1, "a", 5, pin=("b",))], Rules(threshold=100))
        self.assertEqual(result.moves, [])
        self.assertEqual(result.stays[0][1], "c: the service is pinned to b; b: would be at 100 of at most 90 points")

    def test_spread(self):
        three = [program(n, "a", 1, spread="web") for n in range(3)]
        self.assertEqual(sorted(move[2] for move in moves_of(plan(sites(3, 0, 0), three, Rules()))), ["b", "c"])

    def test_spread_holds_against_balance(self):
        candidates = [program(1, "a", 20, spread="web"), program(2, "b", 20, spread="web"), program(3, "c", 1, spread="web")]
        self.assertEqual(moves_of(plan(sites(60, 0, 60), candidates, Rules())), [])


class Drain(unittest.TestCase):
    def test_all_leave(self):
        candidates = [program(n, "a", 10, rests="moved a moment ago") for n in range(4)]
        result = plan(sites(40, 10, 10, a={"empty": True}), candidates, Rules(), even=False)
        self.assertEqual(sorted(move[2] for move in moves_of(result)), ["b", "b", "c", "c"])

    def test_says_why_a_program_stays(self):
        candidates = [program(1, "a", 10, stays="moves = never"), program(2, "a", 10, pin=("a",)), program(3, "b", 1, stays="x")]
        result = plan(sites(40, 10, 10, a={"empty": True}), candidates, Rules(), even=False)
        self.assertEqual(result.moves, [])
        self.assertEqual(dict(result.stays), {("service", "a", 1): "moves = never", ("service", "a", 2):
                                              "b: the service is pinned to a; c: the service is pinned to a"})

    def test_a_spread_group_gets_together_where_it_must(self):
        candidates = [program(1, "a", 1, spread="web"), program(2, "b", 1, spread="web"), program(3, "c", 1, spread="web")]
        result = plan(sites(1, 1, 1, a={"empty": True}), candidates, Rules(), even=False)
        self.assertEqual(len(result.moves), 1)


class Words(unittest.TestCase):
    def test_sizes(self):
        self.assertEqual(planner.mebibytes(GIB), "1024 MiB")


if __name__ == "__main__":
    unittest.main()
