"""The exit codes of crx-rebalance, and the one exception that ends it with a message."""
from crxlib.errors import DONE, INCOMPLETE, INTERRUPTED, USAGE, Failure

IN_DOUBT = 4  # see crx-rebalance(8)

__all__ = ["DONE", "INCOMPLETE", "INTERRUPTED", "IN_DOUBT", "USAGE", "Failure"]
