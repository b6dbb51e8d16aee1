"""Which process tree of this host is a program of a configuration file."""
import dataclasses
import os
import re

from .errors import Failure

SHELLS = ("sh", "bash", "dash", "python3", "sudo", "env", "nsenter", "ssh")


@dataclasses.dataclass(frozen=True)
class Description:
    """How a program is known. All of pidfile, unit and command that are given must hold."""
    name: str
    pidfile: str = ""
    unit: str = ""
    command: re.Pattern | None = None


@dataclasses.dataclass(frozen=True)
class Process:
    """A process. `numbers` are its PIDs, that of the innermost namespace last; `start` is its start time in ticks since the boot."""
    pid: int
    parent: int
    start: int
    numbers: tuple
    name: str
    arguments: tuple

    @property
    def command(self):
        return " ".join(self.arguments)

    def inside(self):
        """(words that run a tool in the namespaces of the program, its PID there). A program that was restored with new PIDs has a
        PID namespace of its own."""
        if len(self.numbers) == 1:
            return (), self.pid
        return ("nsenter", "-t", str(self.pid), "-p", "-m"), self.numbers[-1]


def read_file(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def look_at(pid):
    """The Process; None if it has ended, and for threads of the kernel."""
    name, _, rest = read_file(f"/proc/{pid}/stat").partition("(")[2].rpartition(")")
    fields = rest.split()
    numbers = re.search(r"^NSpid:\s+(.*)$", read_file(f"/proc/{pid}/status"), re.M)
    arguments = tuple(read_file(f"/proc/{pid}/cmdline").rstrip("\0").split("\0"))
    if len(fields) < 20 or fields[0] in "ZX" or not numbers or not arguments[0]:
        return None
    return Process(int(pid), int(fields[1]), int(fields[19]), tuple(map(int, numbers[1].split())), name, arguments)


def all_processes():
    found = (look_at(pid) for pid in os.listdir("/proc") if pid.isdigit())
    return {process.pid: process for process in found if process}


def is_ours(process):
    """Whether it is a tool of crx, or runs one: `python3 /usr/bin/crx-protect run`."""
    words = [os.path.basename(word) for word in process.arguments[:3]]
    if process.name.startswith("crx-") or words[:1] and words[0].startswith("crx-"):
        return True
    return bool(words) and words[0].split(".")[0] in SHELLS and any(word.startswith("crx-") for word in words[1:])


def in_unit(pid, unit):
    """Whether one of its control groups is the unit's, or is below it."""
    name = unit if "." in unit else f"{unit}.service"
    return any(name in line.split(":", 2)[-1].split("/") for line in read_file(f"/proc/{pid}/cgroup").splitlines())


def pid_in(pidfile):
    text = read_file(pidfile).strip()
    return int(text) if text.isdigit() else 0


def matches(description, process):
    if process.pid == 1 or is_ours(process):
        return False
    if description.command and not description.command.search(process.command):
        return False
    if description.pidfile and pid_in(description.pidfile) != process.pid:
        return False
    return not description.unit or in_unit(process.pid, description.unit)


def roots_of(found, processes):
    """Those that have no ancestor among them; a tree is saved as a whole."""
    pids = {process.pid for process in found}
    for process in found:
        above, seen = process.parent, set()
        while above in processes and above not in pids and above not in seen:
            seen.add(above)
            above = processes[above].parent
        if above not in pids:
            yield process


def find(description):
    """The root of the program's tree; None if it does not run here. Throws Failure if there are several."""
    processes = all_processes()
    found = [process for process in processes.values() if matches(description, process)]
    roots = sorted(roots_of(found, processes), key=lambda process: process.pid)
    if len(roots) > 1:
        raise Failure(f"{description.name}: {len(roots)} processes match ({', '.join(str(root.pid) for root in roots[:5])}); write a "
                      "narrower command, or use a pidfile")
    return roots[0] if roots else None


def is_same(process):
    """Whether it still runs."""
    now = look_at(process.pid)
    return now is not None and now.start == process.start


def boot_id():
    return read_file("/proc/sys/kernel/random/boot_id").strip()


def read(name, table):
    """Takes the keys that say how a program is known."""
    description = Description(name, table.text("pidfile"), table.text("unit"), table.pattern("command"))
    if not (description.pidfile or description.unit or description.command):
        raise table.fault("command", "how the program is known: command, unit or pidfile")
    if description.pidfile and not description.command:
        raise table.fault("command", "what the program of the pidfile is called: the file may be out of date, and its PID another's")
    return description
