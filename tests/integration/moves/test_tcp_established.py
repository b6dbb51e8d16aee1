"""A server moves with its connections to a client on a third host; hooks move its address along."""
import os
import sys

import crxtest
from crxtest import BIN, PROGRAMS, lines_of, read_text, until

ADDRESS = "10.77.0.100"
PORT = "4711"

# The address leaves the source when the program is stopped, and comes to the destination when the program is built
# there. While the file STAY exists the address stays where it is.
HOOK = (f"[ ! -e STAY ] || exit 0; case $CRX_ROLE.$CRX_STAGE in "
        f"source.frozen) ip addr del {ADDRESS}/24 dev eth0;; "
        f"source.aborted) ip addr add {ADDRESS}/24 dev eth0 2>/dev/null; /usr/bin/python3 {PROGRAMS}/announce.py eth0 {ADDRESS};; "
        f"destination.prepared) ip addr add {ADDRESS}/24 dev eth0 && /usr/bin/python3 {PROGRAMS}/announce.py eth0 {ADDRESS};; "
        f"destination.aborted) ip addr del {ADDRESS}/24 dev eth0 2>/dev/null || true;; "
        f"esac")


class TcpEstablished(crxtest.RingTest):
    @classmethod
    def setUpClass(cls):
        cls.ring = crxtest.Ring(cls.HOSTS)
        cls.addClassCleanup(cls.ring.close)
        cls.stay = cls.ring.path("stay")
        cls.hook = HOOK.replace("STAY", cls.stay)
        cls.ring.start_agents("--hook", cls.hook)

    def setUp(self):
        self.ring[0].run(["ip", "addr", "add", f"{ADDRESS}/24", "dev", "eth0"])
        self.ring[0].run([sys.executable, f"{PROGRAMS}/announce.py", "eth0", ADDRESS])  # other hosts had it before
        self.at = self.ring[0]

    def tearDown(self):
        for host in self.ring.hosts:
            host.run(["ip", "addr", "del", f"{ADDRESS}/24", "dev", "eth0"], check=False)

    def start(self, name):
        program = self.ring.compile("tcp_server", output=f"server-{name}")
        out, heard, stop = (self.ring.path(f"{name}.{end}") for end in ("server", "client", "stop"))
        server = self.ring[0].spawn([program, ADDRESS, PORT], stdout=out)
        self.addCleanup(server.kill)
        until(lambda: "listening" in lines_of(out), "the server listens")
        client = self.ring[2].spawn([sys.executable, f"{PROGRAMS}/tcp_client.py", ADDRESS, PORT, stop], stdout=heard)
        self.addCleanup(client.kill)
        until(lambda: "talking" in lines_of(heard) and "ready" in lines_of(out), lambda: read_text(heard) + read_text(out))
        return server, client, out, heard, stop

    def finish(self, server, client, out, heard, stop):
        with open(stop, "w"):
            pass
        client.wait_end(60)
        self.assertIn("PASS", read_text(heard), read_text(out))
        server.wait_end(30)
        text = read_text(out)
        self.assertTrue(text.endswith("PASS\n") and "FAIL" not in text, text)

    def no_tables(self, host):
        self.assertEqual(host.run(["nft", "list", "tables"])[1].split("table inet crx-")[1:], [], host.name)

    def test_moves_under_load(self):
        server, client, *files = self.start("moves")
        try:
            for move in range(crxtest.MOVES):
                before = self.received(files[1])
                server, _ = self.move(server, self.ring[(move + 1) % 2], "--tcp-established", "--hook", self.hook)
                self.assertTrue(client.alive(), read_text(files[1]))
                until(lambda: self.received(files[1]) > before + (1 << 20), "bytes flow after the move")
                self.no_tables(self.ring[move % 2])
            self.finish(server, client, *files)
        finally:
            server.kill()
            client.kill()

    def received(self, heard):
        """Returns how much the client says it has received so far."""
        return max((int(line) for line in lines_of(heard) if line.isdigit()), default=0)

    def test_refused_without_the_option(self):
        server, client, *files = self.start("refused")
        try:
            result = self.ring[0].migrate(server, self.ring[1], "--hook", self.hook)
            self.assertEqual(result.exit, 3, f"{result}")
            self.assertIn("--tcp-established", result.stderr)
            self.finish(server, client, *files)
        finally:
            server.kill()
            client.kill()

    def test_failed_move_goes_on(self):
        server, client, *files = self.start("failed")
        try:
            hook = f"[ $CRX_ROLE.$CRX_STAGE != source.prepared ] || exit 1; {self.hook}"
            result = self.ring[0].migrate(server, self.ring[1], "--tcp-established", "--hook", hook)
            self.assertEqual(result.exit, 1, f"{result}")
            before = self.received(files[1])
            until(lambda: self.received(files[1]) > before + (1 << 20), "bytes flow after the failed move")
            self.no_tables(self.ring[0])
            self.finish(server, client, *files)
        finally:
            server.kill()
            client.kill()

    def test_killed_after_go(self):
        """Packets stay blocked when crx-migrate dies as a whole, until the agent has settled the session."""
        server, client, *files = self.start("killed")
        here = self.ring[0]
        here.kill_agent()
        try:
            tool = here.start_migrate(server, self.ring[1], "--tcp-established", "--hook", self.hook,
                                      env={"CRX_FAULT_POINT": "source_go_journalled=stop"})
            until(lambda: "stop at source_go_journalled" in read_text(tool.errors, ""), "GO is journalled", 30)
            here.run(["kill", "-KILL", tool.pid, *here.children(tool.pid)])
            tool.wait_end(10)
            tables = here.run(["nft", "list", "tables"])[1]
            self.assertEqual([line for line in tables.splitlines() if "crx-" in line and "-kept" not in line], [])
            self.assertIn("-kept", tables)
            until(lambda: ADDRESS not in self.ring[1].run(["ip", "addr"])[1], "the destination gives up")
            here.run(["ip", "addr", "add", f"{ADDRESS}/24", "dev", "eth0"])
            here.start_agent("--hook", self.hook)
            until(lambda: "-kept" not in here.run(["nft", "list", "tables"])[1], "the agent removes the table")
            here.run([sys.executable, f"{PROGRAMS}/announce.py", "eth0", ADDRESS])
            before = self.received(files[1])
            until(lambda: self.received(files[1]) > before + (1 << 20), "bytes flow again")
            self.finish(server, client, *files)
        finally:
            server.kill()
            client.kill()
            if here.agent is None:
                here.start_agent("--hook", self.hook)

    def test_on_ice(self):
        """Dumped and restored: the client gets no answer meanwhile and waits."""
        server, client, *files = self.start("ice")
        here, images = self.ring[0], self.ring.path("ice-set")
        try:
            here.run([f"{BIN}/crx-dump", "-t", server.pid, "-D", images, "--tcp-established"])
            until(lambda: not os.path.exists(here.proc(server.pid)), "the server has ended")
            self.assertIn("-kept", here.run(["nft", "list", "tables"])[1])
            retried = self.retries(self.ring[2])
            until(lambda: self.retries(self.ring[2]) > retried, "the client sends again")
            self.assertTrue(client.alive(), read_text(files[1]))
            before = self.received(files[1])
            here.run([f"{BIN}/crx-restore", "-D", images, "-d"])
            server = here.find(server.pid)
            until(lambda: self.received(files[1]) > before + (1 << 20), "bytes flow after the revival")
            self.no_tables(here)
            self.finish(server, client, *files)
        finally:
            server.kill()
            client.kill()

    def retries(self, host):
        """Returns how often the host has sent TCP segments again, or has asked whether a full receiver has room by now."""
        def count(file, group, name):
            lines = [line.split() for line in read_text(f"/proc/{host.init}/net/{file}").splitlines() if line.startswith(group)]
            return int(lines[1][lines[0].index(name)])
        return count("snmp", "Tcp:", "RetransSegs") + count("netstat", "TcpExt:", "TCPWinProbe")

    def start_full(self, name, address, far):
        """Starts a server with more to send than fits, and its client on `far`."""
        out, heard, go = (self.ring.path(f"{name}.{end}") for end in ("server", "client", "go"))
        program = [sys.executable, f"{PROGRAMS}/tcp_full.py"]
        server = self.ring[0].spawn([*program, "server", address, PORT], stdout=out)
        until(lambda: "listening" in lines_of(out), "the server listens")
        client = far.spawn([*program, "client", address, PORT, go], stdout=heard)
        until(lambda: "full" in read_text(out), "the server's queue is full")
        return server, client, out, heard, go

    def finish_full(self, server, client, out, heard, go):
        with open(go, "w"):
            pass
        client.wait_end(60)
        self.assertEqual(lines_of(heard), ["PASS"], read_text(out))
        server.wait_end(30)
        self.assertEqual(lines_of(out)[-1], "PASS")

    def test_full_queue_moves(self):
        server, client, *files = self.start_full("full", ADDRESS, self.ring[2])
        try:
            server, _ = self.move(server, self.ring[1], "--tcp-established", "--hook", self.hook)
            self.finish_full(server, client, *files)
        finally:
            server.kill()
            client.kill()

    def test_client_on_this_host(self):
        """Such a connection cannot move, but it can be dumped and restored on the host of its other end."""
        here, images = self.ring[0], self.ring.path("near-set")
        server, client, *files = self.start_full("near", "127.0.0.1", here)
        try:
            result = here.migrate(server, self.ring[1], "--tcp-established")
            self.assertEqual(result.exit, 3, f"{result}")
            self.assertIn("whose other end is on this host and not in the program", result.stderr)
            code, text = here.run([f"{BIN}/crx-dump", "-t", server.pid, "-D", images], check=False)
            self.assertEqual(code, 3, text)
            self.assertIn("whose other end is outside the program; use --tcp-established", text)
            here.run([f"{BIN}/crx-dump", "-t", server.pid, "-D", images, "--tcp-established"])
            self.assertIn("-kept", here.run(["nft", "list", "tables"])[1])
            here.run([f"{BIN}/crx-restore", "-D", images, "-d"])
            self.no_tables(here)
            server = here.find(server.pid)
            self.finish_full(server, client, *files)
        finally:
            server.kill()
            client.kill()

    def test_address_that_stays_behind(self):
        server, client, *files = self.start("behind")
        try:
            with open(self.stay, "w"):
                pass
            result = self.ring[0].migrate(server, self.ring[1], "--tcp-established", "--hook", self.hook)
            os.unlink(self.stay)
            self.assertEqual(result.exit, 1, f"{result}")
            self.assertIn(f"{ADDRESS} is not on this host", result.stderr + self.ring[1].agent_tail())
            self.finish(server, client, *files)
        finally:
            server.kill()
            client.kill()


if __name__ == "__main__":
    crxtest.main()
