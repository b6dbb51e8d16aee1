"""One program, one move: crx-migrate on the source, and what its events and its exit code mean."""
import dataclasses
import json
import os
import shlex
import tempfile

from . import reach
from .errors import Failure

IN_DOUBT_EXIT = 4


@dataclasses.dataclass(frozen=True)
class Job:
    """What a move needs to know. `start` is field 22 of /proc/PID/stat: it tells the program from a later one with its PID."""
    service: str
    pid: int
    start: int
    inner_pid: int
    command: str
    source: str
    destination: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """`event`: moved, failed, refused, gone, in_doubt; unseen: nobody knows whether crx-migrate has ended, and how.
    `silent`: the destination has not answered."""
    event: str
    message: str = ""
    downtime_us: int | None = None
    session: str = ""
    silent: bool = False
    new_pids: bool = False


def script(inventory, job, *options):
    """Runs crx-migrate if the PID is still the program's. Both are in one script, so that little time lies between."""
    host, service = inventory.hosts[job.source], inventory.services[job.service]
    nested = ["nsenter", "-t", str(job.pid), "-p", "-m"] if job.pid != job.inner_pid else []
    words = [*nested, host.migrate, "--to", inventory.hosts[job.destination].address, "--json", "--log-level", "error"]
    words += ["--state", host.state] if host.state else []
    words += ["--tls-dir", host.tls_dir] if host.tls_dir else []
    if service.max_downtime_ms is not None:
        words += ["--max-downtime", str(service.max_downtime_ms), "--on-no-converge", "fail"]
    words += [*service.options, *options, str(job.inner_pid)]
    return "\n".join([
        "export LC_ALL=C",
        f"stat=$(cat /proc/{job.pid}/stat 2>/dev/null) || exit {reach.OTHER_PROCESS}",
        "set -- ${stat##*) }",
        f'[ "${{20}}" = {job.start} ] || exit {reach.OTHER_PROCESS}',
        "exec " + shlex.join(words) + " </dev/null", ""])


def parse_events(text):
    events = []
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def findings_of(events):
    """The fatal findings of the preflight, as one text."""
    lines = [f"{one.get('object')}: {one.get('reason')}" + (f"; {one['remedy']}" if one.get("remedy") else "")
             for event in events if event.get("event") == "preflight" for one in event.get("findings", ()) if one.get("fatal")]
    return " | ".join(lines)


def outcome_of(job, code, output, errors, is_check):
    """What the exit code and the events of crx-migrate say. Only what they say for certain is believed: a way to the host that
    breaks may end with any code, and then crx-migrate may still work there."""
    events = parse_events(output)
    last = events[-1] if events else {}
    said = (errors.strip().splitlines() or [f"exit {code}"])[-1]
    if code == reach.OTHER_PROCESS and not events:
        return Outcome("gone", f"PID {job.pid} on {job.source} is not the program any more; make a new plan")
    if last.get("event") == "failed" and last.get("exit") == code:
        message = findings_of(events) or last.get("message", said)
        event = {3: "refused", IN_DOUBT_EXIT: "in_doubt"}.get(code, "failed")
        silent = event == "failed" and last.get("code") != "victim_gone" and not any(e.get("event") == "hello" for e in events)
        return Outcome(event, message, session=last.get("session", ""), silent=silent)
    if code == IN_DOUBT_EXIT:
        return Outcome("in_doubt", said)
    if code == 0 and is_check:
        return Outcome("moved")
    if code == 0 and last.get("event") == "done":
        return Outcome("moved", "", last.get("downtime_us"), last.get("session", ""))
    if code in (2, 126, 127) and not events:
        return Outcome("failed", f"{job.source}: {said}")
    if is_check:  # the check touches nothing, so it does not matter whether it goes on
        return Outcome("failed", f"{job.source}: {said}")
    return Outcome("unseen", f"{job.source}: the way there broke ({said})")


def run(inventory, job, *options):
    """Runs crx-migrate and waits for its end. Its output goes to files, so that it can write after we have ended."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = reach.start(inventory.hosts[job.source], script(inventory, job, *options), output, errors)
        except reach.Unreachable as error:
            return Outcome("failed", f"{job.source}: {error}")
        code = process.wait()
        code = 128 - code if code < 0 else code
        texts = []
        for file in (output, errors):
            file.seek(0, os.SEEK_SET)
            texts.append(file.read().decode(errors="replace"))
        return outcome_of(job, code, *texts, "--check-only" in options)


def check(inventory, job):
    """Asks both hosts whether the program could move. Where its PIDs are taken and its service allows that, it is asked again with
    PIDs of its own."""
    outcome = run(inventory, job, "--check-only")
    if outcome.event == "refused" and inventory.services[job.service].new_pids == "if-taken":
        again = run(inventory, job, "--check-only", "--new-pids")
        if again.event == "moved":
            return dataclasses.replace(again, new_pids=True)
    return outcome


def move(inventory, job, new_pids):
    return run(inventory, job, *(["--new-pids"] if new_pids else []))


def job_of(program, destination):
    return Job(program.service, program.pid, program.start, program.inner_pid, program.command, program.host, destination)


def checked_job(values, inventory):
    """Returns the Job in a plan file; raises Failure where a name is not in the inventory."""
    try:
        job = Job(**{field.name: field.type(values[field.name]) for field in dataclasses.fields(Job)})
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"the plan has a move that is damaged ({error}); make a new one with crx-rebalance plan") from None
    for host in (job.source, job.destination):
        if host not in inventory.hosts:
            raise Failure(f"the plan names host {host}, which is not in {inventory.path}; make a new plan")
    if job.service not in inventory.services:
        raise Failure(f"the plan names service {job.service}, which is not in {inventory.path}; make a new plan")
    return job
