"""The one exception that ends crx-rebalance with a message."""

# Exit codes: see crx-rebalance(8).
DONE, INCOMPLETE, USAGE, IN_DOUBT, INTERRUPTED = 0, 1, 2, 4, 130


class Failure(Exception):
    """What failed, on which object, and one remedy; `exit_code` is what the tool ends with."""

    def __init__(self, message, exit_code=INCOMPLETE):
        super().__init__(message)
        self.exit_code = exit_code
