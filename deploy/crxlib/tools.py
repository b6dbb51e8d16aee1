"""Running the tools of crx."""
import contextlib
import json
import os
import subprocess
import sys
import tempfile


class Result:
    """How a tool has ended: its exit code, the JSON objects that it printed, what it said on stderr."""

    def __init__(self, code, output, errors):
        self.code, self.errors, self.events = code, errors, list(objects_of(output))

    @property
    def last(self):
        return self.events[-1] if self.events else {}

    def only_numbers_are_taken(self):
        """Whether the findings of a check (crx-restore --check-only) are numbers of processes and threads only, so that new ones help."""
        found = [event["object"] for event in self.events if event.get("event") == "finding"]
        return bool(found) and all(one.startswith(("PID ", "TID ")) for one in found)

    def reason(self):
        """What the tool said last, in a line."""
        failed = [f"{event['message']}; {event['hint']}" if event.get("hint") else event["message"]
                  for event in self.events if event.get("event") == "failed" and event.get("message")]
        found = [" ".join(filter(None, (event.get("object"), event.get("reason")))) for event in self.events
                 if event.get("event") == "finding"]
        lines = [line for line in self.errors.splitlines() if line.strip()]
        return (found[:1] or failed or lines or [f"exit status {self.code}"])[-1]


def objects_of(text):
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found


def path_of(name):
    """The tool beside the program that runs, else the one on PATH."""
    beside = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), name)
    return beside if os.access(beside, os.X_OK) else name


def run(words, prefix=()):
    """Runs a tool to its end; its first word is a name such as crx-dump. `prefix` are words that run it elsewhere. (Files take the
    output, since a program that crx-restore leaves running would keep a pipe open.)"""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            code = subprocess.run([*prefix, path_of(words[0]), *map(str, words[1:])], stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=errors, check=False, start_new_session=True).returncode
        except OSError as error:
            return Result(127, "", f"cannot run {words[0]}: {error.strerror}")
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Result(code, *texts)
