"""Findings of --check-only: ports in use, missing users, control groups that are too small, files, namespaces."""
import json
import os
import unittest

import crxtest
import hosts
from crxtest import until
from dumptest import DumpTest
from hosts import read_text

PYTHON = "/usr/bin/python3"
SERVER = """
import os, socket, sys, time
if len(sys.argv) > 2:
    os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
tcp = socket.socket(); tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); tcp.bind(("127.0.0.1", int(sys.argv[1]))); tcp.listen()
udp = socket.socket(type=socket.SOCK_DGRAM); udp.bind(("127.0.0.1", int(sys.argv[1]) + 1))
print("ready", flush=True)
while True: time.sleep(0.05)
"""


def serve(host, path, *arguments):
    process = host.spawn([PYTHON, "-c", SERVER, *map(str, arguments)], stdout=path)
    until(lambda: read_text(path, "") or not process.alive(), "the server is ready")
    assert process.alive(), read_text(path)
    return process


class OfASet(DumpTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host.run(["ip", "link", "set", "lo", "up"])

    def dumped(self, *arguments):
        """Returns a set of a server that has ended."""
        process = serve(self.host, f"{self.dir}/out", *arguments)
        self.dump(process, f"{self.dir}/set")
        self.wait_gone(process)
        return process.pid

    def check(self, code, *prefix):
        argv = [*prefix, f"{hosts.BIN}/crx-restore", "-D", f"{self.dir}/set", "--check-only", "--json"]
        result, text = self.host.run(argv, check=False)
        self.assertEqual(result, code, text)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def found(self, findings, *words):
        for finding in findings:
            line = " ".join(str(value) for value in finding.values())
            if all(word in line for word in words):
                self.assertTrue(finding["remedy"])
                return
        self.fail(f"{words} not among {findings}")

    def test_ports(self):
        self.dumped(7171)
        self.check(0)
        other = serve(self.host, f"{self.dir}/other", 7171)
        self.addCleanup(other.kill)
        findings = self.check(3)
        self.found(findings, "TCP port 127.0.0.1:7171", f"in use here by pid {other.pid}")
        self.found(findings, "UDP port 127.0.0.1:7172", f"in use here by pid {other.pid}")
        code, text = self.run_tool("crx-restore", "-D", f"{self.dir}/set", "-d")
        self.assertEqual(code, 1, text)
        self.assertIn("7171", text)

    def test_users(self):
        self.dumped(7181, 4711)
        self.check(0)
        findings = self.check(3, "unshare", "-U", "--map-root-user")
        self.found(findings, "user 4711", "user namespace")
        self.found(findings, "group 4711", "user namespace")

    @unittest.skipUnless(os.path.isdir("/sys/fs/cgroup/pids"), "there is no pids controller of version 1")
    def test_control_groups(self):
        self.dumped(7191)
        group = f"/sys/fs/cgroup/pids/crx-{os.getpid()}"
        os.mkdir(group)
        self.addCleanup(lambda: os.rmdir(group))
        with open(f"{group}/pids.max", "w") as file:
            file.write("1")
        findings = self.check(3, "sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$0" "$@"')
        self.found(findings, group, "allows 0 more tasks, 1 are needed", "pids.max")

    def test_privileges(self):
        self.dumped(7201)
        findings = self.check(3, "setpriv", "--bounding-set", "-sys_ptrace,-sys_admin", "--inh-caps", "-all")
        self.found(findings, "kernel feature cap-sys-admin")


class OfAMove(crxtest.RingTest):
    HOSTS = 2

    def test_ports(self):
        folder = self.ring.path("check")
        os.makedirs(folder, exist_ok=True)
        process = serve(self.ring[0], f"{folder}/out", 7171)
        other = serve(self.ring[1], f"{folder}/other", 7171)
        before = crxtest.state_of(process)
        for options in (["--check-only"], []):
            result = self.ring[0].migrate(process, self.ring[1], *options)
            self.assertEqual(result.exit, 3, f"{result}")
            self.assertIn("TCP port 127.0.0.1:7171", result.stderr)
            self.assertIn("UDP port 127.0.0.1:7172", result.stderr)
            self.assertIn(f"by pid {other.pid}", result.stderr)
            self.assertEqual(crxtest.state_of(process), before)
        other.kill()
        other.wait_end(20)
        result = self.ring[0].migrate(process, self.ring[1], "--check-only")
        self.assertEqual(result.exit, 0, f"{result}")
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, 0, f"{result}")
        result.process.kill()


if __name__ == "__main__":
    crxtest.main()
