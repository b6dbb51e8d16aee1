"""The command line: crx-protect run, status, revive and serve. crx-protect(8) describes it."""
import signal
import threading
import time

from crxlib import cli, programs, records
from crxlib.errors import DONE, INCOMPLETE, USAGE, Failure

from . import config, dumper, reviver, serve, sets, stores

TOOL = "crx-protect"
LATE = 2  # intervals without a set after which a program counts as late
LONGEST_SLEEP_S = 60
MOST_RECORDS = 20_000


def add_common(parser, suppress):
    cli.add_files(parser, suppress, "--config", "/etc/crx/protect.toml", "which programs are saved, and where",
                  "/var/lib/crx/protect")


def make_parser(version):
    parser, verb = cli.command_line(TOOL, version, "Saves running programs again and again, and revives them.", add_common)
    run = verb("run", "save the programs that are due")
    run.add_argument("names", metavar="NAME", nargs="*", help="save these programs only")
    run.add_argument("--now", action="store_true", help="save them whether they are due or not")
    run.add_argument("--daemon", action="store_true", help="go on for ever")
    verb("status", "show the generations of each program, and what was done last")
    revive = verb("revive", "restore a program from its newest set that is whole")
    revive.add_argument("name", metavar="NAME")
    revive.add_argument("--of", metavar="HOST", default="", help="take the sets of this host; default: this host")
    revive.add_argument("--set", metavar="SET", default="", help="take this set")
    revive.add_argument("--new-pids", action="store_true", help="restore it in a PID namespace of its own")
    revive.add_argument("--check-only", action="store_true", help="only say whether it could be restored here")
    serving = verb("serve", "answer one request of another host about the sets of this host's store")
    serving.add_argument("--store", metavar="DIR", default="", help="serve this store; default: that of the request")
    serving.add_argument("--only", metavar="HOST", action="append", default=[], help="serve the sets of this host only")
    return parser


class Tool(cli.Voice):
    def __init__(self, options):
        super().__init__(TOOL, options)
        self.ending = threading.Event()
        if options.verb != "serve":
            self.config = config.load(options.config)
            self.history = records.Records(options.state, TOOL, "saves or revives programs")

    def say(self, record):
        level = {"failed": "error", "damaged": "error", "left": "warn", "absent": "info"}.get(record["event"], "info")
        self.event(record, record_line(record), level)

    def program(self, name):
        found = self.config.programs.get(name)
        if not found:
            raise Failure(f"{name}: is no program of {self.config.path}; there are {', '.join(self.config.programs) or 'none'}", USAGE)
        return found

    # -- verbs; each returns the exit code

    def run(self):
        chosen = [self.program(name).name for name in self.options.names]
        if self.options.daemon:
            return self.run_for_ever(chosen)
        self.lock()
        return DONE if self.save(chosen, self.options.now) else INCOMPLETE

    def lock(self):
        self.history.lock()
        self.history.trim(MOST_RECORDS)

    def save(self, chosen, now):
        """Saves what is due; returns whether all is well."""
        well = True
        for program in self.config.programs.values():
            if chosen and program.name not in chosen or self.ending.is_set():
                continue
            if now or dumper.due_in_s(self.history, program) <= 0:
                well = dumper.Dumper(self.config, program, self.history, self.say, self.note).run() and well
        return well

    def run_for_ever(self, chosen):
        """A signal lets the dump that runs end. The file is read again before each round."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ending.set())
        while not self.ending.is_set():
            self.read_again()
            try:
                self.lock()
                self.save(chosen, False)
                self.history.unlock()
            except Failure as error:
                self.note(str(error), "error")
            waits = [dumper.due_in_s(self.history, program) for program in self.config.programs.values()]
            self.ending.wait(min(max(min(waits, default=LONGEST_SLEEP_S), 0.1), LONGEST_SLEEP_S))
        return DONE

    def read_again(self):
        try:
            self.config = config.load(self.options.config)
        except Failure as error:
            self.note(f"{error}; the programs stay as they were", "error")

    def revive(self):
        program = self.program(self.options.name)
        self.history.lock()
        reviver.sweep(self.options.state)
        work = reviver.Reviver(self.config, program, self.history, self.note, self.options.of, self.options.state)
        one, pid = work.revive(self.options.set, self.options.check_only, self.options.new_pids)
        if self.options.check_only:
            self.result({"event": "checked", "program": program.name, "set": one.name}, [f"{one.name} can be restored here"])
            return DONE
        record = self.history.add("revived", program=program.name, set=one.name, made=one.made, pid=pid)
        self.result(record, [f"{program.name} runs again as process {pid}, as it was {reviver.age_text(time.time() - one.made)} ago"])
        return DONE

    def status(self):
        problem, everything = "", []
        try:
            everything = stores.of(self.config).list()
        except Failure as error:
            problem = str(error)
        found = [self.describe(program, everything, problem) for program in self.config.programs.values()]
        others = sorted({f"{one.program} of {one.host}" for one in everything if one.host != self.config.host})
        document = {"event": "status", "host": self.config.host, "store": self.config.store, "agent": self.config.agent,
                    "problem": problem, "programs": found, "others": others}
        self.result(document, status_lines(document))
        return INCOMPLETE if problem or any(one["problem"] for one in found) else DONE

    def describe(self, program, everything, store_problem):
        mine = sets.of(everything, self.config.host, program.name)
        whole = sets.generations(mine)
        attempt = dumper.last(self.history, program.name, *dumper.ATTEMPTS)
        running, problem = None, ""
        try:
            running = programs.find(program.description)
        except Failure as error:
            problem = str(error)
        age = time.time() - whole[0].made if whole else None
        if not problem and attempt.get("event") == "failed":
            problem = attempt["message"]
        elif not problem and running and not store_problem and (age is None or age > LATE * program.interval_s + dumper.RETRY_S):
            problem = "its newest generation is late" if whole else "it has no generation yet"
        return {"program": program.name, "pid": running.pid if running else None, "problem": problem, "interval_s": program.interval_s,
                "last": attempt, "bytes": sum(one.bytes for one in mine),
                "generations": [{"set": one.name, "age_s": round(time.time() - one.made), "bytes": one.bytes,
                                 "continues": one.parent} for one in whole]}

    def serve(self):
        return serve.serve(self.options.store, self.options.only)


def size_text(count):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def record_line(record):
    """A line for people about a record of the history."""
    name = record.get("program", "")
    if record["event"] == "dumped":
        kind = "in full" if record.get("full") else f"as an increment of {record.get('parent')}"
        return f"{name}: saved {kind} as {record['set']}; it was stopped for {record.get('frozen_us', 0) / 1000:.1f} ms"
    if record["event"] == "removed":
        return f"{name}: removed {', '.join(record['sets'])}"
    return f"{name}: {record.get('message', record['event'])}"


def status_lines(document):
    lines = [f"{document['host']} saves to {document['agent'] or 'the folder'} {document['store']}".replace("the folder ", "")]
    if document["problem"]:
        lines.append(f"  problem: {document['problem']}")
    for one in document["programs"]:
        where = f"process {one['pid']}" if one["pid"] else "does not run here"
        lines += ["", f"{one['program']}: {where}, {size_text(one['bytes'])} in the store"]
        if one["problem"]:
            lines.append(f"  problem: {one['problem']}")
        for each in one["generations"]:
            kind = f"continues {each['continues']}" if each["continues"] else "full"
            lines.append(f"  {each['set']:<30} {reviver.age_text(each['age_s']):>8} {size_text(each['bytes']):>10}  {kind}")
        if not one["generations"]:
            lines.append("  no generation")
    if document["others"]:
        lines += ["", f"The store has sets of other hosts, too: {', '.join(document['others'])}"]
    return lines


def main(arguments, version):
    options = make_parser(version).parse_args(arguments)
    return cli.guarded(TOOL, options, lambda: getattr(Tool(options), options.verb)())
