"""One test host: its namespaces, its processes, its agent, and crx-migrate started there. See crxtest.py."""
import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(os.path.dirname(HERE), "programs")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILD = os.environ.get("CRX_BUILD", os.path.join(ROOT, "build", "dev"))
BIN = os.path.join(BUILD, "bin")
VICTIMS = os.path.join(BIN, "victims")
FULL = os.environ.get("CRX_FULL") == "1"
MOVES = 10 if FULL else 2
CGROUP2 = next((p for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                if os.path.exists(f"{p}/cgroup.procs") and os.path.exists(f"{p}/cgroup.controllers")), None)


class Timeout(AssertionError):
    pass


def until(condition, what, timeout=30.0):
    """Calls `condition` until it returns a true value; returns that. Fails with `what` at the deadline."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"not within {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def read_text(path, default=None):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError as error:
        # ENODEV: the control group was removed while its file was open.
        if default is None or error.errno not in (errno.ENOENT, errno.ESRCH, errno.ENOTDIR, errno.ENODEV):
            raise
        return default


def lines_of(path):
    return read_text(path, "").splitlines()


@contextlib.contextmanager
def machine_setting(path, change):
    """Sets a sysctl of the whole machine to `change(the number that it has)` while the block runs; for one test at a
    time, since all hosts share it."""
    with open(f"{tempfile.gettempdir()}/crx-{os.path.basename(path)}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = int(read_text(path))
        with open(path, "w") as file:
            file.write(str(change(before)))
        try:
            yield
        finally:
            with open(path, "w") as file:
                file.write(str(before))


def huge_pages(count, exactly=False):
    """Reserves this number of huge pages of 2 MiB (at least, or exactly) while the block runs."""
    return machine_setting("/proc/sys/vm/nr_hugepages", lambda before: count if exactly else max(before, count))


def without(*capabilities):
    """Returns a command that runs the program in its arguments without these capabilities: "net_admin" for CAP_NET_ADMIN."""
    return ["setpriv", "--bounding-set", ",".join(f"-{name}" for name in capabilities), "--inh-caps=-all"]


class Process:
    """A process on a host: `pid` is its number there."""

    def __init__(self, host, pid, pidfd, log=None):
        self.host, self.pid, self.pidfd, self.log = host, pid, pidfd, log

    def __del__(self):
        try:
            os.close(self.pidfd)
        except OSError:
            pass

    def alive(self):
        return not select.select([self.pidfd], [], [], 0)[0]

    def proc(self, name=""):
        return self.host.proc(self.pid, name)

    def state(self):
        text = read_text(self.proc("stat"), "")
        return text.rpartition(")")[2].split()[0] if text else None

    def enter_cgroup(self, path):
        """Moves the process into the group, a directory as the test sees it."""
        outer = next(line for line in lines_of(f"/proc/self/fdinfo/{self.pidfd}") if line.startswith("Pid:")).split()[1]
        with open(f"{path}/cgroup.procs", "w") as procs:
            procs.write(outer)

    def send_signal(self, number):
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait_end(self, timeout=60.0):
        if not select.select([self.pidfd], [], [], timeout)[0]:
            raise Timeout(f"process {self.pid} on {self.host.name} still runs after {timeout:g} s "
                          f"(state {self.state()}, wchan {read_text(self.proc('wchan'), '?')})")

    def wait(self, timeout=60.0):
        """Returns its exit code in the form of a shell; only for processes that the host's init has started."""
        self.wait_end(timeout)
        status = self.host.request({"op": "status", "pid": self.pid})[0]["status"]
        if status is None:
            raise AssertionError(f"process {self.pid} is not a child of {self.host.name}'s init")
        return os.waitstatus_to_exitcode(status)


class MigrateResult:
    def __init__(self, exit_code, stdout, stderr, log):
        self.exit, self.stdout, self.stderr, self.log = exit_code, stdout, stderr, log
        self.events = []
        for line in stdout.splitlines():
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.events.append({"event": "unparsable", "line": line})
        self.process = None

    @property
    def last(self):
        return self.events[-1] if self.events else {}

    @property
    def downtime_s(self):
        """Returns how long the process was stopped, as the source reports it (frozen_us covers it)."""
        return max(self.last.get("downtime_us", 0), self.last.get("frozen_us", 0)) / 1e6

    def __str__(self):
        return f"exit {self.exit}\n{self.stdout}{self.stderr}"


class Host:
    def __init__(self, ring, index, monotonic=0, boottime=0, network=True):
        self.ring, self.index, self.name = ring, index, f"h{index + 1}"
        self.address = f"10.77.0.{index + 1}"
        self.dir = os.path.join(ring.dir, self.name)
        self.tls = os.path.join(ring.dir, "tls", self.name)
        self.agent = None
        self.agent_port = None
        self.agent_log = os.path.join(self.dir, "agent.log")
        self.lock = threading.Lock()
        self.counter = 0
        for name in ("state", "tmp"):
            os.makedirs(os.path.join(self.dir, name))
        self.cgroup = ""
        if CGROUP2:
            self.cgroup = f"{CGROUP2}/{os.path.basename(ring.dir)}-{self.name}"
            os.mkdir(self.cgroup)
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.set_inheritable(True)
        self.outer = subprocess.Popen(
            ["/usr/bin/python3", "-I", os.path.join(HERE, "hostinit.py"), str(theirs.fileno()), self.cgroup,
             str(monotonic), str(boottime), str(1000 + 9000 * min(index, 3)), self.name],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        greetings = {**self.receive()[0], **self.receive()[0]}  # one from each side of the fork, in any order
        self.init = greetings["init"]

    # -- the control socket

    def receive(self):
        if not select.select([self.sock], [], [], 30)[0]:
            raise Timeout(f"{self.name}: its init does not answer")
        message, fds, _, _ = socket.recv_fds(self.sock, 1 << 20, 32, socket.MSG_CMSG_CLOEXEC)
        if not message:
            raise AssertionError(f"{self.name}: its init has gone")
        return json.loads(message), fds

    def request(self, message, fds=()):
        with self.lock:
            socket.send_fds(self.sock, [json.dumps(message).encode()], list(fds))
            reply, received = self.receive()
        if reply.get("error"):
            for fd in received:
                os.close(fd)
            raise OSError(reply.get("errno") or 0, reply["error"])
        return reply, received

    # -- processes

    def spawn(self, argv, stdin=None, stdout=None, stderr=None, env=None, cwd=None, fds=None, setsid=True):
        """Starts argv here. stdin/stdout/stderr: a path, a descriptor, or None (/dev/null; stderr: same as stdout).
        fds: {number in the child: descriptor here}."""
        opened = []

        def descriptor(what, flags, default):
            if isinstance(what, int):
                return what
            fd = os.open(what if what is not None else default, flags, 0o644)
            opened.append(fd)
            return fd

        out_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            passed = {0: descriptor(stdin, os.O_RDONLY, "/dev/null"), 1: descriptor(stdout, out_flags, "/dev/null")}
            passed[2] = passed[1] if stderr is None else descriptor(stderr, out_flags, "/dev/null")
            passed.update(fds or {})
            environment = {"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8"}
            environment.update(env or {})
            reply, received = self.request(
                {"op": "spawn", "argv": [str(a) for a in argv], "env": environment, "cwd": cwd, "setsid": setsid,
                 "targets": list(passed)}, list(passed.values()))
            return Process(self, reply["pid"], received[0], stdout if isinstance(stdout, str) else None)
        finally:
            for fd in opened:
                os.close(fd)

    def new_file(self, suffix):
        with self.lock:
            self.counter += 1
            return os.path.join(self.dir, "tmp", f"{self.counter}{suffix}")

    def run(self, argv, timeout=60.0, check=True, **options):
        """Runs argv here to its end; returns (exit code, output)."""
        output = self.new_file(".out")
        process = self.spawn(argv, stdout=output, **options)
        code = process.wait(timeout)
        text = read_text(output)
        if check and code != 0:
            raise AssertionError(f"{self.name}: {' '.join(map(str, argv))}: exit {code}: {text}")
        return code, text

    def find(self, pid):
        """Returns the process `pid` of this host, whether started or moved here; None if there is none."""
        try:
            return Process(self, pid, self.request({"op": "pidfd", "pid": pid})[1][0])
        except OSError:
            return None

    def proc(self, pid, name=""):
        return f"/proc/{self.init}/root/proc/{pid}/{name}"

    def pids(self):
        return sorted(int(n) for n in os.listdir(f"/proc/{self.init}/root/proc") if n.isdigit())

    def children(self, pid):
        """Returns all descendants of pid here."""
        parents = {}
        for each in self.pids():
            text = read_text(self.proc(each, "stat"), "")
            if text:
                parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(each)
        found, todo = [], [pid]
        while todo:
            mine = parents.get(todo.pop(), [])
            found += mine
            todo += mine
        return found

    def set_next_pid(self, pid):
        self.request({"op": "last_pid", "pid": pid - 1})

    def bind(self, source, target):
        """Bind-mounts file `source` at path `target`, on this host only."""
        self.run(["mount", "--bind", source, target])

    def unbind(self, target):
        self.run(["umount", target])

    # -- the agent

    def start_agent(self, *options, tls=None, prefix=(), env=None):
        """Starts an agent, at the port that it had before; `prefix` is a command that runs it, such as
        `without("net_admin")`."""
        read_end, write_end = os.pipe()
        try:
            self.agent = self.spawn(
                [*prefix, f"{BIN}/crx-agent", "--listen", f"{self.address}:{self.agent_port or 0}", "--tls-dir",
                 tls or self.tls, "--store", f"{self.dir}/state", "--state", f"{self.dir}/state", "--ready-fd", "9", "--log-level", "debug", *options],
                stdout=self.agent_log, fds={9: write_end}, env=env)
        finally:
            os.close(write_end)
        with os.fdopen(read_end) as ready:
            if not select.select([ready], [], [], 20)[0]:
                raise Timeout(f"{self.name}: crx-agent is not ready\n{self.agent_tail()}")
            line = ready.readline().split()
        if len(line) != 2 or line[0] != "ready":
            raise AssertionError(f"{self.name}: crx-agent said {line} instead of `ready PORT`\n{self.agent_tail()}")
        self.agent_port = int(line[1])
        return self.agent

    def agent_tail(self, count=60):
        return "".join(f"    {self.name}| {line}\n" for line in lines_of(self.agent_log)[-count:])

    def kill_agent(self):
        """Kills the agent and the processes that it made for itself by SIGKILL (but none that were moved here)."""
        if self.agent is None:
            return
        own = [p for p in self.children(self.agent.pid)
               if os.path.basename(readlink_or_none(self.proc(p, "exe")) or "") == "crx-agent"
               and "TracerPid:\t0\n" in read_text(self.proc(p, "status"), "")]
        self.agent.kill()
        for pid in own:
            process = self.find(pid)
            if process:
                process.kill()
                process.wait_end(10)
        self.agent.wait_end(10)
        self.agent = None

    def restart_agent(self, *options, **named):
        self.kill_agent()
        return self.start_agent(*options, **named)

    # -- moving

    def start_migrate(self, process, to, *options, verify=True, tls=None, port=None, env=None, prefix=()):
        """Starts crx-migrate here; returns the pending move, to be completed with finish_migrate. `prefix`: as for the agent."""
        pid = process.pid if isinstance(process, Process) else process
        out, err = self.new_file(".json"), self.new_file(".err")
        tool = self.spawn(
            [*prefix, f"{BIN}/crx-migrate", "--to", f"{to.address}:{port or to.agent_port}", "--tls-dir", tls or self.tls,
             "--state", f"{self.dir}/state", "--json", "--log-level", "debug", *(["--verify"] if verify else []),
             *options, str(pid)], stdout=out, stderr=err, env=env)
        tool.output, tool.errors, tool.moved_pid, tool.target = out, err, pid, to
        return tool

    def finish_migrate(self, tool, timeout=120.0):
        code = tool.wait(timeout)
        result = MigrateResult(code, read_text(tool.output), read_text(tool.errors), tool.errors)
        if code == 0:
            result.process = tool.target.find(tool.moved_pid)
        return result

    def migrate(self, process, to, *options, timeout=120.0, **named):
        return self.finish_migrate(self.start_migrate(process, to, *options, **named), timeout)

    def close(self):
        self.sock.close()
        try:
            self.outer.wait(20)
        except subprocess.TimeoutExpired:
            thaw_all(self.cgroup)
            self.outer.kill()
            self.outer.wait(20)
        remove_cgroups(self.cgroup)


def readlink_or_none(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def thaw_all(top):
    for folder, _, files in os.walk(top):
        for name, value in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
            if name in files:
                try:
                    with open(os.path.join(folder, name), "w") as file:
                        file.write(value)
                except OSError:
                    pass


def remove_cgroups(top):
    if not top or not os.path.isdir(top):
        return

    def gone():
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                return False
        return True

    until(gone, f"empty cgroups below {top}", 20)
