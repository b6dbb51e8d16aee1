"""The first process of a test host: it makes the namespaces, becomes PID 1, and starts and reaps processes on
request.

Started as `hostinit.py FD CGROUP MONOTONIC BOOTTIME PIDBASE NAME`. FD is a SOCK_SEQPACKET socket to the test; every
request is one JSON object (with descriptors where it needs some), every answer another. When the test ends the
socket is closed, this process exits, and the kernel kills all that still runs in the namespace.
"""
import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys
import traceback

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWTIME = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000, 0x00000080)
MNT_DETACH = 2
MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x4000, 0x40000, 2, 4, 8
WALL = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def make_namespaces(cgroup, monotonic, boottime):
    if cgroup:
        with open(f"{cgroup}/cgroup.procs", "w") as procs:
            procs.write("0")
    checked(libc.unshare(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME),
            "unshare")
    with open("/proc/self/timens_offsets", "w") as offsets:
        offsets.write(f"monotonic {monotonic} 0\nboottime {boottime} 0\n")
    checked(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate /")
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as groups:
        groups.write("0 65535\n")
    if cgroup:  # the root of the cgroup hierarchy that it sees is its own group
        unified = os.path.dirname(cgroup).encode()
        checked(libc.umount2(unified, MNT_DETACH), "umount cgroup2")
        checked(libc.mount(b"cgroup2", unified, b"cgroup2", 0, None), "mount cgroup2")
    if os.path.exists("/run/systemd/system"):  # the hosts are not this machine's systemd's
        checked(libc.mount(b"tmpfs", b"/run/systemd", b"tmpfs", 0, None), "mount /run/systemd")
    checked(libc.mount(b"devpts", b"/dev/pts", b"devpts", MS_NOSUID | MS_NOEXEC, b"newinstance,ptmxmode=0666,mode=0620"),
            "mount /dev/pts")


class Init:
    def __init__(self, sock):
        self.sock = sock
        self.statuses = {}

    def spawn(self, request, fds):
        error_read, error_write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self.child(request, fds, error_write)
        os.close(error_write)
        pidfd = os.pidfd_open(pid)
        failure = os.read(error_read, 4096).decode()
        os.close(error_read)
        return {"pid": pid, "error": failure or None}, [pidfd]

    def child(self, request, fds, error_write):
        try:
            if request.get("setsid", True):
                os.setsid()
            signal.set_wakeup_fd(-1)
            for number in range(1, signal.NSIG):
                if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            error_write = fcntl.fcntl(error_write, fcntl.F_DUPFD_CLOEXEC, 200)
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200) for fd in fds]
            for fd, target in zip(high, request["targets"]):
                os.dup2(fd, target, inheritable=True)
            if request.get("cwd"):
                os.chdir(request["cwd"])
            os.umask(request.get("umask", 0o022))
            os.execvpe(request["argv"][0], request["argv"], request["env"])
        except BaseException as error:  # reported to the test, which raises it
            os.write(error_write, f"{request['argv'][0]}: {error}".encode())
        os._exit(127)

    def reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | WALL)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.statuses[pid] = status

    def handle(self, request, fds):
        op = request["op"]
        if op == "spawn":
            return self.spawn(request, fds)
        if op == "kill":
            os.kill(request["pid"], request["signal"])
            return {}, []
        if op == "status":
            self.reap()
            return {"status": self.statuses.get(request["pid"])}, []
        if op == "pidfd":
            return {}, [os.pidfd_open(request["pid"])]
        if op == "last_pid":
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write(str(request["pid"]))
            return {}, []
        raise ValueError(f"unknown request {op}")

    def serve(self):
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write)
        while True:
            ready, _, _ = select.select([self.sock, wake_read], [], [])
            if wake_read in ready:
                os.read(wake_read, 4096)
                self.reap()
            if self.sock not in ready:
                continue
            message, fds, _, _ = socket.recv_fds(self.sock, 1 << 20, 32, socket.MSG_CMSG_CLOEXEC)
            if not message:
                return
            reply_fds = []
            try:
                reply, reply_fds = self.handle(json.loads(message), fds)
            except OSError as error:
                reply = {"errno": error.errno, "error": str(error)}
            socket.send_fds(self.sock, [json.dumps(reply).encode()], reply_fds)
            for fd in fds + reply_fds:
                os.close(fd)


def main():
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    try:
        make_namespaces(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        pid = os.fork()
        if pid != 0:
            sock.send(json.dumps({"init": pid}).encode())
            sock.close()
            os.waitpid(pid, 0)
            os._exit(0)
        name = sys.argv[6].encode()
        checked(libc.sethostname(name, len(name)), "sethostname")
        checked(libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None), "mount /proc")
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(sys.argv[5])
        sock.send(json.dumps({"ready": True}).encode())
        Init(sock).serve()
    except BaseException as error:
        if not isinstance(error, OSError) or error.errno not in (errno.ECONNRESET, errno.EPIPE):
            traceback.print_exc()
        os._exit(1)
    os._exit(0)


main()
