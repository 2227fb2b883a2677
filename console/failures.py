"""How a command ends when it does not end well: one exception for each exit code.

| code | class | meaning |
|---|---|---|
| 0 | | done |
| 1 | Failure | tried, and failed |
| 2 | Usage | the command line is wrong |
| 3 | Unreachable | no fleet answers |
| 4 | NotFound | no such thing |
| 5 | Denied | not allowed to |
| 6 | Partly | some of it was done, and was said which |
"""

INTERRUPTED = 130
"""Ctrl-C, or a signal that means the same."""


class Failure(Exception):
    """Tried, and failed. `hint` says what to do, as a sentence or a command; may be empty."""

    code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Usage(Failure):
    """The command line is wrong."""

    code = 2


class Unreachable(Failure):
    """No fleet answers."""

    code = 3


class NotFound(Failure):
    """There is no such thing."""

    code = 4


class Denied(Failure):
    """Not allowed to."""

    code = 5


class Partly(Failure):
    """Some of it was done; the message says what was not."""

    code = 6


BY_REFUSAL = {
    "not_found": NotFound,
    "usage": Usage,
    "unavailable": Unreachable,
    "denied": Denied,
    "changed": Failure,
    "failed": Failure,
}
"""The class for each `code` of a `questions.Refusal`."""


class Ended(Exception):
    """A command has said all it has to say, and ends with a code of its own (`health check`)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
