"""Sets of a program in a store, and chains of them: pure functions of what `crx-image list --json` says.

A chain is a full set, and sets that continue one another; with `pre`, the first of a chain is a pre-dump, which holds memory only and
is continued by the first set that can be restored. A generation is a set that can be restored.
"""
import calendar
import dataclasses
import re
import time

# HOST.PROGRAM.NUMBER; neither part has a dot. The number grows by one with each set.
SET_NAME = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([0-9]{6,})")
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
LONGEST = 64 - len("..1000000")  # of host and program together; a store takes names of 64 characters


@dataclasses.dataclass(frozen=True)
class Set:
    """A set of a store. `made`: seconds since 1970; `damage`: what is wrong with it, as far as its manifest shows."""
    name: str
    host: str
    program: str
    number: int
    made: float
    bytes: int
    kind: str
    parent: str
    damage: str


def name_of(host, program, number):
    return f"{host}.{program}.{number:06}"


def parse(document):
    """The sets of crx-protect among those of a store, in the order of their numbers."""
    found = []
    for one in document.get("sets", ()):
        match = SET_NAME.fullmatch(one.get("name", ""))
        if match:
            made = calendar.timegm(time.strptime(one["time"], "%Y-%m-%dT%H:%M:%SZ"))
            found.append(Set(one["name"], match[1], match[2], int(match[3]), made, one.get("bytes", 0), one.get("kind", ""),
                             one.get("parent") or "", one.get("damage", "")))
    return sorted(found, key=lambda one: one.number)


def of(sets, host, program):
    return [one for one in sets if (one.host, one.program) == (host, program)]


def chain_of(one, sets):
    """The set and all that it continues, itself first; None if one of them is not there."""
    by_name, chain = {each.name: each for each in sets}, [one]
    while chain[-1].parent:
        above = by_name.get(chain[-1].parent)
        if above is None or above in chain:
            return None
        chain.append(above)
    return chain


def is_whole(one, sets):
    """Whether it can be restored, as far as the list shows."""
    chain = chain_of(one, sets)
    return one.kind == "dump" and chain is not None and not any(each.damage for each in chain)


def generations(sets):
    """Those that can be restored, the newest one first."""
    return [one for one in reversed(sets) if is_whole(one, sets)]


def removable(sets, count):
    """Those that may go when the newest generation is known to be whole, in the order in which they can go: all but the newest
    `count` generations, what these continue, and whatever is newer than the newest one."""
    whole = generations(sets)
    if not whole:
        return []
    needed = {each.name for one in whole[:count] for each in chain_of(one, sets)}
    # A set that continues another one has the higher number, so it goes first.
    return [one for one in reversed(sets) if one.number < whole[0].number and one.name not in needed]


def may_continue(newest, sets, longest):
    """Whether the next set may continue the newest one: its chain is whole, has less than `longest` generations, and what was added
    to its first generation is not larger than that already."""
    chain = chain_of(newest, sets)
    if chain is None or not is_whole(newest, sets):
        return False
    dumps = [one for one in chain if one.kind == "dump"]
    first = chain[-2:] if chain[-1].kind == "pre-dump" else chain[-1:]
    base = sum(one.bytes for one in first)
    return len(dumps) < longest and sum(one.bytes for one in chain) - base <= base
