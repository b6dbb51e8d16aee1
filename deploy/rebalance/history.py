"""What was done: JSON lines that are on disk before a move begins and after it has ended, and the lock of those who move."""
import datetime

from crxlib.records import Records, now

# The last record of a program decides what is known of it. After these nobody knows on which host it runs.
OPEN = ("started", "in_doubt")
ENDS = ("moved", "failed", "refused", "gone", "skipped")


def key_of(record):
    return (record.get("service"), record.get("inner_pid"), record.get("command"))


class History(Records):
    """The file STATE/history.jsonl. Those of moves have what Move and Program have."""

    def __init__(self, folder):
        super().__init__(folder, "crx-rebalance", "moves programs")

    # -- what the records say

    def last_of_programs(self):
        """{key of a program: its last record that says where it is or may be}."""
        last = {}
        for record in self.records:
            if record.get("event") in (*OPEN, *ENDS):
                last[key_of(record)] = record
        return last

    def doubts(self):
        """The records of programs of which nobody knows on which host they run."""
        return [record for record in self.last_of_programs().values() if record["event"] in OPEN]

    def known(self):
        """{(host, key)}: where moved programs went."""
        host_of = {key_of(record): record["to"] for record in self.records if record.get("event") == "moved"}
        return {(host, key) for key, host in host_of.items()}

    def seconds_since_move(self, key):
        """Seconds since the program was moved, or None."""
        for record in reversed(self.records):
            if record.get("event") == "moved" and key_of(record) == key:
                return (now() - datetime.datetime.fromisoformat(record["time"])).total_seconds()
        return None

    def drained(self):
        """The hosts that were emptied, and take no programs until that is ended."""
        hosts = {}
        for record in self.records:
            if record.get("event") in ("drain", "drain_end"):
                hosts[record.get("host")] = record["event"] == "drain"
        return {host for host, is_drained in hosts.items() if is_drained}

    def outcomes(self, plan):
        """{number of a move of the plan: its last record}."""
        return {record["move"]: record for record in self.records if record.get("plan") == plan and "move" in record}
