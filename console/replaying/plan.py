"""What a replay was ordered to do, what it will do, and what became of it. Pure.

Where it goes decides what becomes of an event (`Order.stamp`):

| to | type | subject, correlationid, ordering key | importof |
|---|---|---|---|
| file | as it was | as they were | as it was |
| prefix | prefix + type | prefix + each: no saga that is there moves | the run's name |
| shadow | as it was | as they were | times kept: the run's name; restamped: none, they happen now |
| live | as it was | as they were: those sagas move | as it was |

With `importof` sagas are judged at the replay's own last instant, and set no timers: a slice of the past is not taken
for something that stopped just now. That of an event that was imported before is put behind the run's name.
"""

import re
import shlex
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

import bus
from console.limits import RUN_NAME_CHARS_MAX
from console.measure import SECOND
from console.replaying.stamping import Restamp, Stamp
from controlplane.questions import GroupRow, Recorded, Slice, Sliced

To = Literal["file", "prefix", "shadow", "live"]
Clock = Literal["appended", "time"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Order(NamedTuple):
    """One command. `where`: FILE, PREFIX with its last dot, or DIR; `speed` 0: full speed; `clock` "": the fitting one.

    `words` are the options that name the slice, for the command that goes on. It stops after `limit` events (0: never),
    or after `stop_position` or `stop_instant`, if one is given. `live`: into types that live events have, too.
    """

    name: str
    to: To
    where: str
    slice: Slice = Slice()
    speed: float = 0.0
    clock: Clock | Literal[""] = ""
    restamp: bool = False
    reason: str = ""
    limit: int = 0
    stop_position: int | None = None
    stop_instant: int | None = None
    brokers: int = 3
    live: bool = False
    words: tuple[str, ...] = ()

    def clock_of(self, sliced: Sliced) -> Clock:
        """What gaps are measured by: the log's own times if all was imported, as an import is no pace of anything."""
        if self.clock:
            return self.clock
        return "time" if sliced.times is not None and sliced.imported == sliced.events else "appended"

    def stamp(self, sliced: Sliced, now: int) -> Stamp:
        """What becomes of each event of the slice, when it begins at `now`."""
        restamp = None
        if self.restamp and sliced.times is not None:
            first, last = sliced.times
            # At full speed they end now, as far apart as they were; at a pace each is said when it is due.
            restamp = Restamp(first, now, self.speed) if self.speed else Restamp(last, now, 1.0)
        prefix = self.where if self.to == "prefix" else ""
        if self.to == "prefix" or (self.to == "shadow" and not self.restamp):
            imported = "own"
        else:
            imported = "none" if self.to == "shadow" else "kept"
        return Stamp(self.name, prefix, imported, restamp, self.reason)

    def is_over(self, row: Recorded, done: int) -> bool:
        """Whether it stops before this event, with so many done."""
        return (
            (self.limit > 0 and done >= self.limit)
            or (self.stop_position is not None and row.position > self.stop_position)
            or (self.stop_instant is not None and row.recorded > self.stop_instant)
        )

    def seconds(self, sliced: Sliced) -> float | None:
        """How long it will take at the recorded pace, however long publishing takes; None at full speed."""
        if not self.speed:
            return None
        first, last = (sliced.times or (0, 0)) if self.clock_of(sliced) == "time" else sliced.appended
        return (last - first) / SECOND / self.speed

    def go_on(self, position: int, last: int) -> str:
        """The command that does what this one has not done, from a position on. A file needs another name."""
        words = ["signalbox", "replay", "run", "--name", self.name, *self.words]
        words += ["--from", str(position), "--to", str(last)]
        if self.to != "live":
            option = {"file": "--out", "prefix": "--prefix", "shadow": "--shadow"}[self.to]
            words += [option, "ANOTHER" if self.to == "file" else self.where]
        words += ["--live"] if self.live else []
        for option, value in (("--clock", self.clock), ("--reason", self.reason)):
            words += [option, value] if value else []
        words += ["--speed", f"{self.speed:g}"] if self.speed else []
        words += ["--restamp"] if self.restamp else []
        return shlex.join(words)


class Receiver(msgspec.Struct):
    """A group that is given some of what is replayed."""

    group: str
    pattern: str
    events: int


class Replayed(msgspec.Struct):
    """A replay, planned or done. Instants are ns; positions are the journal's, 0 where there is none.

    `ended`: "" (a dry run), done, stopped (where it was told to), interrupted, failed. `reached` is the position of
    the last event that is done; `go_on` is the command for the rest, "" when there is none. `duplicates` stood there
    already.
    """

    run: str
    to: str
    where: str
    live: bool
    dry_run: bool
    events: int
    left_out: dict[str, int]
    types: dict[str, int]
    other_types: int
    bytes: int
    first: int
    last: int
    up_to: int
    appended: tuple[int, int]
    times: tuple[int, int] | None
    speed: float
    clock: str
    restamp: bool
    seconds_planned: float | None
    receivers: list[Receiver]
    remembered: int
    reason: str = ""
    published: int = 0
    duplicates: int = 0
    refused: int = 0
    reached: int = 0
    ended: str = ""
    seconds: float = 0.0
    error: str = ""
    go_on: str = ""


def planned(order: Order, sliced: Sliced, groups: Iterable[GroupRow], dry_run: bool) -> Replayed:
    """What it will do."""
    prefix = order.where if order.to == "prefix" else ""
    heard = groups if order.to in ("prefix", "live") else ()
    return Replayed(
        run=order.name,
        to=order.to,
        where=order.where,
        live=order.live,
        dry_run=dry_run,
        speed=order.speed,
        clock=order.clock_of(sliced),
        restamp=order.restamp,
        seconds_planned=order.seconds(sliced),
        receivers=receivers(sliced.types, prefix, heard),
        reason=order.reason,
        **{name: getattr(sliced, name) for name in _OF_SLICE},
    )


_OF_SLICE = (
    *("events", "left_out", "types", "other_types", "bytes", "first", "last", "up_to", "appended", "times"),
    "remembered",
)


def receivers(types: dict[str, int], prefix: str, groups: Iterable[GroupRow]) -> list[Receiver]:
    """Which groups listen to these types, and to how many of the events."""
    found = []
    for group in groups:
        events = sum(events for type, events in types.items() if bus.matches(group.pattern, prefix + type))
        if events:
            found.append(Receiver(group.group, group.pattern, events))
    return found


def prefix_of(text: str) -> str:
    """A prefix of types with its last dot. Raises ValueError saying what is wrong with it."""
    prefix = text if text.endswith(".") else f"{text}."
    if not bus.is_type(prefix[:-1]):
        raise ValueError("has an empty or a wildcard token; write whole tokens, such as replay or test.monday")
    if not prefix.isprintable():
        raise ValueError("has control characters")
    if bus.is_internal(f"{prefix}x", {}):
        raise ValueError("is the plane's or the agents' own; write another, such as replay")
    return prefix


def name_of(text: str) -> str:
    """A run's name. Raises ValueError."""
    if len(text) > RUN_NAME_CHARS_MAX or not _NAME.fullmatch(text):
        raise ValueError(
            f"must begin with a letter or digit, go on with those, . _ or -, and end by {RUN_NAME_CHARS_MAX}"
        )
    return text


def speed_of(text: str) -> float:
    """So many times the recorded pace; 0 for `max`. Raises ValueError."""
    if text == "max":
        return 0.0
    try:
        speed = float(text.removeprefix("×").removeprefix("x"))
    except ValueError:
        raise ValueError("is no number such as 1 or 20, nor max") from None
    if not 0 < speed <= 1e9:
        raise ValueError("must be above 0; max is full speed")
    return speed


def clock_of(text: str) -> Clock | Literal[""]:
    """What a pace is by; "" for what fits. Raises ValueError."""
    known: dict[str, Clock | Literal[""]] = {"": "", "appended": "appended", "time": "time"}
    if text not in known:
        raise ValueError("is neither appended nor time")
    return known[text]
