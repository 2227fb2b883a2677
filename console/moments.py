"""A moment of the past as an operator types it: a position, a duration back, a clock time, or RFC 3339."""

import re

import bus
from console.measure import DAY, HOUR, MINUTE, SECOND
from controlplane.questions import At

SAID = "an instant is 14:03, -5m, 2026-03-01T12:00:00Z or a position"
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_BACK = re.compile(r"-\s*((?:\d{1,6}(?:\.\d{1,3})?(?:ms|s|m|h|d))+)", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_POSITION = re.compile(r"@?(\d[\d,]{0,24})", re.ASCII)
_UNITS = {"ms": 1_000_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


def moment(typed: str, now: int) -> At:
    """What was typed, as of `now` (ns): a clock time is the last one that was. Raises ValueError that says why not."""
    text = typed.strip()
    clock, back, position = (form.fullmatch(text) for form in (_CLOCK, _BACK, _POSITION))
    if clock:
        hour, minute, second = (int(part or 0) for part in clock.groups())
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"{text} is no clock time; {SAID}")
        today = now // DAY * DAY + hour * HOUR + minute * MINUTE + second * SECOND
        return _instant(today if today <= now else today - DAY, now)
    if back:
        return _instant(now - sum(int(float(n) * _UNITS[unit]) for n, unit in _PART.findall(back[1])), now)
    if position:
        number = int(position[1].replace(",", ""))
        if number >= 2**63:
            raise ValueError(f"{text} is no position of any journal")
        return At(position=number)
    try:
        then = bus.parse_time(text)
    except ValueError:
        raise ValueError(f"{text!r} is none: {SAID}") from None
    return _instant(then, now)


def _instant(then: int, now: int) -> At:
    if then > now:
        raise ValueError("that has not been yet")
    if then < 0:
        raise ValueError("that was before 1970")
    return At(instant=then)
