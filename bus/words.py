"""Numbers and durations as people read them in a sentence. Pure."""

_SECOND = 1_000_000_000


def many(count: int, one: str, more: str = "") -> str:
    """`1 event`, `2 events`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def lasting(ns: int) -> str:
    """How long something took or has been going on, in nanoseconds: `0.6 s`, `30 s`, `5 min`, `2 h`; never none."""
    tenths = max(1, ns // (_SECOND // 10))
    if tenths < 100:
        return f"{tenths / 10:g} s"
    seconds = tenths // 10
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3_600:,} h"
