"""Test hosts on one machine: namespaces joined by a bridge, each with an agent, and helpers that move processes
between them.

    ring = Ring(3); ring.start_agents()
    p = ring[0].spawn(["prog"], stdout=path)
    result = ring[0].migrate(p, ring[1])      # crx-migrate --verify; result: exit code, JSON events and stderr
    p = result.process                        # the same PID, now on ring[1]
    ring.close()

A host has its own network, PID, mount, UTS, IPC, cgroup and time namespace, its own range of PIDs (a moved process
keeps its PID), its own terminals (/dev/pts), certificate, and directories for the agent's state. All hosts share the
root file system and version 1 of /sys/fs/cgroup. Everything ends with `close()`, or with the test process.
"""
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from hosts import (BIN, CGROUP2, FULL, MOVES, PROGRAMS, ROOT, VICTIMS, Host, MigrateResult, Process, Timeout, lines_of,
                   read_text, readlink_or_none, remove_cgroups, thaw_all, until)

__all__ = ["BIN", "CGROUP2", "FULL", "MOVES", "PROGRAMS", "ROOT", "VICTIMS", "Host", "MigrateResult", "Process", "Ring",
           "RingTest", "Stages", "Timeout", "lines_of", "main", "read_text", "readlink_or_none", "remove_cgroups",
           "state_of", "sweep", "thaw_all", "time", "until"]


def sweep():
    """Removes the remains of tests that were killed."""
    for folder in ([CGROUP2] if CGROUP2 else []) + [tempfile.gettempdir()]:
        for name in os.listdir(folder):
            owner = name.split("-")[1] if name.startswith("crxtest-") and name.count("-") > 1 else ""
            if not owner.isdigit() or os.path.exists(f"/proc/{owner}"):
                continue
            if folder == CGROUP2:
                thaw_all(f"{folder}/{name}")
                remove_cgroups(f"{folder}/{name}")
            elif os.environ.get("CRX_KEEP") != "1":
                shutil.rmtree(f"{folder}/{name}", ignore_errors=True)


class Ring:
    """`count` hosts on one bridge; two hosts may be connected by a cable instead. The second host has another
    uptime."""

    OFFSETS = ((0, 0), (500_000, 700_000), (1_000, 2_000))

    def __init__(self, count, cable=False):
        sweep()
        self.dir = tempfile.mkdtemp(prefix=f"crxtest-{os.getpid()}-")
        os.chmod(self.dir, 0o755)
        self.hosts = []
        self.switch = None
        try:
            for index in range(count):
                monotonic, boottime = self.OFFSETS[index]
                self.hosts.append(Host(self, index, monotonic, boottime))
            if cable:
                self.connect_pair()
            else:
                self.switch = Host(self, 8)
                self.connect()
            self.issue_certificates()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, index):
        return self.hosts[index % len(self.hosts)]

    def __len__(self):
        return len(self.hosts)

    def connect(self):
        namespace = ["nsenter", f"--net=/proc/{self.switch.init}/ns/net"]
        inside = [*namespace, "ip", "-batch", "-"]
        script = "link add name br0 type bridge\nlink set br0 up\n"
        for host in self.hosts:
            script += (f"link add name {host.name} type veth peer name eth0 netns {host.init}\n"
                       f"link set {host.name} master br0 up\n")
        subprocess.run(inside, input=script, text=True, check=True)
        # A bridge must pass packets without looking into them.
        filtering = "/proc/sys/net/bridge/bridge-nf-call-iptables"
        subprocess.run([*namespace, "sh", "-c", f"test ! -e {filtering} || echo 0 >{filtering}"], check=True)
        self.start_network()

    def connect_pair(self):
        one, other = self.hosts
        subprocess.run(["nsenter", f"--net=/proc/{one.init}/ns/net", "ip", "link", "add", "name", "eth0", "type", "veth",
                        "peer", "name", "eth0", "netns", str(other.init)], check=True)
        self.start_network()

    def start_network(self):
        for host in self.hosts:
            subprocess.run(
                ["nsenter", f"--net=/proc/{host.init}/ns/net", "ip", "-batch", "-"], text=True, check=True,
                input=f"link set lo up\naddr add {host.address}/24 dev eth0\nlink set eth0 up\n")

    def issue_certificates(self):
        keys = os.path.join(ROOT, "deploy", "crx-keys")
        subprocess.run([keys, os.path.join(self.dir, "tls"), *(h.address for h in self.hosts)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for host in self.hosts:
            os.rename(os.path.join(self.dir, "tls", host.address), host.tls)

    def start_agents(self, *options):
        for host in self.hosts:
            host.start_agent(*options)

    def logs(self):
        return "".join(host.agent_tail() for host in self.hosts)

    def path(self, name):
        return os.path.join(self.dir, name)

    def compile(self, name, *options, output=None):
        """Builds programs/NAME.c; returns the path of the program (or `output`)."""
        target = self.path(output or name)
        subprocess.run(["cc", "-std=gnu17", "-O2", "-pthread", *options, "-o", target,
                        os.path.join(PROGRAMS, f"{name}.c")], check=True)
        return target

    def close(self):
        for host in self.hosts + ([self.switch] if self.switch else []):
            host.close()
        if os.environ.get("CRX_KEEP") != "1":
            shutil.rmtree(self.dir, ignore_errors=True)


class Stages:
    """A hook that pauses at chosen stages until it is released, so that a test can act in between.

        stages = Stages(ring, "source.frozen"); host.start_migrate(..., "--hook", stages.command)
        stages.wait("source.frozen"); ...; stages.go_on("source.frozen")
    """

    def __init__(self, ring, *stops):
        self.dir = tempfile.mkdtemp(prefix="hook-", dir=ring.dir)
        for stop in stops:
            open(f"{self.dir}/stop.{stop}", "w").close()
        self.command = (f'at={self.dir}; me=$CRX_ROLE.$CRX_STAGE; echo "$CRX_SESSION" > $at/at.$me; '
                        'while [ -e $at/stop.$me ]; do sleep 0.01; done')

    def reached(self, stage):
        return os.path.exists(f"{self.dir}/at.{stage}")

    def wait(self, stage, otherwise=lambda: False):
        """Waits until the stage is reached (returns true) or `otherwise` holds (returns false)."""
        until(lambda: self.reached(stage) or otherwise(), f"stage {stage}", 30)
        return self.reached(stage)

    def go_on(self, stage):
        try:
            os.unlink(f"{self.dir}/stop.{stage}")
        except FileNotFoundError:
            pass

    def all(self):
        return sorted(name[3:] for name in os.listdir(self.dir) if name.startswith("at."))


# SIGSETXID of the C library (33). It keeps programs from blocking it, and blocks it itself, with all other signals, for the
# moment in which it makes a thread; the new thread begins so, too.
LIBRARY_SIGNAL = 1 << 32


def statuses_of(process):
    """{thread: its status}, read at a moment at which the C library is not making a thread."""
    found = {}

    def read():
        found.clear()
        for task in sorted(os.listdir(process.proc("task")), key=int):
            found[task] = read_text(process.proc(f"task/{task}/status"), "")
        masks = re.findall(r"^SigBlk:\t(\w+)$", "\n".join(found.values()), re.M)
        return not any(int(mask, 16) & LIBRARY_SIGNAL for mask in masks)

    until(read, "the C library has made its threads", 1.0)
    return found


def state_of(process):
    """Returns, as lines, all properties of a process that are visible from outside and that a failed move must not
    change."""
    lines = []
    for line in read_text(process.proc("smaps"), "").splitlines():
        if line.startswith("VmFlags:") or (line[:1] in "0123456789abcdef" and "-" in line.split()[0]):
            lines.append(line)
    ignored = ("Vm", "Rss", "voluntary", "nonvoluntary", "State", "HugetlbPages", "SigQ")
    for task, status in statuses_of(process).items():
        for line in status.splitlines():
            if not line.startswith(ignored):
                lines.append(f"thread {task}: {line}")
    for fd in sorted(os.listdir(process.proc("fd")), key=int):
        info = read_text(process.proc(f"fdinfo/{fd}"), "").replace("\n", " ")
        info = re.sub(r"it_value: \([^)]*\)", "", info)
        if re.search(r"flags:\t\d*2\d{3}\b", info):  # O_APPEND: the program is writing
            info = re.sub(r"pos:\t\d+", "", info)
        lines.append(f"fd {fd}: {readlink_or_none(process.proc(f'fd/{fd}'))} {info}")
    for name in ("cgroup", "limits", "timers", "oom_score_adj", "coredump_filter"):
        lines += [f"{name}: {line}" for line in read_text(process.proc(name), "").splitlines()]
    return lines


class RingTest(unittest.TestCase):
    """A test case with a ring of three hosts, and their agents, as `self.ring`."""

    HOSTS = 3
    AGENTS = True
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.ring = Ring(cls.HOSTS)
        cls.addClassCleanup(cls.ring.close)
        if cls.AGENTS:
            cls.ring.start_agents()

    def shortDescription(self):
        return None

    def move(self, process, to, *options, **named):
        """Moves a process, which must arrive; returns the process at the destination, and the result of crx-migrate."""
        source = process.host
        result = source.migrate(process, to, *options, **named)
        self.assertEqual(result.exit, 0, f"moving {process.pid} from {source.name} to {to.name}: {result}\n"
                                         f"{to.agent_tail()}")
        process.wait_end(10)
        self.assertIsNotNone(result.process, f"{process.pid} is not at {to.name} after the move: {result}\n"
                                             f"{to.agent_tail()}")
        return result.process, result


class AtOnce(unittest.TextTestResult):
    """Prints the reason of a failed test at once, and not at the end of hundreds of lines."""

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.stream.writeln(self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.stream.writeln(self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.stream.writeln((self.failures if issubclass(err[0], test.failureException) else self.errors)[-1][1])

    def printErrors(self):
        pass


def main():
    unittest.main(testRunner=unittest.TextTestRunner(verbosity=2, resultclass=AtOnce))
