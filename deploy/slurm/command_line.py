"""The command line: crx-slurm run, save, revive and drop. crx-slurm(1) describes it."""
import signal
import sys

from crxlib import cli

from . import job, keeper

TOOL = "crx-slurm"


def signal_of(text):
    return signal.Signals[text if text.startswith("SIG") else f"SIG{text}"]


signal_of.__name__ = "name of a signal"


def add_common(parser, suppress):
    parser.add_argument("--config", metavar="FILE", default=cli.default_of(keeper.CONFIG, suppress),
                        help="the administrator's settings; default /etc/crx/slurm.toml")
    cli.add_common(parser, suppress)


def make_parser(version):
    parser, verb = cli.command_line(TOOL, version, "Runs the program of a batch job of Slurm, saves it before its time is up, and "
                                                   "revives it where the job runs again.", add_common)
    run = verb("run", "run the program of this job, or go on with it")
    run.add_argument("--signal", metavar="NAME", type=signal_of, default=signal.SIGUSR1, help="the warning; default USR1")
    run.add_argument("command", metavar="COMMAND", nargs="+", help="the program and its arguments, after --")
    save = verb("save", "(root) save a process of the user for a job; it ends")
    save.add_argument("job", metavar="JOB")
    save.add_argument("pid", metavar="PID", type=cli.at_least(2))
    verb("revive", "(root) revive what was saved for a job").add_argument("job", metavar="JOB")
    verb("drop", "(root) remove what was saved for a job").add_argument("job", metavar="JOB")
    return parser


def run(options):
    voice = cli.Voice(TOOL, options)
    work = job.Job(job.job_number(), options.command, job.helper(sys.argv[0], options.config), ("scontrol", "requeue"), options.signal,
                   voice.note)
    return work.run()


def main(arguments, version):
    options = make_parser(version).parse_args(arguments)
    return cli.guarded(TOOL, options, lambda: run(options) if options.verb == "run" else keeper.act(options))
