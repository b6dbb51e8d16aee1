"""The one exception that ends a tool with a message, and the exit codes that all tools share."""

DONE, INCOMPLETE, USAGE, INTERRUPTED = 0, 1, 2, 130


class Failure(Exception):
    """What failed, on which object, and one remedy; `exit_code` is what the tool ends with."""

    def __init__(self, message, exit_code=INCOMPLETE):
        super().__init__(message)
        self.exit_code = exit_code
