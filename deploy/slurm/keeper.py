"""What root does for a job: saving its program, reviving it, removing its set. Users come here by sudo.

The caller is not trusted: he names a job and a process, and gets nothing but sets of his own processes, in a folder that only root can
write, DIR/UID/JOB/set.
"""
import os
import re
import shutil

from crxlib import programs, table, tools
from crxlib.errors import DONE, USAGE, Failure

MANUAL = "crx-slurm(1)"
CONFIG = "/etc/crx/slurm.toml"
NO_SET = 75  # exit code of revive: nothing was saved
JOB = re.compile(r"[0-9]{1,18}")


class Settings:
    """The file of the administrator: where sets are, and options for the tools. All keys may be missing."""

    def __init__(self, path):
        document = table.parse(table.read(path, "--config"), path, MANUAL) if os.path.exists(path) else {}
        keys = table.Table(path, "slurm", document.pop("slurm", {}), MANUAL)
        self.images = keys.text("images", "/srv/crx/slurm")
        self.options, self.restore_options = keys.words("options"), keys.words("restore-options")
        keys.end()
        if document:
            raise Failure(f"{path}: {sorted(document)[0]} is no table of this file; that is slurm", USAGE)
        if not self.images.startswith("/"):
            raise keys.fault("images", "an absolute path on storage that all nodes share")


def caller():
    """The uid of the user for whom we work."""
    text = os.environ.get("SUDO_UID", "")
    return int(text) if text.isdigit() else os.getuid()


def uids_of(pid):
    found = re.search(r"^Uid:\s+(.*)$", programs.read_file(f"/proc/{pid}/status"), re.M)
    return set(map(int, found[1].split())) if found else set()


def tree_of(root, processes):
    tree, parents = [root], [root.pid]
    for pid in parents:
        below = [one for one in processes.values() if one.parent == pid]
        tree += below
        parents += [one.pid for one in below]
    return tree


class Keeper:
    """The set of one job."""

    def __init__(self, settings, job):
        if not JOB.fullmatch(job):
            raise Failure(f"{job}: is no number of a job; give what SLURM_JOB_ID holds", USAGE)
        if os.geteuid() != 0:
            raise Failure("only root can save and revive programs; let users run this by sudo, see crx-slurm(1)", USAGE)
        self.settings, self.uid = settings, caller()
        self.folder = os.path.join(settings.images, str(self.uid), job)
        self.set = os.path.join(self.folder, "set")

    def check_owner(self, process):
        for one in tree_of(process, programs.all_processes()):
            if uids_of(one.pid) - {self.uid}:
                raise Failure(f"process {one.pid} ({one.name}) is of another user; a job can save its own processes only")

    def save(self, pid):
        """Saves the process, which ends. It runs on if anything fails."""
        process = programs.look_at(pid)
        if process is None:
            raise Failure(f"process {pid} has ended; there is nothing to save")
        self.check_owner(process)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        prefix, inner = process.inside()
        done = tools.run(["crx-dump", "-t", inner, "-D", self.set, "--json", *self.settings.options], prefix)
        # In a PID namespace of the program crx-dump may end with that namespace, right after it has ended the program.
        if done.code != 0 and programs.is_same(process):
            raise Failure(f"process {pid} cannot be saved: {done.reason()}")
        if tools.run(["crx-image", "verify", self.set]).code != 0:
            raise Failure(f"process {pid} has ended, and {self.set} is not whole: {done.reason()}")

    def revive(self):
        """Becomes crx-restore, which ends as the program does; its events go to stdout. Returns NO_SET if nothing was saved."""
        if not os.path.exists(os.path.join(self.set, "inventory.img")):
            return NO_SET
        words = ["crx-restore", "-D", self.set, "--manage-cgroups", "none", "--json", *self.settings.restore_options]
        checked = tools.run([*words, "--check-only"])
        if checked.only_numbers_are_taken():
            words.append("--new-pids")
        elif checked.code != 0:
            raise Failure(f"the program cannot be revived here: {checked.reason()}")
        os.execv(find(words[0]), words)

    def drop(self):
        """Removes the set of a job whose program has ended by itself."""
        shutil.rmtree(self.folder, ignore_errors=True)


def find(name):
    path = tools.path_of(name)
    return path if "/" in path else shutil.which(path) or path


def act(options):
    """save, revive or drop; returns the exit code. What failed goes to stderr, for the user's side to repeat."""
    if caller() != os.getuid() and options.config != CONFIG:
        raise Failure(f"by sudo only {CONFIG} is read; leave --config out", USAGE)
    keeper = Keeper(Settings(options.config), options.job)
    try:
        if options.verb == "save":
            keeper.save(options.pid)
        elif options.verb == "drop":
            keeper.drop()
        else:
            return keeper.revive()
    except OSError as error:
        raise Failure(f"{error.filename or keeper.folder}: {error.strerror}; the folder must be on storage that all nodes share") from None
    return DONE
