"""The file of crx-hibernate: the order of programs that need one another, and mistakes."""
import unittest

from crxlib.errors import Failure
from hibernate import config


def programs(**after):
    return "".join(f"[programs.{name}]\ncommand = \"{name}\"\nafter = {needs!r}\n" for name, needs in after.items())


class Order(unittest.TestCase):
    def fails(self, text, *words):
        with self.assertRaises(Failure) as caught:
            config.parse(text)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_order(self):
        self.assertEqual(list(config.parse(programs(c=["b"], b=["a"], a=[])).programs), ["a", "b", "c"])
        self.assertEqual(list(config.parse(programs(x=[], y=[], z=[])).programs), ["x", "y", "z"])
        found = list(config.parse(programs(shop=["store", "mail"], mail="store", other=[], store=[])).programs)
        self.assertLess(found.index("store"), found.index("mail"))
        self.assertLess(found.index("mail"), found.index("shop"))

    def test_mistakes(self):
        self.fails(programs(a=["b"]), "there is no program b")
        self.fails(programs(a=["b"], b=["a"]), "needs", "take one of them out")
        self.fails(programs(a=["a"]), "a needs a")
        self.fails("[programs.a]\n", "how the program is known")
        self.fails("[hibernate]\nimages = 'x'\n", "absolute path")
        self.fails("[hibernates]\n", "is no table")
        self.fails(programs(a=[]) + "new-pids = 'always'\n", "if-taken")

    def test_connections(self):
        read = config.parse("[programs.a]\ncommand = 'a'\noptions = '--file-locks --tcp-established'\n")
        self.assertTrue(read.programs["a"].has_connections)
        self.assertEqual(read.images, "/var/lib/crx/hibernate")


if __name__ == "__main__":
    unittest.main()
