"""A moment as an operator types it, on the command line and at the time bar alike: an instant, or a position.

All clocks are UTC. A clock time is the last one that was: 14:03 at noon is yesterday's. A date is its first instant.
"""

import re

import bus
from console.measure import DAY, HOUR, MINUTE, SECOND, clock, day
from controlplane.questions import At

INSTANTS = "now, 14:03, -5m, 2026-03-01 or 2026-03-01T12:00:00Z"
FORMS = "now, 14:03, -5m, 2026-03-01, 2026-03-01T12:00:00Z or a position"
POSITION_MAX = 2**63 - 1
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_BACK = re.compile(r"(?:now\s*)?-\s*((?:\d{1,6}(?:\.\d{1,3})?(?:ms|s|m|h|d))+)", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
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


def _instant(text: str, now: int, forms: str) -> int:
    if text == "now":
        return now
    if time := _CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in time.groups())
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"{text} is no clock time: the last one is 23:59:59")
        today = now // DAY * DAY + hour * HOUR + minute * MINUTE + second * SECOND
        return today if today <= now else today - DAY
    if back := _BACK.fullmatch(text):
        then = now - sum(int(float(number) * _UNITS[unit]) for number, unit in _PART.findall(back[1]))
    else:
        try:
            then = bus.parse_time(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
        except ValueError as error:
            why = f" ({error})" if _DATED.match(text) else ""
            raise ValueError(f"{text!r} is no moment{why}: write {forms}") from None
    if then < 0:
        raise ValueError(f"{text} was before 1970, and before every journal")
    return then
