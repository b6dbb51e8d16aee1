"""What was done: JSON lines that are on disk before a move begins and after it has ended, and the lock of those who move."""
import datetime
import fcntl
import json
import os
import threading

from .errors import Failure

# The last record of a program decides what is known of it. After these nobody knows on which host it runs.
OPEN = ("started", "in_doubt")
ENDS = ("moved", "failed", "refused", "gone", "skipped")


def key_of(record):
    return (record.get("service"), record.get("inner_pid"), record.get("command"))


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class History:
    """The file STATE/history.jsonl. Each record has `time` (UTC) and `event`; those of moves also what Move and Program have."""

    def __init__(self, folder):
        self.folder, self.path = folder, os.path.join(folder, "history.jsonl")
        self.mutex = threading.Lock()
        self.lock_file = None
        self.records = list(self.read())

    def read(self):
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    try:
                        record = json.loads(line)
                    except ValueError:
                        continue  # the last line, if the machine crashed while it was written
                    if isinstance(record, dict):
                        yield record
        except FileNotFoundError:
            return
        except OSError as error:
            raise Failure(f"{self.path}: {error.strerror}; name a directory of your own with --state DIR") from None

    def lock(self):
        """Keeps every other crx-rebalance with this directory from moving anything, until we end."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            self.lock_file = open(os.path.join(self.folder, "lock"), "a+", encoding="utf-8")
        except OSError as error:
            raise Failure(f"{self.folder}: {error.strerror}; name a directory of your own with --state DIR") from None
        try:
            fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.lock_file.seek(0)
            holder = self.lock_file.read().strip() or "unknown"
            raise Failure(f"{self.folder}: another crx-rebalance (pid {holder}) moves programs; wait until it has ended") from None
        self.lock_file.truncate(0)
        self.lock_file.write(str(os.getpid()))
        self.lock_file.flush()
        self.records = list(self.read())

    def add(self, event, **fields):
        """Appends a record and writes it to disk; returns it."""
        record = {"time": now().isoformat(timespec="milliseconds"), "event": event, **fields}
        with self.mutex:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                # A crash may have left a line without its end; an empty line is no record.
                os.write(descriptor, ("\n" * self.breaks_off() + json.dumps(record) + "\n").encode())
                os.fsync(descriptor)
            except OSError as error:
                raise Failure(f"{self.path}: {error.strerror}; make room there, then apply again") from None
            finally:
                os.close(descriptor)
            self.records.append(record)
        return record

    def breaks_off(self):
        with open(self.path, "rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"

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
