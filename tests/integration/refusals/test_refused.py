"""Resources that this version cannot move are refused by name before anything is touched: exit code 3."""
import os
import socket

import crxtest
from crxtest import read_text, state_of, until

PYTHON = "/usr/bin/python3"
HOLD = "\nimport sys, time\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)\n"


class Refused(crxtest.RingTest):
    HOSTS = 2

    def refuse(self, program, *words, argv=None, ready=True, **options):
        log = self.ring.path(f"{self.id()}.log")
        process = self.ring[0].spawn(argv or [PYTHON, "-c", program + HOLD], stdout=log, **options)
        try:
            if ready:
                until(lambda: read_text(log, "") or not process.alive(), "ready")
                self.assertEqual(read_text(log), "ready\n")
            before = state_of(process)
            result = self.ring[0].migrate(process, self.ring[1])
            self.assertEqual(result.exit, 3, f"{result}")
            for word in words:
                self.assertIn(word.lower(), result.stderr.lower(), f"{result}")
            self.assertEqual(result.last.get("event"), "failed", f"{result}")
            self.assertTrue(process.alive(), f"{result}")
            self.assertEqual(state_of(process), before, f"{result}")
        finally:
            for pid in self.ring[0].children(process.pid):
                child = self.ring[0].find(pid)
                if child:
                    child.kill()
            process.kill()

    def test_tcp_connection_to_another_program(self):
        agent = (self.ring[0].address, self.ring[0].agent_port)
        self.refuse(f"import socket; s = socket.create_connection({agent})", "tcp connection",
                    "on this host and not in the program")

    def test_tcp_connection_to_another_host(self):
        agent = (self.ring[1].address, self.ring[1].agent_port)
        self.refuse(f"import socket; s = socket.create_connection({agent})", "tcp connection", "outside the program",
                    "--tcp-established")

    def test_unix_socket(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.refuse("", "unix socket", fds={5: theirs.fileno()})

    def test_netlink_socket(self):
        self.refuse("import socket; s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 10)", "netlink socket", "family 10")

    def test_terminal_of_somebody_else(self):
        master, slave = os.openpty()
        try:
            self.refuse("", "terminal", "other end outside", "--shell-job", fds={5: slave})
        finally:
            os.close(master)
            os.close(slave)

    def test_master_without_its_users(self):
        opened = self.ring.path("opened")
        holder = self.ring[0].spawn(["sh", "-c", f"until [ -e /dev/pts/0 ]; do sleep 0.05; done; exec 3<>/dev/pts/0; >{opened}; "
                                     "exec sleep 60"])
        try:
            self.refuse(f"import os, time; os.openpty()\nwhile not os.path.exists('{opened}'): time.sleep(0.05)",
                        "/dev/pts/0", "also open outside", f"{holder.pid}")
        finally:
            holder.kill()

    def test_message_queue_of_two(self):
        holder = self.ring[0].spawn([PYTHON, "-c", "import ctypes, time; fd = ctypes.CDLL(None).mq_open(b'/crx-two', 66, 384, None)"
                                     "; assert fd > 0; print('ready', flush=True); time.sleep(60)"],
                                    stdout=self.ring.path("holder.log"))
        try:
            until(lambda: read_text(self.ring.path("holder.log"), ""), "the other process")
            self.refuse("import ctypes; fd = ctypes.CDLL(None).mq_open(b'/crx-two', 2); assert fd > 0",
                        "message queue", "also open outside")
        finally:
            holder.kill()

    def test_semaphores_of_two(self):
        program = ("import ctypes; libc = ctypes.CDLL(None); id = libc.semget(77, 2, 0o1600); assert id >= 0"
                   "; assert libc.semctl(id, NUMBER, 16, 1) == 0")
        holder = self.ring[0].spawn([PYTHON, "-c", program.replace("NUMBER", "0") + "; import time; print('ready', flush=True)"
                                     "; time.sleep(60)"], stdout=self.ring.path("holder.log"))
        try:
            until(lambda: read_text(self.ring.path("holder.log"), ""), "the other process")
            self.refuse(program.replace("NUMBER", "1"), "semaphore set", "also used outside", f"{holder.pid}")
        finally:
            holder.kill()

    def test_pipe_to_another_process(self):
        reader, writer = os.pipe()
        try:
            self.refuse("", "pipe", fds={5: writer})
        finally:
            os.close(reader)
            os.close(writer)

    def test_foreign_tracer(self):
        log = self.ring.path("traced.log")
        tracer = self.ring[0].spawn([PYTHON, "-c", f"""
import ctypes, os, time
libc = ctypes.CDLL(None)
pid = os.fork()
if pid == 0:
    os.setsid()
    while True: time.sleep(0.05)
assert libc.ptrace(0x4206, pid, None, None) == 0
print(pid, flush=True)
while True: time.sleep(1)
"""], stdout=log)
        try:
            pid = int(until(lambda: read_text(log, ""), "the tracer"))
            process = self.ring[0].find(pid)
            result = self.ring[0].migrate(process, self.ring[1])
            self.assertEqual(result.exit, 3, f"{result}")
            self.assertRegex(result.stderr, rf"is traced by process {tracer.pid} \(.*\); end the debugger first")
            self.assertTrue(process.alive())
            process.kill()
        finally:
            tracer.kill()

    def test_shared_between_cousins(self):
        # A process whose memory the root's child and grandchild share, but which itself runs another program by now.
        self.refuse("""
import ctypes, os
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
other = os.fork()
if other == 0:
    for flags in (0x100 | 17, 0x8100):
        stack = libc.mmap(None, 65536, 3, 0x22, -1, 0)
        assert libc.clone(ctypes.cast(libc.pause, ctypes.c_void_p), stack + 65536, flags, None) > 0
    os.execv("/bin/sleep", ["sleep", "1000"])
while "sleep" not in open(f"/proc/{other}/comm").read(): pass
""", "shares its memory with process", "not by way of a parent or sibling", "end one of the two")

    def test_io_uring(self):
        self.refuse("import ctypes; fd = ctypes.CDLL(None).syscall(425, 4, (ctypes.c_char * 120)()); assert fd > 0",
                    "io_uring")

    def test_userfaultfd(self):
        self.refuse("import ctypes, fcntl, struct; fd = ctypes.CDLL(None).syscall(323, 1); "
                    "fcntl.ioctl(fd, 0xc018aa3f, struct.pack('QQQ', 0xaa, 0, 0))", "userfaultfd")

    def test_seccomp_listener(self):
        self.refuse("""
import ctypes, struct
libc = ctypes.CDLL(None)
code = (ctypes.c_char * 8).from_buffer_copy(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
program = Program(1, ctypes.addressof(code))
libc.prctl(38, 1, 0, 0, 0)
fd = libc.syscall(317, 1, 8, ctypes.byref(program))
assert fd > 0
""", "it is a seccomp listener")

    def test_seccomp_listener_elsewhere(self):
        self.refuse("""
import ctypes, struct
libc = ctypes.CDLL(None)
# System call 500 asks, all others are allowed.
code = (ctypes.c_char * 32).from_buffer_copy(b''.join(struct.pack('HBBI', *i) for i in
    [(0x20, 0, 0, 0), (0x15, 0, 1, 500), (6, 0, 0, 0x7fc00000), (6, 0, 0, 0x7fff0000)]))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
program = Program(4, ctypes.addressof(code))
libc.prctl(38, 1, 0, 0, 0)
fd = libc.syscall(317, 1, 8, ctypes.byref(program))
assert fd > 0
import os; os.close(fd)
""", "has a seccomp filter that asks a listener in user space")

    def test_kernel_thread_or_init(self):
        result = self.ring[0].migrate(1, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")


if __name__ == "__main__":
    crxtest.main()
