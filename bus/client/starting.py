"""Where reading starts: the forms of `start=`. Pure: the present is passed in."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from bus.errors import ClientError
from bus.rfc3339 import parse_time

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
Start = str | Mapping[int, int]


class From(NamedTuple):
    """Exactly one of: `cursor` (partition -> offset; other partitions from 0), `time` (ns since 1970), `high` (only
    what comes from now on)."""

    cursor: Mapping[int, int] | None = None
    time: int = 0
    high: bool = False


def parse_start(start: Start, now: int) -> From:
    """`earliest`, `now`, a duration back (`-5m`, `-1h30m`), RFC 3339, or a cursor. `now` in ns. Raises ClientError."""
    if isinstance(start, Mapping):
        for partition, offset in start.items():
            if not isinstance(partition, int) or not isinstance(offset, int) or partition < 0 or offset < 0:
                raise ClientError(f"start: a cursor maps partitions to offsets from 0, not {partition!r} to {offset!r}")
        return From(cursor=dict(start))
    if not isinstance(start, str):
        raise ClientError(f"start={start!r}: it is earliest, now, -5m, an RFC 3339 instant or a cursor")
    if start == "earliest":
        return From(cursor={})
    if start == "now":
        return From(high=True)
    if start.startswith("-"):
        return From(time=max(1, now - _duration(start)))
    try:
        return From(time=max(1, parse_time(start)))
    except ValueError as error:
        raise ClientError(f"start={start!r}: {error}; or earliest, now, a duration back such as -5m") from None


def group_start(start: Start, now: int) -> int:
    """The instant a new group starts at, ns, the same for all partitions; -1 for the earliest. Raises ClientError."""
    origin = parse_start(start, now)
    if origin.high:
        return now
    if origin.time:
        return origin.time
    if origin.cursor:
        raise ClientError("a group starts at one instant in all partitions, not at a cursor; use read() for cursors")
    return -1


def _duration(text: str) -> int:
    parts = _DURATION.findall(text)
    if "-" + "".join(number + unit for number, unit in parts) != text or not parts:
        raise ClientError(f"start={text!r} is not a duration back, such as -90s, -5m or -1h30m")
    return sum(int(float(number) * _UNITS_NS[unit]) for number, unit in parts)
