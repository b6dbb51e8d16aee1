"""The other side of stores.Elsewhere: answers one request, a line of JSON on stdin, about the sets of this host's store.

It is meant for the forced command of a key of ssh, so it does nothing but these four things, with sets of crx-protect only, and
those of the hosts that `--only` names.
"""
import json
import os
import subprocess
import sys

from crxlib.errors import DONE, INCOMPLETE, USAGE, Failure

from .sets import SET_NAME
from .stores import Folder

VERBS = ("list", "verify", "remove", "export")
LONGEST_REQUEST = 1 << 20


def checked(names, only):
    """The names, all of which are sets of hosts that may be served."""
    if not isinstance(names, list) or not names:
        raise Failure("the request names no sets", USAGE)
    for name in names:
        match = SET_NAME.fullmatch(name) if isinstance(name, str) else None
        if not match:
            raise Failure(f"{str(name)[:80]} is no set of crx-protect", USAGE)
        if only and match[1] not in only:
            raise Failure(f"{name}: sets of {match[1]} are not served to you; crx-protect serve --only says which are", USAGE)
    return names


def listed(store, only):
    found = [one for one in Folder(store).document().get("sets", ()) for match in [SET_NAME.fullmatch(one.get("name", ""))]
             if match and (not only or match[1] in only)]
    return {"sets": found}


def export(store, names):
    """Writes an archive to stdout, with holes kept."""
    for name in names:
        if not os.path.isdir(os.path.join(store, name)):
            raise Failure(f"{store} has no set {name}; crx-image list shows those that it has")
    sys.stdout.flush()
    done = subprocess.run(["tar", "-c", "-S", "-C", store, "--", *names], stdin=subprocess.DEVNULL, check=False)
    return DONE if done.returncode == 0 else INCOMPLETE


def answer(request, store, only):
    """Does what the request says; returns the exit code. `store` and `only` are the options."""
    try:
        wanted = json.loads(request)
    except ValueError:
        raise Failure("the request is no line of JSON; crx-protect on another host sends it", USAGE) from None
    verb = wanted.get("verb") if isinstance(wanted, dict) else None
    if verb not in VERBS:
        raise Failure("the request has no verb that is known here; use the same version of crx on both hosts", USAGE)
    store = store or str(wanted.get("store", ""))
    if not store.startswith("/"):
        raise Failure("the request names no store; add --store DIR to crx-protect serve", USAGE)
    if verb == "export":
        return export(store, checked(wanted.get("sets"), only))
    if verb == "list":
        print(json.dumps(listed(store, only)))
        return DONE
    names = checked(wanted.get("sets"), only)
    if verb == "remove":
        Folder(store).remove(names)
    for name in names if verb == "verify" else ():
        Folder(store).verify(name)
    print(json.dumps({"event": verb, "sets": names}))
    return DONE


def serve(store, only):
    try:
        code = answer(sys.stdin.buffer.readline(LONGEST_REQUEST), store, only)
    except Failure as error:
        print(json.dumps({"error": str(error)}))
        print(f"crx-protect: {error}", file=sys.stderr)
        code = error.exit_code
    return code
