"""Either agent ends by SIGKILL at each stage of a move: the program never runs twice, and never is lost."""
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
        if where is None:
            # Kept frozen; what may be done with it is the operator's matter. It must not have been lost.
            crxtest.thaw_all(self.source.cgroup)
        self.check_finish(context)
        return where

    def kill_destination(self, stage):
        stages, process, tool = self.begin(stage)
        self.target.kill_agent()
        stages.go_on(stage)
        result = self.source.finish_migrate(tool)
        context = f"destination killed at {stage}: {result}\n{self.target.agent_tail()}"
        self.assertIn(result.exit, (0, 1, 4), context)
        if result.exit == 1:
            where = self.check(process, context, 1)
        else:
            where = self.check(process, context)
        if result.exit == 4:
            self.assertIn("--resolve", result.stderr, context)
        return where

    def kill_source(self, stage):
        stages, process, tool = self.begin(stage)
        tool.kill()
        tool.wait_end(10)
        stages.go_on(stage)
        context = f"source killed at {stage}\n{self.target.agent_tail()}"
        return self.check(process, context)


def add_tests():
    for stage in SOURCE + DESTINATION:
        name = stage.replace(".", "_").replace("-", "_")
        setattr(Killed, f"test_destination_at_{name}", lambda self, stage=stage: self.kill_destination(stage))
        setattr(Killed, f"test_source_at_{name}", lambda self, stage=stage: self.kill_source(stage))


add_tests()
if __name__ == "__main__":
    crxtest.main()
