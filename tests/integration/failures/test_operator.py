"""What an operator sees and does when a tool of crx has died: exit statuses and messages of crx-migrate, the list of
sessions, and decisions by hand."""
import json

import crxtest
from crxtest import read_text, until
from failing import FailureTest


class OperatorTest(FailureTest):
    """A test of what is done by hand: the agent of the source does not run."""

    def setUp(self):
        super().setUp()
        self.source.kill_agent()
        self.addCleanup(self.source.restart_agent)

    def stop_at(self, step, *options, process=None):
        """Starts a move whose crx-migrate stops at a step; returns the process, the tool, its worker and its guard."""
        process = process or self.start()
        tool = self.source.start_migrate(process, self.target, *options, env={"CRX_FAULT_POINT": f"{step}=stop"})
        self.addCleanup(self.kill_family, tool)
        until(lambda: f"CRX_FAULT_POINT: stop at {step}" in read_text(tool.errors, ""), f"{step} is reached", 30)
        family = self.source.children(tool.pid)
        worker = next(p for p in family if self.parent(p) == tool.pid)
        guard = next(p for p in family if self.parent(p) == worker)
        return process, tool, self.source.find(worker), self.source.find(guard)

    def kill_family(self, tool):
        for pid in reversed(self.source.children(tool.pid)):
            self.source.find(pid).kill()

    def parent(self, pid):
        return int(read_text(self.source.proc(pid, "stat")).rpartition(")")[2].split()[1])

    def session_of(self, tool):
        for line in read_text(tool.output).splitlines():
            if '"hello"' in line:
                return json.loads(line)["session"]
        self.fail(f"no session in {read_text(tool.output)}")

    def finished(self, process, name, context=""):
        self.assertEqual(self.check_once(process.pid, context), name)
        self.check_finish(context)


class KilledWorker(OperatorTest):
    def test_after_go(self):
        process, tool, worker, _ = self.stop_at("source_go_sent")
        worker.kill()
        result = self.source.finish_migrate(tool)
        self.assertEqual(result.exit, 4, f"{result}")
        session = self.session_of(tool)
        self.assertEqual((result.last["event"], result.last["exit"], result.last["session"], result.last["pid"]),
                         ("failed", 4, session, process.pid))
        for words in ("killed by signal 9 after GO", f"crx-{session[:16]}-src; ", f"crx-migrate --resolve {session}"):
            self.assertIn(words, result.last["message"])
            self.assertIn(words, result.stderr)
        self.source.start_agent()
        self.finished(process, self.target.name, f"{result}")

    def test_before_go(self):
        process, tool, worker, _ = self.stop_at("source_group_frozen")
        worker.kill()
        result = self.source.finish_migrate(tool)
        self.assertEqual((result.exit, result.last["event"], result.last["session"]), (1, "failed", self.session_of(tool)),
                         f"{result}")
        self.assertIn("killed by signal 9; the process runs on here", result.last["message"])
        self.finished(process, self.source.name, f"{result}")

    def test_before_go_with_its_guard(self):
        process, tool, worker, guard = self.stop_at("source_group_frozen")
        guard.kill()
        worker.kill()
        result = self.source.finish_migrate(tool)
        self.assertEqual((result.exit, result.last["event"]), (1, "failed"), f"{result}")
        self.finished(process, self.source.name, f"{result}")

    def test_after_done(self):
        process = self.start()
        stages = crxtest.Stages(self.ring, "source.resumed")
        tool = self.source.start_migrate(process, self.target, "--hook", stages.command)
        self.assertTrue(stages.wait("source.resumed", otherwise=lambda: not tool.alive()))
        worker = next(p for p in self.source.children(tool.pid) if self.parent(p) == tool.pid)
        self.source.find(worker).kill()
        stages.go_on("source.resumed")
        result = self.source.finish_migrate(tool)
        self.assertEqual(result.exit, 0, f"{result}")
        self.assertIn("after the process had moved", result.stderr)
        self.finished(process, self.target.name, f"{result}")


class Listing(OperatorTest):
    def sessions(self, host, *options, tool="crx-migrate"):
        """Returns {session: object} of --list --json."""
        arguments = ["--state", f"{host.dir}/state"] + (["--store", f"{host.dir}/state"] if tool == "crx-agent" else [])
        text = host.run([f"{crxtest.BIN}/{tool}", "--list", "--json", *arguments, *options])[1]
        return {each["session"]: each for each in map(json.loads, text.splitlines())}

    def table(self, host, *options):
        return host.run([f"{crxtest.BIN}/crx-migrate", "--list", "--state", f"{host.dir}/state", *options])[1]

    def test_source_and_destination(self):
        process, tool, worker, guard = self.stop_at("source_go_journalled")
        session = self.session_of(tool)
        entry = self.sessions(self.source)[session]
        for key, value in (("role", "source"), ("state", "GO"), ("pid", process.pid), ("comm", "counter"),
                           ("peer", f"{self.target.address}:{self.target.agent_port}"), ("frozen", True),
                           ("finished", False), ("holder", {"pid": worker.pid, "comm": "crx-migrate"})):
            self.assertEqual(entry[key], value, f"{key}: {entry}")
        self.assertTrue(entry["cgroup"].endswith(f"/crx-{session[:16]}-src"), entry)
        self.assertTrue(entry["awaits"].startswith("an answer of "), entry)
        there = self.sessions(self.target, tool="crx-agent")[session]
        self.assertEqual((there["role"], there["state"], there["pid"], there["finished"]),
                         ("destination", "PREPARED", process.pid, False), there)
        self.assertTrue(there["peer"].startswith(f"{self.source.address} ("), there)
        self.assertEqual(there["awaits"], "the message Go from the source")
        text = self.table(self.source)
        line = next(line for line in text.splitlines() if line.startswith(session))
        for word in ("source", "GO", str(process.pid), "counter", entry["cgroup"], "(frozen)", "an answer of"):
            self.assertIn(word, line)
        # The list does not disturb those who have the locks, nor needs one of them.
        for each in (guard, worker):
            each.kill()
        self.source.finish_migrate(tool)
        self.assertNotIn("holder", self.sessions(self.source)[session])
        self.source.start_agent()
        self.check_once(process.pid, text)
        self.check_finish()
        until(lambda: session not in self.sessions(self.source), "the session is finished")
        self.assertEqual(self.sessions(self.source, "--all")[session]["finished"], True)
        self.assertNotIn(session, self.table(self.source))
        self.assertIn(session, self.table(self.source, "--all"))

    def test_no_session(self):
        empty = self.ring.path("nothing")
        self.assertEqual(self.source.run([f"{crxtest.BIN}/crx-migrate", "--list", "--json", "--state", empty]), (0, ""))
        self.assertIn("no unfinished session", self.source.run([f"{crxtest.BIN}/crx-migrate", "--list", "--state", empty])[1])


class Decision(OperatorTest):
    """--adopt and --discard, in each state that the journals can show."""

    def decide(self, option, session, code=0, *words):
        result, text = self.source.run([f"{crxtest.BIN}/crx-migrate", option, session, "--state",
                                        f"{self.source.dir}/state"], check=False)
        self.assertEqual(result, code, text)
        for word in words:
            self.assertIn(word, text)
        return text

    def killed_at(self, step, *options):
        process, tool, worker, guard = self.stop_at(step, *options)
        session = self.session_of(tool)
        self.decide("--adopt", session, 1, "crx-migrate (pid", "works on session")
        for each in (guard, worker):
            each.kill()
        self.source.finish_migrate(tool)
        return process, session

    def leave_alone(self):
        """The destination cannot be asked any more."""
        self.target.kill_agent()
        self.addCleanup(self.target.restart_agent)

    def gone(self, process):
        until(lambda: self.source.name not in self.copies(process.pid), "the original ends")

    def test_adopt_without_an_answer(self):
        process, session = self.killed_at("source_go_journalled")
        self.leave_alone()
        self.assertTrue(self.frozen(self.copies(process.pid)[self.source.name]))
        self.decide("--adopt", session, 0, "adopted by hand; the destination did not answer")
        self.decide("--adopt", session)
        self.decide("--discard", session, 1, "the original runs on here")
        self.finished(process, self.source.name)

    def test_discard_without_an_answer(self):
        process, session = self.killed_at("source_go_journalled")
        self.leave_alone()
        self.decide("--discard", session, 0, "discarded by hand; the destination did not answer")
        self.gone(process)
        self.decide("--discard", session)
        self.decide("--adopt", session, 1, "has left here")

    def test_moved(self):
        process, session = self.killed_at("source_go_sent")
        until(lambda: not self.frozen(self.copies(process.pid)[self.target.name]), "it runs at the destination")
        self.decide("--adopt", session, 1, "would make two copies", f"crx-migrate --resolve {session}")
        self.decide("--discard", session, 0, "the destination says RESUMED")
        self.finished(process, self.target.name)

    def test_never(self):
        process, session = self.killed_at("source_go_journalled")
        self.decide("--discard", session, 1, "would leave no copy", f"crx-migrate --adopt {session}")
        self.decide("--adopt", session, 0, "the destination says NEVER")
        self.finished(process, self.source.name)

    def test_not_decided_there(self):
        self.target.kill_agent()
        self.target.start_agent(env={"CRX_FAULT_POINT": "destination_resuming=stop"})
        self.addCleanup(self.target.restart_agent)
        process = self.start()
        tool = self.source.start_migrate(process, self.target, "--timeout", "30", env={"CRX_FAULT_POINT": "source_go_sent=stop"})
        until(lambda: "stop at destination_resuming" in read_text(self.target.agent_log, "")
              and "stop at source_go_sent" in read_text(tool.errors, ""), "both sides have stopped", 30)
        session = self.session_of(tool)
        for pid in reversed(self.source.children(tool.pid)):
            self.source.find(pid).kill()
        self.source.finish_migrate(tool)
        for option in ("--adopt", "--discard"):
            self.decide(option, session, 1, "it says RESUMING", f"crx-migrate --resolve {session}")
        self.target.kill_agent()
        self.target.start_agent()
        self.source.start_agent()
        self.check_once(process.pid, "")
        self.check_finish()

    def test_not_committed(self):
        process, tool, worker, guard = self.stop_at("source_group_frozen")
        session = self.session_of(tool)
        # The tool that the user sees dies first, so that it settles nothing.
        for each in (tool, guard, worker):
            each.kill()
        worker.wait_end(10)
        self.decide("--discard", session, 1, "would leave no copy")
        self.decide("--adopt", session, 0, "adopted by hand")
        self.finished(process, self.source.name)

    def test_while_the_agent_asks(self):
        process, session = self.killed_at("source_go_journalled")
        self.leave_alone()
        self.source.start_agent()
        until(lambda: f"session {session}: its crx-migrate has ended" in read_text(self.source.agent_log), "the agent asks")
        self.decide("--adopt", session)
        self.finished(process, self.source.name)

    def test_at_the_destination(self):
        process, session = self.killed_at("source_go_sent")
        code, text = self.target.run([f"{crxtest.BIN}/crx-migrate", "--adopt", session, "--state",
                                      f"{self.target.dir}/state"], check=False)
        self.assertEqual(code, 1)
        self.assertIn("this host is not the source", text)
        self.decide("--discard", "0" * 32, 1, "there is no session")
        self.source.start_agent()
        self.finished(process, self.target.name)


if __name__ == "__main__":
    crxtest.main()
