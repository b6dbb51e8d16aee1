"""Carrying moves out with a crx-migrate made for the test: what each end of it means, limits, interruptions, settlement."""
import json
import os
import signal
import tempfile
import threading
import unittest

from crxlib import cli
from rebalance import history, inventory, mover, plan_file, runner, settle
from rebalance.errors import Failure
from rebalance.probe import Facts
from rebalance.programs import Program

# Its options say how it ends: check=EVENT:EXIT and move=EVENT:EXIT. It logs its command line.
TOOL = """#!/bin/sh
case $1 in --list) cat "{dir}/sessions" 2>/dev/null; exit 0;; esac
echo "$*" >>"{dir}/log"
stage=move
for word; do case $word in --check-only) stage=check;; esac; done
for word; do
  case $word in
    $stage=*) end=${{word#*=}};;
  esac
done
case " $* " in *" --new-pids "*) end=${{end#*,}};; *) end=${{end%%,*}};; esac
[ "${{end%%:*}}" = silent ] || echo '{{"event":"hello"}}'
while [ -e "{dir}/hold.$stage" ]; do sleep 0.01; done
case $end in
  done:*) [ $stage = check ] || echo '{{"event":"done","downtime_us":1500,"session":"s1"}}';;
  failed:*|silent:*) echo '{{"event":"failed","exit":'${{end#*:}}',"message":"it went wrong","code":"peer"}}';;
esac
exit ${{end#*:}}
"""


class RunnerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = folder.name
        with open(f"{self.dir}/crx-migrate", "w") as file:
            file.write(TOOL.format(dir=self.dir))
        os.chmod(f"{self.dir}/crx-migrate", 0o755)
        self.history = history.History(f"{self.dir}/state")
        self.history.lock()
        self.addCleanup(self.history.lock_file.close)
        self.notes, self.records = [], []

    def read_inventory(self, check="done:0", move="done:0", more=""):
        text = "".join(f"[hosts.{name}]\nreach = []\nmigrate = '{self.dir}/crx-migrate'\n" for name in "abc")
        return inventory.parse(f"{text}[services.web]\ncommand = 'no-such-program'\n{more}\noptions = ['check={check}', 'move={move}']")

    def job(self, pid=None, destination="b"):
        pid = pid or os.getpid()
        with open(f"/proc/{pid}/stat") as file:
            start = int(file.read().rpartition(")")[2].split()[19])
        return mover.Job("web", pid, start, pid, "web", "a", destination)

    def runner(self, read, parallel=1, max_failures=3):
        return runner.Runner(read, self.history, "p", parallel, max_failures, self.records.append, self.notes.append)

    def run_one(self, **named):
        summary = self.runner(self.read_inventory(**named)).run([(1, self.job())])
        return self.records[-1], summary

    def log(self):
        try:
            with open(f"{self.dir}/log") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


class Ends(RunnerTest):
    def test_moved(self):
        record, _ = self.run_one(more="max-downtime-ms = 70")
        self.assertEqual((record["event"], record["downtime_us"], record["session"]), ("moved", 1500, "s1"))
        self.assertEqual([one["event"] for one in self.records], ["started", "moved"])
        self.assertIn("--max-downtime 70 --on-no-converge fail", self.log()[0])
        self.assertIn("--check-only", self.log()[0])
        self.assertNotIn("--check-only", self.log()[1])

    def test_refused_by_the_check(self):
        record, summary = self.run_one(check="failed:3")
        self.assertEqual((record["event"], record["message"], summary.stopped), ("refused", "it went wrong", ""))
        self.assertEqual(len(self.log()), 1)

    def test_failed(self):
        record, _ = self.run_one(move="failed:1")
        self.assertEqual((record["event"], record["message"]), ("failed", "it went wrong"))

    def test_in_doubt_stops_all(self):
        read = self.read_inventory(move="failed:4")
        summary = self.runner(read).run([(1, self.job()), (2, self.job())])
        self.assertEqual((summary.stopped, summary.not_begun, summary.counts["in_doubt"]), ("in_doubt", 1, 1))
        self.assertEqual(len(self.history.doubts()), 1)
        self.assertEqual(len(self.log()), 2)

    def test_an_end_that_nobody_has_seen(self):
        """The way to the host broke: exit codes without the event that belongs to them prove nothing, and the hosts are asked."""
        with open(f"{self.dir}/sessions", "w") as file:
            json.dump({"event": "session", "session": "s1", "pid": os.getpid(), "finished": False}, file)
        record, summary = self.run_one(move="none:255")
        self.assertEqual((record["event"], summary.stopped), ("in_doubt", "in_doubt"))
        self.assertIn("the way there broke", record["message"])
        self.assertIn("a has an unfinished session of it", record["message"])
        os.unlink(f"{self.dir}/sessions")
        record, summary = self.run_one(move="none:0")
        self.assertEqual((record["event"], summary.stopped), ("gone", ""))
        self.assertIn("runs neither on a nor on b", record["message"])

    def test_what_an_exit_code_proves(self):
        failed = '{"event": "failed", "exit": 1, "message": "m"}'
        for code, output, event in ((0, '{"event": "done"}', "moved"), (0, "", "unseen"), (1, failed, "failed"), (1, "", "unseen"),
                                    (3, failed, "unseen"), (255, failed, "unseen"), (137, '{"event": "committed"}', "unseen"),
                                    (4, "", "in_doubt"), (75, "", "gone"), (2, "", "failed"), (127, "", "failed")):
            self.assertEqual(mover.outcome_of(self.job(), code, output, "", False).event, event, (code, output))

    def test_another_program_at_the_pid(self):
        job = mover.dataclasses.replace(self.job(), start=1)
        self.runner(self.read_inventory()).run([(1, job)])
        self.assertEqual((self.records[-1]["event"], self.log()), ("gone", []))

    def test_new_pids_where_they_are_taken(self):
        self.run_one(check="failed:3,done:0", more="new-pids = 'if-taken'")
        self.assertEqual(["--new-pids" in line for line in self.log()], [False, True, True])
        self.assertEqual(self.records[-1]["event"], "moved")

    def test_no_tool_there(self):
        os.unlink(f"{self.dir}/crx-migrate")
        record, _ = self.run_one()
        self.assertEqual(record["event"], "failed")
        self.assertIn("not found", record["message"])


class Limits(RunnerTest):
    def test_failures(self):
        summary = self.runner(self.read_inventory(move="failed:1"), max_failures=2).run([(n, self.job()) for n in range(5)])
        self.assertEqual((summary.stopped, summary.counts["failed"], summary.not_begun), ("failures", 2, 3))

    def test_a_host_that_does_not_answer_is_asked_once(self):
        jobs = [(1, self.job()), (2, self.job()), (3, self.job(destination="c"))]
        summary = self.runner(self.read_inventory(check="silent:1")).run(jobs)
        self.assertEqual((summary.counts["failed"], summary.counts["skipped"]), (2, 1))
        self.assertEqual(len(self.log()), 2)

    def test_interrupted(self):
        """A signal lets the running move end, and no other begin."""
        open(f"{self.dir}/hold.move", "w").close()
        running = self.runner(self.read_inventory())

        def interrupt():
            while not any(one["event"] == "started" for one in self.records):
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            while not self.notes:
                threading.Event().wait(0.01)
            os.unlink(f"{self.dir}/hold.move")
        thread = threading.Thread(target=interrupt)
        thread.start()
        summary = running.run([(n, self.job()) for n in range(3)])
        thread.join()
        self.assertEqual((summary.stopped, summary.counts["moved"], summary.not_begun), ("interrupted", 1, 2))
        self.assertIn("1 running move will be finished", self.notes[0])

    def test_a_lock_for_those_who_move(self):
        other = history.History(f"{self.dir}/state")
        with self.assertRaises(Failure) as caught:
            other.lock()
        other.lock_file.close()
        self.assertIn(f"another crx-rebalance (pid {os.getpid()})", str(caught.exception))


class Output(unittest.TestCase):
    def test_whole_lines_from_several_threads(self):
        reader, writer = os.pipe()
        lines = []
        with os.fdopen(reader) as source, os.fdopen(writer, "w") as stream:
            reading = threading.Thread(target=lambda: lines.extend(source))
            writing = [threading.Thread(target=lambda: [cli.write(stream, "x" * 150) for _ in range(500)]) for _ in range(4)]
            for thread in (reading, *writing):
                thread.start()
            for thread in writing:
                thread.join()
            stream.close()
            reading.join()
        self.assertEqual(lines, ["x" * 150 + "\n"] * 2000)


class Records(RunnerTest):
    def test_a_line_that_broke_off(self):
        self.history.add("drain", host="a")
        with open(self.history.path, "a") as file:
            file.write('{"event": "dra')
        self.history.add("drain", host="b")
        self.assertEqual(history.History(f"{self.dir}/state").drained(), {"a", "b"})

    def test_plan_file(self):
        read = self.read_inventory()
        for text, word in (("{", "is no plan"), ("{}", "no plan of this version"),
                           ('{"event": "plan", "version": 1, "moves": [{"service": "web"}]}', "damaged")):
            with open(f"{self.dir}/plan", "w") as file:
                file.write(text)
            with self.assertRaises(Failure) as caught:
                plan_file.read(f"{self.dir}/plan", read)
            self.assertIn(word, str(caught.exception))
        job = {**mover.dataclasses.asdict(self.job()), "number": 1, "destination": "z"}
        plan_file.write(f"{self.dir}/plan", {"event": "plan", "version": 1, "plan": "p", "moves": [job]})
        with self.assertRaisesRegex(Failure, "names host z, which is not in"):
            plan_file.read(f"{self.dir}/plan", read)
        job["destination"] = "b"
        plan_file.write(f"{self.dir}/plan", {"event": "plan", "version": 1, "plan": "p", "moves": [job]})
        self.assertEqual(plan_file.read(f"{self.dir}/plan", read), ("p", [(1, self.job())]))


class Settle(unittest.TestCase):
    RECORD = {"event": "started", "service": "web", "pid": 5, "inner_pid": 5, "command": "web", "from": "a", "to": "b"}

    def verdict(self, *hosts, **changes):
        facts = {name: Facts(name, **changes.get(name, {})) for name in "ab" if changes.get(name, {}) is not None}
        return settle.verdict(self.RECORD, facts, [Program("web", host, 5, 1, 5, "web") for host in hosts])

    def test_verdicts(self):
        self.assertEqual(self.verdict("b")[0], "moved")
        self.assertEqual(self.verdict("a")[0], "failed")
        self.assertEqual(self.verdict()[0], "gone")
        self.assertEqual(self.verdict("a", "b")[0], "in_doubt")

    def test_hosts_that_do_not_tell(self):
        open_session = {"sessions": [{"pid": 5, "finished": False}]}
        for changes in ({"a": {"problem": "no answer"}}, {"b": {"problem": "no answer"}}, {"a": {"sessions_problem": "x"}},
                        {"a": open_session}, {"b": open_session}):
            for hosts in ("", "a", "b"):
                self.assertEqual(self.verdict(*hosts, **changes)[0], "in_doubt", (changes, hosts))

    def test_a_host_that_was_removed_from_the_inventory(self):
        self.assertEqual(self.verdict("b", a=None)[0], "moved")
        self.assertEqual(self.verdict(a=None)[0], "gone")


if __name__ == "__main__":
    unittest.main()
