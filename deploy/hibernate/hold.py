"""Keeps this host from ending TCP connections of programs that are not restored yet: without their sockets, the kernel would answer
every packet with a reset, and the other end would be told that the connection is gone. A table of nftables drops resets meanwhile."""
import subprocess

TABLE = "crx-hibernate"
RULES = f"""table inet {TABLE} {{
  chain out {{
    type filter hook output priority 0; policy accept;
    tcp flags & rst == rst drop
  }}
}}
"""


def nft(*words, text=None):
    """Returns what went wrong, or ""."""
    try:
        done = subprocess.run(["nft", *words], input=text, text=True, capture_output=True, check=False)
    except OSError as error:
        return f"cannot run nft: {error.strerror}"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[0]


def begin():
    """No resets leave the host from here on. It may be called again."""
    return nft("-f", "-", text=f"add table inet {TABLE}\ndelete table inet {TABLE}\n{RULES}")


def end():
    return nft("-f", "-", text=f"add table inet {TABLE}\ndelete table inet {TABLE}\n")
