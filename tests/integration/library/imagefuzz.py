#!/usr/bin/python3
"""Damages image sets in many ways and runs crx-restore and crx-image on them.

usage: imagefuzz.py BIN WORK SEED TURNS SET...    (in a PID and a mount namespace of its own, which it may change)

For every content of a set these rules hold. crx-restore ends by itself with an exit code, leaves no process behind
unless it reports that it has restored one, and writes nothing that the set does not name. crx-image reads the set
and ends by itself, too. Prints a line for every fault; exit code 1 if there is one.
"""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from imagedamage import INTEGRITY, Damage, images_of, read, seal, write


# Texts that no user should see.
OWN_ERRORS = (b"terminate called", b"bad_alloc", b"std::", b"vector::", b"basic_string", b"map::at", b"please report")


class Fuzz:
    def __init__(self, tools, work, seed, sets):
        self.tools, self.work, self.sets, self.seed = tools, work, sets, seed
        self.rng = random.Random(seed)
        self.bait = f"{work}/bait/file"
        self.damage = Damage(self.rng, self.bait)
        self.faults, self.results, self.messages = 0, {}, {}

    def hurt(self, folder):
        """Damages the set; returns a description of the damage."""
        images = [name for name in images_of(folder) if name != INTEGRITY]
        own = os.path.exists(f"{folder}/{INTEGRITY}")
        turn = self.rng.randrange(20)
        words = []
        if turn == 0:
            self.cycle(folder)
            words.append("cyclic parents")
        elif turn == 1:
            a, b = self.rng.choice(images), self.rng.choice(images)
            one, two = read(f"{folder}/{a}"), read(f"{folder}/{b}")
            write(f"{folder}/{a}", two)
            write(f"{folder}/{b}", one)
            words.append(f"{a} and {b} swapped")
        elif turn == 2:
            name = self.rng.choice(images)
            os.unlink(f"{folder}/{name}")
            words.append(f"{name} removed")
        else:
            for _ in range(self.rng.choice([1, 1, 2, 3])):
                # Damage small images more often: they control what is done, large ones only hold memory.
                name = self.rng.choice([each for each in images if not each.startswith("pages-") or self.rng.random() < 0.3])
                path = f"{folder}/{name}"
                structured = not name.startswith("pages-") and self.rng.random() < 0.8
                try:
                    write(path, self.damage.image(name, read(path)) if structured else self.damage.octets(read(path)))
                except ValueError:
                    continue
                words.append(f"{name} {'entries' if structured else 'bytes'}")
        if own:
            how = self.rng.random()
            if how < 0.6:
                seal(folder)
                words.append("sealed again")
            elif how < 0.9:
                for name in images_of(folder):
                    if name.startswith("crx-"):
                        os.unlink(f"{folder}/{name}")
                words.append("without a manifest")
        return ", ".join(words)

    def cycle(self, folder):
        link = f"{folder}/parent"
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(self.rng.choice([".", "../" + os.path.basename(folder), "parent", "/", "..", "/proc/self/fd", "a" * 300]), link)

    def look(self, folder):
        """Returns the fault in crx-image's handling of the set, if there is one."""
        verb = self.rng.choice([["show"], ["show", "--json"], ["verify"], ["decode"]])
        try:
            done = subprocess.run([f"{self.tools}/crx-image", *verb, folder], stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=30, check=False)
        except subprocess.TimeoutExpired:
            return f"crx-image {verb} hangs"
        if done.returncode not in (0, 1) or any(word in done.stderr for word in OWN_ERRORS):
            return f"crx-image {verb} ends with {done.returncode}: {done.stderr[:600]}"
        return None

    def pids(self):
        return {int(name) for name in os.listdir("/proc") if name.isdigit()}

    def turn(self, number):
        shutil.rmtree(f"{self.work}/sets", ignore_errors=True)
        source = self.sets[number % len(self.sets)]
        folder = f"{self.work}/sets/{os.path.basename(source)}"
        shutil.copytree(os.path.dirname(source), f"{self.work}/sets", symlinks=True)
        words = self.hurt(folder)
        wrong = self.look(folder)
        before = self.pids()
        log = f"{self.work}/log"
        with open(log, "wb") as out:
            tool = subprocess.Popen([f"{self.tools}/crx-restore", "-D", folder, "-d"], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    start_new_session=True)
        try:
            code = tool.wait(30)
        except subprocess.TimeoutExpired:
            code = "hangs"
            tool.kill()
            tool.wait()
        text = read(log).decode(errors="replace")
        # Processes that were being built die with their tracer, which may take a moment.
        deadline = time.monotonic() + (5 if code != 0 else 0)
        left = self.pids() - before
        while left and time.monotonic() < deadline:
            os.sched_yield()
            left = self.pids() - before
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.wait_gone(left)
        if wrong is not None:
            pass
        elif code not in (0, 1, 3):
            wrong = f"ends with {code}"
        elif code != 0 and left:
            wrong = f"leaves processes {sorted(left)}"
        elif code != 0 and not re.search(r"\.img|(^|\s)/|PID |process |task ", text):
            wrong = "does not say where"
        elif any(word.decode() in text for word in OWN_ERRORS):
            wrong = "an error of its own"
        elif os.listdir(f"{self.work}/bait") != ["file"] or read(self.bait) != b"bait":
            wrong = "writes where it should not"
        self.results[code] = self.results.get(code, 0) + 1
        key = re.sub(r"[0-9a-f]{2,}|\d+", "N", text)[:120]
        self.messages[key] = self.messages.get(key, 0) + 1
        if wrong:
            self.faults += 1
            kept = f"{self.work}/fault-{self.seed}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(f"{self.work}/sets", kept, symlinks=True)
            print(f"turn {number}: {os.path.basename(source)}: {words}: crx-restore {wrong}: {text.strip()[:600]} (kept: {kept})", flush=True)

    def wait_gone(self, pids):
        for _ in range(20000):
            if not pids & self.pids():
                return
            os.sched_yield()


def confine():
    """Protects the machine from faults of crx-restore: everything but /tmp is read-only."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split()[4] for line in file]
    subprocess.run(["mount", "--bind", "/tmp", "/tmp"], check=True)
    for at in mounts:
        if not at.startswith(("/proc", "/dev", "/sys/fs/cgroup")):
            subprocess.run(["mount", "-o", "remount,bind,ro", at], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "remount,bind,rw", "/tmp"], check=True)


def main():
    tools, work, seed, turns, *sets = sys.argv[1:]
    confine()
    os.makedirs(f"{work}/bait", exist_ok=True)
    write(f"{work}/bait/file", b"bait")
    fuzz = Fuzz(tools, work, int(seed), sets)
    for number in range(int(turns)):
        fuzz.turn(number)
    print(f"{turns} turns, exit codes {fuzz.results}, {len(fuzz.messages)} different messages, {fuzz.faults} faults")
    if os.environ.get("CRX_FUZZ_MESSAGES"):
        for key, count in sorted(fuzz.messages.items(), key=lambda item: -item[1]):
            print(count, key.strip())
    sys.exit(1 if fuzz.faults else 0)


if __name__ == "__main__":
    main()
