"""How far a round has come is shown while it is being sent: a line that is drawn again several times a second where a person
looks, and events in --json."""
import json
import re

import crxtest
from crxtest import lines_of, until
from hosts import BIN

PYTHON = "/usr/bin/python3"
MIB = 1 << 20
SIZE, RATE = 192 * MIB, 48 * MIB

PROGRAM = f"""
import os, time
memory = bytearray(os.urandom({MIB})) * {SIZE // MIB}
print('ready', flush=True)
while True: time.sleep(0.1)
"""

# Runs argv[1:] with stderr at a terminal of 80 columns; what is drawn there goes to stdout as it comes: one JSON list
# [seconds, text] a line.
TERMINAL = """
import fcntl, json, os, struct, subprocess, sys, termios, time
master, slave = os.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
events = open(sys.argv[1], 'w')
tool = subprocess.Popen(sys.argv[2:], stdout=events, stderr=slave, stdin=subprocess.DEVNULL,
                        env=dict(os.environ, TERM='xterm'))
os.close(slave)
while True:
    try:
        text = os.read(master, 65536)
    except OSError:
        break
    if not text:
        break
    print(json.dumps([time.monotonic(), text.decode()]), flush=True)
sys.exit(tool.wait())
"""


class Progress(crxtest.RingTest):
    HOSTS = 2

    def test_first_round(self):
        here, there = self.ring[0], self.ring[1]
        output, shown, events = (self.ring.path(name) for name in ("program.out", "shown", "events"))
        process = here.spawn([PYTHON, "-c", PROGRAM], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) == ["ready"], "the program")
        tool = here.spawn([PYTHON, "-c", TERMINAL, events, f"{BIN}/crx-migrate", "--to", f"{there.address}:{there.agent_port}",
                           "--tls-dir", here.tls, "--state", f"{here.dir}/state", "--json", "--compress", "none",
                           "--max-bandwidth", str(RATE), str(process.pid)], stdout=shown)
        self.assertEqual(tool.wait(120), 0, f"{lines_of(shown)}\n{lines_of(events)}\n{there.agent_tail()}")
        moved = there.find(process.pid)
        self.assertIsNotNone(moved)
        self.addCleanup(moved.kill)
        all_events = [json.loads(line) for line in lines_of(events)]
        first = next(e for e in all_events if e["event"] == "round")
        seconds = first["duration_us"] / 1e6
        self.assertGreater(seconds, 3, f"{first}")
        self.look_at_line([json.loads(line) for line in lines_of(shown)], seconds)
        self.look_at_events(all_events, first)

    def look_at_line(self, shown, seconds):
        drawn = []
        for at, text in shown:
            for line in re.findall(r"\r(round 1 [^\r]*?)\x1b\[K", text):
                self.assertLess(len(line), 80, line)
                percent, done = re.search(r"(\d+)%  ([\d.]+) \w+ of [\d.]+ MiB  [\d.]+ \w+/s", line).groups()
                drawn.append((at, int(percent), float(done), " left" in line))
        self.assertGreater(len(drawn), 3 * seconds, f"drawn several times a second, in {seconds} s: {drawn}")
        self.assertEqual([d[1] for d in drawn], sorted(d[1] for d in drawn))
        self.assertLess(drawn[0][1], 20)
        self.assertGreater(drawn[-1][1], 85)
        self.assertGreater(len({d[1] for d in drawn}), 10)
        self.assertGreater(sum(d[3] for d in drawn), 0.7 * len(drawn), "most say how long it will take")

    def look_at_events(self, all_events, first):
        progress = [e for e in all_events if e["event"] == "progress" and e["round"] == 1]
        seconds = first["duration_us"] / 1e6
        self.assertGreater(len(progress), seconds, f"{progress}")
        self.assertLess(len(progress), 2 * seconds + 2, f"{progress}")
        for earlier, later in zip(progress, progress[1:]):
            self.assertGreaterEqual(later["t_us"] - earlier["t_us"], 490_000)
            self.assertGreater(later["bytes_done"], earlier["bytes_done"])
        end_us = first["start_us"] + first["duration_us"]
        for event in progress:
            self.assertGreaterEqual(event["bytes_planned"], SIZE)
            self.assertLessEqual(event["bytes_done"], event["bytes_planned"])
        for event in progress[2:]:
            self.assertAlmostEqual(event["bytes_per_second"], RATE, delta=0.4 * RATE, msg=f"{progress}")
            self.assertAlmostEqual(event["left_us"], end_us - event["t_us"], delta=1.5e6, msg=f"{event} of {first}")


if __name__ == "__main__":
    crxtest.main()
