"""TCP connections that are not accepted yet when the program is stopped: clients inside and outside connect all the
time to a server that is slow to accept."""
import crxtest
from crxtest import lines_of, read_text, until

SERVER = """
import os, socket, sys, threading, time
address, stop, inside = sys.argv[1:]
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((address, 4712))
server.listen(20)
answered = [0] * int(inside)

def client(number):
    while not os.path.exists(stop):
        with socket.create_connection(("127.0.0.1", 4712)) as s:
            text = b"%d %d" % (number, answered[number])
            s.sendall(text)
            assert s.recv(100) == b"answer to " + text
        answered[number] += 1
        time.sleep(0.01)

def serve():
    while True:
        c, _ = server.accept()
        with c:
            c.sendall(b"answer to " + c.recv(100))
        time.sleep(0.001)

threading.Thread(target=serve, daemon=True).start()
clients = [threading.Thread(target=client, args=(n,)) for n in range(int(inside))]
for c in clients: c.start()
print("ready", flush=True)
while not os.path.exists(stop): time.sleep(0.01)
for c in clients: c.join()
print("PASS" if all(n > 3 for n in answered) else answered, flush=True)
"""


class Backlog(crxtest.RingTest):
    HOSTS = 2

    def start(self, name, address, inside):
        log, self.stop = self.ring.path(f"{name}.log"), self.ring.path(f"{name}.stop")
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", SERVER, address, self.stop, str(inside)], stdout=log)
        self.addCleanup(process.kill)
        until(lambda: read_text(log, "") or not process.alive(), "the server")
        return process, log

    def test_clients_inside(self):
        process, log = self.start("inside", "127.0.0.1", 3)
        for move in range(4):
            process, _ = self.move(process, self.ring[(move + 1) % 2])
        open(self.stop, "w").close()
        process.wait_end(20)
        self.assertEqual(lines_of(log), ["ready", "PASS"])

    def test_ends_that_were_closed(self):
        """Placeholders for closed ends must not hold the server's port when the program comes back."""
        program = ("import os, socket, sys, time\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
                   "s.bind(('127.0.0.1', 4713)); s.listen()\n"
                   "c = socket.create_connection(s.getsockname()); a, _ = s.accept(); a.close()\nprint('ready', flush=True)\n"
                   "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
                   "assert c.recv(1) == b''; c.close(); print('closed', flush=True)\n"
                   "while not os.path.exists(sys.argv[1] + '2'): time.sleep(0.01)\n"
                   "c = socket.create_connection(s.getsockname()); s.accept()[0].sendall(b'x'); print(c.recv(1), flush=True)")
        log, stop = self.ring.path("closed.log"), self.ring.path("closed.stop")
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", program, stop], stdout=log)
        self.addCleanup(process.kill)
        until(lambda: read_text(log, ""), "the program")
        process, _ = self.move(process, self.ring[1])
        open(stop, "w").close()
        until(lambda: len(lines_of(log)) == 2 or not process.alive(), "the client closes its end")
        for move in (0, 1):
            process, _ = self.move(process, self.ring[move])
        open(stop + "2", "w").close()
        process.wait_end(20)
        self.assertEqual(lines_of(log), ["ready", "closed", "b'x'"])

    def test_data_that_nobody_accepts(self):
        """The stop is tried again for a while, then the move is refused, and the program runs on."""
        program = ("import socket, time\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
                   "c = socket.create_connection(s.getsockname()); c.send(b'x')\nprint('ready', flush=True)\ntime.sleep(1000)")
        log = self.ring.path("nobody.log")
        process = self.ring[0].spawn(["/usr/bin/python3", "-c", program], stdout=log)
        self.addCleanup(process.kill)
        until(lambda: read_text(log, ""), "the program")
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("is not accepted yet: the program runs on", read_text(result.log))
        self.assertIn("that is not accepted yet has got 1 bytes already", result.stderr)
        self.assertTrue(process.alive())


if __name__ == "__main__":
    crxtest.main()
