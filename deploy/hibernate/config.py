"""The configuration file: which programs are saved before a shutdown, and which of them need which others. Its format is in
crx-hibernate(8)."""
import dataclasses
import graphlib

from crxlib import programs, table
from crxlib.errors import USAGE, Failure

MANUAL = "crx-hibernate(8)"


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of the set. `after`: those that it needs, which are restored before it and saved after it."""
    description: programs.Description
    after: tuple
    new_pids: bool
    options: tuple
    restore_options: tuple

    @property
    def name(self):
        return self.description.name

    @property
    def has_connections(self):
        return "--tcp-established" in self.options


@dataclasses.dataclass(frozen=True)
class Config:
    """`programs`: {name: Program}, in the order in which they are restored."""
    path: str
    images: str
    programs: dict


def read_program(name, keys):
    program = Program(programs.read(name, keys), keys.names("after"), keys.choice("new-pids", "if-taken", "if-taken", "never") != "never",
                      keys.words("options"), keys.words("restore-options"))
    keys.end()
    return program


def in_order(path, found):
    """The programs, each behind those that it needs; otherwise as in the file."""
    for program in found.values():
        for name in program.after:
            if name not in found:
                raise Failure(f"{path}: [programs.{program.name}] after: there is no program {name}; write names of this file", USAGE)
    try:
        order = graphlib.TopologicalSorter({name: found[name].after for name in found}).static_order()
        return {name: found[name] for name in order}
    except graphlib.CycleError as error:
        raise Failure(f"{path}: after: {' needs '.join(error.args[1])}; take one of them out", USAGE) from None


def parse(text, path="hibernate.toml"):
    document = table.parse(text, path, MANUAL)
    common = table.Table(path, "hibernate", document.pop("hibernate", {}), MANUAL)
    images = common.text("images", "/var/lib/crx/hibernate")
    if not images.startswith("/"):
        raise common.fault("images", "an absolute path on a disk that survives the shutdown")
    common.end()
    found = {name: read_program(name, keys) for name, keys in table.tables(path, document, "programs", MANUAL)}
    if document:
        raise Failure(f"{path}: {sorted(document)[0]} is no table of this file; those are hibernate and programs", USAGE)
    return Config(path, images, in_order(path, found))


def load(path):
    return parse(table.read(path, "--config"), path)
