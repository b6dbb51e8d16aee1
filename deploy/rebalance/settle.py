"""What became of moves whose end nobody has seen: the hosts are asked. Nothing is changed there."""
from .history import key_of


def is_there(facts, programs, record):
    return facts is not None and any(program.host == facts.host and program.key == key_of(record) for program in programs)


def has_session(facts, record):
    """Whether the host has an unfinished session of the program."""
    return any(not session.get("finished") and session.get("pid") in (record.get("pid"), record.get("inner_pid"))
               for session in facts.sessions)


def verdict(record, facts_of, programs):
    """(event, message): `moved` or `failed` (it runs where it was), `gone` (it has ended), or `in_doubt`."""
    source, destination = facts_of.get(record["from"]), facts_of.get(record["to"])
    for name, facts in ((record["from"], source), (record["to"], destination)):
        if facts is None:
            continue  # whoever removes a host from the inventory says that nothing runs there any more
        if facts.problem or facts.sessions_problem:
            return "in_doubt", f"{name}: {facts.problem or facts.sessions_problem}; nothing is known until it answers"
        if has_session(facts, record):
            return "in_doubt", f"{name} has an unfinished session of it; see crx-migrate --list there"
    here, there = is_there(source, programs, record), is_there(destination, programs, record)
    names = f"on {record['from']}", f"on {record['to']}"
    if here and there:
        return "in_doubt", f"a program with its PID and command runs {names[0]} and {names[1]}; look at both"
    if there:
        return "moved", f"it runs {names[1]}"
    if here:
        return "failed", f"it runs {names[0]}"
    return "gone", f"it runs neither {names[0]} nor {names[1]}: it has ended, or its service has another pattern now"


def settle(doubts, facts_of, programs):
    """Returns (record, event, message) for each of the records."""
    return [(record, *verdict(record, facts_of, programs)) for record in doubts]
