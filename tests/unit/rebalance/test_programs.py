"""What a look at a host shows, and which of its processes belong to a service."""
import json
import os
import tempfile
import unittest

from rebalance import inventory, probe, programs

HOSTS = "[hosts.a]\n[hosts.b]\n"


def stat(pid, comm, start, ticks):
    fields = ["S"] + ["0"] * 10 + [str(ticks), "0"] + ["0"] * 6 + [str(start)] + ["0"] * 5
    return f"{pid}/stat:{pid} ({comm}) " + " ".join(fields)


def output(processes, sessions=(), pressure="some avg10=9.00 avg60=12.50 avg300=1.00 total=5", pidfiles=(), list_exit=0):
    """What the script prints; processes: (pid, parent, arguments, cgroup, more)."""
    status, stats, cmdline, cgroup, earlier = [], [], [], [], []
    for pid, parent, arguments, group, more in processes:
        name = more.get("name", "x")
        status += [f"{pid}/status:Name:\t{name}", f"{pid}/status:State:\t{more.get('state', 'S')} (x)", f"{pid}/status:PPid:\t{parent}",
                   f"{pid}/status:NSpid:\t{more.get('nspid', pid)}", f"{pid}/status:RssAnon:\t    1024 kB"]
        stats.append(stat(pid, "odd) S 1 (\n", 1000 + pid, 50).replace("\n", f"\n{pid}/stat:"))
        earlier.append(stat(pid, name, 1000 + pid, 20))
        cmdline.append(f"{pid}/cmdline:" + "\0".join(arguments) + "\0")
        cgroup.append(f"{pid}/cgroup:0::{group}")
    lines = ["== meminfo", "MemTotal: 1000 kB", "MemAvailable: 400 kB", "== pressure", pressure, "== loadavg", "8.00 1 1 1/2 3",
             "== cpus", "4", *[line for name, pid in pidfiles for line in (f"== pidfile {name}", f" {pid}")],
             "== earlier", *earlier, "== status", *status, "== stat", *stats, "== cmdline", *cmdline, "== cgroup", *cgroup,
             "== sessions", *map(json.dumps, sessions), f"== exit {list_exit}", "== end", ""]
    return "\n".join(lines)


def process(pid, *arguments, parent=1, group="/", **more):
    return (pid, parent, arguments, group, more)


class Look(unittest.TestCase):
    def test_parse(self):
        facts = probe.parse("a", output([process(7, "/bin/web", "-x\n== end", nspid="7\t3")], pidfiles=[("web", 7)]))
        self.assertEqual((facts.problem, facts.memory_total, facts.memory_available, facts.cpus), ("", 1024000, 409600, 4))
        self.assertEqual((facts.cpu_pressure, facts.pressure_from), (12.5, "pressure"))
        one = facts.processes[7]
        self.assertEqual((one.parent, one.start, one.pids, one.memory_bytes, one.busy_ticks), (1, 1007, (7, 3), 1 << 20, 30))
        self.assertEqual(facts.pidfiles, {"web": 7})

    def test_this_machine(self):
        """The script itself, run here by sh; neither the pidfile nor the list of sessions ends with a newline."""
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/pidfile", "w") as file:
                file.write(str(os.getpid()))
            with open(f"{folder}/crx-migrate", "w") as file:
                file.write("#!/bin/sh\nprintf '{\"event\": \"session\", \"pid\": 4}'\n")
            os.chmod(f"{folder}/crx-migrate", 0o755)
            read = inventory.parse(f"[hosts.a]\nreach = []\nmigrate = '{folder}/crx-migrate'\n[policy]\nbalance = 'cpu'\n"
                                   f"[services.web]\npidfile = '{folder}/pidfile'\ncommand = 'test_programs'")
            facts = probe.look_at_all(read)["a"]
        self.assertEqual((facts.problem, facts.pidfiles, facts.sessions_problem), ("", {"web": os.getpid()}, ""))
        self.assertEqual(facts.sessions, [{"event": "session", "pid": 4}])
        me = facts.processes[os.getpid()]
        with open("/proc/self/stat") as file:
            self.assertEqual(me.start, int(file.read().rpartition(")")[2].split()[19]))
        self.assertIsNotNone(me.earlier_ticks)
        self.assertGreater(me.memory_bytes, 1 << 20)
        self.assertGreater(facts.memory_total, facts.memory_available)
        self.assertEqual([(one.pid, one.stays) for one in programs.find(read, {"a": facts})], [(os.getpid(), "")])

    def test_a_host_that_is_not_reached(self):
        read = inventory.parse("[hosts.a]\nreach = ['false']\n[hosts.b]\nreach = ['/no/such/program']")
        facts = probe.look_at_all(read)
        self.assertEqual(facts["a"].problem, "cannot be reached: exit 1; try false true")
        self.assertEqual(facts["b"].problem, "cannot run /no/such/program: No such file or directory; try /no/such/program true")

    def test_without_pressure(self):
        """A kernel without PSI: half of eight runnable tasks wait for one of four CPUs."""
        facts = probe.parse("a", output([], pressure=""))
        self.assertEqual((facts.cpu_pressure, facts.pressure_from), (50.0, "load average"))

    def test_what_breaks_off(self):
        self.assertIn("broke off", probe.parse("a", output([]).replace("== end", "")).problem)
        self.assertIn("no crx", probe.parse("a", output([], list_exit=127).replace("== exit", "no crx\n== exit")).sessions_problem)


class Programs(unittest.TestCase):
    def find(self, service, *processes, known=(), other=(), **more):
        read = inventory.parse(f"{HOSTS}[services.web]\n{service}")
        facts = {"a": probe.parse("a", output(processes, **more)), "b": probe.parse("b", output(other))}
        return programs.find(read, facts, known)

    def test_trees_move_as_a_whole(self):
        found = self.find("command = '^web'\ninstances = 9", process(5, "web"), process(6, "web", parent=5), process(7, "x", parent=6),
                          process(8, "web"))
        self.assertEqual([(one.pid, one.memory_bytes >> 20, one.stays) for one in found], [(5, 3, ""), (8, 1, "")])

    def test_what_never_matches(self):
        found = self.find("command = 'web'\ninstances = 9", process(1, "web"), process(5, "/usr/bin/crx-migrate", "web"),
                          process(6, "/usr/bin/python3", "/usr/bin/crx-rebalance", "web"), process(7, "web", state="Z"),
                          (8, 2, (), "/", {"name": "web"}))
        self.assertEqual(found, [])

    def test_more_than_expected(self):
        found = self.find("command = 'web'", process(5, "web"), other=[process(9, "web")])
        self.assertEqual([(one.host, one.pid) for one in found], [("a", 5), ("b", 9)])
        for one in found:
            self.assertIn("2 programs match service web, at most 1 are expected", one.stays)

    def test_pidfile(self):
        self.assertEqual([one.pid for one in self.find("pidfile = '/p'\ncommand = 'web'", process(5, "web"), process(6, "web"),
                                                       pidfiles=[("web", 6)])], [6])
        self.assertEqual(self.find("pidfile = '/p'\ncommand = 'web'", process(6, "other"), pidfiles=[("web", 6)]), [])
        # Its pidfile stayed behind at the host that it came from.
        self.assertEqual([one.pid for one in self.find("pidfile = '/p'\ncommand = 'web'", process(5, "web"),
                                                       known={("a", ("web", 5, "web"))})], [5])

    def test_unit_and_cgroup(self):
        inside = process(5, "web", group="/system.slice/web.service")
        self.assertEqual([one.pid for one in self.find("unit = 'web'", inside, process(6, "web", group="/web.services"))], [5])
        self.assertEqual([one.pid for one in self.find("cgroup = '/system.slice/*'", inside, process(6, "web"))], [5])

    def test_unfinished_sessions(self):
        session = {"event": "session", "session": "abc", "state": "GO", "pid": 5, "finished": False}
        self.assertIn("session abc of it is not finished (GO)", self.find("command = 'web'", process(5, "web"), sessions=[session])[0].stays)
        session["finished"] = True
        self.assertEqual(self.find("command = 'web'", process(5, "web"), sessions=[session])[0].stays, "")

    def test_two_services(self):
        read = inventory.parse(f"{HOSTS}[services.web]\ncommand = 'web'\n[services.all]\ncommand = '.'")
        found = programs.find(read, {"a": probe.parse("a", output([process(5, "web")]))})
        self.assertEqual(len(found), 1)
        self.assertIn("several services (web, all)", found[0].stays)


if __name__ == "__main__":
    unittest.main()
