"""Numbers, ages, clock times and small charts as text, in few cells and always the same way.

Instants and durations are integer nanoseconds; clock times are UTC. What is not known is `–`, never 0.
"""

from collections.abc import Sequence
from functools import lru_cache

UNKNOWN = "–"
SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEVELS = "▁▂▃▄▅▆▇"
EIGHTHS = "▁▂▃▄▅▆▇█"


def count(number: int | None) -> str:
    """`1,204`, or `18.4 M` when it would not fit a column."""
    if number is None:
        return UNKNOWN
    return f"{number:,}" if abs(number) < 10_000_000 else f"{number / 1e6:,.1f} M"


def many(number: int | None, one: str, more: str = "") -> str:
    """`1 event`, `1,204 events`, `18.4 M events`."""
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def rate(per_second: float | None) -> tuple[str, str]:
    """Value and unit: `('4,212', '/s')`, `('18.4', 'k/s')`."""
    if per_second is None:
        return UNKNOWN, ""
    if per_second >= 10_000:
        return f"{per_second / 1e3:,.1f}", "k/s"
    if 0 < per_second < 9.95:
        return f"{per_second:.1f}", "/s"
    return f"{round(per_second):,}", "/s"


def short_rate(per_second: float) -> str:
    """A rate in at most six cells, without its unit's `/s`."""
    value, unit = rate(per_second)
    return f"{value} k" if unit == "k/s" else value


def age(duration: int | None) -> str:
    """At most six cells, two units: `0.3s 41s 4m12s 1h04m 3d02h`."""
    if duration is None:
        return UNKNOWN
    if duration < SECOND:
        return "0s" if duration <= 0 else "<1s"
    if duration < MINUTE:
        return f"{duration // SECOND}s"
    if duration < HOUR:
        return f"{duration // MINUTE}m{duration // SECOND % 60:02d}s"
    if duration < DAY:
        return f"{duration // HOUR}h{duration // MINUTE % 60:02d}m"
    days = duration // DAY
    return f"{days}d{duration // HOUR % 24:02d}h" if days < 100 else f"{days}d"


def lag(duration: int | None) -> str:
    """How far behind: as `age`, with tenths below ten seconds."""
    if duration is None:
        return UNKNOWN
    return f"{duration / SECOND:.1f}s" if duration < 10 * SECOND else age(duration)


def took(duration: int | None) -> str:
    """A small duration: `41ms 1.9s 12µs`, then as `age`."""
    if duration is None:
        return UNKNOWN
    if duration < 1_000_000:
        return "0s" if duration <= 0 else f"{duration // 1_000}µs"
    if duration < SECOND:
        return f"{duration // 1_000_000}ms"
    return f"{duration / SECOND:.1f}s" if duration < 10 * SECOND else age(duration)


def size(number: int) -> str:
    """`310 B`, `1.2 kB`, `2.1 GB`."""
    if number < 1_000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB"):
        value /= 1_000
        if value < 999.5 or unit == "GB":
            return f"{value:.1f} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
    return UNKNOWN


def clock(instant: int, decimals: int = 0) -> str:
    """`03:12:44`, with `decimals` of a second when asked; `–` for 0."""
    if instant <= 0:
        return UNKNOWN
    seconds = instant // SECOND
    text = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{instant % SECOND // 10 ** (9 - decimals):0{decimals}d}" if decimals else text


def day(instant: int) -> str:
    """`Nov 19`. The civil calendar by Hinnant's days-from-civil, turned round."""
    days = instant // DAY + 719_468
    day_of_era = days % 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    return f"{_MONTHS[(month + 2) % 12]} {day_of_year - (153 * month + 2) // 5 + 1}"


def moment(instant: int, now: int) -> str:
    """The clock time, or the day when it is not today's."""
    if instant <= 0:
        return UNKNOWN
    return clock(instant) if instant // DAY == now // DAY else day(instant)


@lru_cache(maxsize=4096)
def _spark(values: tuple[float, ...], top: float) -> str:
    return "".join(_LEVELS[round(max(0.0, min(value / top, 1.0)) * 6)] for value in values)


def spark(values: Sequence[float], top: float | None = None) -> str:
    """A row of bars; `top` is the full height, else the largest value. Never a full block: rows stay apart."""
    highest = top if top is not None else max(values, default=0.0)
    return _spark(tuple(values), highest if highest > 0 else 1.0)


def percent(share: float | None, decimals: int = 0) -> str:
    """`82%`, or with decimals and no sign for a column that has it in its head."""
    if share is None:
        return UNKNOWN
    return f"{share * 100:.{decimals}f}" if decimals else f"{round(share * 100)}%"
