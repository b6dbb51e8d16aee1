"""README's first move by hand: its lines, word for word, in interactive shells on two hosts. Step 1, which builds and installs, is
left out (test_install has it): the shells find the tools of this build. The hosts' names and root's ssh are what the text asks
for: /etc/hosts knows the other host, and ssh and scp are programs of the test."""
import fcntl
import json
import os
import pty
import re
import select
import socket
import stat
import struct
import termios
import threading
import time

import crxtest
from crxtest import Timeout, read_text, until
from hosts import BIN, ROOT

PROMPT = "crx-test-prompt> "
SHIM = """#!/usr/bin/python3
import json, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({path!r})
link.sendall(json.dumps([os.path.basename(sys.argv[0]), os.getcwd(), *sys.argv[1:]]).encode())
link.shutdown(socket.SHUT_WR)
code, text = json.loads(b"".join(iter(lambda: link.recv(65536), b"")))
sys.stdout.write(text)
sys.exit(code)
"""


def steps():
    """(number, host, command lines) of the steps."""
    section = read_text(f"{ROOT}/README.md").split("## Your first move by hand")[1].split("\n## ")[0]
    for number, text in re.findall(r"^(\d)\. (.*?)(?=^\d\. |^\S|\Z)", section, re.M | re.S):
        commands = [line.strip() for line in text.splitlines() if line.startswith(" " * 7)]
        yield int(number), re.search(r"`(alpha|beta)`", text.replace("goes on at `beta`", "")), commands


class Shell:
    """An interactive bash at a terminal."""

    def __init__(self, host, directory, path):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))  # lines are not wrapped
        self.seen = ""
        self.process = host.spawn(["setsid", "-c", "bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs, stderr=theirs,
                                  cwd=directory, setsid=False, env={"PATH": path, "PS1": PROMPT, "TERM": "dumb", "HISTFILE": ""})
        os.close(theirs)
        self.wait_for(PROMPT)

    def wait_for(self, text, timeout=60.0):
        """Returns what is shown up to the text."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            if not select.select([self.ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Timeout(f"no {text!r} within {timeout:g} s, but: {self.seen}")
            self.seen += os.read(self.ours, 65536).decode(errors="replace").replace("\r", "")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line):
        os.write(self.ours, line.encode() + b"\n")

    def run(self, line):
        """Types the line; returns what the shell shows until its next prompt, and the status of the line."""
        self.type(line)
        shown = self.wait_for(PROMPT)
        self.type("echo status=$?")
        status = re.search(r"^status=(\d+)$", self.wait_for(PROMPT), re.M)
        return shown, int(status[1])

    def close(self):
        self.process.kill()
        os.close(self.ours)


class Readme(crxtest.RingTest):
    HOSTS = 2
    AGENTS = False

    def setUp(self):
        self.hosts = dict(zip(("alpha", "beta"), self.ring.hosts))
        for name, host in self.hosts.items():
            self.prepare(name, host)
        self.shims = self.ring.path("shims")
        os.makedirs(self.shims)
        self.server = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.server.close)
        self.server.bind(self.ring.path("ssh.sock"))
        self.server.listen()
        for name in ("ssh", "scp"):
            with open(f"{self.shims}/{name}", "w") as file:
                file.write(SHIM.format(path=self.ring.path("ssh.sock")))
            os.chmod(f"{self.shims}/{name}", 0o755)
        threading.Thread(target=self.serve, daemon=True).start()

    def prepare(self, name, host):
        """Gives the host an /etc and a /var of its own."""
        host.run(["hostname", name])
        for folder in ("etc", "var"):
            upper, work = f"{host.dir}/{folder}.upper", f"{host.dir}/{folder}.work"
            os.makedirs(upper)
            os.makedirs(work)
            host.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/{folder},upperdir={upper},workdir={work}", f"/{folder}"])
        known = "".join(f"{other.address} {each}\n" for each, other in self.hosts.items())
        host.run(["sh", "-c", f"printf '127.0.0.1 localhost\n{known}' >/etc/hosts; mkdir -p /var/tmp; chmod 1777 /var/tmp; rm -rf "
                  "/etc/crx /var/lib/crx"])

    def serve(self):
        while True:
            try:
                link, _ = self.server.accept()
            except OSError:
                return
            with link:
                request = b"".join(iter(lambda: link.recv(65536), b""))  # pylint: disable=cell-var-from-loop
                link.sendall(json.dumps(self.remote(*json.loads(request))).encode())

    def remote(self, tool, directory, *words):
        """Runs ssh or scp for a shell: (exit code, output)."""
        if tool == "ssh":
            host = self.hosts[words[0].removeprefix("root@")]
            return host.run(["sh", "-c", " ".join(words[1:])], check=False)
        name, target = words[-1].removeprefix("root@").split(":")
        files = [os.path.join(directory, word) for word in words[:-1]]
        return self.hosts[name].run(["cp", "--", *files, target], check=False)

    def shell(self, name):
        directory = self.ring.path(f"at-{name}")
        os.makedirs(directory, exist_ok=True)
        shell = Shell(self.hosts[name], directory, f"{BIN}:{self.shims}:/usr/sbin:/usr/bin:/sbin:/bin")
        self.addCleanup(shell.close)
        return shell

    def good(self, shell, line):
        shown, status = shell.run(line)
        self.assertEqual(status, 0, f"{line}\n{shown}")
        return shown

    def test_first_move(self):
        found = {number: (host[1] if host else "both", commands) for number, host, commands in steps()}
        self.assertEqual({number: host for number, (host, _) in found.items()}, {1: "both", 2: "alpha", 3: "beta", 4: "alpha", 5: "alpha"})
        alpha, beta = self.shell("alpha"), self.shell("beta")
        for line in found[2][1]:
            self.good(alpha, line)
        for name, host in self.hosts.items():
            mode = host.run(["stat", "-c", "%a", "/etc/crx/tls/key.pem"])[1]
            self.assertEqual(stat.S_IMODE(int(mode, 8)), 0o600, name)
        agent, = found[3][1]
        beta.type(agent)
        beta.wait_for("crx-agent listens on 0.0.0.0:7077")
        start, move = found[4][1]
        self.assertEqual(self.good(alpha, start).splitlines()[1:], [])
        shown = self.good(alpha, move)
        pid = int(re.search(r"^pid (\d+) \(sh\) moved from alpha to beta in .*, memory verified$", shown, re.M)[1])
        self.assertRegex(shown.splitlines()[-1], "^downtime ")
        there = self.hosts["beta"].find(pid)
        self.assertIsNotNone(there)
        look, end = found[5][1]
        lines = self.good(alpha, look).splitlines()
        until(lambda: self.good(alpha, look).splitlines() != lines, "the program goes on")
        self.assertIsNone(self.hosts["alpha"].find(pid))
        self.assertNotIn("Killed", self.good(alpha, end))
        there.wait_end()
        beta.type("\x03")
        beta.wait_for(PROMPT)


if __name__ == "__main__":
    crxtest.main()
