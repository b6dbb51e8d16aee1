"""Command lines: what all tools of deploy/ have alike."""
import argparse
import json
import sys

from .errors import INCOMPLETE, INTERRUPTED, USAGE, Failure

LEVELS = ("error", "warn", "info", "debug")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        tool = self.prog.split()[0]
        print(f"{tool}: {message}\nTry '{tool} --help' for more.", file=sys.stderr)
        sys.exit(USAGE)


def at_least(low):
    """The type of an option that takes a whole number from `low`."""
    def number(text):
        value = int(text)
        if value < low:
            raise ValueError
        return value
    number.__name__ = f"number from {low}"
    return number


def default_of(value, suppress):
    """Of an option that stands before or after the verb: only the first parser may set its default."""
    return argparse.SUPPRESS if suppress else value


def add_common(parser, suppress):
    parser.add_argument("--json", action="store_true", default=default_of(False, suppress),
                        help="write JSON objects to stdout, one per line")
    parser.add_argument("--log-level", choices=LEVELS, default=default_of("info", suppress),
                        help="how much is logged to stderr; default info")


def command_line(tool, version, description, add_options):
    """(the parser of a tool with verbs, a function that adds a verb and returns its parser). add_options(parser, suppress) adds the
    options that stand before or after the verb."""
    parser = Parser(prog=tool, allow_abbrev=False, description=f"{description} {tool} VERB --help says more.")
    parser.add_argument("--version", action="version", version=f"{tool} (crx) {version}", help="print the version and exit")
    add_options(parser, False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name, what):
        one = verbs.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".", allow_abbrev=False)
        add_options(one, True)
        return one
    return parser, verb


def add_files(parser, suppress, option, file, what, state):
    """The options that name the tool's file, whose content `what` says, and the directory of its history."""
    parser.add_argument(option, metavar="FILE", default=default_of(file, suppress), help=f"{what}; default {file}")
    parser.add_argument("--state", metavar="DIR", default=default_of(state, suppress), help=f"holds the history; default {state}")
    add_common(parser, suppress)


def write(stream, text):
    """Writes whole lines at once: several threads may say what they have done, and print() writes the newline separately."""
    stream.write(text + "\n")
    stream.flush()


class Voice:
    """What a tool says: notes on stderr, results on stdout."""

    def __init__(self, tool, options):
        self.tool, self.options = tool, options

    def note(self, text, level="info"):
        if LEVELS.index(level) <= LEVELS.index(self.options.log_level):
            write(sys.stderr, f"{self.tool}: {text}")

    def result(self, document, lines):
        """Prints the document with --json, else the lines."""
        write(sys.stdout, json.dumps(document) if self.options.json else "\n".join(lines))

    def event(self, record, text, level="info"):
        """Prints the record with --json, else says the text."""
        if self.options.json:
            write(sys.stdout, json.dumps(record))
        else:
            self.note(text, level)


def guarded(tool, options, action, interrupted="interrupted"):
    """Runs the action, which returns an exit code; failures become messages, and objects with --json."""
    try:
        return action()
    except Failure as error:
        if options.json:
            print(json.dumps({"event": "failed", "exit": error.exit_code, "message": str(error)}), flush=True)
        print(f"{tool}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{tool}: {interrupted}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return INCOMPLETE
