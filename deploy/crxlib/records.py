"""What was done: JSON lines that are on disk before the next step begins, and the lock of those who write them."""
import datetime
import fcntl
import json
import os
import threading

from .errors import Failure


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class Records:
    """The file FOLDER/history.jsonl. Each record has `time` (UTC) and `event`. `tool` is who writes it, `does` what no two of them
    may do at a time: a verb for a message."""

    def __init__(self, folder, tool, does):
        self.folder, self.path, self.tool, self.does = folder, os.path.join(folder, "history.jsonl"), tool, does
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
        """Keeps every other such tool with this directory out, until we end or unlock."""
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
            raise Failure(f"{self.folder}: another {self.tool} (pid {holder}) {self.does}; wait until it has ended") from None
        self.lock_file.truncate(0)
        self.lock_file.write(str(os.getpid()))
        self.lock_file.flush()
        self.records = list(self.read())

    def unlock(self):
        self.lock_file.close()

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
                raise Failure(f"{self.path}: {error.strerror}; make room there, then try again") from None
            finally:
                os.close(descriptor)
            self.records.append(record)
        return record

    def trim(self, most):
        """Keeps the newer half of more than `most` records; to be called with the lock."""
        if len(self.records) <= most:
            return
        self.records = self.records[-(most // 2):]
        fresh = f"{self.path}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in self.records)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)

    def breaks_off(self):
        with open(self.path, "rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
