"""crx-dump, crx-restore and tracking daemons are killed by SIGKILL at any moment: either the process runs on or the
set is complete, and never both or neither."""
import os
import random
import select
import shutil
import time

import crxtest
import test_dump
from hosts import lines_of, read_text, until

TURNS = 60 if crxtest.FULL else 12


class Killed(test_dump.Heap):
    def processes_of(self, tool):
        """Returns a tool and the processes that it has started, except restored ones."""
        return [tool] + [found for found in map(self.host.find, self.host.children(tool.pid)) if found and
                         found.pid != self.process.pid and read_text(found.proc("comm"), "").startswith("crx-")]

    def after(self, tool, seconds):
        """Waits for a part of the tool's run; the test tries different lengths."""
        select.select([tool.pidfd], [], [], seconds)

    def is_whole(self, images):
        return os.path.exists(f"{images}/inventory.img")

    def nothing_is_left(self, context):
        tables = self.host.run(["nft", "list", "tables"], check=False)[1]
        self.assertNotIn("crx", tables, context)
        groups = [line for line in read_text(self.host.proc(self.process.pid, "cgroup")).splitlines() if "crx-" in line]
        self.assertEqual(groups, [], context)
        self.assertIn("TracerPid:\t0", read_text(self.process.proc("status")), context)

    def find(self, pid):
        return self.host.find(pid) if pid in self.host.pids() else None

    def test_chains_are_right_whoever_is_killed(self):
        dice = random.Random(4)
        self.process = process = self.start(8)
        number, parent, whole = 0, None, 0.3
        for turn in range(TURNS):
            number += 1
            images = f"{self.dir}/{number}"
            options = ["--pre"] if dice.random() < 0.5 else ["-R", "--track-mem"]
            options += ["--prev-images-dir", f"../{parent}"] if parent else []
            began = time.monotonic()
            tool = self.host.spawn([f"{crxtest.BIN}/crx-dump", "-t", process.pid, "-D", images, *options], stdout=f"{self.dir}/log")
            victim = dice.choice(("tool", "worker", "both", "daemon", "nobody"))
            context = f"turn {turn}: {victim} {options} {read_text(f'{self.dir}/log', '')}"
            if victim != "nobody":
                self.after(tool, dice.uniform(0, whole * 1.1))
            family = self.processes_of(tool)
            if victim in ("tool", "both"):
                family[0].kill()
            if victim in ("worker", "both"):
                for each in family[1:]:
                    each.kill()
            for each in family:
                # A tracking daemon that was made just now lives on.
                until(lambda: not each.alive() or read_text(each.proc("comm"), "") == "crx-tracking\n", context, 20)
            if victim == "nobody":
                whole = time.monotonic() - began
            if victim == "daemon":
                for pid in self.host.pids():
                    daemon = self.host.find(pid)
                    if daemon and read_text(daemon.proc("comm"), "") == "crx-tracking\n":
                        daemon.kill()
            self.nothing_is_left(context)
            digest = self.change()
            if self.is_whole(images):
                code, text = self.run_tool("crx-image", "verify", images)
                self.assertEqual(code, 0, f"{context} {text}")
                parent = number
            else:
                shutil.rmtree(images, ignore_errors=True)
            if turn % 4 == 3:
                # The last set and its parents hold the present state of the process.
                last = f"{self.dir}/last"
                shutil.rmtree(last, ignore_errors=True)
                self.report(process, last, *(["--prev-images-dir", f"../{parent}"] if parent else []))
                self.wait_gone(process)
                self.process = process = self.restore(last, pid=process.pid)
                self.assertEqual(self.digest(), digest, context)

    def test_the_process_itself_is_killed(self):
        """Either the dump has failed and there is no set, or it looks as if the dump had ended the process."""
        dice = random.Random(6)
        whole, outcomes = 0.3, {}
        for turn in range(TURNS):
            process = self.start(1)
            images = f"{self.dir}/{turn}"
            began = time.monotonic()
            tool = self.host.spawn([f"{crxtest.BIN}/crx-dump", "-t", process.pid, "-D", images], stdout=f"{self.dir}/log")
            if turn:
                self.after(tool, dice.uniform(0, whole))
                process.kill()
            code = tool.wait(30)
            if turn == 0:
                whole = time.monotonic() - began
            context = f"turn {turn}: {code} {read_text(f'{self.dir}/log', '')}"
            self.wait_gone(process)
            # Before it is touched it may be seen as a zombie that its parent has not reaped yet, and is refused as such.
            zombie = code == 3 and f"pid {process.pid}: has ended" in context
            self.assertIn(code, (0,) if self.is_whole(images) else (1, 3) if zombie else (1,), context)
            self.assertEqual(os.path.exists(images), self.is_whole(images), context)
            outcomes[code] = outcomes.get(code, 0) + 1
        print(f"{outcomes} ", end="", flush=True)

    def test_restores(self):
        dice = random.Random(5)
        self.process = process = self.start(8)
        digest = self.digest()
        images = f"{self.dir}/set"
        self.dump(process, images)
        self.wait_gone(process)
        began = time.monotonic()
        revived = self.restore(images, pid=process.pid)
        whole = time.monotonic() - began
        revived.kill()
        self.wait_gone(revived)
        outcomes = {}
        for turn in range(TURNS):
            tool = self.start_restore(images, *(["-d"] if turn % 2 else []))
            self.after(tool, dice.uniform(0, whole * 1.2))
            victim = dice.choice(("tool", "builder", "both"))
            family = self.processes_of(tool)
            for each in {"tool": family[:1], "builder": family[1:], "both": family}[victim]:
                each.kill()
            context = f"turn {turn}: {victim}, {tool.text()}"
            # The builder ends with the tool; the processes it has built end with the builder.
            for each in family[1:]:
                each.wait_end(20)
            # It answers, or it is gone; there is no state in between.
            count = len(lines_of(self.output))
            self.touch("check")
            until(lambda: len(lines_of(self.output)) > count or (self.find(process.pid) is None and (victim != "builder" or not tool.alive())),
                  context)
            runs = len(lines_of(self.output)) > count
            if not runs:
                os.unlink(f"{self.control}.check")
            outcomes[runs] = outcomes.get(runs, 0) + 1
            if runs:
                self.process = self.find(process.pid)
                self.nothing_is_left(context)
                self.assertEqual(lines_of(self.output)[-1].split()[1], digest, context)
                self.process.kill()
            until(lambda: not os.path.exists(self.host.proc(process.pid)), context)
            if tool.alive():
                tool.kill()
            tool.wait_end(20)
        print(f"{outcomes} ", end="", flush=True)


if __name__ == "__main__":
    crxtest.main()
