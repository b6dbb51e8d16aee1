"""What a host says about itself: one shell script there, and the parser of its output. It needs sh, grep, sed and xargs there."""
import dataclasses
import json
import shlex
from concurrent.futures import ThreadPoolExecutor

from . import reach

SAMPLE_S = 2  # over which the CPU time of processes is measured
END = "== end"


@dataclasses.dataclass
class Process:
    """A process as /proc shows it: proc(5). `pids` are its PIDs from the host's namespace to its own."""
    pid: int
    parent: int = 0
    state: str = ""
    name: str = ""
    pids: tuple = ()
    start: int = 0
    command: str = ""
    arguments: tuple = ()
    cgroups: tuple = ()
    memory_bytes: int = 0
    cpu_ticks: int = 0
    earlier_ticks: int | None = None

    @property
    def busy_ticks(self):
        """CPU time since the first look, in ticks; 0 where there was none."""
        return 0 if self.earlier_ticks is None else max(0, self.cpu_ticks - self.earlier_ticks)


@dataclasses.dataclass
class Facts:
    """What one look at a host has shown. `problem` says why it could not be looked at (all else is empty then)."""
    host: str
    problem: str = ""
    memory_total: int = 0
    memory_available: int = 0
    cpus: int = 1
    cpu_pressure: float = 0.0
    pressure_from: str = ""
    processes: dict = dataclasses.field(default_factory=dict)
    pidfiles: dict = dataclasses.field(default_factory=dict)
    sessions: list = dataclasses.field(default_factory=list)
    sessions_problem: str = ""


def script(host, services, measure_cpu):
    pidfiles = [f"echo '== pidfile {name}'; sed 's/^/ /' {shlex.quote(service.pidfile)} 2>/dev/null; echo"
                for name, service in services.items() if service.pidfile]
    state = f" --state {shlex.quote(host.state)}" if host.state else ""
    sample = f"echo '== earlier'; show stat ''; sleep {SAMPLE_S}" if measure_cpu else ""
    return "\n".join([
        "export LC_ALL=C; cd /proc || exit 1",
        "show() { echo [0-9]*/$1 | xargs grep -asHE \"$2\"; }",
        "echo '== meminfo'; cat meminfo",
        "echo '== pressure'; cat pressure/cpu 2>/dev/null",
        "echo '== loadavg'; cat loadavg",
        "echo '== cpus'; grep -c '^cpu[0-9]' stat",
        *pidfiles, sample,
        "echo '== status'; show status '^(Name|State|PPid|NSpid|RssAnon|RssShmem|VmSwap):'",
        "echo '== stat'; show stat ''", "echo '== cmdline'; show cmdline ''", "echo '== cgroup'; show cgroup ''",
        # The list comes last: a program that begins to move after the look at it is in the list.
        f"echo '== sessions'; {shlex.quote(host.migrate)} --list --json{state} </dev/null 2>&1; code=$?; echo",
        f"echo \"== exit $code\"; echo '{END}'", ""])


def sections(text):
    """{title: lines} of the script's output. No other line begins with `== `: grep -H and sed put something before them, and what may
    lack the newline at its end is followed by one."""
    found, lines = {}, []
    for line in text.split("\n"):
        if line.startswith("== "):
            lines = found.setdefault(line[3:], [])
        else:
            lines.append(line)
    return found


def by_process(lines):
    """{pid: text} of lines as `grep -H` prints them: PID/FILE:TEXT; a file with several lines has several."""
    found = {}
    for line in lines:
        head, colon, text = line.partition(":")
        pid = head.partition("/")[0]
        if colon and pid.isdigit():
            found.setdefault(int(pid), []).append(text)
    return {pid: "\n".join(texts) for pid, texts in found.items()}


def fields_of_stat(text):
    """The fields of /proc/PID/stat from the third one on; the second, in brackets, may hold anything."""
    return text.rpartition(")")[2].split()


def ticks_of(fields):
    return int(fields[11]) + int(fields[12])


def parse_processes(parts):
    processes = {}
    for pid, text in by_process(parts.get("status", ())).items():
        values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        kib = sum(int(values[key].split()[0]) for key in ("RssAnon", "RssShmem", "VmSwap") if key in values)
        processes[pid] = Process(pid, int(values.get("PPid", "0")), values.get("State", "").strip()[:1], values.get("Name", "").strip(),
                                 tuple(map(int, values.get("NSpid", str(pid)).split())), memory_bytes=kib * 1024)
    for pid, text in by_process(parts.get("stat", ())).items():
        fields = fields_of_stat(text)
        if pid in processes and len(fields) > 19:
            processes[pid].start, processes[pid].cpu_ticks = int(fields[19]), ticks_of(fields)
    for pid, text in by_process(parts.get("earlier", ())).items():
        fields = fields_of_stat(text)
        if pid in processes and len(fields) > 19 and int(fields[19]) == processes[pid].start:
            processes[pid].earlier_ticks = ticks_of(fields)
    for pid, text in by_process(parts.get("cmdline", ())).items():
        if pid in processes:
            processes[pid].arguments = tuple(text.rstrip("\0").split("\0"))
            processes[pid].command = " ".join(processes[pid].arguments)
    for pid, text in by_process(parts.get("cgroup", ())).items():
        if pid in processes:
            processes[pid].cgroups = tuple(line.split(":", 2)[2] for line in text.splitlines() if line.count(":") > 1)
    return {pid: process for pid, process in processes.items() if process.start}


def parse_pressure(parts, cpus):
    """(per cent of the time in which tasks wait for a CPU, where that is from). The kernel's own figure where it has one, over a
    minute (Documentation/accounting/psi.rst); else what the load average says about it."""
    for line in parts.get("pressure", ()):
        if line.startswith("some "):
            values = dict(word.split("=", 1) for word in line.split()[1:])
            return float(values["avg60"]), "pressure"
    load = float((parts.get("loadavg") or ["0"])[0].split()[0])
    return (max(0.0, load - cpus) / load * 100 if load > cpus else 0.0), "load average"


def parse_sessions(facts, parts):
    for line in parts.get("sessions", ()):
        try:
            event = json.loads(line)
            if isinstance(event, dict) and event.get("event") == "session":
                facts.sessions.append(event)
        except ValueError:
            if line.strip():
                facts.sessions_problem = line.strip()
    codes = [title[5:] for title in parts if title.startswith("exit ")]
    if codes == ["0"]:
        facts.sessions_problem = ""
    elif not facts.sessions_problem:
        facts.sessions_problem = f"its list of sessions: exit {''.join(codes) or 'unknown'}"


def parse(host, text):
    """Returns the Facts in the script's output; those of a host that has not printed all of it have a `problem`."""
    if END not in text.split("\n"):
        return Facts(host, "the look at it broke off; try again")
    parts = sections(text)
    memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in parts.get("meminfo", ()) if ":" in line}
    if "MemTotal" not in memory:
        return Facts(host, "has no /proc/meminfo; mount /proc there")
    facts = Facts(host, "", memory["MemTotal"], memory.get("MemAvailable", memory.get("MemFree", 0)))
    facts.cpus = max(1, int((parts.get("cpus") or ["1"])[0] or 1))
    facts.cpu_pressure, facts.pressure_from = parse_pressure(parts, facts.cpus)
    facts.processes = parse_processes(parts)
    for title, lines in parts.items():
        if title.startswith("pidfile ") and lines and lines[0].strip().isdigit():
            facts.pidfiles[title[8:]] = int(lines[0])
    parse_sessions(facts, parts)
    return facts


def look_at(inventory, host):
    """Looks at one host; whatever goes wrong is in the Facts."""
    try:
        code, text, errors = reach.ask(host, script(host, inventory.services, inventory.policy.balance == "cpu"))
    except reach.Unreachable as error:
        return Facts(host.name, str(error))
    if END not in text:
        said = errors.strip().splitlines()[-1:] or [f"exit {code}"]
        return Facts(host.name, str(reach.Unreachable(host, f"cannot be reached: {said[0]}")))
    return parse(host.name, text)


def look_at_all(inventory, names=None):
    """{host: Facts}, all hosts at once."""
    hosts = [inventory.hosts[name] for name in names or inventory.hosts]
    with ThreadPoolExecutor(max_workers=min(16, len(hosts))) as pool:
        return dict(zip([host.name for host in hosts], pool.map(lambda host: look_at(inventory, host), hosts)))
