"""Tables of a configuration file in TOML, whose keys are checked one by one."""
import re
import shlex
import tomllib

from .errors import USAGE, Failure

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)")
DURATION = re.compile(r"([0-9]+)(s|m|h|d)?")


class Table:
    """A table of the file whose keys are taken one by one; whatever is left is a mistake of the user. `manual` is the page that
    lists the keys."""

    def __init__(self, path, name, values, manual):
        self.path, self.name, self.manual = path, name, manual
        self.values = dict(values) if isinstance(values, dict) else None
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

    def flag(self, key, default):
        return self.take(key, default, (bool,), "true or false")

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
            raise Failure(f"{self.path}: [{self.name}] has no key {sorted(self.values)[0]}; {self.manual} lists the keys", USAGE)


def tables(path, document, key, manual):
    """Yields (NAME, Table) for every table [key.NAME]."""
    for name, values in Table(path, key, document.pop(key, {}), manual).values.items():
        if not NAME.fullmatch(name):
            raise Failure(f"{path}: [{key}.{name}]: a name has letters, digits, '.', '_' and '-' only", USAGE)
        yield name, Table(path, f"{key}.{name}", values, manual)


def parse(text, path, manual):
    """Returns the tables of a text in TOML, as a dict."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{path}: {error}; the format is TOML, see {manual}", USAGE) from None


def read(path, option):
    """Returns the text of a configuration file; `option` names another one, in the message of a failure."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; name the file with {option} FILE", USAGE) from None
    except UnicodeDecodeError:
        raise Failure(f"{path}: is no text in UTF-8; write it anew", USAGE) from None
