"""crx-hibernate's units in a Debian host that boots: programs go over a reboot without losing a number. With CRX_FULL=1 only."""
import json
import os
import shutil
import signal
import tempfile
import unittest

import booted
from booted import run
from hosts import FULL, until
from test_packages import build_packages

ENABLED = """[Unit]
ConditionPathExists=!/var/lib/crx/hibernate/{name}/set
[Service]
ExecStart=/usr/bin/python3 /srv/count.py {name}
StandardOutput=append:/srv/{name}.out
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
# It writes nothing when it is asked to end, so that a number that was written twice shows that it began anew.
COUNT = "import time\nn = 0\nwhile True:\n    print(n, flush=True)\n    n += 1\n    time.sleep(0.05)\n"
CONFIG = """[programs.first]
unit = "first.service"
[programs.second]
command = "^/usr/bin/python3 /srv/count.py second"
after = "first"
[programs.third]
command = "^/usr/bin/python3 /srv/count.py third"
"""


class RebootingHost(booted.BootedHost):
    def reboot(self, shared):
        """Shuts the host down as an administrator does, and boots it with the same disk."""
        os.kill(self.leader, signal.SIGRTMIN + 4)  # systemd(1): power off
        self.nspawn.wait(timeout=180)
        for hierarchy in booted.HIERARCHIES:
            self.remove_groups(f"{hierarchy}/{self.netns}")
        self.console.close()
        self.boot(shared)


@unittest.skipUnless(FULL, "boots a host: CRX_FULL=1")
class Hibernate(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="crx-booted-")
        self.addCleanup(shutil.rmtree, self.dir)
        packages = build_packages(f"{self.dir}/packages")
        packages = [packages[name] for name in ("crx", "crx-common", "crx-hibernate")]
        booted.make_base(packages)
        self.shared = f"{self.dir}/shared"
        os.mkdir(self.shared)
        with open(f"{self.shared}/count.py", "w") as file:
            file.write(COUNT)
        cable = f"crxh{os.getpid()}"
        run("ip", "link", "add", f"{cable}a", "type", "veth", "peer", "name", f"{cable}b")
        self.addCleanup(run, "ip", "link", "del", f"{cable}b", check=False)
        self.host = RebootingHost("alpha", "10.77.9.1", f"{cable}a", {"alpha": "10.77.9.1"}, self.shared)
        self.addCleanup(self.host.stop)
        for package in packages:
            self.host.put(package, "/opt/")
        self.host.sh("apt-get install -q -y --no-install-recommends /opt/*.deb")

    def numbers(self, name):
        path = f"{self.shared}/{name}.out"
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return [int(line) for line in file.read().splitlines()]

    def run_on(self, *names):
        for name in names:
            count = len(self.numbers(name))
            until(lambda: len(self.numbers(name)) > count + 1, lambda: f"{name} runs on: {self.explain()}", 30)
            self.assertEqual(self.numbers(name), list(range(len(self.numbers(name)))), self.explain())

    def start(self, name, *properties):
        options = " ".join(f"-p {one}" for one in (f"StandardOutput=append:/srv/{name}.out", *properties))
        self.host.sh(f"systemd-run --unit {name} {options} /usr/bin/python3 /srv/count.py {name}")

    def problems(self):
        return {one["program"]: one["problem"] for one in self.status()}

    def status(self):
        """What is said of the programs, in the order of their names."""
        found = json.loads(self.host.sh("crx-hibernate status --json"))["programs"]
        return sorted(found, key=lambda one: one["program"])

    def explain(self):
        return self.host.sh("journalctl -b -1 -u 'crx-hibernate*' | tail -n 20; journalctl -b -u 'crx-hibernate*' | tail -n 20; "
                            "crx-hibernate status", check=False)

    def test_a_reboot(self):
        self.host.sh("mkdir -p /etc/crx /var/log/journal")
        self.host.write("/etc/crx/hibernate.toml", CONFIG)
        self.host.write("/etc/systemd/system/first.service", ENABLED.format(name="first"))
        self.host.sh("systemctl daemon-reload; systemctl enable --now first.service")
        self.start("second", "Before=crx-hibernate.service")
        self.start("third", "Before=never.service")
        self.run_on("first", "second", "third")
        self.host.sh("systemctl enable --now crx-hibernate.service")
        self.assertEqual(self.problems(), {"first": "", "second": "", "third": "a shutdown may stop third.service before the program is saved; "
                                           "give the unit Before=crx-hibernate.service"})
        for _ in range(2):
            self.host.reboot(self.shared)
            until(lambda: self.host.sh("systemctl is-active crx-hibernate.service", check=False).strip() == "active",
                  lambda: f"the unit is active: {self.explain()}", 60)
            self.run_on("first", "second")
            for one in self.status()[:2]:
                self.assertEqual((one["waits"], one["problem"], one["pid"] is not None), (False, "", True), one)
        # The unit stopped by hand saves the programs, and started it restores them.
        self.host.sh("systemctl stop crx-hibernate.service")
        self.assertEqual([(one["waits"], one["pid"]) for one in self.status()[:2]], [(True, None)] * 2, self.explain())
        self.host.sh("systemctl start crx-hibernate.service")
        self.run_on("first", "second")


if __name__ == "__main__":
    unittest.main()
