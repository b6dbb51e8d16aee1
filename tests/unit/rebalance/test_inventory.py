"""The inventory file: what it may say, and what is said of mistakes."""
import unittest

from rebalance import inventory
from rebalance.errors import USAGE, Failure

GOOD = r"""
[hosts.alpha]
[hosts.beta]
address = "10.0.0.2:7078"
reach = "ssh -p 2222 admin@{host} sudo"
memory = "1.5G"
[services.web]
command = '^/usr/bin/web( |$)'
unit = "web"
instances = 4
spread = true
pin = "beta"
max-downtime-ms = 50
new-pids = "if-taken"
options = "--tcp-established --hook 'a b'"
[policy]
balance = "cpu"
threshold = 20
cooldown = "5m"
"""


class Inventory(unittest.TestCase):
    def test_all_keys(self):
        read = inventory.parse(GOOD)
        alpha, beta, web = read.hosts["alpha"], read.hosts["beta"], read.services["web"]
        self.assertEqual((alpha.address, alpha.reach[0], alpha.reach[-1]), ("alpha:7077", "ssh", "root@alpha"))
        self.assertEqual(beta.reach, ("ssh", "-p", "2222", "admin@beta", "sudo"))
        self.assertEqual((beta.address, beta.memory_bytes), ("10.0.0.2:7078", 3 << 29))
        self.assertEqual((web.spread, web.pin, web.options), ("web", ("beta",), ("--tcp-established", "--hook", "a b")))
        self.assertEqual((read.policy.balance, read.policy.threshold, read.policy.target, read.policy.cooldown_s), ("cpu", 20, 10, 300))

    def test_mistakes(self):
        host = "[hosts.a]\n"
        for text, *words in (
                ("hosts = 3", "hosts is no table"), ("", "there are no hosts", "[hosts.alpha]"), ("[hosts.a", "TOML"),
                (host + "[other]", "other is no table"), (host + "adress = 1", "[hosts.a] has no key adress"),
                (host + "address = 'a'", "[hosts.a] address", '"a:7077"'), (host + "memory = '5X'", "memory", '"512M"'),
                (host + "reach = \"ssh 'a\"", "reach", "closed quotes"), ("[hosts.'a b']", "a name has letters"),
                (host + "[services.s]", "[services.s] command", "pidfile"),
                (host + "[services.s]\npidfile = '/run/s'", "command", "out of date"),
                (host + "[services.s]\ncommand = '('", "regular expression"),
                (host + "[services.s]\ncommand = 's'\npin = 'b'", "pin", "'b'"),
                (host + "[services.s]\ncommand = 's'\nmoves = 'often'", "moves", "always, drain, never"),
                (host + "[services.s]\ncommand = 's'\ninstances = true", "instances", "from 1"),
                (host + "[policy]\nthreshold = 0", "threshold", "from 1 to 100"),
                (host + "[policy]\nthreshold = 5\ntarget = 9", "target", "at most the threshold"),
                (host + "[policy]\ncooldown = 'soon'", "cooldown", '"10m"')):
            with self.subTest(text), self.assertRaises(Failure) as caught:
                inventory.parse(text, "FILE")
            self.assertEqual(caught.exception.exit_code, USAGE)
            self.assertTrue(str(caught.exception).startswith("FILE: "), str(caught.exception))
            for word in words:
                self.assertIn(word, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
