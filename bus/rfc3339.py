"""RFC 3339 instants by hand, as integer nanoseconds since 1970 UTC. Pure: no clock, no time zone database.

The *canonical* text of an instant ends in `Z` and has 3, 6 or 9 fraction digits, the fewest that are exact. Any other
legal text (an offset, no fraction, a leap second) denotes its instant just as well, but has to be kept beside the
number by whoever must give it back unchanged: `is_canonical` tells.
"""

import re
from functools import lru_cache

NANOSECONDS_MIN = -(1 << 63) + 1
"""One more than an int64 holds: the least one says "no time" in columns."""
NANOSECONDS_MAX = (1 << 63) - 1
_SECOND = 1_000_000_000
_DAY_SECONDS = 86_400
_MINUTE = re.compile(r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):", re.ASCII)
_REST = re.compile(r"(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII)
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d\.(?:\d{3}|\d{6}|\d{9})Z", re.ASCII)
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 text; more than nine fraction digits are cut. Raises ValueError."""
    if len(text) == 24 and text[23] == "Z" and text[19] == ".":
        digits = text[17:19] + text[20:23]
        if digits.isdigit() and digits.isascii() and digits < "60":
            return _checked(_minute(text[:17]) + int(digits) * 1_000_000)
    start = _minute(text[:17])
    found = _REST.fullmatch(text, 17)
    if found is None:
        raise ValueError("not an RFC 3339 instant such as 2026-03-01T12:00:00.000Z")
    second, fraction, _zulu, sign, hours, minutes = found.groups()
    if int(second) > 60:
        raise ValueError(f"there is no second {second}")
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    shift = 0
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError(f"there is no offset {sign}{hours}:{minutes}")
        shift = (int(hours) * 60 + int(minutes)) * 60 * _SECOND * (1 if sign == "+" else -1)
    return _checked(start + int(second) * _SECOND + nanoseconds - shift)


def format_time(nanoseconds: int) -> str:
    """The canonical text of an instant. Raises ValueError beyond 64 bits."""
    seconds, fraction = divmod(_checked(nanoseconds), _SECOND)
    minutes, second = divmod(seconds, 60)
    start = _minute_text(minutes)
    if fraction % 1_000_000 == 0:
        return f"{start}{second:02d}.{fraction // 1_000_000:03d}Z"
    if fraction % 1_000 == 0:
        return f"{start}{second:02d}.{fraction // 1_000:06d}Z"
    return f"{start}{second:02d}.{fraction:09d}Z"


def is_canonical(text: str) -> bool:
    """Whether `format_time(parse_time(text)) == text`, for a text that `parse_time` takes."""
    length = len(text)
    if length == 24 and text[19] == ".":
        return text[23] == "Z" and text[10] == "T" and text[17] < "6"
    if _CANONICAL.fullmatch(text) is None:
        return False
    return text[-4:-1] != "000"


def _checked(nanoseconds: int) -> int:
    if not NANOSECONDS_MIN <= nanoseconds <= NANOSECONDS_MAX:
        raise ValueError("before 1677-09-21 or after 2262-04-11, which 64 bits of nanoseconds do not reach")
    return nanoseconds


@lru_cache(maxsize=4096)
def _minute(text: str) -> int:
    """Nanoseconds of `YYYY-MM-DDTHH:MM:`. Logs stay in one minute for many events, so these are worth keeping."""
    found = _MINUTE.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 instant such as 2026-03-01T12:00:00.000Z")
    year, month, day, hour, minute = (int(part) for part in found.groups())
    if not 1 <= month <= 12:
        raise ValueError(f"there is no month {month}")
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _MONTH_DAYS[month - 1] + (1 if leap and month == 2 else 0):
        raise ValueError(f"there is no day {day} in month {month} of {year}")
    if hour > 23 or minute > 59:
        raise ValueError(f"there is no {hour:02d}:{minute:02d} o'clock")
    return ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 * _SECOND


@lru_cache(maxsize=4096)
def _minute_text(minutes: int) -> str:
    days, minute = divmod(minutes, 1440)
    year, month, day = _date(days)
    return f"{year:04d}-{month:02d}-{day:02d}T{minute // 60:02d}:{minute % 60:02d}:"


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar; years start in March, so leap days come last."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719_468


def _date(days: int) -> tuple[int, int, int]:
    """The inverse of `_days`."""
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    day_of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
