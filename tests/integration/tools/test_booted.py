"""The packages in two Debian hosts that boot, with systemd itself: installed, used, upgraded, purged. With CRX_FULL=1 only: the root
of the hosts is made once, which takes some minutes."""
import json
import os
import re
import shutil
import tempfile
import unittest

import booted
from booted import run
from hosts import BUILD, FULL, ROOT, read_text, until
from test_packages import build_packages

PROGRAM = "/usr/bin/python3 /root/count.py"
COUNT = "import sys, time\nn = 0\nwhile True:\n    n += 1\n    print(n, flush=True)\n    time.sleep(0.05)\n"
UNIT = f"[Service]\nExecStart={PROGRAM}\nRestart=always\nStandardOutput=append:/srv/%p.out\n"


@unittest.skipUnless(FULL, "boots two hosts: CRX_FULL=1")
class Booted(unittest.TestCase):
    """Each test begins with the packages installed on both hosts, keys in place, and both agents active."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="crx-booted-")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.packages = build_packages(f"{cls.dir}/packages")
        booted.make_base([cls.packages["crx"], cls.packages["crx-agent"]])

    def setUp(self):
        cable = f"crx{os.getpid()}"
        run("ip", "link", "add", f"{cable}a", "type", "veth", "peer", "name", f"{cable}b")
        self.shared = tempfile.mkdtemp(prefix="shared-", dir=self.dir)
        names = {"alpha": "10.77.9.1", "beta": "10.77.9.2"}
        self.hosts = []
        for name, address in names.items():
            host = booted.BootedHost(name, address, f"{cable}{name[0]}", names, self.shared)
            self.addCleanup(host.stop)
            self.hosts.append(host)
            host.write("/root/count.py", COUNT)
        self.alpha, self.beta = self.hosts
        self.install()
        self.keys()
        for number, host in enumerate(self.hosts, 2):
            host.sh("systemctl start crx-agent || { journalctl -u crx-agent; false; }")
            # Numbers that are free at the other host.
            host.sh(f"echo {number}0000 >/proc/sys/kernel/ns_last_pid")

    def install(self):
        """By README's line."""
        line, = re.findall(r"^ +(apt install \./.*)$", read_text(f"{ROOT}/README.md"), re.M)
        for host in self.hosts:
            host.sh("mkdir -p /opt/build/packages")
            for path in self.packages.values():
                host.put(path, "/opt/build/packages/")
            host.sh(f"cd /opt && {line} -y")
            self.assertEqual(self.show(host, "ActiveState"), "inactive")  # there are no keys yet
            self.assertEqual(host.sh("systemctl is-enabled crx-agent").strip(), "enabled")

    def keys(self, *options):
        run(f"{BUILD}/bin/crx-keys", *options, f"{self.dir}/keys", "alpha", "beta")
        self.addCleanup(shutil.rmtree, f"{self.dir}/keys", ignore_errors=True)
        for host in self.hosts:
            for name in ("ca", "cert", "key"):
                host.put(f"{self.dir}/keys/{host.name}/{name}.pem", "/etc/crx/tls/")

    def show(self, host, name, unit="crx-agent"):
        return host.sh(f"systemctl show -P {name} {unit}").strip()

    def lines(self, name):
        with open(f"{self.shared}/{name}.out") as file:
            return [int(line) for line in file.read().splitlines()]

    def runs_on(self, name):
        """The program writes on, and has lost nothing."""
        before = len(self.lines(name))
        until(lambda: len(self.lines(name)) > before + 1, f"{name} runs on", timeout=20)
        self.assertEqual(self.lines(name), list(range(1, len(self.lines(name)) + 1)))

    def start(self, host, name, restart="no"):
        """Starts the program as a unit, and returns its PID."""
        host.write(f"/etc/systemd/system/{name}.service", UNIT.replace("always", restart))
        host.sh(f"systemctl daemon-reload; systemctl start {name}")
        until(lambda: os.path.exists(f"{self.shared}/{name}.out") and self.lines(name), f"{name} has started")
        return int(self.show(host, "MainPID", name))

    def migrate(self, source, to, pid, *options):
        """Returns (exit code, last event, all that crx-migrate printed)."""
        text = source.sh(f"crx-migrate --json --to {to.name} --verify {' '.join(options)} {pid} 2>&1; echo exit $?")
        events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return int(text.split()[-1]), events[-1] if events else {}, text

    def move(self, source, to, pid, *options):
        code, done, text = self.migrate(source, to, pid, *options)
        self.assertEqual(code, 0, text + to.sh("journalctl -u crx-agent | tail -n 40"))
        return done

    def scope_of(self, host, pid):
        return re.findall(r"/(crx-[0-9a-f]+\.scope)$", host.sh(f"cat /proc/{pid}/cgroup"), re.M)

    def newer_agent(self):
        """crx-agent as it is, with a higher version."""
        folder, path = f"{self.dir}/newer", f"{self.dir}/crx-agent_99.deb"
        if not os.path.exists(path):
            run("dpkg-deb", "-R", self.packages["crx-agent"], folder)
            with open(f"{folder}/DEBIAN/control") as file:
                text = file.read()
            with open(f"{folder}/DEBIAN/control", "w") as file:
                file.write(re.sub(r"(?m)^Version: .*$", "Version: 99", text))
            run("dpkg-deb", "-b", folder, path)
        return path

    def test_trees_outlive_the_service(self):
        alpha, beta = self.alpha, self.beta
        self.assertEqual(self.show(beta, "StatusText"), "listens on port 7077; open sessions: 0")
        pids = [self.start(alpha, name) for name in ("count", "apart")]
        session = self.move(alpha, beta, pids[0])["session"]
        scope = f"crx-{session[:16]}.scope"
        self.assertEqual(set(self.scope_of(beta, pids[0])), {scope})
        self.assertEqual(self.show(beta, "Delegate", scope), "yes")
        self.assertIn("from alpha", self.show(beta, "Description", scope))
        self.assertIn(f"CRX_SESSION={session}", beta.sh(f"journalctl -o export CRX_SESSION={session}"))
        self.assertIn("PRIORITY=6", beta.sh(f"journalctl -o export CRX_SESSION={session}"))
        self.move(alpha, beta, pids[1], "--new-pids")
        for name in ("count", "apart"):
            self.runs_on(name)
        self.assertNotIn("count.py", beta.sh("systemctl status crx-agent"))

        beta.put(self.newer_agent(), "/opt/newer.deb")
        for action in ("systemctl restart crx-agent", "systemctl stop crx-agent && systemctl start crx-agent",
                       "kill -KILL $(systemctl show -P MainPID crx-agent)", "dpkg -i /opt/newer.deb", "apt-get -y remove crx-agent"):
            before = self.show(beta, "MainPID")
            beta.sh(action)
            until(lambda: self.show(beta, "MainPID") != before, f"{action} has ended process {before}")
            if "remove" not in action:
                until(lambda: self.show(beta, "ActiveState") == "active", action)
            for name in ("count", "apart"):
                self.runs_on(name)
        self.assertEqual(set(self.scope_of(beta, pids[0])), {scope})
        beta.sh(f"systemctl stop {scope}")
        self.assertEqual(beta.sh(f"test -e /proc/{pids[0]} || echo gone").strip(), "gone")

    def test_there_and_back_with_new_keys_and_rules(self):
        alpha, beta = self.alpha, self.beta
        pid = self.start(alpha, "count")
        self.move(alpha, beta, pid)
        main = self.show(alpha, "MainPID")
        shutil.rmtree(f"{self.dir}/keys")
        self.keys()
        for host in self.hosts:
            host.sh("systemctl reload crx-agent")
            until(lambda: "keys that are in /etc/crx/tls now" in host.sh("journalctl -u crx-agent"), "the new keys hold")  # pylint: disable=cell-var-from-loop
        self.move(beta, alpha, pid)
        self.runs_on("count")
        self.assertEqual(len(set(self.scope_of(alpha, pid))), 1)
        self.assertEqual(self.show(alpha, "MainPID"), main)

        beta.sh("sed -i '/^.agent.$/a allow = nobody' /etc/crx/crx.conf; systemctl reload crx-agent")
        until(lambda: self.show(beta, "ActiveState") == "active", "beta has reloaded")
        alpha.sh("sed -i '/^.migrate.$/a max-downtime = never' /etc/crx/crx.conf")
        self.assertRegex(self.migrate(alpha, beta, pid)[2], r"/etc/crx/crx.conf, line \d+: max-downtime: ")
        alpha.sh("sed -i 's/never/70/' /etc/crx/crx.conf")
        code, _, text = self.migrate(alpha, beta, pid, "--check-only")
        self.assertNotEqual(code, 0)
        self.assertIn("alpha is not allowed to move processes here", text)
        beta.sh("sed -i '/nobody/d' /etc/crx/crx.conf; systemctl reload crx-agent")
        until(lambda: self.migrate(alpha, beta, pid, "--check-only")[0] == 0, "alpha is allowed again")
        self.runs_on("count")

    def test_unit(self):
        alpha, beta = self.alpha, self.beta
        pid = self.start(alpha, "stopped", restart="always")
        code, _, text = self.migrate(alpha, beta, pid)
        self.assertEqual(code, 3, text)
        self.assertIn("is the main process of stopped.service", text)
        self.runs_on("stopped")
        self.move(alpha, beta, pid, "--unit", "stop")
        self.assertEqual(self.show(alpha, "ActiveState", "stopped"), "inactive")
        self.runs_on("stopped")
        self.assertEqual(len(set(self.scope_of(beta, pid))), 1)

        pid = self.start(alpha, "kept", restart="always")
        self.move(alpha, beta, pid, "--unit", "keep")
        until(lambda: self.show(alpha, "MainPID", "kept") not in ("0", str(pid)), "systemd starts the program again", timeout=20)
        self.assertEqual(beta.sh(f"test -e /proc/{pid} && echo runs").strip(), "runs")

    def test_purge(self):
        alpha, beta = self.alpha, self.beta
        pid = self.start(alpha, "count")
        self.move(alpha, beta, pid)
        alpha.sh("mkdir -p /var/lib/crx/set; touch /var/lib/crx/set/inventory.img")
        for host in self.hosts:
            host.sh("apt-get -y purge crx crx-agent")
            elsewhere = " -o ".join(f"-path {path}" for path in ("/proc", "/sys", "/run", "/tmp", "/opt", "/srv", "/var/log/journal"))
            left = host.sh(f"find / \\( {elsewhere} \\) -prune -o -iname '*crx*' -print; find /etc/crx -type f").split()
            # The keys are the administrator's.
            self.assertEqual(sorted(left), ["/etc/crx"] + [f"/etc/crx/tls/{name}.pem" for name in ("ca", "cert", "key")])
            self.assertEqual(host.sh("systemctl list-unit-files 'crx*' | grep crx-agent", check=False), "")
        self.runs_on("count")


if __name__ == "__main__":
    unittest.main()
