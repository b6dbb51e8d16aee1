"""Restoring the programs, each after those that it needs. A set stays until its program runs."""
import os

from crxlib import programs, tools
from crxlib.errors import Failure

from . import hold
from .keeping import Kept


class Restorer:
    def __init__(self, config, history, say, note):
        self.config, self.history, self.say, self.note = config, history, say, note
        self.missing = set()  # names of programs that should run and do not

    def add(self, event, program, **fields):
        self.say(self.history.add(event, program=program.name, boot=programs.boot_id(), **fields))

    def run(self):
        """Returns whether no set is left waiting."""
        waiting = [program for program in self.config.programs.values() if Kept(self.config.images, program.name).waits()]
        connected = any(program.has_connections for program in waiting)
        if connected and (problem := hold.begin()):
            self.note(f"resets of connections are not held back: {problem}", "warn")
        try:
            return all([self.restore(program) for program in waiting])
        finally:
            if problem := hold.end():
                self.note(f"nft delete table inet {hold.TABLE}: {problem}", "warn" if connected else "debug")

    def restore(self, program):
        kept = Kept(self.config.images, program.name)
        try:
            running = programs.find(program.description)
            if running is not None:
                return self.look_at_running(program, running, kept)
            lacking = sorted(self.missing.intersection(program.after))
            if lacking:
                raise Failure(f"{program.name} needs {lacking[0]}, which was not restored; its set stays")
            self.revive(program, kept)
            return True
        except Failure as error:
            self.missing.add(program.name)
            self.add("failed", program, message=str(error))
            return False

    def look_at_running(self, program, running, kept):
        """An earlier call may have been killed when the program ran already; otherwise somebody has started it anew."""
        last = next((record for record in reversed(self.history.records) if record.get("program") == program.name), {})
        if last.get("event") == "restoring" and last.get("boot") == programs.boot_id():
            kept.mark_restored()
            self.add("restored", program, pid=running.pid)
            return True
        self.add("failed", program, message=f"{program.name} runs already (pid {running.pid}), and was not restored; its set {kept.set} "
                                            "stays. End the program and restore again, or remove the set")
        return False

    def revive(self, program, kept):
        words = ["crx-restore", "-D", kept.set, "--json", *program.restore_options]
        if program.new_pids and tools.run([*words, "--check-only"]).only_numbers_are_taken():
            words.append("--new-pids")
        pidfile = program.description.pidfile
        if pidfile:
            os.makedirs(os.path.dirname(pidfile), exist_ok=True)
            words += ["--pidfile", pidfile]
        self.add("restoring", program)
        done = tools.run([*words, "-d"])
        pids = [event["pid"] for event in done.events if event.get("event") == "restored"]
        if done.code != 0 or not pids:
            raise Failure(f"{program.name} cannot be restored; its set {kept.set} stays: {done.reason()}")
        kept.mark_restored()
        self.add("restored", program, pid=pids[0], new_pids="--new-pids" in words)
