"""A process of crx dies, or a step fails, at each step of the commit: when the agents of both hosts run, the program runs
in exactly one place without anybody's help, no number is missing or comes twice, and nothing is left behind."""
import os

import crxtest
from crxtest import read_text, until
from failing import FailureTest

SOURCE = ("source_locks_released", "source_group_frozen", "source_go_journalled", "source_go_sent", "source_verdict",
          "source_original_end")
DESTINATION = ("destination_prepared", "destination_go", "destination_group_frozen", "destination_resuming",
               "destination_released", "destination_resumed", "destination_thawed", "destination_answered")


class Recovery(FailureTest):
    def family(self, tool):
        """Returns the tool and its worker and guard."""
        return [tool] + [found for found in map(self.source.find, self.source.children(tool.pid)) if found]

    def reached(self, log, step, action):
        return until(lambda: f"CRX_FAULT_POINT: {action} at {step}" in read_text(log, ""), f"{step} is reached", 30)

    def check_settled(self, process, context):
        where = self.check_once(process.pid, context)
        self.check_finish(context)
        self.nothing_is_left(context)
        return where

    def at_source(self, step, action):
        process = self.start()
        tool = self.source.start_migrate(process, self.target, env={"CRX_FAULT_POINT": f"{step}={action}"})
        self.reached(tool.errors, step, action)
        if action == "stop":
            # The whole of crx-migrate dies, the guard included.
            for each in reversed(self.family(tool)):
                each.kill()
        tool.wait_end(60)
        context = f"{action} at {step}: {read_text(tool.errors, '')[-2000:]}\n{self.target.agent_tail()}\n{self.source.agent_tail()}"
        return self.check_settled(process, context)

    def at_destination(self, step, action):
        self.target.kill_agent()
        self.target.start_agent(env={"CRX_FAULT_POINT": f"{step}={action}"})
        self.addCleanup(self.target.restart_agent)
        process = self.start()
        tool = self.source.start_migrate(process, self.target)
        self.reached(self.target.agent_log, step, action)
        if action == "stop":
            # The whole agent dies, and another one starts.
            self.target.kill_agent()
            self.target.start_agent()
        result = self.source.finish_migrate(tool)
        context = f"{action} at {step}: {result}\n{self.target.agent_tail()}"
        where = self.check_settled(process, context)
        self.assertEqual(result.exit, 0 if where == self.target.name else 1, context)
        return where

    def test_source_agent_starts_later(self):
        process = self.start()
        self.source.kill_agent()
        tool = self.source.start_migrate(process, self.target, env={"CRX_FAULT_POINT": "source_go_journalled=stop"})
        self.reached(tool.errors, "source_go_journalled", "stop")
        for each in reversed(self.family(tool)):
            each.kill()
        tool.wait_end(10)
        self.assertEqual(set(self.copies(process.pid)) - {self.target.name}, {self.source.name})
        self.source.start_agent()
        self.assertEqual(self.check_settled(process, self.source.agent_tail()), self.source.name)

    def test_killed_while_rolling_back(self):
        """The original does not wait for a thaw that nobody makes once ABORTED is in the journal."""
        process = self.start()
        tool = self.source.start_migrate(process, self.target, env={
            "CRX_FAULT_POINT": "source_group_frozen=error,source_final_record=stop"})
        self.reached(tool.errors, "source_final_record", "stop")
        self.assertFalse(self.frozen(process))
        for each in reversed(self.family(tool)):
            each.kill()
        tool.wait_end(10)
        self.assertEqual(self.check_settled(process, self.source.agent_tail()), self.source.name)

    def leave_after_go(self):
        """Starts a move whose crx-migrate dies after GO, with no agent at the source. Returns the program."""
        process = self.start()
        self.source.kill_agent()
        self.addCleanup(self.source.restart_agent)
        tool = self.source.start_migrate(process, self.target, env={"CRX_FAULT_POINT": "source_go_sent=stop"})
        self.reached(tool.errors, "source_go_sent", "stop")
        for each in reversed(self.family(tool)):
            each.kill()
        tool.wait_end(10)
        return process

    def test_resolve_by_hand(self):
        process = self.leave_after_go()
        session = os.path.basename(sorted(os.listdir(f"{self.source.dir}/state/journal"),
                                          key=lambda n: os.stat(f"{self.source.dir}/state/journal/{n}").st_mtime)[-1])[:-4]
        code, text = self.source.run([f"{crxtest.BIN}/crx-migrate", "--resolve", session, "--state",
                                      f"{self.source.dir}/state"], check=False)
        self.assertEqual(code, 0, text)
        where = self.check_settled(process, text)
        self.assertEqual(where, self.target.name)

    def test_go_is_lost_with_the_host(self):
        """GO need not be on disk: a source that restarts without it asks about the session all the same."""
        process = self.leave_after_go()
        # The source loses its power: the original and its group are gone, and the journal ends before GO.
        process.kill()
        crxtest.thaw_all(self.source.cgroup)
        process.wait_end(10)
        for group in self.groups_of_originals():
            crxtest.remove_cgroups(group)
        journals = f"{self.source.dir}/state/journal"
        journal = max((f"{journals}/{name}" for name in os.listdir(journals)), key=os.path.getmtime)
        with open(journal, "r+b") as file:
            text = file.read()
            file.seek(text.rindex(b"\n", 0, text.index(b" GO ")) + 1)
            file.write(bytes(len(text) - file.tell()))
        boot, real = self.ring.path("boot_id"), "/proc/sys/kernel/random/boot_id"
        with open(boot, "w") as file:
            file.write("00000000-1111-2222-3333-444444444444\n")
        self.source.bind(boot, real)
        self.addCleanup(self.source.unbind, real)
        self.source.start_agent()
        self.assertEqual(self.check_settled(process, self.source.agent_tail()), self.target.name)
        self.assertIn(b" DONE ", open(journal, "rb").read())


def add_tests():
    for step in SOURCE:
        for action in ("kill", "stop", "error"):
            setattr(Recovery, f"test_{step}_{action}", lambda self, s=step, a=action: self.at_source(s, a))
    for step in DESTINATION:
        for action in ("kill", "stop", "error"):
            setattr(Recovery, f"test_{step}_{action}", lambda self, s=step, a=action: self.at_destination(s, a))


add_tests()
if __name__ == "__main__":
    crxtest.main()
