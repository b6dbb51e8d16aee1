"""A host without an agent, on which processes are dumped to image files and restored."""
import os
import shutil
import tempfile
import unittest

from crxtest import sweep
from hosts import BIN, Host, Process, read_text, until


class DumpTest(unittest.TestCase):
    """A test case with one host (a PID namespace of its own) as `self.host`, and a folder `self.dir` for the test."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        sweep()
        cls.base = tempfile.mkdtemp(prefix=f"crxtest-{os.getpid()}-")
        os.chmod(cls.base, 0o755)

        class Ground:
            dir = cls.base

        cls.host = Host(Ground, 0)
        cls.addClassCleanup(cls.close)
        cls.host.run(["ip", "link", "set", "lo", "up"])

    @classmethod
    def close(cls):
        cls.host.close()
        if os.environ.get("CRX_KEEP") != "1":
            shutil.rmtree(cls.base, ignore_errors=True)

    def shortDescription(self):
        return None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix=f"{self._testMethodName}-", dir=self.base)
        os.chmod(self.dir, 0o755)

    def run_tool(self, *argv, timeout=120):
        """Runs a tool of this build on the host; returns (exit code, stdout and stderr)."""
        return self.host.run([f"{BIN}/{argv[0]}", *argv[1:]], timeout=timeout, check=False)

    def dump(self, process, images, *options, code=0):
        pid = process.pid if isinstance(process, Process) else process
        result, text = self.run_tool("crx-dump", "-t", pid, "-D", images, "--log-level", "info", *options)
        self.assertEqual(result, code, f"crx-dump {pid}: {text}")
        return text

    def start_restore(self, images, *options):
        log = self.host.new_file(".restore")
        tool = self.host.spawn([f"{BIN}/crx-restore", "-D", images, "--log-level", "info", *options], stdout=log)
        tool.text = lambda: read_text(log, "")
        return tool

    def restore(self, images, *options, pid=None):
        """Restores a set detached; returns the process, which has the number `pid`."""
        tool = self.start_restore(images, "-d", *options)
        code = tool.wait()
        self.assertEqual(code, 0, f"crx-restore: {tool.text()}")
        process = self.host.find(pid)
        self.assertIsNotNone(process, f"{pid} does not run after crx-restore: {tool.text()}")
        return process

    def wait_gone(self, process):
        """Waits until the number is free again (its parent, the host's init, has reaped it)."""
        process.wait_end(20)
        until(lambda: not os.path.exists(self.host.proc(process.pid)), f"{process.pid} is reaped")
