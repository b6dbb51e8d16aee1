"""crx-protect: generations of a running program in a folder and in the store of an agent elsewhere, what is kept and what is
removed, and revival on the same host and on another one after the first has died."""
import json
import os
import signal

import crxtest
from crxtest import BIN, PROGRAMS, lines_of, read_text, until

PORT = 7022


class Protect(crxtest.RingTest):
    """h1 has the program, h2 the store, h3 is where it is revived."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.program = cls.ring.compile("tally")
        path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        store = cls.ring[1]
        cls.store = f"{store.dir}/state"
        store.spawn(["python3", f"{PROGRAMS}/door.py", "serve", str(PORT), "crx-protect", "serve", "--store", cls.store, "--only", "h1",
                     "--only", "h3"], env=path, stdout=f"{store.dir}/door.log")
        until(lambda: cls.ring[0].run(["python3", f"{PROGRAMS}/door.py", "knock", store.address, str(PORT)], check=False)[0] == 0,
              "the door is open")

    def setUp(self):
        self.dir = self.ring.path(self._testMethodName)
        os.mkdir(self.dir)
        self.output, self.stop = f"{self.dir}/output", f"{self.dir}/stop"
        self.folder = f"{self.dir}/sets"
        self.where = f'folder = "{self.folder}"'

    # -- the program, and crx-protect

    def start_program(self, size=8):
        process = self.ring[0].spawn([self.program, self.output, self.stop, str(size)])
        self.addCleanup(process.kill)
        until(lambda: lines_of(self.output), "it counts")
        return process

    def configure(self, keys="", program=""):
        self.config = f"{self.dir}/protect.toml"
        with open(self.config, "w") as file:
            file.write(f"[protect]\n{self.where}\ninterval = \"1h\"\n{keys}\n[programs.tally]\ncommand = \"^{self.program} {self.dir}/\"\n"
                       f"{program}\n")

    def to_the_agent(self, host):
        """Sets go to the agent of the second host, whose store is reached by the door."""
        there = self.ring[1]
        knock = json.dumps(["python3", f"{PROGRAMS}/door.py", "knock", there.address, str(PORT)])
        self.where = f'agent = "{there.address}:{there.agent_port}"\nreach = {knock}\ntls-dir = "{host.tls}"'

    def words(self, host, verb, *words):
        return [f"{BIN}/crx-protect", verb, "--config", self.config, "--state", f"{self.dir}/{host.name}", "--json", *words]

    def protect(self, verb, *words, code=0, host=None):
        """Returns the objects that it prints."""
        host = host or self.ring[0]
        result, text = host.run(self.words(host, verb, *words), check=False, timeout=120)
        self.assertEqual(result, code, text)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def save(self, count=1):
        return [self.protect("run", "--now")[0] for _ in range(count)]

    def generations(self, host=None):
        (status,) = self.protect("status", host=host)
        return [one["set"] for one in status["programs"][0]["generations"]]

    def check_revived(self, host, pid):
        """It goes on from an earlier number, where its set was made, and its memory is whole."""
        count = len(lines_of(self.output))
        until(lambda: len(lines_of(self.output)) > count + 2, "it counts again")
        self.assertIsNotNone(host.find(pid))
        with open(self.stop, "w"):
            pass
        until(lambda: lines_of(self.output)[-1] == "end", "it ends")
        numbers = [int(line) for line in lines_of(self.output)[:-1]]
        back = [at for at in range(1, len(numbers)) if numbers[at] != numbers[at - 1] + 1]
        self.assertEqual(len(back), 1, numbers)
        self.assertLessEqual(numbers[back[0]], numbers[back[0] - 1] + 1)

    # -- a folder

    def test_generations_in_a_folder(self):
        process = self.start_program()
        self.configure("generations = 2\nchain = 2")
        records = self.save(4)
        self.assertEqual([record["event"] for record in records], ["dumped"] * 4)
        self.assertEqual([record["full"] for record in records], [True, False, True, False])
        self.assertLess(records[1]["pages"] * 10, 8 << 8)
        self.assertTrue(process.alive())
        # 1 to 3 are the first chain (with its pre-dump), 4 to 6 the second one.
        self.assertEqual(self.generations(), ["h1.tally.000006", "h1.tally.000005"])
        self.assertEqual(sorted(os.listdir(self.folder)), [f"h1.tally.{number:06}" for number in (4, 5, 6)])
        self.assertEqual(self.protect("run"), [], "none is due")
        process.kill()
        process.wait_end(10)
        until(lambda: not os.path.exists(self.ring[0].proc(process.pid)), "it is reaped")
        self.assertEqual(self.protect("run", "--now")[0]["event"], "absent")
        self.assertEqual(self.protect("revive", "tally", "--check-only")[0]["event"], "checked")
        (revived,) = self.protect("revive", "tally")
        self.assertEqual((revived["set"], revived["pid"]), ("h1.tally.000006", process.pid))
        self.assertIn("runs here", self.protect("revive", "tally", code=1)[0]["message"])
        self.assertTrue(self.save()[0]["full"], "the revived program begins a new chain")
        self.check_revived(self.ring[0], process.pid)

    def test_a_damaged_set(self):
        """Nothing older is removed while the newest set is damaged; revival takes the newest one that is whole."""
        process = self.start_program()
        self.configure("generations = 1\npre = false")
        first, second = (record["set"] for record in self.save(2))
        pages = next(name for name in sorted(os.listdir(f"{self.folder}/{second}")) if name.startswith("pages-"))
        self.damage(f"{self.folder}/{second}/{pages}")
        self.configure("generations = 1\nchain = 1\npre = false")
        third = self.save()[0]["set"]
        self.assertEqual(sorted(os.listdir(self.folder)), [third])
        fourth = self.break_the_next()
        self.assertEqual(sorted(os.listdir(self.folder)), [third, fourth])
        process.kill()
        process.wait_end(10)
        until(lambda: not os.path.exists(self.ring[0].proc(process.pid)), "it is reaped")
        self.assertEqual(self.protect("revive", "tally")[-1]["set"], third)
        self.check_revived(self.ring[0], process.pid)

    @staticmethod
    def damage(path):
        with open(path, "r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))

    def break_the_next(self):
        """A program in the place of crx-dump damages the set that it has just made."""
        tools = f"{self.dir}/tools"
        os.mkdir(tools)
        for name in ("crx-protect", "crx-image", "crx-restore"):
            os.symlink(f"{BIN}/{name}", f"{tools}/{name}")
        with open(f"{tools}/crx-dump", "w") as file:
            file.write(f'#!/bin/sh\n{BIN}/crx-dump "$@" || exit\nwhile [ "$1" != -D ]; do shift; done\n'
                       'for file in "$2"/pages-*; do printf x | dd of="$file" conv=notrunc status=none; done\n')
        os.chmod(f"{tools}/crx-dump", 0o755)
        # The tools are taken from the folder of the program, once links are followed; so this one is a copy.
        os.unlink(f"{tools}/crx-protect")
        with open(f"{BIN}/crx-protect") as source, open(f"{tools}/crx-protect", "w") as file:
            file.write(source.read().replace("HERE = os.path.dirname(os.path.realpath(__file__))", f"HERE = {BIN!r}"))
        os.chmod(f"{tools}/crx-protect", 0o755)
        words = [f"{tools}/crx-protect", *self.words(self.ring[0], "run", "--now")[1:]]
        code, text = self.ring[0].run(words, check=False)
        self.assertEqual(code, 1, text)
        records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        self.assertEqual([record["event"] for record in records], ["dumped", "damaged"])
        return records[0]["set"]

    # -- the store of an agent elsewhere

    def test_another_host_dies(self):
        process = self.start_program()
        self.to_the_agent(self.ring[0])
        self.configure("generations = 1\nchain = 2\npre = false")
        records = self.save(3)
        self.assertEqual([record["full"] for record in records], [True, False, True])
        self.assertEqual(sorted(name for name in os.listdir(self.store) if name.startswith("h1.")), ["h1.tally.000003"])
        process.kill()  # the first host dies with it, and nobody asks it again
        process.wait_end(10)
        there = self.ring[2]
        self.to_the_agent(there)
        self.configure('host = "h3"')
        message = self.protect("revive", "tally", code=1, host=there)[0]["message"]
        self.assertIn("there are sets of h1: add --of h1", message)
        (revived,) = self.protect("revive", "tally", "--of", "h1", host=there)
        self.assertEqual((revived["set"], revived["pid"]), ("h1.tally.000003", process.pid))
        self.assertEqual([name for name in os.listdir(f"{self.dir}/h3") if name.startswith("fetched-")], [])
        (record,) = self.protect("run", "--now", host=there)
        self.assertEqual((record["set"], record["full"]), ("h3.tally.000002", True))
        self.assertEqual(self.generations(there), ["h3.tally.000002"])
        self.check_revived(there, process.pid)

    def test_the_store_is_away(self):
        """The program runs on, and what cannot be saved is said."""
        process = self.start_program(1)
        self.where = f'agent = "{self.ring[1].address}:1"\nreach = ["false"]\ntls-dir = "{self.ring[0].tls}"'
        self.configure()
        records = self.protect("run", code=1)
        self.assertEqual(records[-1]["event"], "failed")
        self.assertIn("cannot be saved", records[-1]["message"])
        (status,) = self.protect("status", code=1)
        self.assertIn("does not answer", status["problem"])
        self.assertTrue(process.alive())

    def test_only_what_is_served(self):
        """The door of the store gives no sets of other hosts away, and nothing that is no set of crx-protect."""
        os.makedirs(f"{self.store}/h9.tally.000001", exist_ok=True)
        os.makedirs(f"{self.store}/nightly", exist_ok=True)
        for request, answer in ((b'{"verb":"export","sets":["h9.tally.000001"]}', "are not served to you"),
                                (b'{"verb":"remove","sets":["nightly"]}', "is no set of crx-protect"),
                                (b'{"verb":"export","sets":["../x.y.000001"]}', "is no set of crx-protect"),
                                (b'{"verb":"dance"}', "has no verb"), (b"x", "no line of JSON")):
            path = f"{self.dir}/request"
            with open(path, "wb") as file:
                file.write(request + b"\n")
            _, text = self.ring[0].run(["python3", f"{PROGRAMS}/door.py", "knock", self.ring[1].address, str(PORT)], stdin=path)
            self.assertIn(answer, json.loads(text)["error"])
        self.assertTrue(os.path.isdir(f"{self.store}/nightly"))

    # -- the daemon

    def test_the_daemon(self):
        process = self.start_program(1)
        self.configure("generations = 2\npre = false", 'interval = "1s"')
        log = f"{self.dir}/log"
        daemon = self.ring[0].spawn(self.words(self.ring[0], "run", "--daemon"), stdout=log)
        self.addCleanup(daemon.kill)
        until(lambda: read_text(log, "").count('"dumped"') >= 2, lambda: f"two dumps: {read_text(log, '')}", 30)
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(20), 0)
        self.assertTrue(process.alive())
        self.assertGreaterEqual(len(self.generations()), 2)


if __name__ == "__main__":
    crxtest.main()
