"""Plans: made from a look at the hosts, checked by them, written to a file, and read again."""
import dataclasses
import json
import os
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor

from . import cluster, history, mover, planner
from .errors import USAGE, Failure

CHECKS_AT_ONCE = 4
VERSION = 1


def ask_hosts(inventory, jobs):
    """Runs crx-migrate --check-only for all jobs, some at once; returns their Outcomes."""
    with ThreadPoolExecutor(max_workers=CHECKS_AT_ONCE) as pool:
        return list(pool.map(lambda job: mover.check(inventory, job), jobs))


def make(looked, records, empty=(), even=True, check=True, refused=None):
    """Returns (planner.Plan, the sites). With `check` the hosts are asked about every move, and for a program that one refuses
    another host is taken, until they refuse no more. `refused` ({(key, host): why}) holds what is known already, and gets what
    they say."""
    sites = cluster.sites(looked, records, empty)
    candidates = cluster.candidates(looked, records)
    rules = cluster.rules(looked.inventory.policy)
    refused, passed = {} if refused is None else refused, set()
    while True:
        plan = planner.plan(sites, candidates, rules, refused, even)
        moves = [move for move in plan.moves if (move.key, move.destination) not in passed] if check else []
        if not moves:
            return plan, sites
        jobs = [mover.job_of(looked.program(move.key), move.destination) for move in moves]
        for move, outcome in zip(moves, ask_hosts(looked.inventory, jobs)):
            if outcome.event == "moved":
                passed.add((move.key, move.destination))
            else:
                refused[move.key, move.destination] = outcome.message
            if outcome.silent:
                for site in sites:
                    site.closed = outcome.message if site.name == move.destination else site.closed


def describe(plan, sites, looked):
    """The plan as the object that --json prints and a plan file holds."""
    policy = looked.inventory.policy
    moves = []
    for number, move in enumerate(plan.moves, 1):
        program = looked.program(move.key)
        moves.append({"number": number, **dataclasses.asdict(mover.job_of(program, move.destination)),
                      "memory_bytes": program.memory_bytes, "why": move.why})
    return {
        "event": "plan", "version": VERSION, "plan": secrets.token_hex(8), "made": history.now().isoformat(timespec="seconds"),
        "policy": {"balance": policy.balance, "threshold": policy.threshold, "target": policy.target},
        "hosts": [{"host": site.name, "load_before": round(plan.before[site.name], 2), "load_after": round(plan.after[site.name], 2),
                   "problem": looked.facts[site.name].problem, "closed": site.closed} for site in sites],
        "moves": moves,
        "stays": [{"service": key[0], "host": key[1], "pid": key[2], "why": why} for key, why in plan.stays],
        "doubts": [{"service": record["service"], "pid": record["pid"], "from": record["from"], "to": record["to"], "why": message}
                   for record, message in looked.doubts]}


def write(path, document):
    """Writes the file at once or not at all."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        os.replace(file.name, path)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; name another file with --output FILE") from None


def read(path, inventory):
    """Returns (id of the plan, [(number, Job)])."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; make a plan with crx-rebalance plan --output {path}", USAGE) from None
    except ValueError:
        raise Failure(f"{path}: is no plan; make one with crx-rebalance plan --output {path}", USAGE) from None
    if not isinstance(document, dict) or document.get("event") != "plan" or document.get("version") != VERSION or \
            not isinstance(document.get("moves"), list):
        raise Failure(f"{path}: is no plan of this version; make one with crx-rebalance plan --output {path}", USAGE)
    return str(document.get("plan")), [(move.get("number"), mover.checked_job(move, inventory)) for move in document["moves"]
                                       if isinstance(move, dict)]
