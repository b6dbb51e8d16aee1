"""The inventory: which hosts there are, which programs may move, and by which policy. Its format is in crx-rebalance(8)."""
import dataclasses
import re
import shlex
import tomllib

from .errors import USAGE, Failure

DEFAULT_REACH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o",
                 "ServerAliveCountMax=3", "root@{host}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)")
DURATION = re.compile(r"([0-9]+)(s|m|h|d)?")


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


class Table:
    """A table of the file whose keys are taken one by one; whatever is left is a mistake of the user."""

    def __init__(self, path, name, values):
        self.path, self.name, self.values = path, name, dict(values) if isinstance(values, dict) else None
        if self.values is None:
            raise Failure(f"{path}: {name} is no table; write it as [{name}]", USAGE)

    def fault(self, key, wanted):
        return Failure(f"{self.path}: [{self.name}] {key}: write {wanted}", USAGE)

    def take(self, key, default, kinds, wanted):
        value = self.values.pop(key, default)
        if value is not default and (not isinstance(value, kinds) or isinstance(value, bool) and bool not in kinds):
            raise self.fault(key, wanted)
        return value

    def text(self, key, default=""):
        return self.take(key, default, (str,), "a text in quotes")

    def words(self, key, default=()):
        """A list of texts, or one text that is split as a shell does."""
        value = self.take(key, default, (str, list), "a text, or a list of texts")
        if isinstance(value, str):
            try:
                return tuple(shlex.split(value))
            except ValueError as error:
                raise self.fault(key, f"words with closed quotes ({error})") from None
        if not all(isinstance(word, str) for word in value):
            raise self.fault(key, "a list of texts")
        return tuple(value)

    def names(self, key):
        value = self.take(key, (), (str, list), "a name, or a list of names")
        return (value,) if isinstance(value, str) else tuple(value)

    def number(self, key, default, low, high, kinds=(int, float)):
        value = self.take(key, default, kinds, f"a number from {low} to {high}")
        if value is not None and not low <= value <= high:
            raise self.fault(key, f"a number from {low} to {high}")
        return value

    def choice(self, key, default, *choices):
        value = self.take(key, default, (str,), "one of " + ", ".join(choices))
        if value not in choices:
            raise self.fault(key, "one of " + ", ".join(choices))
        return value

    def pattern(self, key):
        value = self.text(key)
        try:
            return re.compile(value) if value else None
        except re.error as error:
            raise self.fault(key, f"a regular expression ({error})") from None

    def size(self, key):
        value = self.take(key, None, (str, int), 'a size such as "512M"')
        match = None if value is None else SIZE.fullmatch(str(value))
        if value is not None and not match:
            raise self.fault(key, 'a size such as "512M"')
        return None if value is None else int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))

    def duration_s(self, key, default):
        value = self.take(key, default, (str, int), 'a time such as "10m"')
        match = DURATION.fullmatch(str(value))
        if not match:
            raise self.fault(key, 'a time such as "10m"')
        return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2] or "s"]

    def end(self):
        if self.values:
            raise Failure(f"{self.path}: [{self.name}] has no key {sorted(self.values)[0]}; crx-rebalance(8) lists the keys", USAGE)


def tables(path, document, key):
    for name, values in Table(path, key, document.pop(key, {})).values.items():
        if not NAME.fullmatch(name):
            raise Failure(f"{path}: [{key}.{name}]: a name has letters, digits, '.', '_' and '-' only", USAGE)
        yield name, Table(path, f"{key}.{name}", values)


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
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{path}: {error}; the format is TOML, see crx-rebalance(8)", USAGE) from None
    hosts = {name: read_host(name, table) for name, table in tables(path, document, "hosts")}
    services = {name: read_service(name, table, hosts) for name, table in tables(path, document, "services")}
    policy = read_policy(Table(path, "policy", document.pop("policy", {})))
    if document:
        raise Failure(f"{path}: {sorted(document)[0]} is no table of an inventory; those are hosts, services and policy", USAGE)
    if not hosts:
        raise Failure(f"{path}: there are no hosts; add a table such as [hosts.alpha]", USAGE)
    return Inventory(hosts, services, policy, path)


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; name the inventory with --inventory FILE", USAGE) from None
    except UnicodeDecodeError:
        raise Failure(f"{path}: is no text in UTF-8; write the inventory anew", USAGE) from None
