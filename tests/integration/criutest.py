"""The real CRIU (Debian trixie's), unpacked beside the build, and started on a test host. See tests/fetch-criu.sh."""
import functools
import glob
import json
import os
import subprocess

from hosts import BUILD, ROOT

FOLDER = os.environ.get("CRX_CRIU", os.path.join(BUILD, "criu"))


@functools.cache
def fetch():
    """Unpacks CRIU if it is missing; returns its folder. Fails if that is not possible."""
    done = subprocess.run([os.path.join(ROOT, "tests", "fetch-criu.sh"), FOLDER], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise AssertionError(f"CRIU, against which the images are tested, cannot be fetched: {done.stdout}")
    return os.path.join(FOLDER, "root")


def criu(*arguments):
    """Returns the command line of `criu ARGUMENTS`."""
    root = fetch()
    return [f"{root}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{root}/usr/lib/x86_64-linux-gnu",
            f"{root}/usr/sbin/criu", *map(str, arguments)]


def crit(*arguments):
    """Runs `crit ARGUMENTS`; returns its output. Fails if crit fails."""
    root = fetch()
    environment = {**os.environ, "PYTHONPATH": f"{root}/usr/lib/python3/dist-packages"}
    done = subprocess.run(["/usr/bin/python3", f"{root}/usr/bin/crit", *map(str, arguments)], text=True, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise AssertionError(f"crit {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


# Runs crit for many images in one process, since starting it takes far longer than reading an image.
DECODE = """
import contextlib, io, json, sys
from crit.__main__ import main
decoded = {}
for path in sys.argv[1:]:
    sys.argv = ["crit", "decode", "-i", path]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            failed = main()
        except SystemExit as end:
            failed = end.code
    if failed:
        sys.exit(f"{path}: {failed} {text.getvalue()}")
    decoded[path.rpartition("/")[2]] = json.loads(text.getvalue())
print(json.dumps(decoded))
"""


def decode_all(images):
    """Returns {image: the output of `crit decode`} for every image that CRIU knows."""
    paths = [path for path in sorted(glob.glob(f"{images}/*.img")) if not os.path.basename(path).startswith(("pages-", "crx-"))]
    done = subprocess.run(["/usr/bin/python3", "-c", DECODE, *paths], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": f"{fetch()}/usr/lib/python3/dist-packages"}, check=False)
    if done.returncode != 0:
        raise AssertionError(f"crit decode: {done.stderr}")
    return json.loads(done.stdout)
