"""Text for people: tables, and one line for each record of the history."""


def table(titles, rows):
    """Returns the lines of a table; the last column is as wide as it likes."""
    cells = [titles, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def size(count):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit in ("B", "KiB", "MiB") else f"{count:.1f} {unit}"
        count /= 1024
    return ""


def plan_lines(document):
    loads = [("-", "-") if one["problem"] else (f"{one['load_before']:.1f}", f"{one['load_after']:.1f}") for one in document["hosts"]]
    lines = table(("HOST", "LOAD", "AFTER", ""), [(one["host"], *load, one["closed"])
                                                  for one, load in zip(document["hosts"], loads)])
    if document["moves"]:
        lines += ["", *table(("MOVE", "SERVICE", "PID", "FROM", "TO", "MEMORY", "WHY"),
                             [(one["number"], one["service"], one["pid"], one["source"], one["destination"],
                               size(one["memory_bytes"]), one["why"]) for one in document["moves"]])]
    else:
        lines += ["", "There is nothing to move."]
    if document["stays"]:
        lines += ["", *table(("STAYS", "PID", "ON", "WHY"), [(one["service"], one["pid"], one["host"], one["why"])
                                                             for one in document["stays"]])]
    return lines + doubt_lines(document["doubts"])


def doubt_lines(doubts):
    if not doubts:
        return []
    return ["", *table(("IN DOUBT", "PID", "FROM", "TO", "WHY"), [(one["service"], one["pid"], one["from"], one["to"], one["why"])
                                                                  for one in doubts])]


def record_line(record):
    if "service" not in record:
        return f"{record['event']} {record.get('host', '')}".replace("_", " ")
    line = f"{record['service']} (pid {record['pid']}) {record['from']} -> {record['to']}: {record['event'].replace('_', ' ')}"
    if record.get("downtime_us") is not None:
        line += f", stopped for {record['downtime_us'] / 1000:.1f} ms"
    if record.get("message"):
        line += f": {record['message']}"
    if record["event"] == "in_doubt":
        line += f"; see crx-migrate --list on {record['from']}, and --resolve in crx-migrate(1)"
    return line


def status_lines(document):
    lines = table(("HOST", "MEMORY", "CPU PRESSURE", "PROGRAMS", ""),
                  [(one["host"], "-" if one["problem"] else f"{one['memory_load']:.1f} %", "-" if one["problem"] else
                    f"{one['cpu_pressure']:.1f} % ({one['pressure_from']})", one["programs"],
                    one["problem"] or ("drained" if one["drained"] else "")) for one in document["hosts"]])
    lines += ["", *table(("SERVICE", "PID", "ON", "MEMORY", ""), [(one["service"], one["pid"], one["host"], size(one["memory_bytes"]),
                                                                  one["stays"]) for one in document["programs"]])]
    if document["absent"]:
        lines += ["", "No program found of: " + ", ".join(document["absent"])]
    lines += doubt_lines(document["doubts"])
    if document["last"]:
        lines += ["", *[f"{record['time'][:19]}  {record_line(record)}" for record in document["last"]]]
    return lines
