"""Which programs should move where: pure functions of figures, without hosts, clocks or files.

All loads and weights are points: per cent of a host, of its memory or of its CPU pressure."""
import dataclasses
import math

MIN_GAIN = 1.0  # points by which a move must make the fuller of two hosts emptier


@dataclasses.dataclass
class Site:
    """A host: its load, what a program may still take of its memory, and why it takes no programs, if it does not. With `empty`
    all programs are to leave it."""
    name: str
    load: float
    free_bytes: int
    closed: str = ""
    empty: bool = False


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A program. `weights`: {host: the points that it takes there}. `stays`: why it cannot move at all. `rests`: why it should not
    be moved for the sake of balance."""
    key: tuple
    service: str
    host: str
    weights: dict
    memory_bytes: int = 0
    stays: str = ""
    rests: str = ""
    pin: tuple = ()
    spread: str = ""


@dataclasses.dataclass(frozen=True)
class Rules:
    threshold: float = 15.0
    target: float = 7.5
    limit: float = 90.0
    max_moves: int = 0


@dataclasses.dataclass(frozen=True)
class Move:
    key: tuple
    source: str
    destination: str
    why: str


@dataclasses.dataclass
class Plan:
    """`stays`: (key, why) of the programs that should move and cannot."""
    moves: list
    stays: list
    before: dict
    after: dict


class Planner:
    def __init__(self, sites, candidates, rules, refused):
        self.sites = {site.name: dataclasses.replace(site) for site in sites}
        self.candidates = sorted(candidates, key=lambda one: one.key)
        self.rules, self.refused = rules, refused
        self.place = {one.key: one.host for one in self.candidates}
        self.moves, self.stays = [], {}

    # -- what may move where

    def crowd(self, one, host):
        """How many others of its spread group are on the host."""
        return sum(other.spread == one.spread and self.place[other.key] == host and other.key != one.key
                   for other in self.candidates)

    def fair_share(self, one):
        """How many of its spread group a host has to take at most, if they are spread evenly."""
        group = sum(other.spread == one.spread for other in self.candidates)
        hosts = sum(not site.closed and not site.empty and (not one.pin or site.name in one.pin) for site in self.sites.values())
        return math.ceil(group / max(1, hosts))

    def obstacle(self, one, host):
        """Why the program may not move to the host; empty if it may."""
        site, here = self.sites[host], self.place[one.key]
        if site.closed or site.empty:
            return site.closed or "it is being emptied"
        if one.pin and host not in one.pin:
            return f"the service is pinned to {', '.join(one.pin)}"
        if (one.key, host) in self.refused:
            return self.refused[one.key, host]
        if one.memory_bytes > site.free_bytes:
            return f"has no room: {mebibytes(one.memory_bytes)} are needed, {mebibytes(site.free_bytes)} are free"
        if site.load + one.weights[host] > self.rules.limit:
            return f"would be at {site.load + one.weights[host]:.0f} of at most {self.rules.limit:.0f} points"
        if one.spread and self.crowd(one, host) + 1 > max(self.fair_share(one), 1):
            if not self.sites[here].empty or self.crowd(one, host) > self.least_crowd(one):
                return f"has a program of spread group {one.spread} already"
        return ""

    def least_crowd(self, one):
        return min((self.crowd(one, name) for name, site in self.sites.items()
                    if not site.closed and not site.empty and (not one.pin or name in one.pin)), default=0)

    def is_full(self):
        return 0 < self.rules.max_moves <= len(self.moves)

    def has_moved(self, one):
        return any(move.key == one.key for move in self.moves)

    def move(self, one, host, why):
        source = self.sites[self.place[one.key]]
        source.load = max(0.0, source.load - one.weights[source.name])
        source.free_bytes += one.memory_bytes
        self.sites[host].load += one.weights[host]
        self.sites[host].free_bytes -= one.memory_bytes
        self.moves.append(Move(one.key, source.name, host, why))
        self.place[one.key] = host

    def others(self, one):
        """The other hosts, the emptiest first."""
        here = self.place[one.key]
        return sorted((site.name for site in self.sites.values() if site.name != here),
                      key=lambda name: (self.sites[name].load + one.weights[name], name))

    # -- why a program should move

    def must_leave(self, one, why):
        """Moves the program to the emptiest host that takes it, or notes why none does."""
        if one.stays:
            self.stays[one.key] = one.stays
            return
        obstacles = []
        for host in self.others(one):
            obstacle = self.obstacle(one, host)
            if not obstacle:
                if not self.is_full():
                    self.move(one, host, why)
                return
            obstacles.append(f"{host}: {obstacle}")
        self.stays[one.key] = "; ".join(obstacles) or "there is no other host"

    def empty_hosts(self):
        leaving = [one for one in self.candidates if self.sites[one.host].empty]
        for one in sorted(leaving, key=lambda one: (-one.weights[one.host], one.key)):
            self.must_leave(one, f"{one.host} is being emptied")

    def go_home(self):
        for one in self.candidates:
            if one.pin and self.place[one.key] not in one.pin and not self.has_moved(one) and one.key not in self.stays:
                self.must_leave(one, f"the service is pinned to {', '.join(one.pin)}")

    def spread_out(self):
        for one in self.candidates:
            here = self.place[one.key]
            if not one.spread or self.has_moved(one) or one.stays or one.rests or self.is_full():
                continue
            if self.crowd(one, here) + 1 <= self.fair_share(one):
                continue
            for host in self.others(one):
                if self.crowd(one, host) < self.crowd(one, here) and not self.obstacle(one, host):
                    self.move(one, host, f"{here} has {self.crowd(one, here) + 1} programs of spread group {one.spread}")
                    break

    def gap(self):
        """The difference between the fullest host and the emptiest one that takes programs."""
        open_sites = [site.load for site in self.sites.values() if not site.closed and not site.empty]
        return max((site.load for site in self.sites.values() if not site.empty), default=0) - min(open_sites, default=math.inf)

    def best_move(self, source):
        """(program, host) of the move that evens the hosts out most, or None; of equal ones, the one to the emptier host."""
        best = None
        for one in self.candidates:
            if self.place[one.key] != source.name or one.stays or one.rests or self.has_moved(one):
                continue
            for host in self.others(one):
                there = self.sites[host].load + one.weights[host]
                fuller = max(source.load - one.weights[source.name], there)
                rank = (fuller, there, one.key, host)
                if fuller <= source.load - MIN_GAIN and (best is None or rank < best[0]) and not self.obstacle(one, host):
                    best = (rank, one, host)
        return best and best[1:]

    def balance(self):
        """Begins only if the gap is above the threshold, and goes on until it is below the target: so a small change afterwards
        moves nothing back."""
        if self.gap() <= self.rules.threshold:
            return
        while not self.is_full() and self.gap() > self.rules.target:
            emptiest = min((site.load for site in self.sites.values() if not site.closed and not site.empty), default=math.inf)
            for source in sorted(self.sites.values(), key=lambda site: (-site.load, site.name)):
                found = self.best_move(source) if source.load - emptiest > self.rules.target else None
                if found:
                    one, host = found
                    self.move(one, host, f"{source.name} is at {source.load:.1f} points, {host} at {self.sites[host].load:.1f}")
                    break
            else:
                return

    def note_obstacles(self):
        """Programs on a host that is still too full, and what keeps them there."""
        open_loads = [site.load for site in self.sites.values() if not site.closed and not site.empty]
        for one in self.candidates:
            here = self.sites[self.place[one.key]]
            if one.key in self.stays or self.has_moved(one):
                continue
            if one.stays:
                self.stays[one.key] = one.stays
                continue
            refusals = [f"{host}: {why}" for (key, host), why in sorted(self.refused.items()) if key == one.key]
            if refusals:
                self.stays[one.key] = "; ".join(refusals)
            elif one.rests and here.load - min(open_loads, default=here.load) > self.rules.threshold:
                self.stays[one.key] = one.rests


def mebibytes(count):
    return f"{count / (1 << 20):.0f} MiB"


def plan(sites, candidates, rules, refused=None, even=True):
    """Returns the Plan. `refused`: {(key, host): why}, what the hosts have refused so far; another host is taken then. Without `even`
    only the hosts that must be emptied are."""
    planner = Planner(sites, candidates, rules, refused or {})
    before = {site.name: site.load for site in sites}
    planner.empty_hosts()
    if even:
        planner.go_home()
        planner.spread_out()
        planner.balance()
        planner.note_obstacles()
    return Plan(planner.moves, sorted(planner.stays.items()), before, {name: site.load for name, site in planner.sites.items()})
