"""A terminal multiplexer moves with the programs that run in it, with unchanged screens, there and back."""
import os
import shutil
import unittest

import crxtest
from crxtest import MOVES, until


@unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
class Tmux(crxtest.RingTest):
    HOSTS = 3

    def test_screen_and_shell(self):
        folder = self.ring.path("tmux")
        os.mkdir(folder, 0o700)
        env = {"TMUX_TMPDIR": folder, "TERM": "screen", "SHELL": "/bin/sh", "PS1": "$ "}

        def tmux(host, *arguments):
            return host.run(["tmux", "-f", "/dev/null", *arguments], env=env)[1]

        def screen(host, window):
            return tmux(host, "capture-pane", "-p", "-t", window)

        def type_in(host, window, text, shown):
            tmux(host, "send-keys", "-t", window, text, "Enter")
            until(lambda: shown in screen(host, window), lambda: screen(host, window), 15)

        host = self.ring[0]
        tmux(host, "new-session", "-d", "-x", "90", "-y", "20", "-n", "shell", "/bin/sh")
        pid = int(tmux(host, "display-message", "-p", "#{pid}"))
        tmux(host, "new-window", "-n", "pager", "seq 1000 1999 | less")
        type_in(host, "shell", "trap 'echo re''sized' WINCH; echo hel''lo; n=1", "hello")
        until(lambda: "1018" in screen(host, "pager"), lambda: screen(host, "pager"))
        process = host.find(pid)
        self.addCleanup(lambda: process.kill())
        for move in range(MOVES):
            before = screen(host, "shell"), screen(host, "pager")
            to = self.ring[move + 1]
            process, _ = self.move(process, to)
            host = to
            self.assertEqual((screen(host, "shell"), screen(host, "pager")), before)
            type_in(host, "shell", "n=$((n+1)); echo n is $n on $(tty)", f"n is {move + 2} on /dev/pts/0")
        tmux(host, "send-keys", "-t", "pager", "G")
        until(lambda: "1999" in screen(host, "pager"), lambda: screen(host, "pager"))
        tmux(host, "send-keys", "-t", "shell", "sleep 60; echo inter''rupted", "Enter")
        until(lambda: any(host.run(["cat", f"/proc/{child}/comm"], check=False)[1] == "sleep\n" for child in host.children(pid)), "sleep")
        tmux(host, "send-keys", "-t", "shell", "C-c")
        type_in(host, "shell", "echo al''ive", "alive")
        self.assertNotIn("resized", screen(host, "shell"))
        tmux(host, "kill-server")
        process.wait_end(20)


if __name__ == "__main__":
    crxtest.main()
