"""Which programs on the hosts belong to the services of the inventory. Nothing else is ever moved."""
import dataclasses
import fnmatch

from crxlib.programs import is_ours, roots_of


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that belongs to a service: the root of a process tree. `stays` says why it cannot be moved, or is empty."""
    service: str
    host: str
    pid: int
    start: int
    inner_pid: int
    command: str
    memory_bytes: int = 0
    cpu_ticks: int = 0
    stays: str = ""

    @property
    def key(self):
        """What stays the same over moves: a program keeps its PID in its own namespace, and its command."""
        return (self.service, self.inner_pid, self.command)

    @property
    def label(self):
        return f"{self.service}/{self.inner_pid}"

    @property
    def is_nested(self):
        """Whether it has a PID namespace of its own (from a move with new PIDs)."""
        return self.pid != self.inner_pid


def may_match(process):
    """Zombies and threads of the kernel have no command."""
    return process.pid != 1 and process.state not in ("Z", "X") and bool(process.command) and not is_ours(process)


def in_cgroup(process, pattern):
    return any(fnmatch.fnmatchcase(path, pattern) for path in process.cgroups)


def in_unit(process, unit):
    """Whether one of its control groups is the unit's, or is below it; crx makes these groups again at the destination."""
    name = unit if "." in unit else f"{unit}.service"
    return any(name in path.split("/") for path in process.cgroups)


def matches(service, process, facts, known):
    """`known`: keys of programs of this service that were moved to this host. They are found again although their pidfile stayed
    behind, and their unit is not there."""
    if not may_match(process):
        return False
    if service.command and not service.command.search(process.command):
        return False
    if (service.name, process.pids[-1], process.command) in known:
        return True
    if service.pidfile and facts.pidfiles.get(service.name) != process.pid:
        return False
    if service.unit and not in_unit(process, service.unit):
        return False
    return not service.cgroup or in_cgroup(process, service.cgroup)


def tree_of(root, children):
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children.get(process.pid, ())
    return found


def why_it_stays(service, process, facts):
    # A session names the program by the PID that the crx-migrate there was given: the inner one, if that ran in its namespace.
    for session in facts.sessions:
        if not session.get("finished") and session.get("pid") in (process.pid, process.pids[-1]):
            return (f"session {session.get('session')} of it is not finished ({session.get('state')}); "
                    f"see crx-migrate --list on {facts.host}")
    if facts.sessions_problem:
        return f"{facts.host} does not list its sessions ({facts.sessions_problem}); install crx there"
    if service.moves == "never":
        return "its service has moves = \"never\""
    return ""


def on_host(service, facts, known):
    """Yields the service's programs on a host. `known`: see matches()."""
    children = {}
    for process in facts.processes.values():
        children.setdefault(process.parent, []).append(process)
    found = [process for process in facts.processes.values() if matches(service, process, facts, known)]
    for root in sorted(roots_of(found, facts.processes), key=lambda process: process.pid):
        tree = tree_of(root, children)
        yield Program(service.name, facts.host, root.pid, root.start, root.pids[-1], root.command,
                      sum(process.memory_bytes for process in tree), sum(process.busy_ticks for process in tree),
                      why_it_stays(service, root, facts))


def one_service_each(programs):
    """Programs that match two services stay: it is not clear which rules hold for them."""
    services = {}
    for program in programs:
        services.setdefault((program.host, program.pid), []).append(program.service)
    taken = set()
    for program in programs:
        place = (program.host, program.pid)
        if place in taken:
            continue
        taken.add(place)
        if len(services[place]) > 1:
            program = dataclasses.replace(program, stays=f"it belongs to several services ({', '.join(services[place])}); "
                                                         "write narrower patterns")
        yield program


def find(inventory, facts_of, known=()):
    """Returns the Programs on all hosts that could be looked at. `known`: {(host, key)} of the programs that were moved there.
    All programs of a service of which there are more than expected stay: one of them may be something else."""
    programs = []
    for service in inventory.services.values():
        found = [program for facts in facts_of.values() if not facts.problem
                 for program in on_host(service, facts, {key for host, key in known if host == facts.host})]
        if len(found) > service.instances:
            why = (f"{len(found)} programs match service {service.name}, at most {service.instances} are expected; "
                   "write a narrower pattern, or instances = N")
            found = [dataclasses.replace(program, stays=program.stays or why) for program in found]
        programs += found
    return list(one_service_each(programs))
