"""Stores of sets: a folder that this host sees, or the store of an agent elsewhere, which `crx-protect serve` there gives access to.

Both have the same four operations; they raise Failure, or Unreachable where nobody can say.
"""
import json
import os
import shlex
import shutil
import subprocess
import tempfile

from crxlib import tools
from crxlib.errors import Failure

from . import sets

ANSWER_S = 30


class Unreachable(Failure):
    """The host of the store did not answer."""


class Folder:
    """A store of this host: the folder that holds the sets."""

    def __init__(self, path):
        self.path = path

    def document(self):
        """What crx-image says about the sets."""
        if not os.path.isdir(self.path):
            return {"sets": []}
        done = tools.run(["crx-image", "list", "--store", self.path, "--json"])
        if done.code != 0:
            raise Failure(f"{self.path}: {done.reason()}")
        return done.last

    def list(self):
        return sets.parse(self.document())

    def verify(self, name):
        """Reads the set and all that it continues; raises Failure if anything is damaged."""
        done = tools.run(["crx-image", "verify", "--store", self.path, "--name", name, "--json"])
        if done.code != 0:
            raise Failure(f"{name}: {done.reason()}")

    def remove(self, names):
        """Removes sets in this order; raises Failure at the first one that stays."""
        for name in names:
            done = tools.run(["crx-image", "remove", "--store", self.path, "--name", name, "--json"])
            if done.code != 0:
                raise Failure(f"{name}: {done.reason()}")

    def fetch(self, names, work):
        """The path of the first set, with those that it continues beside it, and what must be removed afterwards (or None)."""
        return os.path.join(self.path, names[0]), None


class Elsewhere:
    """The store of another host. `reach` are words that run `crx-protect serve` there."""

    def __init__(self, reach, path):
        self.reach, self.path = [*reach, "crx-protect", "serve"], path

    def request(self, verb, **fields):
        return json.dumps({"verb": verb, "store": self.path, **fields}).encode() + b"\n"

    def fault(self, why):
        return Unreachable(f"the store {self.path} there does not answer: {why}; try {shlex.join(self.reach)} </dev/null")

    def ask(self, verb, timeout=None, **fields):
        try:
            done = subprocess.run(self.reach, input=self.request(verb, **fields), capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise self.fault(f"nothing within {timeout} s") from None
        except OSError as error:
            raise self.fault(f"cannot run {self.reach[0]}: {error.strerror}") from None
        answer = next(tools.objects_of(done.stdout.decode(errors="replace")), None)
        if answer is None:
            raise self.fault((done.stderr.decode(errors="replace").strip().splitlines() or [f"exit {done.returncode}"])[-1])
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def list(self):
        return sets.parse(self.ask("list", ANSWER_S))

    def verify(self, name):
        self.ask("verify", sets=[name])

    def remove(self, names):
        if names:
            self.ask("remove", sets=names)

    def fetch(self, names, work):
        os.makedirs(work, mode=0o700, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="fetched-", dir=work)
        try:
            self.receive(names, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return os.path.join(folder, names[0]), folder

    def receive(self, names, folder):
        """`serve` answers with an archive. What comes belongs to root, who may read it only."""
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen(self.reach, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as there:
                with there.stdin:
                    there.stdin.write(self.request("export", sets=names))
                unpacked = subprocess.run(["tar", "-x", "-C", folder, "--no-same-owner", "--no-same-permissions", "--", *names],
                                          stdin=there.stdout, stderr=errors, check=False)
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
        if there.returncode != 0 or unpacked.returncode != 0:
            raise self.fault((said or [f"exit {there.returncode}"])[0])


def of(config):
    return Elsewhere(config.reach, config.store) if config.reach else Folder(config.store)
