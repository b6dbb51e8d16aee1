"""Refusals of docs/supported.md by a host on which crx-restore lacks something. The set stays as it is: with what was
lacking, the same set is restored."""
import contextlib

import crxtest
from crxtest import lines_of, until
from dumptest import DumpTest
from hosts import BIN, machine_setting, without

PYTHON = "/usr/bin/python3"
HOLD = "\nimport time\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)\n"
# A user namespace in which root has all capabilities, and none outside. Its PID namespace lets it choose numbers.
IN_USER_NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


class RefusedRestores(DumpTest):
    def refuse(self, program, words, prefix, lacking=contextlib.nullcontext()):
        output = f"{self.dir}/out"
        process = self.host.spawn([PYTHON, "-c", program + HOLD], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) or not process.alive(), "the program")
        self.assertEqual(lines_of(output), ["ready"])
        self.dump(process, f"{self.dir}/set")
        self.wait_gone(process)
        with lacking:
            code, text = self.host.run([*prefix, f"{BIN}/crx-restore", "-d", "-D", f"{self.dir}/set"], check=False)
        self.assertEqual(code, 1, text)
        for word in words:
            self.assertIn(word, text)
        self.assertIsNone(self.host.find(process.pid), text)
        self.restore(f"{self.dir}/set", pid=process.pid).kill()

    def test_fanotify(self):
        self.refuse("import ctypes; fd = ctypes.CDLL(None).syscall(300, 0, 0); assert fd > 0",
                    ["fanotify", "needs CAP_SYS_ADMIN", "run the destination's agent with it"], IN_USER_NAMESPACE)

    def test_full_pipe(self):
        self.refuse("import fcntl, os; r, w = os.pipe(); fcntl.fcntl(w, 1031, 1 << 20); os.write(w, bytes(100_000))",
                    ["100000 bytes lie in it, and we may not make it larger than", "set fs.pipe-max-size to at least 1048576 here"],
                    without("sys_resource"), machine_setting("/proc/sys/fs/pipe-max-size", lambda before: before // 2))


if __name__ == "__main__":
    crxtest.main()
