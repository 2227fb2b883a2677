"""Ages and decisions as operators read them."""

SECOND = 1_000_000_000
_MS = 1_000_000


def age(ns: int) -> str:
    """A duration in at most two units: `0.3s`, `41s`, `4m12s`, `1h04m`, `3d02h`."""
    if ns < 10 * SECOND:
        tenths = max(0, ns) // 100_000_000
        return f"{tenths // 10}.{tenths % 10}s" if tenths % 10 else f"{tenths // 10}s"
    seconds = ns // SECOND
    if seconds < 60:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes}m{seconds % 60:02d}s"
    hours = minutes // 60
    return f"{hours}h{minutes % 60:02d}m" if hours < 24 else f"{hours // 24}d{hours % 24:02d}h"


def said_by(what: str, by: str, reason: str) -> str:
    """`drained by op: disk`; less where nobody gave a name or a reason."""
    return ": ".join(filter(None, (f"{what} by {by}" if by else what, reason)))


def ms(ns: int) -> float:
    """Nanoseconds as milliseconds."""
    return ns / _MS
