"""Redis with its append-only file moves from host to host while a client on a third one sets and checks 2,000 keys a
second over one TCP connection: not one error, no reconnect. Hooks move the address along. 50 MB of data, 500 MB with
CRX_FULL=1."""
import re
import sys

import crxtest
from crxtest import FULL, MOVES, PROGRAMS, lines_of, read_text, until
from test_tcp_established import ADDRESS, HOOK

PORT = "6391"
KEYS = 2_500_000 if FULL else 250_000  # of 200 bytes each


class RedisOutside(crxtest.RingTest):
    @classmethod
    def setUpClass(cls):
        cls.ring = crxtest.Ring(cls.HOSTS)
        cls.addClassCleanup(cls.ring.close)
        cls.hook = HOOK.replace("STAY", cls.ring.path("stay"))
        cls.ring.start_agents("--hook", cls.hook)

    def setUp(self):
        self.ring[0].run(["ip", "addr", "add", f"{ADDRESS}/24", "dev", "eth0"])

    def tearDown(self):
        for host in self.ring.hosts:
            host.run(["ip", "addr", "del", f"{ADDRESS}/24", "dev", "eth0"], check=False)

    def start(self, name):
        folder = self.ring.path(name)
        self.ring[0].run(["mkdir", folder])
        self.log = f"{folder}/log"
        server = self.ring[0].spawn(["redis-server", "--port", PORT, "--bind", ADDRESS, "--protected-mode", "no", "--enable-debug-command", "yes",
                                     "--appendonly", "yes",
                                     "--save", "", "--dir", folder, "--daemonize", "no"], stdout=self.log)
        self.addCleanup(server.kill)
        until(lambda: "PONG" in self.ask("ping") or not server.alive(), lambda: read_text(self.log, ""))
        self.ask("debug", "populate", str(KEYS), "bulk", "200")
        self.heard, self.stop = f"{folder}/client", f"{folder}/stop"
        client = self.ring[2].spawn([sys.executable, f"{PROGRAMS}/redis_client.py", ADDRESS, PORT, self.stop], stdout=self.heard)
        self.addCleanup(client.kill)
        until(lambda: "talking" in lines_of(self.heard) or not client.alive(), lambda: read_text(self.heard, ""))
        self.assertTrue(client.alive(), read_text(self.heard, ""))
        return server, client

    def ask(self, *words):
        return self.ring[2].run(["redis-cli", "-h", ADDRESS, "-p", PORT, *words], check=False)[1]

    def keys_said(self):
        return max((int(line) for line in lines_of(self.heard) if line.isdigit()), default=0)

    def go(self, server, client, before_move=lambda: None):
        for move in range(MOVES):
            before_move()
            server, result = self.move(server, self.ring[(move + 1) % 2], "--tcp-established", "--hook", self.hook)
            self.assertTrue(client.alive(), f"move {move + 1}: {read_text(self.heard)}")
            said = self.keys_said()
            until(lambda: self.keys_said() > said or not client.alive(), lambda: f"keys after move {move + 1}: {read_text(self.heard)}")
        self.addCleanup(server.kill)
        return server

    def finish(self, server, client):
        size = int(self.ask("dbsize"))
        open(self.stop, "w").close()
        client.wait_end(60)
        text = read_text(self.heard)
        self.assertIn("PASS", text, read_text(self.log))
        print(f"    {lines_of(self.heard)[-1]}", flush=True)
        self.assertGreaterEqual(size, KEYS)
        self.ask("shutdown", "nosave")
        server.wait_end(30)
        bad = [line for line in lines_of(self.log) if re.search("(?i)error|fail|crash", line) and "WARNING" not in line]
        self.assertEqual(bad, [])

    def test_one_connection(self):
        server, client = self.start("redis")
        self.finish(self.go(server, client), client)

    def test_while_a_child_saves(self):
        """The child of BGSAVE, which shares its memory with the server, moves along and finishes."""
        server, client = self.start("redis-bgsave")
        # a delay for every third key, so that the child takes some seconds
        self.ask("config", "set", "rdb-key-save-delay", "-3")

        def save():
            if "rdb_bgsave_in_progress:0" in self.ask("info", "persistence"):
                self.ask("bgsave")
            self.assertIn("rdb_bgsave_in_progress:1", self.ask("info", "persistence"))

        server = self.go(server, client, save)
        until(lambda: "rdb_bgsave_in_progress:0" in self.ask("info", "persistence"), "the child ends", 240)
        self.assertIn("rdb_last_bgsave_status:ok", self.ask("info", "persistence"))
        self.finish(server, client)


if __name__ == "__main__":
    crxtest.main()
