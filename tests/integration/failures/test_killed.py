"""Either agent is killed by SIGKILL at each stage of a move: the program never runs twice, and is never lost."""
import random
import select

import crxtest
from crxtest import Stages
from failing import FailureTest

SOURCE = ("source.pre-freeze", "source.frozen", "source.prepared", "source.committed", "source.resumed")
DESTINATION = ("destination.prepared", "destination.committed", "destination.resumed")


class Killed(FailureTest):
    def begin(self, stage):
        stages = Stages(self.ring, stage)
        self.target.restart_agent("--hook", stages.command)
        process = self.start()
        tool = self.source.start_migrate(process, self.target, "--hook", stages.command)
        if not stages.wait(stage, otherwise=lambda: not tool.alive()):
            result = self.source.finish_migrate(tool)
            self.fail(f"{stage} never came (only {stages.all()}): {result}\n{self.target.agent_tail()}")
        return stages, process, tool

    def check(self, process, context, exit_code=None):
        where = self.check_once(process.pid, context)
        if exit_code == 0:
            self.assertEqual(where, self.target.name, context)
        if exit_code in (1, 3):
            self.assertEqual(where, self.source.name, context)
        self.check_finish(context)
        return where

    def kill_destination(self, stage):
        stages, process, tool = self.begin(stage)
        self.target.kill_agent()
        stages.go_on(stage)
        self.target.start_agent()
        result = self.source.finish_migrate(tool)
        context = f"destination killed at {stage}: {result}\n{self.target.agent_tail()}"
        self.assertIn(result.exit, (0, 1), context)
        return self.check(process, context, result.exit)

    def kill_source(self, stage):
        stages, process, tool = self.begin(stage)
        tool.kill()
        tool.wait_end(10)
        stages.go_on(stage)
        context = f"source killed at {stage}\n{self.target.agent_tail()}"
        return self.check(process, context)

    # Kills not only between the steps but at any moment, remote batches included.

    def anywhere(self, seed, end):
        """Makes many moves, each ended by `end` after a random part of the time that a whole move takes."""
        dice = random.Random(seed)
        process = self.start()
        tool = self.source.start_migrate(process, self.target)
        began = crxtest.time.monotonic()
        result = self.source.finish_migrate(tool)
        whole = crxtest.time.monotonic() - began
        self.assertEqual(result.exit, 0, f"{result}\n{self.target.agent_tail()}")
        self.check_finish(f"{result}")
        outcomes = {}
        for turn in range(100 if crxtest.FULL else 15):
            if not self.target.agent or not self.target.agent.alive():
                self.target.restart_agent()
            process = self.start()
            after = dice.uniform(0, whole * 1.1)
            tool = self.source.start_migrate(process, self.target)
            select.select([tool.pidfd], [], [], after)  # the test tries different lengths
            context = f"turn {turn} of seed {seed}, after {after * 1000:.1f} of {whole * 1000:.1f} ms"
            where = end(process, tool, context)
            outcomes[where] = outcomes.get(where, 0) + 1
            self.end_everywhere(process.pid)
        print(f"{outcomes} ", end="", flush=True)

    def test_source_anywhere(self):
        def end(process, tool, context):
            tool.kill()
            tool.wait_end(10)
            return self.check(process, f"source killed, {context}\n{self.target.agent_tail()}")
        self.anywhere(1, end)

    def test_destination_anywhere(self):
        def end(process, tool, context):
            self.target.kill_agent()
            self.target.start_agent()
            result = self.source.finish_migrate(tool)
            context = f"destination killed, {context}: {result}\n{self.target.agent_tail()}"
            self.assertIn(result.exit, (0, 1, 3), context)
            return self.check(process, context, result.exit)
        self.anywhere(2, end)


def add_tests():
    for stage in SOURCE + DESTINATION:
        name = stage.replace(".", "_").replace("-", "_")
        setattr(Killed, f"test_destination_at_{name}", lambda self, stage=stage: self.kill_destination(stage))
        setattr(Killed, f"test_source_at_{name}", lambda self, stage=stage: self.kill_source(stage))


add_tests()
if __name__ == "__main__":
    crxtest.main()
