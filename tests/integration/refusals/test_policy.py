"""What crx-agent lets in: uids, gids, capabilities, memory, tasks; said at preflight, and kept by the engine at the act."""
import os
import shutil

import crxtest
from crxtest import read_text, until

# Runs `become`, says that it is ready, and counts; when TOP/change appears it runs `change`, and says so.
PROGRAM = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def raw(number, *args):
    if libc.syscall(number, *args) != 0: raise OSError(ctypes.get_errno(), str(number))
SETRESUID, PRCTL = 117, 157
BECOME
open('TOP/ready', 'w').close()
count = 0
while True:
    count += 1
    if count % 50 == 0: open('TOP/alive', 'w').write(str(count))
    if os.path.exists('TOP/change') and not os.path.exists('TOP/changed'):
        CHANGE
        open('TOP/changed', 'w').close()
    time.sleep(0.001)
"""
USER = "os.setgroups([]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)"
STILL_ROOT = "os.setgroups([]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 0)"


class PolicyTest(crxtest.RingTest):
    HOSTS = 2

    def start(self, become, change="pass", prefix=()):
        """Returns a program on host 0 and its folder."""
        top = self.ring.path(self.id() + str(len(os.listdir(self.ring.dir))))
        os.makedirs(top)
        os.chmod(top, 0o777)
        text = PROGRAM.replace("BECOME", become).replace("CHANGE", change).replace("TOP", top)
        open(f"{top}/err", "w").close()
        os.chmod(f"{top}/err", 0o666)  # the program's user must be able to open it, too
        process = self.ring[0].spawn([*prefix, "/usr/bin/python3", "-c", text], stderr=f"{top}/err")
        self.addCleanup(process.kill)
        until(lambda: os.path.exists(f"{top}/ready") or not process.alive(), "the program")
        self.assertTrue(process.alive(), read_text(f"{top}/err", ""))
        return process, top

    def allow(self, *options):
        self.ring[1].restart_agent(*options)
        self.addCleanup(self.ring[1].restart_agent)

    def goes_on(self, process, top):
        self.assertTrue(process.alive())
        before = read_text(f"{top}/alive", "")
        until(lambda: read_text(f"{top}/alive", "") not in ("", before), "it runs on")

    def refused(self, started, words, code=3):
        process, top = started
        result = self.ring[0].migrate(process, self.ring[1])
        self.assertEqual(result.exit, code, f"{result}")
        self.assertIn(words, result.stderr, f"{result}")
        self.goes_on(process, top)
        process.kill()

    def moves(self, started, *options):
        process, top = started
        arrived, _ = self.move(process, self.ring[1], *options)
        self.goes_on(arrived, top)
        arrived.kill()

    def test_uids(self):
        self.allow("--allow-uid", "1000-1999")
        words = "uid 0: is not allowed here; see --allow-uid of crx-agent"
        self.refused(self.start("os.setgroups([]); os.setresuid(1000, 0, 1000)"), words)
        self.refused(self.start(STILL_ROOT), words)
        # A thread of its own mind: the kernel's call changes one thread only.
        self.refused(self.start(f"threading.Thread(target=lambda: time.sleep(1000)).start(); {USER.split(';')[0]}\n"
                                "raw(SETRESUID, 1000, 1000, 1000)"), words)
        self.moves(self.start(USER))

    def test_capabilities(self):
        user = (shutil.which("setpriv"), "--reuid", "1000", "--regid", "1000", "--clear-groups", "--inh-caps", "+net_raw",
                "--ambient-caps", "+net_raw")
        self.allow("--allow-uid", "1000-1999")
        self.refused(self.start("", prefix=user),
                     "CAP_NET_RAW: is not allowed here; see --allow-capabilities of crx-agent")
        self.allow("--allow-uid", "1000-1999", "--allow-capabilities", "net_raw,chown")
        self.moves(self.start("", prefix=user))

    def test_root_without_capabilities_can_have_them_again(self):
        self.allow("--allow-capabilities", "kill")
        self.refused(self.start(""), "is not allowed here; see --allow-capabilities of crx-agent")

    def test_groups(self):
        self.allow("--allow-gid", "1000-1999")
        words = "gid 6: is not allowed here; see --allow-gid of crx-agent"
        self.refused(self.start("os.setgroups([1001, 6]); os.setresgid(1000, 1000, 1000)"), words)
        self.refused(self.start("os.setgroups([]); os.setresgid(1000, 6, 1000)"), words)
        self.moves(self.start("os.setgroups([1001]); os.setresgid(1000, 1000, 1000)"))

    def test_tasks(self):
        self.allow("--max-tasks", "3")
        threads = "for i in range(N): threading.Thread(target=lambda: time.sleep(1000)).start()"
        self.refused(self.start(threads.replace("N", "3")),
                     "4 tasks: are more than a session may have here; see --max-tasks of crx-agent")
        self.moves(self.start(threads.replace("N", "2")))

    def test_memory_that_may_be_written_to(self):
        self.allow("--max-memory", "256M")
        self.refused(self.start("import mmap; big = mmap.mmap(-1, 300 << 20, flags=mmap.MAP_PRIVATE)"),
                     "MiB are more than a session may have here; see --max-memory of crx-agent")
        self.moves(self.start("import mmap; big = mmap.mmap(-1, 300 << 20, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)\n"
                              "held = bytearray(20 << 20)"))

    def test_securebits_are_seen_in_the_stop(self):
        self.allow("--allow-uid", "1000-1999")
        self.refused(self.start(f"raw(PRCTL, 28, 4, 0, 0, 0); {USER}\n"
                                "header = (ctypes.c_uint32 * 2)(0x20080522, 0); none = (ctypes.c_uint32 * 6)()\n"
                                "raw(126, header, none)"),  # SECBIT_NO_SETUID_FIXUP keeps the sets; capset empties them
                     "securebits 0x4 need CAP_SETPCAP, which is not allowed here", code=1)

    def test_what_changes_after_preflight(self):
        """The engine refuses what preflight could not see, and the program runs on here."""
        self.allow("--allow-uid", "0")
        process, top = self.start("", "os.setresuid(0, 0, 5)")
        stages = crxtest.Stages(self.ring, "source.pre-freeze")
        tool = self.ring[0].start_migrate(process, self.ring[1], "--hook", stages.command)
        self.assertTrue(stages.wait("source.pre-freeze", lambda: not tool.alive()))
        open(f"{top}/change", "w").close()
        until(lambda: os.path.exists(f"{top}/changed"), "its saved uid is another one")
        stages.go_on("source.pre-freeze")
        result = self.ring[0].finish_migrate(tool)
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertIn("uid 5 is not allowed here", result.stderr, f"{result}")
        self.goes_on(process, top)

    def test_sections_of_the_configuration_file(self):
        config = self.ring.path("agent.conf")
        with open(config, "w") as file:
            file.write(f"allow-uid = 1000-1999\n[peer {self.ring[0].address}]\nallow-uid = 0\nallow-capabilities = all\n"
                       "[peer another]\nmax-tasks = 1\n")
        self.allow("--config", config)
        self.moves(self.start(""))
        self.refused(self.start(USER), "uid 1000: is not allowed here; see --allow-uid of crx-agent")


if __name__ == "__main__":
    crxtest.main()
