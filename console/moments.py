"""A moment as an operator types it, on the command line and at the time bar alike: an instant, or a position.

All clocks are UTC, also where a text does not say so. A clock time is the last one that was: 14:03 at noon is
yesterday's. A date is its first instant. A duration is one back, with its minus and without: `--since 1h`, `--at -1h`.
Whatever the screens and tables print as a time can be typed.
"""

import re

import bus
from console.measure import DAY, HOUR, MINUTE, SECOND, clock, day
from controlplane.questions import At

INSTANTS = "now, 14:03, -5m, 2026-03-01 or 2026-03-01T12:00:00Z"
FORMS = "now, 14:03, -5m, 2026-03-01, 2026-03-01T12:00:00Z or a position"
DURATIONS = "30s, 1.5h or 1h30m; units are ms, s, m, h and d"
POSITION_MAX = 2**63 - 1
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)
_LENGTH = r"((?:\d{1,6}(?:\.\d{1,3})?(?:ms|s|m|h|d))+)"
_BACK = re.compile(rf"(?:(?:now\s*)?-\s*)?{_LENGTH}", re.ASCII)
_DURATION = re.compile(_LENGTH, re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LOCAL = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?", re.ASCII)
_DATED = re.compile(r"\d{4}-", re.ASCII)
_POSITION = re.compile(r"@?(\d[\d,]*)", re.ASCII)
_UNITS = {"ms": 1_000_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


def moment(typed: str, now: int) -> At:
    """What was typed at `now` (ns), nothing that is yet to be. Raises ValueError that says why not."""
    text = typed.strip()
    if position := _POSITION.fullmatch(text):
        digits = position[1].replace(",", "")
        if len(digits) > len(str(POSITION_MAX)) or int(digits) > POSITION_MAX:
            raise ValueError(f"{text} is beyond every journal")
        return At(position=int(digits))
    then = _instant(text, now, FORMS)
    if then > now:
        raise ValueError(f"{text} has not been yet: it is {day(now)} {clock(now)} UTC")
    return At(instant=then)


def instant(typed: str, now: int) -> int:
    """The same as nanoseconds since 1970, positions left out, in the future too. Raises ValueError."""
    return _instant(typed.strip(), now, INSTANTS)


def of_then(message: str) -> str:
    """A refusal's words, which were right then, as they are said now."""
    return message.replace("there is no ", "then there was no ", 1)


def duration(typed: str) -> int:
    """`30s`, `1.5h`, `1h30m` as nanoseconds, more than none. Raises ValueError."""
    text = typed.strip()
    if not _DURATION.fullmatch(text) or not (length := _length(text)):
        raise ValueError(f"{text!r} is not a duration: write {DURATIONS}")
    return length


def _length(text: str) -> int:
    return sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))


def _clock(text: str, time: re.Match[str], now: int) -> int:
    hour, minute, second = (int(part or 0) for part in time.groups()[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{text} is no clock time: the last one is 23:59:59")
    today = now // DAY * DAY + hour * HOUR + minute * MINUTE + second * SECOND + int((time[4] or "0").ljust(9, "0"))
    return today if today <= now else today - DAY


def _rfc3339(text: str) -> str:
    """What is written without its zone, or as a date alone, in full."""
    if _DATE.fullmatch(text):
        return f"{text}T00:00:00Z"
    local = _LOCAL.fullmatch(text)
    return f"{local[1]}T{local[2]}{local[3] or ':00'}Z" if local else text


def _instant(text: str, now: int, forms: str) -> int:
    if text == "now":
        return now
    if time := _CLOCK.fullmatch(text):
        return _clock(text, time, now)
    if back := _BACK.fullmatch(text):
        then = now - _length(back[1])
    else:
        try:
            then = bus.parse_time(_rfc3339(text))
        except ValueError as error:
            why = f" ({error})" if _DATED.match(text) else ""
            raise ValueError(f"{text!r} is no moment{why}: write {forms}") from None
    if then < 0:
        raise ValueError(f"{text} was before 1970, and before every journal")
    return then
