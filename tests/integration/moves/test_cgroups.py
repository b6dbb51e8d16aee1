"""The control groups of a tree are made again at its destination, unless --manage-cgroups none is given."""
import os
import unittest

import crxtest
from crxtest import CGROUP2, read_text, until

PIDS = "/sys/fs/cgroup/pids"  # a hierarchy of version 1, which all hosts share here
TREE = ["/bin/sh", "-c", "sleep 1000 & echo $!; wait"]


@unittest.skipUnless(CGROUP2, "there is no cgroup version 2")
class Cgroups(crxtest.RingTest):
    def start(self):
        """A shell in /app.slice/front and its child in /app.slice/back, and both in a group of version 1."""
        self.front, self.back = (self.group(self.ring[0].cgroup, f"app.slice/{name}") for name in ("front", "back"))
        self.old = self.group(PIDS, f"of-{os.path.basename(self.ring.dir)}") if os.path.isdir(PIDS) else None
        output = self.ring.path(f"{self.id()}.out")
        process = self.ring[0].spawn(TREE, stdout=output)
        child = self.ring[0].find(int(until(lambda: read_text(output, ""), "the child")))
        self.addCleanup(process.kill)
        self.addCleanup(child.kill)
        for each, group in ((process, self.front), (child, self.back)):
            for path in (group, self.old):
                if path:
                    each.enter_cgroup(path)
        return process, child

    def group(self, top, name):
        path = f"{top}/{name}"
        os.makedirs(path, exist_ok=True)
        self.addCleanup(crxtest.remove_cgroups, path)
        return path

    def groups(self, process):
        """Returns the groups of a process by controllers, as its host sees them."""
        text = process.host.run(["cat", f"/proc/{process.pid}/cgroup"])[1]
        return {line.split(":", 2)[1]: line.split(":", 2)[2] for line in text.splitlines()}

    def both(self, process, child):
        moved = self.ring[1].find(child.pid) if process.host is self.ring[1] else child
        return self.groups(process), self.groups(moved)

    def end(self, process, child):
        # The root ends last: the agent removes the group when it ends.
        for pid in (child.pid, process.pid):
            each = process.host.find(pid)
            if each:
                each.kill()
                each.wait_end(10)

    def test_made_again(self):
        process, child = self.start()
        before = self.both(process, child)
        self.assertEqual(before[0][""], "/app.slice/front")
        process, result = self.move(process, self.ring[1])
        after = until(lambda: (lambda now: now if now[1][""] == before[1][""] else None)(self.both(process, child)),
                      lambda: f"the groups are there: {self.both(process, child)} {result}\n{self.ring[1].agent_tail()}", 5)
        self.assertEqual(after[0][""], "/app.slice/front")
        self.assertEqual(after[1][""], "/app.slice/back")
        self.assertEqual(after[0].get("pids"), before[0].get("pids"))
        until(lambda: not [name for name in os.listdir(self.ring[1].cgroup) if name.startswith("crx-")],
              "the group that the move took place in has gone", 10)
        self.end(process, child)

    def test_left_alone(self):
        process, child = self.start()
        process, _ = self.move(process, self.ring[1], "--manage-cgroups", "none")
        for groups in self.both(process, child):
            self.assertTrue(groups[""].startswith("/crx-"), groups)
        self.assertFalse(os.path.exists(f"{self.ring[1].cgroup}/app.slice"))
        self.end(process, child)

    def test_rollback(self):
        """Every process is in its old group again."""
        process, child = self.start()
        before = self.both(process, child)
        result = self.ring[0].migrate(process, self.ring[1], "--hook", '[ "$CRX_STAGE" != prepared ]')
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertEqual(self.both(process, child), before)
        self.end(process, child)


if __name__ == "__main__":
    crxtest.main()
