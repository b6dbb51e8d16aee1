"""Unix sockets that are connected to the outside, and what a failed move leaves behind at the source."""
import os
import socket

import crxtest
from crxtest import lines_of, read_text, state_of, until

PYTHON = "/usr/bin/python3"
HOLD = "\nimport sys, time\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)\n"

# Sends a number every 10 ms to a datagram socket of another process.
SENDER = """
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1].replace('@', chr(0)))
for number in range(100000):
    s.send(str(number).encode())
    if number == 0: print('ready', flush=True)
    time.sleep(0.01)
"""
RECEIVER = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', chr(0)))
print('ready', flush=True)
while True: print(s.recv(100).decode(), flush=True)
"""
# Answers every connection with its PID.
SERVER = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
print('ready', flush=True)
while True:
    c, _ = s.accept()
    c.sendall(str(os.getpid()).encode())
    c.close()
"""
# A server that is slow to accept, and clients that send at once.
BUSY = """
import os, socket, sys, threading, time
path, stop, length = sys.argv[1:]
length = int(length)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(20)
answered = [0] * 3

def client(number):
    while not os.path.exists(stop):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            text = (b'%d %d' % (number, answered[number])).ljust(length)
            s.sendall(text)
            assert s.recv(length, socket.MSG_WAITALL) == text
        answered[number] += 1
        time.sleep(0.004)

def serve():
    while True:
        c, _ = server.accept()
        c.sendall(c.recv(length, socket.MSG_WAITALL))
        c.close()
        time.sleep(0.001)

threading.Thread(target=serve, daemon=True).start()
clients = [threading.Thread(target=client, args=(i,)) for i in range(3)]
for c in clients: c.start()
print('ready', flush=True)
for c in clients: c.join()
print('PASS' if min(answered) > 20 else answered, flush=True)
os._exit(0)
"""


class UnixSockets(crxtest.RingTest):
    HOSTS = 2
    number = 0

    def start(self, host, program, *arguments, **options):
        type(self).number += 1
        log = self.ring.path(f"program{self.number}.log")
        process = host.spawn([PYTHON, "-c", program, *arguments], stdout=log, **options)
        self.addCleanup(process.kill)
        until(lambda: lines_of(log) or not process.alive(), "ready")
        self.assertEqual(lines_of(log)[0], "ready")
        return process, log

    def refused(self, process, *words):
        before = state_of(process)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        for word in words:
            self.assertIn(word, result.stderr, f"{result}")
        self.assertTrue(process.alive())
        self.assertEqual(state_of(process), before)

    def test_pair_with_an_end_outside(self):
        holder, _ = self.start(self.ring[0], "import socket, subprocess, sys\na, b = socket.socketpair()\n"
                               "subprocess.Popen([sys.executable, '-c', sys.argv[1]], pass_fds=[b.fileno()], start_new_session=True)\n"
                               "b.close()\na.recv(1)\n", HOLD)
        process = self.ring[0].find(self.ring[0].children(holder.pid)[0])
        self.addCleanup(process.kill)
        self.refused(process, "its other end is held outside", f"by pid {holder.pid} (python3)", "--ext-unix-sk")

    def test_pair_of_another_network_namespace(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process, _ = self.start(self.ring[0], HOLD, fds={5: theirs.fileno()})
            self.refused(process, "another network namespace")

    def test_connection_to_a_server_outside(self):
        path = self.ring.path("outside.sock")
        self.start(self.ring[0], "import socket\ns = socket.socket(socket.AF_UNIX)\n"
                                 f"s.bind('{path}')\ns.listen()\nprint('ready', flush=True)\nc = s.accept()\ns.accept()\n")
        process, _ = self.start(self.ring[0], f"import socket\nc = socket.socket(socket.AF_UNIX)\nc.connect('{path}')" + HOLD)
        self.refused(process, "its other end is held outside", "(python3) fd", path)

    def test_datagram_socket_outside(self):
        name = "@crxtest-log"
        _, first = self.start(self.ring[0], RECEIVER, name)
        process, _ = self.start(self.ring[0], SENDER, name)
        self.refused(process, "--ext-unix-sk", name)
        result = self.ring[0].migrate(process, self.ring[1], "--ext-unix-sk")
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn(f"nothing answers here under {name}", result.stderr)
        self.assertTrue(process.alive())
        have = len(lines_of(first))
        until(lambda: len(lines_of(first)) > have + 5, "the sender goes on at the source")
        _, second = self.start(self.ring[1], RECEIVER, name)
        sender = next(link for fd in os.listdir(process.proc("fd")) if (link := os.readlink(process.proc(f"fd/{fd}"))).startswith("socket:"))
        inode = int(sender.removeprefix("socket:[").removesuffix("]"))
        result = self.ring[0].migrate(process, self.ring[1], "--external", f"unix[{inode + 1}]")
        self.assertEqual(result.exit, 3, f"{result}")
        process, _ = self.move(process, self.ring[1], "--external", f"unix[{inode}]")
        until(lambda: len(lines_of(second)) > 10, "the receiver at the destination gets numbers")
        process.kill()
        numbers = [int(line) for line in lines_of(first)[1:] + lines_of(second)[1:]]
        self.assertEqual(numbers, list(range(len(numbers))), "numbers are missing or came twice")

    def test_server_answers_again_where_it_is(self):
        path = self.ring.path("server.sock")
        process, _ = self.start(self.ring[0], SERVER, path)
        inode = os.stat(path).st_ino

        def ask():
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                return int(client.recv(100))

        self.assertEqual(ask(), process.pid)
        result = self.ring[0].migrate(process, self.ring[1], "--hook", 'test "$CRX_STAGE" != prepared')
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertEqual(os.stat(path).st_ino, inode, "the socket's file was replaced")
        self.assertEqual(ask(), process.pid)
        self.assertEqual([n for n in os.listdir(self.ring.dir) if n.startswith(".crx")], [], "something was left behind")
        process, _ = self.move(process, self.ring[1])
        self.assertNotEqual(os.stat(path).st_ino, inode, "the old socket's file is still there")
        self.assertEqual(ask(), process.pid)
        self.assertEqual([n for n in os.listdir(self.ring.dir) if n.startswith(".crx")], [], "something was left behind")

    def test_name_in_use_at_the_destination(self):
        name = "@crxtest-taken"
        server = SERVER.replace("sys.argv[1]", "sys.argv[1].replace('@', chr(0))")
        self.start(self.ring[1], server, name)
        process, _ = self.start(self.ring[0], server, name)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("the name is taken here", result.stderr)
        self.assertTrue(process.alive())

    # Long texts lie in pages, which are not read: the stop is tried again until the server has accepted them.
    def test_connections_come_all_the_time(self):
        for length in (20, 20000):
            with self.subTest(length=length):
                self.keep_moving(length)

    def keep_moving(self, length):
        stop = self.ring.path(f"busy{length}.stop")
        process, log = self.start(self.ring[0], BUSY, self.ring.path(f"busy{length}.sock"), stop, str(length))
        for move in range(4):
            process, _ = self.move(process, self.ring[move + 1])
        open(stop, "w").close()
        process.wait_end(20)
        self.assertEqual(lines_of(log)[1:], ["PASS"])

    # The kernel's memory shows the sent data, but a passed descriptor cannot be taken from there.
    def test_descriptor_in_a_connection_that_is_not_accepted(self):
        path = self.ring.path("unaccepted.sock")
        process, _ = self.start(self.ring[0], "import socket\ns = socket.socket(socket.AF_UNIX)\n"
                                              f"s.bind('{path}')\ns.listen()\nc = socket.socket(socket.AF_UNIX)\n"
                                              f"c.connect('{path}')\nsocket.send_fds(c, [b'x'], [0])" + HOLD)
        before = state_of(process)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("it has sent data over a connection that is not accepted yet: descriptors were passed with it", result.stderr)
        self.assertEqual(state_of(process), before)


if __name__ == "__main__":
    crxtest.main()
