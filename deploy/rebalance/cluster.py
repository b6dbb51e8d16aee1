"""All hosts at one moment, and the figures that the planner makes decisions by."""
import dataclasses

from . import probe, programs, settle
from .planner import Candidate, Rules, Site


@dataclasses.dataclass
class Cluster:
    """`verdicts`: (record, event, message) of the moves whose end nobody had seen."""
    inventory: object
    facts: dict
    programs: list
    verdicts: list

    def program(self, key):
        return next((one for one in self.programs if place_of(one) == key), None)

    @property
    def doubts(self):
        return [(record, message) for record, event, message in self.verdicts if event == "in_doubt"]


def place_of(program):
    """What the planner knows a program by."""
    return (program.service, program.host, program.pid)


def look(inventory, history):
    """Looks at all hosts at once; returns the Cluster. A program that seems to be gone may have arrived at its destination after the
    look at that, and have left before the look at its source; a second look tells."""
    first = look_once(inventory, history)
    if any(event == "gone" for _, event, _ in first.verdicts):
        return look_once(inventory, history)
    return first


def look_once(inventory, history):
    facts = probe.look_at_all(inventory)
    found = programs.find(inventory, facts, history.known())
    verdicts = settle.settle(history.doubts(), facts, found)
    doubtful = {settle.key_of(record): message for record, event, message in verdicts if event == "in_doubt"}
    found = [dataclasses.replace(one, stays=one.stays or f"its last move is in doubt: {doubtful[one.key]}")
             if one.key in doubtful else one for one in found]
    return Cluster(inventory, facts, found, verdicts)


def write_verdicts(history, verdicts):
    """Records what the hosts have said about moves whose end was not seen; a doubt that goes on is not written again."""
    for record, event, message in verdicts:
        if event != "in_doubt":
            history.add(event, **{name: value for name, value in record.items() if name not in ("time", "event")}, message=message)


def memory_load(host, facts, mine):
    """(points, bytes that are free, bytes that are 100 points)."""
    if host.memory_bytes is not None:
        used = sum(one.memory_bytes for one in mine)
        return used * 100 / host.memory_bytes, min(host.memory_bytes - used, facts.memory_available), host.memory_bytes
    used = facts.memory_total - facts.memory_available
    return used * 100 / facts.memory_total, facts.memory_available, facts.memory_total


def site_of(host, facts, mine, policy, closed, empty):
    if facts.problem:
        return Site(host.name, 0.0, 0, facts.problem)
    load, free, _ = memory_load(host, facts, mine)
    return Site(host.name, load if policy.balance == "memory" else facts.cpu_pressure, free, closed, empty)


def weights_of(one, cluster):
    """{host: points}. A program's part of the CPU pressure is its part of the CPU time that all programs of its host take. It is
    counted in full where it goes: that errs on the side of moving too little."""
    facts, weights = cluster.facts[one.host], {}
    busy = sum(process.busy_ticks for process in facts.processes.values())
    pressure = facts.cpu_pressure * one.cpu_ticks / busy if busy else 0.0
    for host in cluster.inventory.hosts.values():
        there = cluster.facts[host.name]
        if cluster.inventory.policy.balance == "memory":
            total = host.memory_bytes or there.memory_total
            weights[host.name] = one.memory_bytes * 100 / total if total else 0.0
        else:
            weights[host.name] = pressure if host.name == one.host else pressure * facts.cpus / there.cpus
    return weights


def why_it_rests(one, service, policy, history):
    if service.moves == "drain":
        return "its service has moves = \"drain\""
    since = history.seconds_since_move(one.key)
    if since is not None and since < policy.cooldown_s:
        return f"it was moved {since:.0f} s ago, and rests for {policy.cooldown_s} s"
    return ""


def sites(cluster, history, empty=()):
    drained = history.drained()
    result = []
    for host in cluster.inventory.hosts.values():
        mine = [one for one in cluster.programs if one.host == host.name]
        closed = f"is drained; crx-rebalance drain --end {host.name} ends that" if host.name in drained else ""
        result.append(site_of(host, cluster.facts[host.name], mine, cluster.inventory.policy, closed, host.name in empty))
    return result


def candidates(cluster, history):
    result = []
    for one in cluster.programs:
        service = cluster.inventory.services[one.service]
        result.append(Candidate(place_of(one), one.service, one.host, weights_of(one, cluster), one.memory_bytes, one.stays,
                                why_it_rests(one, service, cluster.inventory.policy, history), service.pin, service.spread))
    return result


def rules(policy):
    return Rules(policy.threshold, policy.target, policy.limit, policy.max_moves)
