"""The file of crx-protect, and when a program is due."""
import datetime
import tempfile
import types
import unittest

from crxlib import records
from crxlib.errors import Failure
from protect import config, dumper

GOOD = '[protect]\nhost = "h"\nfolder = "/sets"\n[programs.web]\ncommand = "^web"\n'


class Config(unittest.TestCase):
    def fails(self, text, *words):
        with self.assertRaises(Failure) as caught:
            config.parse(text)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_defaults(self):
        read = config.parse(GOOD)
        web = read.programs["web"]
        self.assertEqual((read.store, read.agent, read.reach), ("/sets", "", ()))
        self.assertEqual((web.interval_s, web.generations, web.chain, web.pre), (900, 4, 8, True))

    def test_an_agent(self):
        read = config.parse(GOOD.replace('folder = "/sets"', 'agent = "vault"\ninterval = "1m"\ngenerations = 2'))
        self.assertEqual((read.agent, read.store, read.reach[-1]), ("vault:7077", "/var/lib/crx", "root@vault"))
        self.assertEqual((read.programs["web"].interval_s, read.programs["web"].generations), (60, 2))
        self.assertEqual(config.parse(GOOD.replace('folder = "/sets"', 'agent = "[::1]:9"\nreach = []')).agent, "[::1]:9")

    def test_mistakes(self):
        self.fails(GOOD.replace("folder", "folders"), "either agent")
        self.fails(GOOD.replace('folder = "/sets"', 'folder = "/sets"\nagent = "x"'), "either agent")
        self.fails(GOOD.replace("/sets", "sets"), "absolute path")
        self.fails(GOOD.replace("command", "commands"), "how the program is known")
        self.fails(GOOD.replace("web]", "'a.b']"), "letters, digits")
        self.fails(GOOD.replace('"h"', f'"{"h" * 53}"'), "more than")
        self.fails(GOOD + 'pidfile = "/x"\ncommand = ""', "overwrite a value")
        self.fails('[protect]\nfolder = "/s"\n[programs.web]\npidfile = "/x"\n', "may be out of date")
        self.fails(GOOD + "interval = '0s'", "at least")
        self.fails(GOOD + "[hosts]\n", "is no table")
        self.fails(GOOD + "depth = 1", "has no key depth; crx-protect(8)")


class Due(unittest.TestCase):
    def due(self, *found):
        now = records.now()
        history = types.SimpleNamespace(records=[
            {"program": program, "event": event, "time": (now - datetime.timedelta(seconds=age)).isoformat()}
            for program, event, age in found])
        return round(dumper.due_in_s(history, config.parse(GOOD).programs["web"]))

    def test_due(self):
        self.assertEqual(self.due(), 0)
        self.assertEqual(self.due(("web", "dumped", 100)), 800)
        self.assertEqual(self.due(("web", "dumped", 1000)), -100)
        self.assertEqual(self.due(("web", "dumped", 1000), ("db", "dumped", 1)), -100)
        self.assertEqual(self.due(("web", "dumped", 1000), ("web", "failed", 50)), 10)
        self.assertEqual(self.due(("web", "dumped", -5000)), 0, "the clock was set back")


class History(unittest.TestCase):
    def test_it_does_not_grow_for_ever(self):
        with tempfile.TemporaryDirectory() as folder:
            history = records.Records(f"{folder}/x", "tool", "works")
            history.lock()
            for number in range(11):
                history.add("dumped", number=number)
                history.trim(10)
            history.unlock()
            again = records.Records(f"{folder}/x", "tool", "works")
            again.lock()
            self.assertEqual([record["number"] for record in again.records], [6, 7, 8, 9, 10])
            again.unlock()


if __name__ == "__main__":
    unittest.main()
