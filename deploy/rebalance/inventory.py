"""The inventory: which hosts there are, which programs may move, and by which policy. Its format is in crx-rebalance(8)."""
import dataclasses
import re

from crxlib import table as toml
from crxlib.table import Table, tables

from .errors import USAGE, Failure

DEFAULT_REACH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o",
                 "ServerAliveCountMax=3", "root@{host}")
MANUAL = "crx-rebalance(8)"


@dataclasses.dataclass(frozen=True)
class Host:
    """A host. `reach` are the words that run `sh -s` there; `memory_bytes` is what services may use, or None for all of it."""
    name: str
    address: str
    reach: tuple
    migrate: str = "crx-migrate"
    state: str = ""
    tls_dir: str = ""
    memory_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Service:
    """Programs that may move. All of pidfile, unit, cgroup and command that are given must hold for each of them."""
    name: str
    pidfile: str = ""
    unit: str = ""
    cgroup: str = ""
    command: re.Pattern | None = None
    instances: int = 1
    moves: str = "always"
    pin: tuple = ()
    spread: str = ""
    max_downtime_ms: int | None = None
    new_pids: str = "never"
    options: tuple = ()


@dataclasses.dataclass(frozen=True)
class Policy:
    """When a move is worthwhile. All but `cooldown_s` and `max_moves` are points: per cent of a host."""
    balance: str = "memory"
    threshold: float = 15.0
    target: float = 7.5
    limit: float = 90.0
    cooldown_s: int = 600
    max_moves: int = 0


@dataclasses.dataclass(frozen=True)
class Inventory:
    hosts: dict
    services: dict
    policy: Policy
    path: str = ""


def read_host(name, table):
    address = table.text("address", f"{name}:7077")
    if ":" not in address or not address.rpartition(":")[2].isdigit():
        raise table.fault("address", f'the address and port of its agent, such as "{name}:7077"')
    reach = tuple(word.replace("{host}", name) for word in table.words("reach", DEFAULT_REACH))
    host = Host(name, address, reach, table.text("migrate", "crx-migrate"), table.text("state"), table.text("tls-dir"),
                table.size("memory"))
    table.end()
    return host


def read_service(name, table, hosts):
    spread = table.take("spread", "", (str, bool), "true, or the name of a group of services")
    service = Service(
        name, table.text("pidfile"), table.text("unit"), table.text("cgroup"), table.pattern("command"),
        table.number("instances", 1, 1, 100_000, (int,)), table.choice("moves", "always", "always", "drain", "never"),
        table.names("pin"), (name if spread else "") if isinstance(spread, bool) else spread,
        table.number("max-downtime-ms", None, 1, 3_600_000, (int,)), table.choice("new-pids", "never", "never", "if-taken"),
        table.words("options"))
    table.end()
    if not (service.pidfile or service.unit or service.cgroup or service.command):
        raise table.fault("command", "how its programs are known: command, unit, cgroup or pidfile")
    if service.pidfile and not service.command:
        raise table.fault("command", "what the program of the pidfile is called: the file may be out of date, and its PID another's")
    for host in service.pin:
        if host not in hosts:
            raise table.fault("pin", f"names of hosts of the inventory, not '{host}'")
    return service


def read_policy(table):
    threshold = table.number("threshold", 15.0, 1, 100)
    policy = Policy(table.choice("balance", "memory", "memory", "cpu"), threshold, table.number("target", threshold / 2, 0, 100),
                    table.number("limit", 90.0, 1, 100), table.duration_s("cooldown", 600),
                    table.number("max-moves", 0, 0, 100_000, (int,)))
    if policy.target > policy.threshold:
        raise table.fault("target", f"at most the threshold ({policy.threshold:g}), or hosts would never come to rest")
    table.end()
    return policy


def parse(text, path="inventory"):
    """Returns the Inventory that the text describes; raises Failure with the table, the key and what to write there."""
    document = toml.parse(text, path, MANUAL)
    hosts = {name: read_host(name, table) for name, table in tables(path, document, "hosts", MANUAL)}
    services = {name: read_service(name, table, hosts) for name, table in tables(path, document, "services", MANUAL)}
    policy = read_policy(Table(path, "policy", document.pop("policy", {}), MANUAL))
    if document:
        raise Failure(f"{path}: {sorted(document)[0]} is no table of an inventory; those are hosts, services and policy", USAGE)
    if not hosts:
        raise Failure(f"{path}: there are no hosts; add a table such as [hosts.alpha]", USAGE)
    return Inventory(hosts, services, policy, path)


def load(path):
    return parse(toml.read(path, "--inventory"), path)
