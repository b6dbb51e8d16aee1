"""Restoring a program from its newest set that is whole."""
import os
import shutil
import time

from crxlib import programs, tools
from crxlib.errors import Failure

from . import sets, stores


class Reviver:
    """Revives one program of the configuration. `of_host`: the host whose sets are taken."""

    def __init__(self, config, program, history, note, of_host="", work=""):
        self.config, self.program, self.history, self.note = config, program, history, note
        self.of_host, self.work = of_host or config.host, work
        self.store = stores.of(config)

    def choose(self, name=""):
        """(the set, the sets that it continues): the newest one that is whole, or the one with this name."""
        everything = self.store.list()
        found = sets.of(everything, self.of_host, self.program.name)
        if name and name not in [one.name for one in found]:
            raise Failure(f"{name} is no set of {self.program.name} of {self.of_host}; crx-protect status lists them")
        for one in sets.generations(found):
            if name and one.name != name:
                continue
            try:
                self.store.verify(one.name)
            except stores.Unreachable:
                raise
            except Failure as error:
                self.note(f"{one.name} is damaged, and is not taken: {error}", "warn")
                continue
            return one, sets.chain_of(one, found)
        others = sorted({one.host for one in everything if one.program == self.program.name} - {self.of_host})
        hint = f"; there are sets of {', '.join(others)}: add --of {others[0]}" if others else ""
        raise Failure(f"{self.config.store} has no whole set of {self.program.name} of {self.of_host}{hint}")

    def revive(self, name="", check_only=False, new_pids=False):
        """Restores; returns (the set, the PID; 0 with check_only)."""
        running = programs.find(self.program.description)
        if running and not check_only:
            raise Failure(f"{self.program.name} runs here (pid {running.pid}); end it first, or it would run twice")
        one, chain = self.choose(name)
        self.note(f"{one.name} is {age_text(time.time() - one.made)} old")
        path, fetched = self.store.fetch([each.name for each in chain], self.work)
        try:
            return one, self.restore(path, check_only, new_pids)
        finally:
            if fetched:
                shutil.rmtree(fetched, ignore_errors=True)

    def restore(self, path, check_only, new_pids):
        options = [*(["--new-pids"] if new_pids else []), *self.program.restore_options]
        if self.config.tls_dir and "--require-signature" in options:
            options += ["--tls-dir", self.config.tls_dir]
        if check_only:
            done = tools.run(["crx-restore", "-D", path, "--check-only", "--json", *options])
            if done.code != 0:
                raise Failure(f"{self.program.name} cannot be revived here: {done.reason()}")
            return 0
        pidfile = self.program.description.pidfile
        done = tools.run(["crx-restore", "-D", path, "-d", "--json", *(["--pidfile", pidfile] if pidfile else []), *options])
        restored = [event for event in done.events if event.get("event") == "restored"]
        if done.code != 0 or not restored:
            raise Failure(f"{self.program.name} cannot be revived: {done.reason()}")
        return restored[0]["pid"]


def age_text(seconds):
    minutes = max(0, int(seconds)) // 60
    if minutes < 2:
        return f"{max(0, int(seconds))} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 60 // 24} d"


def sweep(path):
    """Removes what an interrupted revival has fetched."""
    for name in os.listdir(path) if os.path.isdir(path) else ():
        if name.startswith("fetched-"):
            shutil.rmtree(os.path.join(path, name), ignore_errors=True)
