"""The configuration file: which programs are saved, how often, and where. Its format is in crx-protect(8)."""
import dataclasses
import os

from crxlib import programs, table
from crxlib.errors import USAGE, Failure

from .sets import LONGEST, PART

MANUAL = "crx-protect(8)"
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
       "root@{host}")
MAX_GENERATIONS, MAX_CHAIN = 10_000, 1000


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that is saved. `options` are for crx-dump, `restore_options` for crx-restore."""
    description: programs.Description
    interval_s: int
    generations: int
    chain: int
    pre: bool
    options: tuple
    restore_options: tuple

    @property
    def name(self):
        return self.description.name


@dataclasses.dataclass(frozen=True)
class Config:
    """`agent` is the address of an agent, or empty: then `store` is a folder that this host sees. `reach` are words that run a command
    at the agent's host; without them that is this host."""
    path: str
    host: str
    agent: str
    store: str
    reach: tuple
    tls_dir: str
    programs: dict


def address_of(text):
    """HOST:PORT of HOST[:PORT]; an IPv6 address has brackets."""
    return text if text.rpartition(":")[2].isdigit() and not text.endswith("]") else f"{text}:7077"


def read_program(name, table, defaults):
    description = programs.read(name, table)
    program = Program(description, table.duration_s("interval", defaults["interval"]),
                      table.number("generations", defaults["generations"], 1, MAX_GENERATIONS, (int,)),
                      table.number("chain", defaults["chain"], 1, MAX_CHAIN, (int,)), table.flag("pre", defaults["pre"]),
                      table.words("options"), table.words("restore-options"))
    if not PART.fullmatch(name):
        raise Failure(f"{table.path}: [{table.name}]: the name of a program has letters, digits, '_' and '-' only", USAGE)
    if program.interval_s < 1:
        raise table.fault("interval", 'a time of at least "1s"')
    table.end()
    return program


def parse(text, path="protect.toml"):
    document = table.parse(text, path, MANUAL)
    common = table.Table(path, "protect", document.pop("protect", {}), MANUAL)
    host = common.text("host", os.uname().nodename.split(".")[0])
    if not PART.fullmatch(host):
        raise common.fault("host", "a name for this host, of letters, digits, '_' and '-'")
    agent, folder = common.text("agent"), common.text("folder")
    if bool(agent) == bool(folder):
        raise common.fault("agent", 'where the sets go: either agent = "HOST:PORT", or folder = "/DIR"')
    agent = address_of(agent) if agent else ""
    store = common.text("store", "/var/lib/crx") if agent else folder
    if not store.startswith("/"):
        raise common.fault("store" if agent else "folder", "an absolute path")
    name = agent.rpartition(":")[0].strip("[]")
    reach = tuple(word.replace("{host}", name) for word in common.words("reach", SSH)) if agent else ()
    tls_dir = common.text("tls-dir")
    defaults = {"interval": common.duration_s("interval", "15m"), "generations": common.number("generations", 4, 1, MAX_GENERATIONS, (int,)),
                "chain": common.number("chain", 8, 1, MAX_CHAIN, (int,)), "pre": common.flag("pre", True)}
    common.end()
    found = {key: read_program(key, one, defaults) for key, one in table.tables(path, document, "programs", MANUAL)}
    if document:
        raise Failure(f"{path}: {sorted(document)[0]} is no table of this file; those are protect and programs", USAGE)
    for key in found:
        if len(host) + len(key) > LONGEST:
            raise Failure(f"{path}: [programs.{key}]: the names of host and program have more than {LONGEST} characters together; "
                          "write a shorter host in [protect]", USAGE)
    return Config(path, host, agent, store, reach, tls_dir, found)


def load(path):
    return parse(table.read(path, "--config"), path)
