"""Keeps what the failure tests have seen, for docs/reliability.md (tests/reliability.py writes it)."""
import collections
import json
import os

BUILD = os.environ.get("CRX_BUILD", "")
BAD = ("lost", "doubled", "unresolved", "leaked")


class Record:
    """Counts of one test file. `faults`: the faults that were injected; `moves`: successful moves; `outcomes`: how many
    times each outcome was seen; `bad`: the four outcomes that must never come."""

    def __init__(self, name):
        self.name = name
        self.faults = self.moves = 0
        self.outcomes = collections.Counter()
        self.bad = collections.Counter({word: 0 for word in BAD})
        self.notes = []

    def fault(self, outcome):
        """A fault was injected, and this came of it."""
        self.faults += 1
        self.outcomes[outcome] += 1

    def save(self):
        """Writes build/.../results/NAME.json; without a build directory nothing is written."""
        if not BUILD:
            return
        os.makedirs(f"{BUILD}/results", exist_ok=True)
        with open(f"{BUILD}/results/{self.name}.json", "w") as file:
            json.dump({"name": self.name, "full": os.environ.get("CRX_FULL") == "1", "faults": self.faults,
                       "moves": self.moves, "outcomes": dict(self.outcomes), "bad": dict(self.bad),
                       "notes": self.notes}, file, indent=1)
