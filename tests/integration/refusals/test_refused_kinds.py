"""The refused rows of docs/supported.md, one program each: a finding of preflight ends with exit code 3, one of the
stop with 1, with the words of the row; the program runs on unchanged. (test_refused.py, test_unix_sockets.py and
test_shell_job.py have the rows that take two programs, the unit tests those that take more.)"""
import contextlib
import os
import subprocess

import crxtest
import hosts
from crxtest import ROOT, read_text, state_of, until

PYTHON = "/usr/bin/python3"
HEAD = """
import ctypes, errno, fcntl, mmap, os, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    result = libc.syscall(*args)
    if result < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP): skip()
    assert result >= 0, os.strerror(ctypes.get_errno())
    return result
def skip(): print('skip', flush=True); sys.exit()
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def bpf_filter():
    code = (ctypes.c_char * 16).from_buffer_copy(struct.pack('BBhiBBhi', 0xb7, 0, 0, 0, 0x95, 0, 0, 0))
    text = ctypes.create_string_buffer(b'GPL')
    attr = ctypes.create_string_buffer(struct.pack('IIQQ', 1, 2, ctypes.addressof(code), ctypes.addressof(text)), 128)
    return call(321, 5, attr, 128)
"""
HOLD = "\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)\n"

# Prints "ready" and waits, by the system calls of 32-bit programs.
SMALL = """
.globl _start
_start: mov $4, %eax
  mov $1, %ebx
  mov $text, %ecx
  mov $6, %edx
  int $0x80
again: mov $29, %eax
  int $0x80
  jmp again
text: .ascii "ready\\n"
"""

# Name: program, words of the refusal. DIR is a folder of its own.
PREFLIGHT = {
    "first_thread_gone": ("threading.Thread(target=lambda: [print('ready', flush=True), time.sleep(1000)]).start()\n"
                          "libc.pthread_exit(None)", ["its first thread has ended"]),
    "thread_with_descriptors": ("def other():\n    libc.unshare(0x400)\n    print('ready', flush=True)\n    time.sleep(1000)\n"
                                "threading.Thread(target=other).start()\ntime.sleep(1000)",
                                ["has descriptors of its own", "leave its descriptors to the others"]),
    "tracer": ("pid = os.getppid()\nother = int(open('DIR/other').read())\nassert libc.ptrace(0x4206, other, None, None) == 0",
               ["traces process", "let it detach first"]),
    "namespace": ("call(272, 0x04000000)", ["is in another uts namespace than crx", "nsenter"]),
    "huge_file": ("os.mkdir('DIR/huge')\nif libc.mount(b'none', b'DIR/huge', b'hugetlbfs', 0, None): skip()\n"
                  "fd = os.open('DIR/huge/file', os.O_RDWR | os.O_CREAT)\nos.ftruncate(fd, 2 << 20)\n"
                  "p = libc.mmap(None, 2 << 20, 3, 0x4001, fd, 0)\nif p == ctypes.c_void_p(-1).value: skip()",
                  ["files in huge pages cannot move"]),
    "too_few_huge_pages": ("p = libc.mmap(None, 6 << 20, 3, 0x40022, -1, 0)\nif p == ctypes.c_void_p(-1).value: skip()",
                           ["huge pages of 2048 KiB", "3 are needed, 1 are free", "raise vm.nr_hugepages"]),
    "sysv_in_part": ("libc.shmat.restype = ctypes.c_void_p\nid = libc.shmget(0, 8192, 0o1600)\n"
                     "p = libc.shmat(id, None, 0)\nlibc.shmctl(id, 0, None)\nassert libc.munmap(ctypes.c_void_p(p), 4096) == 0",
                     ["attached in part", "attach the segment as a whole"]),
    "sysv_large_unattached": ("libc.shmat.restype = ctypes.c_void_p\nid = libc.shmget(0, 65 << 20, 0o1600)\n"
                              "p = libc.shmat(id, None, 0)\nassert libc.shmdt(ctypes.c_void_p(p)) == 0",
                              ["is attached by nobody", "keep it attached"]),
    "device_mapping": ("fd = call(425, 4, ctypes.create_string_buffer(120))\n"
                       "p = libc.mmap(None, 4096, 3, 1, fd, 0x10000000)\nassert p != ctypes.c_void_p(-1).value",
                       ["a mapped device or kernel object cannot move"]),
    "many_timers": ("id = ctypes.c_int()\nfor _ in range(129): call(222, 1, None, ctypes.byref(id))",
                    ["has more than 128 POSIX timers"]),
    "proc_of_another": ("f = open(f'/proc/{os.getppid()}/status')", ["it is a file about process", "does not move along"]),
    "console": ("try: f = os.open('/dev/tty1', os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)\nexcept OSError: skip()",
                ["/dev/tty1 is a terminal of this host's hardware or kernel", "start the program in a terminal multiplexer"]),
    "address_space": ("import resource\nused = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
                      "resource.setrlimit(resource.RLIMIT_AS, (used + 8192, used + 8192))",
                      ["left of its limit of address space, and", "raise it (prlimit --as)"]),
    "uprobes": ("try: kind = int(open('/sys/bus/event_source/devices/uprobe/type').read())\nexcept OSError: skip()\n"
                "at = ctypes.cast(libc.getppid, ctypes.c_void_p).value\n"
                "for line in open('/proc/self/maps'):\n"
                "  start, end, offset, path = *(int(x, 16) for x in line.split()[0].split('-')), int(line.split()[2], 16), line.split()[-1]\n"
                "  if start <= at < end: break\n"
                "path = ctypes.create_string_buffer(path.encode())\n"
                "attr = struct.pack('IIQQQQQIIQQ', kind, 112, 0, 0, 0, 0, 0, 0, 0, ctypes.addressof(path), at - start + offset)\n"
                "probe = call(298, ctypes.create_string_buffer(attr, 112), 0, -1, -1, 0)\nlibc.getppid(); os.close(probe)\n"
                "if '[uprobes]' not in open('/proc/self/maps').read(): skip()", ["uprobes are active in it", "remove the probes"]),
    "kernel_log": ("f = os.open('/dev/kmsg', os.O_RDONLY)", ["device 1:11 has state that cannot be moved"]),
    "inotify_lost": ("fd = libc.inotify_init()\nf = open('DIR/watched', 'w+'); f.truncate(4096)\n"
                     "p = libc.mmap(None, 4096, 3, 1, f.fileno(), 0); f.close()\nassert libc.inotify_add_watch(fd, b'DIR/watched', 2) > 0\nos.unlink('DIR/watched')",
                     ["whose path cannot be found", "remove the watch"]),
    "fanotify_permission": ("open('DIR/guarded', 'w').close(); fd = call(300, 4, 0)\n"
                            "call(301, fd, 1, ctypes.c_ulong(0x10000), -100, b'DIR/guarded')", ["it decides about what other programs may open"]),
    "pidfd_outside": ("fd = os.pidfd_open(os.getppid())", ["it refers to process", "does not move along"]),
    "ebpf_filter": ("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); fd = bpf_filter()\n"
                    "s.setsockopt(socket.SOL_SOCKET, 50, fd); os.close(fd)", ["eBPF filter", "SO_DETACH_FILTER"]),
    "bpf": ("fd = bpf_filter()", ["which cannot be moved; close it before moving the program"]),
    "packet_ring": ("s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)\n"
                    "s.setsockopt(263, 5, struct.pack('IIII', 4096, 2, 2048, 4)); m = mmap.mmap(s.fileno(), 8192)", ["PACKET_RX_RING"]),
    "other_family": ("try: s = socket.socket(38, socket.SOCK_SEQPACKET)\nexcept OSError: skip()", ["it is a socket", "cannot be moved"]),
    "md5": ("s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
            "key = struct.pack('HH4s120xBBHi', 2, 0, socket.inet_aton('127.0.0.2'), 0, 0, 3, 0) + b'key'.ljust(80, b'\\0')\n"
            "try: s.setsockopt(6, 14, key)\nexcept OSError: skip()", ["TCP_MD5SIG", "take the keys back"]),
    "tls": ("a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen(); b = socket.create_connection(a.getsockname())\n"
            "c = a.accept()\ntry: b.setsockopt(6, 31, b'tls')\nexcept OSError: skip()", ["TCP_ULP"]),
    "namespace_file": ("own = os.open('/proc/self/ns/uts', os.O_RDONLY); call(272, 0x04000000)\n"
                       "f = os.open('/proc/self/ns/uts', os.O_RDONLY); call(308, own, 0); os.close(own)", ["which cannot be moved; close it"]),
    "landlock": ("fd = call(444, ctypes.byref(ctypes.c_ulong(1)), 8, 0)", ["Landlock", "close it"]),
    "fscontext": ("fd = call(430, b'tmpfs', 1)", ["close it before moving the program"]),
    "secretmem": ("fd = call(447, 0)", ["secret memory", "close it before moving the program"]),
    "perf": ("attr = ctypes.create_string_buffer(struct.pack('IIQ', 1, 112, 0), 112)\nfd = call(298, attr, 0, -1, -1, 0)",
             ["it is a performance counter, which cannot be moved"]),
    "mq_notify": ("fd = libc.mq_open(b'/crx-notify', 66, 384, None); libc.mq_unlink(b'/crx-notify')\n"
                  "event = ctypes.create_string_buffer(struct.pack('Qii', 0, 10, 0), 64)\nassert libc.mq_notify(fd, event) == 0",
                  ["mq_notify"]),
    "lock": ("f = open('DIR/file', 'w'); fcntl.flock(f, fcntl.LOCK_EX)", ["it holds a file lock", "use --file-locks"]),
    "write_lease": ("f = open('DIR/file', 'w+'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); fcntl.fcntl(f, 1024, fcntl.F_WRLCK)",
                    ["write lease", "mapped, too", "let the program release it"]),
    "removed_socket_name": ("s = socket.socket(socket.AF_UNIX); s.bind('DIR/name'); f = os.open('DIR/name', os.O_PATH); os.unlink('DIR/name')",
                            ["it is the name of a socket, which is deleted"]),
    "large_deleted_file": ("f = open('DIR/file', 'w+'); f.write('x' * (2 << 20)); f.flush(); os.unlink('DIR/file')",
                           ["is over the limit of", "raise --ghost-limit to at least"]),
    "other_name": ("f = open('DIR/file', 'w+'); os.link('DIR/file', 'DIR/other-name'); os.unlink('DIR/file')",
                   ["its name was removed", "--link-remap"]),
    "hidden": ("f = open('DIR/mnt/file')\nopen('DIR/opened', 'w').close()\n"
               "while not os.path.exists('DIR/hidden'): time.sleep(0.01)", ["its path leads to another file now"]),
    "foreign_address": ("s = socket.socket(); s.bind(('10.77.0.1', 0)); s.listen()",
                        ["the address 10.77.0.1 is not on this host", "--hook"]),
    "taken_port": ("s = socket.socket(); s.bind(('127.0.0.1', 4321)); s.listen()",
                   ["TCP port 127.0.0.1:4321", "is in use here"]),
    "taken_udp_port": ("s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 4322))",
                       ["UDP port [::]:4322", "is in use here"]),
    "two_places_of_a_session": ("r, w = os.pipe(); g, d = os.pipe(); libc.prctl(36, 1)\n"
                                "def stay(): os.close(w); os.read(r, 1); os._exit(0)\n"
                                "def leave():\n"
                                "  if os.fork() == 0: stay()\n"
                                "  os.setsid(); os.write(d, b'x'); stay()\n"
                                "if os.fork() == 0:\n"
                                "  os.setsid()\n"
                                "  for _ in range(2):\n"
                                "    if os.fork() == 0: leave()\n"
                                "  os._exit(0)\n"
                                "os.wait(); os.read(g, 1); os.read(g, 1)",
                                ["whose leader has ended, as process", "and neither's parent is above the other's; end one of the two"]),
}
IN_STOP = {
    "memfd_in_flight": ("a, b = socket.socketpair(); fd = os.memfd_create('waiting'); os.write(fd, b'x')\n"
                        "socket.send_fds(a, [b'x'], [fd]); os.close(fd)",
                        ["a memfd", "is on its way through it and open nowhere else", "try again when the program has received it"]),
    "inherited_ring": ("context = ctypes.c_ulong(0)\ncall(206, 8, ctypes.byref(context))\n"
                       "if os.fork() == 0: call(157, 1, 9); time.sleep(1000); os._exit(0)",
                       ["is that of a process that it was forked by", "let it unmap the ring"]),
    "owner_outside": ("r, w = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, int(open('DIR/other').read()))",
                      ["its signals (F_SETOWN) go to process"]),
    "segments": ("segment = ctypes.create_string_buffer(struct.pack('IIII', 3, 0x10000, 0xfff, 0x41), 16)\ncall(154, 1, segment, 16)",
                 ["it has segments of its own (modify_ldt), which cannot be moved", "let the program not run code of 16 or 32 bits"]),
    "thread_segments": ("segment = ctypes.create_string_buffer(struct.pack('IIII', 12, 0x10000, 0xfff, 0x41), 16)\ncall(205, segment)",
                        ["it has segments of its own (set_thread_area)"]),
    "process_keyring": ("call(248, b'user', b'crx-test', b'x', 1, -2)", ["there are keys in its process key ring"]),
    "thread_keyring": ("call(248, b'user', b'crx-test', b'x', 1, -1)", ["there are keys in its thread key ring"]),
    "unread_inotify": ("fd = libc.inotify_init()\nassert libc.inotify_add_watch(fd, b'DIR', 0x100) > 0\nopen('DIR/new', 'w').close()",
                       ["bytes of events wait to be read", "try again when the program has read them"]),
    "urgent_data": ("a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen(); b = socket.create_connection(a.getsockname())\n"
                    "c, _ = a.accept(); b.send(b'!', socket.MSG_OOB); time.sleep(0.05)", ["urgent data waits to be read from it"]),
    "unix_urgent_data": ("a, b = socket.socketpair(); a.send(b'!', socket.MSG_OOB)", ["urgent data (MSG_OOB) waits in it"]),
    "corked_udp": ("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9)); s.send(b'x', socket.MSG_MORE)",
                   ["a datagram is being put together in it"]),
    "raw_packets": ("s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253); t = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)\n"
                    "s.bind(('127.0.0.1', 0)); t.sendto(b'x', ('127.0.0.1', 0)); time.sleep(0.05)",
                    ["packets wait to be read from it"]),
    "waiting_connection": ("a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen(); b = socket.create_connection(a.getsockname())\n"
                           "b.send(b'early'); time.sleep(0.05)", ["that is not accepted yet has got 5 bytes already"]),
}


class RefusedKinds(crxtest.RingTest):
    HOSTS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # This process has the ports that the programs need.
        cls.other = cls.ring[1].spawn([PYTHON, "-c", "import socket, time\na = socket.socket(); a.bind(('127.0.0.1', 4321)); a.listen()\n"
                                       "b = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); b.bind(('::', 4322))\n"
                                       "print('ready', flush=True); time.sleep(1000)"], stdout=cls.ring.path("other.log"))
        until(lambda: read_text(cls.ring.path("other.log"), ""), "the ports are taken")

    def prepare(self, name, folder):
        if name in ("tracer", "owner_outside"):
            other = self.ring[0].spawn(["sleep", "1000"])
            self.addCleanup(other.kill)
            with open(f"{folder}/other", "w") as file:
                file.write(str(other.pid))
        if name == "hidden":
            os.mkdir(f"{folder}/mnt")
            open(f"{folder}/mnt/file", "w").close()

    def start(self, name, program):
        folder = self.ring.path(f"{name}.dir")
        os.mkdir(folder)
        self.prepare(name, folder)
        log = f"{folder}/log"
        hold = "" if name == "first_thread_gone" else HOLD
        process = self.ring[0].spawn([PYTHON, "-c", HEAD + program.replace("DIR", folder) + hold], stdout=log)
        self.addCleanup(self.end, process)
        if name == "hidden":
            until(lambda: os.path.exists(f"{folder}/opened"), "the file is open")
            self.ring[0].run(["mount", "-t", "tmpfs", "none", f"{folder}/mnt"])
            self.addCleanup(self.ring[0].unbind, f"{folder}/mnt")
            open(f"{folder}/hidden", "w").close()
        until(lambda: read_text(log, "") or not process.alive(), f"{name} is ready")
        if read_text(log) == "skip\n":
            self.skipTest("this kernel does not have it")
        self.assertEqual(read_text(log), "ready\n")
        return process

    @staticmethod
    def end(process):
        process.kill()
        process.wait_end(10)

    def refuse(self, name, program, words, exit_code):
        with hosts.huge_pages(4, exactly=True) if "huge" in name else contextlib.nullcontext():
            self.refuse_here(name, program, words, exit_code)

    def refuse_here(self, name, program, words, exit_code):
        process = self.start(name, program)
        if name == "first_thread_gone":
            until(lambda: process.state() == "Z", "the first thread ends")
        before = state_of(process)
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, exit_code, f"{result}")
        for word in words:
            self.assertIn(word, result.stderr, f"{result}")
        if name != "first_thread_gone":
            self.assertTrue(process.alive(), f"{result}")
        self.assertEqual(state_of(process), before, f"{result}")

    def test_thread_number(self):
        process = self.start("thread", "threading.Thread(target=lambda: time.sleep(1000)).start()")
        tid = max(int(t) for t in os.listdir(process.proc("task")))
        result = self.ring[0].migrate(tid, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn(f"is a thread of process {process.pid}", result.stderr)

    def test_zombie(self):
        process = self.start("zombie", "pid = os.fork()\nif pid == 0: os._exit(0)\nopen('DIR/child', 'w').write(str(pid))")
        pid = int(read_text(f"{self.ring.path('zombie.dir')}/child"))
        until(lambda: ") Z" in read_text(self.ring[0].proc(pid, "stat")), "the zombie")
        result = self.ring[0].migrate(pid, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("has ended", result.stderr)
        self.assertTrue(process.alive())

    def test_no_failure_breaks_a_lease(self):
        folder = self.ring.path("leased.dir")
        process = self.start("leased", "told = []\nsignal.signal(signal.SIGIO, lambda *_: open('DIR/told', 'w').close())\n"
                             "f = open('DIR/file', 'w'); fcntl.fcntl(f, 1024, fcntl.F_WRLCK)")
        fd = next(fd for fd in os.listdir(process.proc("fd")) if os.readlink(process.proc(f"fd/{fd}")) == f"{folder}/file")
        for exit, *options in ((0, "--check-only"), (1, "--hook", '[ "$CRX_STAGE" != frozen ]'), (1, "--hook", '[ "$CRX_STAGE" != prepared ]')):
            with self.subTest(options=options):
                result = self.ring[0].migrate(process, self.ring[1], "--file-locks", *options)
                self.assertEqual(result.exit, exit, f"{result}")
                self.assertRegex(read_text(process.proc(f"fdinfo/{fd}")), "LEASE +ACTIVE +WRITE", f"{result}")
                self.assertFalse(os.path.exists(f"{folder}/told"), f"{result}")

    def test_program_of_32_bits(self):
        folder = self.ring.path("small.dir")
        os.mkdir(folder)
        with open(f"{folder}/small.s", "w") as source:
            source.write(SMALL)
        made = [["as", "--32", f"{folder}/small.s", "-o", f"{folder}/small.o"],
                ["ld", "-m", "elf_i386", f"{folder}/small.o", "-o", f"{folder}/small"]]
        if any(subprocess.run(command, capture_output=True).returncode for command in made):
            self.skipTest("there is no assembler for 32 bits")
        try:
            process = self.ring[0].spawn([f"{folder}/small"], stdout=f"{folder}/log")
        except OSError:
            self.skipTest("this kernel runs no programs of 32 bits")
        self.addCleanup(self.end, process)
        until(lambda: read_text(f"{folder}/log", "") or not process.alive(), "it is ready")
        if not process.alive():
            self.skipTest("this kernel runs no programs of 32 bits")
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 3, f"{result}")
        self.assertIn("is a 32-bit program; crx moves 64-bit programs", result.stderr)
        self.assertTrue(process.alive())

    def test_kernel_thread(self):
        if read_text("/proc/2/comm", "").strip() != "kthreadd":
            self.skipTest("kernel threads cannot be seen from here")
        result = subprocess.run([f"{hosts.BIN}/crx-dump", "-t", "2", "-D", self.ring.path("kernel"), "--check-only"],
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("is a kernel thread; choose a process", result.stderr)

    def test_words_are_documented(self):
        """The refusals of these programs are in docs/supported.md, except for their names and numbers."""
        page = read_text(f"{ROOT}/docs/supported.md")
        missing = [f"{name}: {word}" for table in (PREFLIGHT, IN_STOP) for name, (_, words) in table.items() for word in words
                   if word not in page and not any(c.isdigit() for c in word) and name not in ("namespace",)]
        self.assertEqual(missing, [])


def add_tests():
    for table, exit_code in ((PREFLIGHT, 3), (IN_STOP, 1)):
        for name, (program, words) in table.items():
            def test(self, name=name, program=program, words=words, exit_code=exit_code):
                self.refuse(name, program, words, exit_code)
            setattr(RefusedKinds, f"test_{name}", test)


add_tests()
if __name__ == "__main__":
    crxtest.main()
