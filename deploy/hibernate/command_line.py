"""The command line: crx-hibernate save, restore, status and hold. crx-hibernate(8) describes it."""
from crxlib import cli, programs, records
from crxlib.errors import DONE, INCOMPLETE, Failure

from . import config, hold, restorer, saver, units
from .keeping import Kept

TOOL = "crx-hibernate"


def add_common(parser, suppress):
    cli.add_files(parser, suppress, "--config", "/etc/crx/hibernate.toml", "which programs are saved",
                  "/var/lib/crx/hibernation")


def make_parser(version):
    parser, verb = cli.command_line(TOOL, version, "Takes a set of programs over a reboot.", add_common)
    verb("save", "save the programs, which end").add_argument(
        "--going-down", action="store_true", help="the host goes down: save also what a program needs that cannot be saved")
    verb("restore", "restore the programs that were saved")
    verb("status", "show which programs run, and which wait for their restore")
    verb("hold", "send no resets of TCP connections until the programs are restored")
    return parser


class Tool(cli.Voice):
    def __init__(self, options):
        super().__init__(TOOL, options)
        self.config = config.load(options.config)
        self.history = records.Records(options.state, TOOL, "saves or restores programs")

    def say(self, record):
        level = {"failed": "error", "left": "warn", "restoring": "debug"}.get(record["event"], "info")
        self.event(record, record_line(record), level)

    # -- verbs; each returns the exit code

    def save(self):
        self.history.lock()
        return DONE if saver.Saver(self.config, self.history, self.say, self.options.going_down).run() else INCOMPLETE

    def restore(self):
        self.history.lock()
        return DONE if restorer.Restorer(self.config, self.history, self.say, self.note).run() else INCOMPLETE

    def hold(self):
        """It does nothing where no program that waits has connections."""
        waiting = [one for one in self.config.programs.values() if one.has_connections and Kept(self.config.images, one.name).waits()]
        if waiting and (problem := hold.begin()):
            raise Failure(f"resets of connections are not held back: {problem}; install nftables")
        return DONE

    def status(self):
        found = [self.describe(program) for program in self.config.programs.values()]
        self.result({"event": "status", "images": self.config.images, "programs": found}, [status_line(one) for one in found])
        return DONE

    def describe(self, program):
        kept, problem, running = Kept(self.config.images, program.name), "", None
        try:
            running = programs.find(program.description)
        except Failure as error:
            problem = str(error)
        last = next((record for record in reversed(self.history.records) if record.get("program") == program.name), {})
        return {"program": program.name, "pid": running.pid if running else None, "after": list(program.after),
                "waits": kept.waits(), "age_s": round(kept.age_s()) if kept.waits() else None,
                "problem": problem or (last.get("message", "") if last.get("event") == "failed" else "")
                or (units.advice(running.pid) if running else ""), "last": last}


def record_line(record):
    name = record.get("program", "")
    if record["event"] in ("saved", "restored"):
        return f"{name}: {record['event']} (pid {record['pid']})"
    return f"{name}: {record.get('message', record['event'])}"


def status_line(one):
    words = [f"runs as process {one['pid']}" if one["pid"] else "does not run"]
    if one["waits"]:
        words.append(f"a set of {one['age_s']} s ago waits for its restore")
    if one["problem"]:
        words.append(f"problem: {one['problem']}")
    return f"{one['program']}: {'; '.join(words)}"


def main(arguments, version):
    options = make_parser(version).parse_args(arguments)
    return cli.guarded(TOOL, options, lambda: getattr(Tool(options), options.verb)())
