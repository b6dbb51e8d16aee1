"""Records of the journal that cannot be written, or may be lost, stop no process for good."""
import os

import crxtest
from crxtest import read_text, until
from test_recovery import Recovery as RecoveryTest


class Records(RecoveryTest):
    """CRX_FAULT_POINT makes the writing of records fail, as a disk does that is full or broken."""

    def last_record(self, host, session):
        text = read_text(f"{host.dir}/state/journal/{session}.log").rstrip("\0")
        return text.splitlines()[-1].split()[3]

    def agent_with(self, host, faults):
        host.kill_agent()
        host.start_agent(env={"CRX_FAULT_POINT": faults})
        self.addCleanup(host.restart_agent)

    def move(self, source_faults=None):
        process = self.start()
        env = {"CRX_FAULT_POINT": source_faults} if source_faults else None
        result = self.source.finish_migrate(self.source.start_migrate(process, self.target, env=env))
        return process, result, result.events[0]["session"]

    def test_done(self):
        process, result, session = self.move("source_final_record=error")
        self.assertEqual(result.exit, 0, f"{result}")
        self.assertIn("DONE is not in the journal yet", result.stderr)
        self.assertEqual(self.check_settled(process, f"{result}"), self.target.name)
        until(lambda: self.last_record(self.source, session) == "DONE", "the agent writes DONE")

    def test_aborted_after_never(self):
        self.agent_with(self.target, "destination_go=error")
        process, result, session = self.move("source_final_record=error")
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertEqual(self.check_settled(process, f"{result}"), self.source.name)
        until(lambda: self.last_record(self.source, session) == "ABORTED", "the agent writes ABORTED")

    def test_aborted_before_go(self):
        process, result, session = self.move("source_group_frozen=error,source_final_record=error")
        self.assertEqual(result.exit, 1, f"{result}")
        until(lambda: self.last_record(self.target, session) == "NEVER", "the destination learns of it", 10)
        self.assertEqual(self.check_settled(process, f"{result}"), self.source.name)

    def settlement_fails(self, step, state):
        """The engine dies at a step; the supervisor cannot write what becomes of the session, and says it all the same."""
        self.agent_with(self.target, f"{step}=kill,destination_settlement=error")
        process, result, session = self.move()
        context = f"{result}\n{self.target.agent_tail()}"
        self.assertEqual(result.exit, 1, context)
        self.assertIn(f"{state} cannot be journalled", read_text(self.target.agent_log))
        self.assertEqual(self.check_once(process.pid, context), self.source.name)
        self.check_finish(context)
        self.target.restart_agent()
        until(lambda: self.last_record(self.target, session) == state, f"{state} is written later")
        self.nothing_is_left(context)

    def test_never(self):
        self.settlement_fails("destination_go", "NEVER")

    def test_lost(self):
        self.settlement_fails("destination_resuming", "LOST")

    def test_resumed_is_awaited(self):
        self.agent_with(self.target, "destination_released=kill,destination_settlement=error")
        process = self.start()
        known = len(read_text(self.target.agent_log))
        tool = self.source.start_migrate(process, self.target)
        until(lambda: "error at destination_settlement" in read_text(self.target.agent_log)[known:], "RESUMED cannot be written")
        self.assertTrue(all(self.frozen(copy) for copy in self.copies(process.pid).values()))
        self.target.restart_agent()
        result = self.source.finish_migrate(tool)
        self.assertEqual(result.exit, 0, f"{result}")
        self.assertEqual(self.check_settled(process, f"{result}"), self.target.name)

    def test_new_store_is_synced(self):
        """The directories of a new store are on disk when the journal is: each parent is synced."""
        top = os.path.realpath(self.ring.path("new"))
        process = self.start()
        trace = self.ring.path("trace")
        self.source.run(["strace", "-f", "-y", "-e", "trace=fsync", "-o", trace, f"{crxtest.BIN}/crx-migrate", "--to",
                         "127.0.0.1:1", "--tls-dir", self.source.tls, "--state", f"{top}/a/b", str(process.pid)], check=False)
        text = read_text(trace)
        for synced in (os.path.dirname(top), top, f"{top}/a", f"{top}/a/b", f"{top}/a/b/journal"):
            self.assertIn(f"<{synced}>", text)
        self.source.run(["timeout", "5", "strace", "-y", "-e", "trace=fsync", "-o", trace, f"{crxtest.BIN}/crx-agent",
                         "--listen", "127.0.0.1:0", "--tls-dir", self.source.tls, "--store", f"{top}/store"], check=False)
        self.assertIn(f"<{top}>", read_text(trace))


# Its own tests run in its own script.
for name in [name for name in dir(RecoveryTest) if name.startswith("test_")]:
    setattr(Records, name, None) if name not in vars(Records) else None
del RecoveryTest

if __name__ == "__main__":
    crxtest.main()
