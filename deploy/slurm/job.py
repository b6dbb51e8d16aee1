"""The user's side, in the batch script: starts or revives the program, saves it at the warning, and asks Slurm to queue the job again."""
import contextlib
import os
import queue
import signal
import subprocess
import threading

from crxlib import tools
from crxlib.errors import INCOMPLETE, Failure

from .keeper import NO_SET

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def shell_code(status):
    """An exit status in the form of a shell."""
    return 128 - status if status < 0 else status


class Job:
    """One run of the job on one node. `requeue` are words that queue the job again, `helper` words that run crx-slurm as root."""

    def __init__(self, job, command, helper, requeue, warning, note):
        self.job, self.command, self.helper, self.requeue, self.note = job, command, helper, requeue, note
        self.warning, self.events = warning, queue.Queue()
        self.process, self.pid, self.status = None, 0, None

    def run(self):
        """Returns the exit code of the batch script: that of the program, or 0 if the job was queued again."""
        for number in (self.warning, *PASSED_ON):
            signal.signal(number, lambda number, _: self.events.put(number))
        if not self.revive():
            self.launch()
        while True:
            event = self.next_event()
            if event == "ended":
                self.ask("drop")
                return self.status
            if event != self.warning:
                self.pass_on(event)
            elif self.save():
                if self.queue_again():
                    return 0
                if not self.revive():
                    raise Failure("the set that was just saved is not there any more")

    def next_event(self):
        while True:
            # Without a time limit no signal handler would run.
            with contextlib.suppress(queue.Empty):
                event = self.events.get(timeout=0.2)
                if not isinstance(event, tuple):
                    return event
                if event[0] is self.process:  # its end; an earlier one was reported before
                    return "ended"

    # -- the program

    def launch(self):
        try:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            raise Failure(f"cannot run {self.command[0]}: {error.strerror}") from None
        self.pid = self.process.pid
        self.note(f"started {self.command[0]} as process {self.pid}")
        threading.Thread(target=self.watch, args=(self.process,), daemon=True).start()

    def watch(self, process):
        status = shell_code(process.wait())
        if process is self.process:
            self.status = status
        self.events.put((process,))

    def revive(self):
        """Revives what was saved; returns whether there was anything."""
        process = subprocess.Popen([*self.helper, "revive", self.job], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                   start_new_session=True)
        first = next(tools.objects_of(process.stdout.readline()), {})
        if first.get("event") == "restored":
            self.process, self.pid, self.status = process, first["pid"], None
            self.note(f"revived as process {self.pid}")
            threading.Thread(target=self.watch_revived, args=(process,), daemon=True).start()
            return True
        process.stdout.read()
        if process.wait() == NO_SET:
            return False
        raise Failure(first.get("message") or "the program cannot be revived on this node; its set stays, see above")

    def watch_revived(self, process):
        last = {}
        for line in process.stdout:
            last = next(tools.objects_of(line), last)
        code = process.wait()
        if process is self.process:
            self.status = last.get("exit_status", shell_code(code))
        self.events.put((process,))

    def pass_on(self, number):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)

    # -- the warning

    def ask(self, verb, *words):
        done = subprocess.run([*self.helper, verb, self.job, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              start_new_session=True, check=False)
        return done.returncode == 0

    def save(self):
        """Saves the program; returns whether it is in the set. Otherwise it runs on, or has ended by itself."""
        ending, self.process = self.process, None  # its end is ours, not its own
        if not self.ask("save", str(self.pid)):
            self.process = ending
            self.note("the program was not saved, and runs on until the end of the job", "error")
            if ending.poll() is not None:
                self.status = shell_code(ending.returncode)
                self.events.put((ending,))
            return False
        ending.wait()
        self.note("the program is saved")
        return True

    def queue_again(self):
        words = [*self.requeue, self.job]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True)
        except OSError as error:
            self.note(f"cannot run {words[0]}: {error.strerror}; the program goes on here", "error")
            return False
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
            self.note(f"{' '.join(words)}: {why}; the program goes on here", "error")
            return False
        self.note("the job is queued again")
        return True


def helper(program, config):
    """Words that run crx-slurm as root."""
    path = os.path.realpath(program)
    return [path, "--config", config] if os.geteuid() == 0 else ["sudo", "-n", path]


def job_number():
    number = os.environ.get("SLURM_JOB_ID", "")
    if not number:
        raise Failure("SLURM_JOB_ID is not set: this is for a batch script of Slurm", INCOMPLETE)
    return number
