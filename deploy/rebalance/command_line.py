"""The command line: crx-rebalance plan, apply, drain and status. crx-rebalance(8) describes it."""
from crxlib import cli

from . import cluster, drain, history, inventory, plan_file, runner, tables
from .errors import DONE, IN_DOUBT, INCOMPLETE, INTERRUPTED, USAGE, Failure

LAST_RECORDS = 10


def add_common(parser, suppress):
    cli.add_files(parser, suppress, "--inventory", "/etc/crx/rebalance.toml", "hosts, services and policy",
                  "/var/lib/crx/rebalance")


def add_moving(parser):
    parser.add_argument("--parallel", metavar="N", type=cli.at_least(1), default=1, help="make N moves at a time; default 1")
    parser.add_argument("--max-failures", metavar="N", type=cli.at_least(1), default=3, help="stop after N failed moves; default 3")


def make_parser(version):
    parser, verb = cli.command_line("crx-rebalance", version, "Spreads programs over hosts, and empties hosts, by crx-migrate.", add_common)
    plan = verb("plan", "say what would be moved, and why")
    plan.add_argument("--output", metavar="FILE", help="write the plan to FILE, for apply")
    plan.add_argument("--no-check", action="store_true", help="do not ask the hosts whether the programs can move")
    apply = verb("apply", "carry a plan out, or go on with it")
    apply.add_argument("plan", metavar="FILE", help="a plan that plan --output has written")
    add_moving(apply)
    emptying = verb("drain", "move all programs away from a host, and let none move there")
    emptying.add_argument("host", metavar="HOST")
    emptying.add_argument("--end", action="store_true", help="let programs move to the host again, and move none")
    emptying.add_argument("--wait", metavar="SEC", type=cli.at_least(0), default=0,
                          help="try again for so long while programs are left; default 0")
    add_moving(emptying)
    verb("status", "show the hosts, the programs, and what was done last")
    return parser


class Tool(cli.Voice):
    def __init__(self, options):
        super().__init__("crx-rebalance", options)
        self.inventory = inventory.load(options.inventory)
        self.history = history.History(options.state)

    def say(self, record):
        bad = record["event"] in ("failed", "in_doubt")
        self.event(record, tables.record_line(record), "error" if bad else "debug" if record["event"] == "started" else "info")

    def runner(self, plan, max_failures):
        return runner.Runner(self.inventory, self.history, plan, self.options.parallel, max_failures, self.say, self.note)

    # -- verbs; each returns the exit code

    def plan(self):
        looked = cluster.look(self.inventory, self.history)
        plan, sites = plan_file.make(looked, self.history, check=not self.options.no_check)
        document = plan_file.describe(plan, sites, looked)
        if self.options.output:
            plan_file.write(self.options.output, document)
        self.result(document, tables.plan_lines(document))
        return IN_DOUBT if document["doubts"] else DONE

    def apply(self):
        self.history.lock()
        plan, moves = plan_file.read(self.options.plan, self.inventory)
        looked = cluster.look(self.inventory, self.history) if self.history.doubts() else None
        if looked:
            cluster.write_verdicts(self.history, looked.verdicts)
        doubts = looked.doubts if looked else []
        for record, message in doubts:
            self.note(f"{record['service']} (pid {record['pid']}) {record['from']} -> {record['to']}: in doubt: {message}", "error")
        begun = self.history.outcomes(plan)
        done = {number for number, record in begun.items() if record["event"] in ("moved", "gone", "in_doubt", "started")}
        doubtful = {history.key_of(record) for record, _ in doubts}
        drained = self.history.drained()
        jobs = []
        for number, job in moves:
            if number in done or (job.service, job.inner_pid, job.command) in doubtful:
                continue
            if job.destination in drained:
                self.note(f"{job.service} (pid {job.pid}) stays on {job.source}: {job.destination} is drained", "warn")
                continue
            jobs.append((number, job))
        if done:
            self.note(f"{self.options.plan}: {len(done)} of {len(moves)} moves were made before")
        summary = self.runner(plan, self.options.max_failures).run(jobs)
        return self.finish(plan, moves, summary, bool(doubts))

    def finish(self, plan, moves, summary, has_doubts):
        outcomes = self.history.outcomes(plan)
        events = [outcomes.get(number, {}).get("event", "") for number, _ in moves]
        moved, missing = events.count("moved"), sum(event not in ("moved", "gone") for event in events)
        document = {"event": "applied", "plan": plan, "moves": len(moves), "moved": moved, "stopped": summary.stopped,
                    "not_begun": events.count(""), **{event: events.count(event) for event in ("failed", "refused", "gone", "skipped",
                                                                                              "in_doubt")}}
        line = f"{moved} of {len(moves)} programs have moved"
        line += "".join(f", {document[event]} {event.replace('_', ' ')}" for event in ("failed", "refused", "gone", "skipped", "in_doubt",
                                                                                       "not_begun") if document[event])
        if summary.stopped:
            line += f"; stopped: {runner.WHY_STOPPED[summary.stopped]}"
        if missing:
            line += f"; apply {self.options.plan} again to go on"
        self.result(document, [line])
        if has_doubts or "in_doubt" in events:
            return IN_DOUBT
        return INTERRUPTED if summary.stopped == "interrupted" else INCOMPLETE if missing else DONE

    def drain(self):
        host = self.options.host
        if host not in self.inventory.hosts:
            raise Failure(f"{host}: is no host of {self.inventory.path}; there are {', '.join(self.inventory.hosts)}", USAGE)
        self.history.lock()
        if self.options.end:
            if host in self.history.drained():
                self.history.add("drain_end", host=host)
            self.result({"event": "drain_end", "host": host}, [f"{host} takes programs again"])
            return DONE
        emptying = drain.Drain(self.inventory, self.history, host, self.options.wait, self.options.max_failures, True, self.runner,
                               self.note)
        code, left = emptying.run()
        document = {"event": "drained", "host": host, "moved": emptying.moved, "empty": not left,
                    "left": [{"service": one.service, "pid": one.pid, "why": why} for one, why in left]}
        lines = [f"{host} is empty. Programs that have moved: {emptying.moved}. crx-rebalance drain --end {host} lets programs in again."]
        if left:
            lines = [f"{host} is not empty. Programs that have moved: {emptying.moved}; left there: {len(left)}.", "",
                     *tables.table(("STAYS", "PID", "WHY"), [(one.service, one.pid, why) for one, why in left])]
        self.result(document, lines)
        return code

    def status(self):
        looked = cluster.look(self.inventory, self.history)
        drained, found = self.history.drained(), {one.service for one in looked.programs}
        hosts = []
        for host in self.inventory.hosts.values():
            facts, mine = looked.facts[host.name], [one for one in looked.programs if one.host == host.name]
            load = 0.0 if facts.problem else cluster.memory_load(host, facts, mine)[0]
            hosts.append({"host": host.name, "address": host.address, "problem": facts.problem, "memory_load": round(load, 2),
                          "cpu_pressure": round(facts.cpu_pressure, 2), "pressure_from": facts.pressure_from, "programs": len(mine),
                          "drained": host.name in drained})
        document = {
            "event": "status", "hosts": hosts,
            "programs": [{"service": one.service, "pid": one.pid, "host": one.host, "memory_bytes": one.memory_bytes,
                          "command": one.command, "stays": one.stays} for one in looked.programs],
            "absent": [name for name in self.inventory.services if name not in found],
            "doubts": [{"service": record["service"], "pid": record["pid"], "from": record["from"], "to": record["to"], "why": message}
                       for record, message in looked.doubts],
            "last": [record for record in self.history.records if record["event"] != "started"][-LAST_RECORDS:]}
        self.result(document, tables.status_lines(document))
        return IN_DOUBT if document["doubts"] else DONE


def main(arguments, version):
    options = make_parser(version).parse_args(arguments)
    return cli.guarded("crx-rebalance", options, lambda: getattr(Tool(options), options.verb)(),
                       "interrupted; moves that run go on by themselves, and crx-rebalance status says what became of them")
