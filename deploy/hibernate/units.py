"""Whether systemd would end a program before it is saved: at a shutdown it stops all units at once, but for their order."""
import re
import subprocess

from crxlib import programs

OURS = "crx-hibernate.service"
# Units before one of these are stopped after our unit, which is after multi-user.target.
LATE = {OURS, "multi-user.target"}


def unit_of(pid):
    """The service or scope in whose control group the process is; "" for none."""
    for line in programs.read_file(f"/proc/{pid}/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" or controllers == "name=systemd":
            found = [part for part in path.split("/") if part.endswith((".service", ".scope"))]
            if found:
                return found[0]
    return ""


def advice(pid):
    """What to do so that the program is saved at a shutdown; "" if nothing, or if nobody can tell."""
    unit = unit_of(pid)
    if not unit or unit == OURS or not re.fullmatch(r"[A-Za-z0-9:_.\\@-]+", unit):
        return ""
    try:
        done = subprocess.run(["systemctl", "show", "-p", "ActiveState", "-p", "Before", "--", unit], capture_output=True, text=True,
                              timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    # The unit of a restored program need not be active; then systemd does not stop it.
    if done.returncode != 0 or told.get("ActiveState") != "active" or LATE.intersection(told.get("Before", "").split()):
        return ""
    return f"a shutdown may stop {unit} before the program is saved; give the unit Before={OURS}"
