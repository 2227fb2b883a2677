"""The extension `redriveto`: an event that is published again for the one group in which it died. Pure.

Only the control plane may say it. Whoever else could would have any event handled again, by a group of his choice, as
if an operator had decided it.
"""

from bus.attributes import Extension
from bus.errors import AccessDenied


def is_redriven(extensions: dict[str, Extension]) -> bool:
    """Whether an event is aimed at one group."""
    return "redriveto" in extensions


def refusal() -> AccessDenied:
    """The error for who is not the plane and says so, told by a client before a broker would."""
    return AccessDenied(
        "extension redriveto is the control plane's own: it aims an event at one group; publish without it, also where "
        "you pass on an event that was redriven; dead letters are redriven with signalbox dlq redrive"
    )
