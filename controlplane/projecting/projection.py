"""What a user writes: a class with `evolve`. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from bus.event import Event


class Happened(Event):
    """An event as it was published, and where it stands.

    `partition` and `offset` name it as its receipt did, `appended` (ns) is its leader's clock; `position` is its place
    in the journal, `recorded` (ns) the plane's clock there.
    """

    __slots__ = ("appended", "offset", "partition", "position", "recorded")

    partition: int
    offset: int
    appended: int
    position: int
    recorded: int


def happened(event: Event, partition: int, offset: int, appended: int, position: int, recorded: int) -> Happened:
    """An event with its place."""
    placed: Happened = object.__new__(Happened)
    for name in Event.__slots__:
        setattr(placed, name, getattr(event, name))
    placed.partition, placed.offset, placed.appended = partition, offset, appended
    placed.position, placed.recorded = position, recorded
    return placed


class Projection:
    """The base of every projection. One object is made, without arguments, whenever it is built from the start.

    `pattern` says which types it gets: `*` is one token, `>` one or more at the end. Events of lifecycle, dead letters
    and redriven copies only come to a pattern that begins with `signalbox.` or `agent.lifecycle.`.
    """

    pattern: str = ">"

    def evolve(self, state: dict[Any, Any], event: Happened) -> None:
        """What the event means: put, change and delete keys of `state`, which is this projection's alone.

        It should depend on the two and on nothing else: no clock, no dice, no network. What it raises ends it.
        """
        raise TypeError(f"{type(self).__name__} has no evolve(self, state, event)")

    def rows(self, state: Mapping[Any, Any]) -> Iterable[Mapping[str, Any]]:
        """What it answers: rows by column names, of plain values. Without one of its own: a row for each key."""
        for key, value in state.items():
            yield {"key": key, **value} if isinstance(value, Mapping) else {"key": key, "value": value}
