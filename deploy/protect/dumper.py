"""Saving one program: whether it is due, the dump, and the removal of generations that are not kept any more.

Records of the history: `dumped` (program, set, parent, pid, start, boot, pages, parent_pages, frozen_us, total_ms), `failed` (program,
message), `absent` (program), `damaged` (program, set, message), `removed` (program, sets), `left` (program, message: sets that could
not be removed), `revived` (program, set, pid).
"""
import datetime
import os

from crxlib import programs, records, tools
from crxlib.errors import Failure

from . import sets, stores

ATTEMPTS = ("dumped", "failed", "absent")
RETRY_S = 60


def age_s(record):
    return (records.now() - datetime.datetime.fromisoformat(record["time"])).total_seconds()


def last(history, program, *events):
    """The last record of the program with one of these events, or {}."""
    for record in reversed(history.records):
        if record.get("program") == program and record.get("event") in events:
            return record
    return {}


def due_in_s(history, program):
    """Seconds until the program is to be saved, at most its interval; 0 and less: now. After a failure it is tried sooner."""
    attempt = last(history, program.name, *ATTEMPTS)
    if not attempt:
        return 0
    wait = program.interval_s if attempt["event"] == "dumped" else min(program.interval_s, RETRY_S)
    # A clock that was set back must not stop the dumps.
    return wait - age_s(attempt) if age_s(attempt) >= 0 else 0


class Dumper:
    """Saves one program. `say` gets every record, `note` what is no record."""

    def __init__(self, config, program, history, say, note):
        self.config, self.program, self.history, self.say, self.note = config, program, history, say, note
        self.store = stores.of(config)

    def add(self, event, **fields):
        self.say(self.history.add(event, program=self.program.name, **fields))

    def run(self):
        """Saves the program if it runs; returns whether all is well."""
        try:
            process = programs.find(self.program.description)
            if process is None:
                if last(self.history, self.program.name, *ATTEMPTS).get("event") != "absent":
                    self.add("absent", message=f"{self.program.name} does not run here")
                return True
            found = self.stored()
            self.dump(process, found)
        except Failure as error:
            self.add("failed", message=str(error))
            return False
        return self.remove_old()

    def stored(self):
        """The program's sets in the store; None if the store does not say. (A dump goes to an agent by another way.)"""
        try:
            return sets.of(self.store.list(), self.config.host, self.program.name)
        except stores.Unreachable as error:
            self.note(str(error), "warn")
            return None

    # -- the dump

    def is_tracked(self, process, record):
        """Whether its memory may still be tracked since this dump; crx-dump itself finds out for certain."""
        return (record.get("pid"), record.get("start"), record.get("boot")) == (process.pid, process.start, programs.boot_id())

    def previous(self, process, found):
        """The name of the set that the next one continues; "" for none."""
        record = last(self.history, self.program.name, "dumped", "damaged")
        if record.get("event") != "dumped" or not self.is_tracked(process, record):
            return ""
        if found is None:  # the store does not answer: what is known of the chain is in the history
            return record["set"] if record.get("length", self.program.chain) < self.program.chain else ""
        newest = found[-1:]
        if not newest or newest[0].name != record["set"] or not sets.may_continue(newest[0], found, self.program.chain):
            return ""
        return record["set"]

    def next_number(self, found):
        numbers = [one.number for one in found or ()]
        for record in self.history.records:
            match = sets.SET_NAME.fullmatch(record.get("set", "")) if record.get("program") == self.program.name else None
            if match and match[1] == self.config.host:
                numbers.append(int(match[3]))
        return max(numbers, default=0) + 1

    def place(self, name, parent):
        """The options of crx-dump that say where a set goes."""
        if self.config.agent:
            tls = ["--tls-dir", self.config.tls_dir] if self.config.tls_dir else []
            return ["--to", self.config.agent, "--name", name, *(["--prev-set", parent] if parent else []), *tls]
        os.makedirs(self.config.store, mode=0o700, exist_ok=True)
        return ["-D", os.path.join(self.config.store, name), *(["--prev-images-dir", f"../{parent}"] if parent else [])]

    def make(self, process, name, parent, *options):
        """Makes one set; returns the result of crx-dump."""
        prefix, pid = process.inside()
        tls = ["--tls-dir", self.config.tls_dir] if self.config.tls_dir and "--sign" in self.program.options and not self.config.agent else []
        done = tools.run(["crx-dump", "-t", pid, "--json", *self.place(name, parent), *tls, *options, *self.program.options], prefix)
        if done.code != 0 or done.last.get("event") != "done":
            raise Failure(f"{self.program.name} (pid {process.pid}) cannot be saved: {done.reason()}")
        return done.last

    def dump(self, process, found):
        parent, number = self.previous(process, found), self.next_number(found)
        length = last(self.history, self.program.name, "dumped").get("length", 0) + 1 if parent else 1
        full = not parent
        if full and self.program.pre:
            parent = sets.name_of(self.config.host, self.program.name, number)
            self.make(process, parent, "", "--pre")
            number += 1
        name = sets.name_of(self.config.host, self.program.name, number)
        try:
            done = self.make(process, name, parent, "--leave-running", "--track-mem")
        except Failure:
            if full and parent:
                self.forget(parent)
            raise
        self.add("dumped", set=name, parent=parent, full=full, length=length, pid=process.pid, start=process.start,
                 boot=programs.boot_id(), **{key: done.get(key) for key in ("pages", "parent_pages", "frozen_us", "total_ms")})

    def forget(self, name):
        """Removes a pre-dump that nothing continues."""
        try:
            self.store.remove([name])
        except Failure as error:
            self.note(f"{name} is left in the store: {error}", "warn")

    # -- generations

    def remove_old(self):
        """Removes what is not kept any more, once the newest set has been read and is whole; returns whether all is well."""
        found = self.stored()
        if found is None:
            self.add("left", message="old generations stay until the store answers")
            return False
        old = sets.removable(found, self.program.generations)
        if not old:
            return True
        newest = sets.generations(found)[0].name
        try:
            self.store.verify(newest)
        except stores.Unreachable as error:
            self.add("left", message=str(error))
            return False
        except Failure as error:
            self.add("damaged", set=newest, message=f"{error}; the next set is a full one, and older generations stay")
            return False
        names = [one.name for one in old]
        try:
            self.store.remove(names)
        except Failure as error:
            self.add("left", message=str(error))
            return False
        self.add("removed", sets=names)
        return True
