"""Refusals of docs/supported.md for a host that lacks what a program needs: a capability, a network device, a route, a
folder. The move fails with these words, and the program runs on unchanged."""
import os

import crxtest
from crxtest import read_text, state_of, until
from hosts import machine_setting, without

PYTHON = "/usr/bin/python3"
HOLD = "\nimport time\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)\n"
PING_GROUPS = "/proc/sys/net/ipv4/ping_group_range"


class RefusedThere(crxtest.RingTest):
    HOSTS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The first host has a network device of its own, with a route through it. Both hosts have one more address.
        cls.ring[0].run(["ip", "link", "add", "only0", "type", "veth", "peer", "only1"])
        for device in ("only0", "only1"):
            cls.ring[0].run(["ip", "link", "set", device, "up"])
        cls.ring[0].run(["ip", "route", "add", "198.51.100.0/24", "dev", "only0"])
        for host in cls.ring.hosts:
            host.run(["ip", "address", "add", "192.0.2.5/32", "dev", "lo"])

    def setUp(self):
        self.here, self.there = self.ring.hosts
        self.dir = self.ring.path(self.id())
        os.makedirs(self.dir)

    def restart_agent_without(self, *capabilities):
        self.there.restart_agent(prefix=without(*capabilities))
        self.addCleanup(self.there.restart_agent)

    def folder(self):
        """Makes a folder that is a different one on each host; returns its path."""
        data = f"{self.dir}/data"
        for name in ("data", "0", "1"):
            os.makedirs(f"{self.dir}/{name}")
        for number, host in enumerate(self.ring.hosts):
            host.bind(f"{self.dir}/{number}", data)
            self.addCleanup(host.unbind, data)
        return data

    def start(self, program):
        log = f"{self.dir}/log"
        process = self.here.spawn([PYTHON, "-c", program + HOLD], stdout=log)
        self.addCleanup(process.kill)
        until(lambda: read_text(log, "") or not process.alive(), "the program")
        self.assertEqual(read_text(log), "ready\n")
        return process

    def refuse(self, program, *words, **named):
        self.refuse_to_move(self.start(program), *words, **named)

    def refuse_to_move(self, process, *words, **named):
        before = state_of(process)
        result = self.here.migrate(process, self.there, **named)
        self.assertEqual(result.exit, 1, f"{result}\n{self.there.agent_tail()}")
        for word in words:
            self.assertIn(word, result.stderr, f"{result}")
        self.assertEqual(result.last.get("event"), "failed", f"{result}")
        self.assertTrue(process.alive(), f"{result}")
        self.assertEqual(state_of(process), before, f"{result}")
        until(lambda: not self.there.find(process.pid), "the destination forgets it")

    def test_clocks(self):
        self.restart_agent_without("sys_time")
        self.refuse("", "the offset", "ns was refused", "the agent needs CAP_SYS_TIME")

    def test_tcp_connection(self):
        self.restart_agent_without("net_admin")
        self.refuse("import socket; a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen()\n"
                    "b = socket.create_connection(a.getsockname()); c = a.accept()", "repairing a TCP connection",
                    "not allowed: Operation not permitted; run the agent with CAP_NET_ADMIN")

    def test_socket_option(self):
        self.restart_agent_without("net_admin", "net_raw")
        self.refuse("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, 36, 5)",
                    "SO_MARK cannot be set to 5 here", "run the destination's agent with CAP_NET_ADMIN")

    def test_large_pipe(self):
        process = self.start("import fcntl, os; r, w = os.pipe(); size = int(open('/proc/sys/fs/pipe-max-size').read())\n"
                             "assert fcntl.fcntl(w, 1031, size) == size; os.write(w, b'x')")
        with machine_setting("/proc/sys/fs/pipe-max-size", lambda before: before // 2):
            self.refuse_to_move(process, "its capacity is over our own limit", "set fs.pipe-max-size to at least",
                                prefix=without("sys_resource"))

    def test_ping(self):
        self.there.run(["sh", "-c", f"echo 1 0 >{PING_GROUPS}"])
        self.addCleanup(self.there.run, ["sh", "-c", f"echo 0 65535 >{PING_GROUPS}"])
        self.refuse("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)",
                    "nobody may have sockets for ICMP echoes here", "set net.ipv4.ping_group_range to a range with 0 in it")

    def test_network_device(self):
        self.refuse("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                    "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'only0')",
                    "it is bound to the network device only0", "make a device of this name here")

    def test_multicast_group(self):
        # A route there leads to the group, by another device.
        self.there.run(["ip", "route", "add", "239.0.0.0/8", "dev", "eth0"])
        self.addCleanup(self.there.run, ["ip", "route", "del", "239.0.0.0/8"])
        self.refuse("import socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                    "group = struct.pack('4s4si', socket.inet_aton('239.1.2.3'), b'', socket.if_nametoindex('only0'))\n"
                    "s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)",
                    "the group 239.1.2.3 on only0 cannot be joined here", "make a device of this name here")

    def test_route(self):
        self.refuse("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('192.0.2.5', 0))\n"
                    "s.connect(('198.51.100.1', 9))", "198.51.100.1:9 cannot be reached from here",
                    "see ip route at the destination")

    def test_file_with_the_name_of_a_socket(self):
        data = self.folder()
        open(f"{self.dir}/1/name", "w").close()
        self.refuse(f"import socket; s = socket.socket(socket.AF_UNIX); s.bind('{data}/name')",
                    f"{data}/name: another file has this name here; remove it")
        self.assertTrue(os.path.isfile(f"{self.dir}/1/name"))

    def test_folder_of_a_socket(self):
        data = self.folder()
        os.makedirs(f"{self.dir}/0/below")
        self.refuse(f"import socket; s = socket.socket(socket.AF_UNIX); s.bind('{data}/below/name')",
                    f"{data}/below/name: nothing can be made in {data}/below", "make this directory, and let the agent write there")


if __name__ == "__main__":
    crxtest.main()
