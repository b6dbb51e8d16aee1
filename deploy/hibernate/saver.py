"""Saving the programs, those first that need others. A program that cannot be saved runs on, with all that it needs."""
from crxlib import programs, tools
from crxlib.errors import Failure

from .keeping import Kept


class Saver:
    """`going_down`: whether the host is about to go down, so that whatever still runs then is lost."""

    def __init__(self, config, history, say, going_down):
        self.config, self.history, self.say, self.going_down = config, history, say, going_down
        self.needed = {}  # {name: the program that needs it and runs on}

    def add(self, event, program, **fields):
        self.say(self.history.add(event, program=program.name, boot=programs.boot_id(), **fields))

    def run(self):
        """Returns whether no program is left running."""
        return all([self.save(program) for program in reversed(self.config.programs.values())])

    def save(self, program):
        try:
            process = programs.find(program.description)
            if process is None:
                self.add("absent", program, message=f"{program.name} does not run")
                return True
            if program.name in self.needed and not self.going_down:
                raise Failure(f"{program.name} runs on, since {self.needed[program.name]} needs it and runs on")
            self.dump(program, process)
            return True
        except Failure as error:
            for name in program.after:
                self.needed.setdefault(name, program.name)
            self.add("failed", program, message=str(error))
            return False

    def dump(self, program, process):
        kept = Kept(self.config.images, program.name)
        kept.make_folder()
        if kept.waits():
            path = kept.put_aside()
            self.add("left", program, message=f"a set that was never restored is now {path}")
        prefix, pid = process.inside()
        options = list(program.options)
        if program.description.unit and "--unit" not in options:
            # A unit that is stopped with the host must not be waited for.
            options += ["--unit", "keep" if self.going_down else "stop"]
        done = tools.run(["crx-dump", "-t", pid, "-D", kept.set, "--json", *options], prefix)
        # In a PID namespace of the program crx-dump may end with that namespace, right after it has ended the program.
        if done.code != 0 and programs.is_same(process):
            raise Failure(f"{program.name} (pid {process.pid}) cannot be saved, and runs on: {done.reason()}")
        if not kept.waits():
            raise Failure(f"{program.name} (pid {process.pid}) has ended, and there is no set: {done.reason()}")
        kept.forget_restored()
        self.add("saved", program, pid=process.pid, **{key: done.last.get(key) for key in ("pages", "total_ms")})
