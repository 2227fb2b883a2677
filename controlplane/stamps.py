"""The ids that a plane gives: where in its journal, and which plane. Pure.

    1234:0               an event that it publishes: intent 0 of the entry at position 1234
    1234.0               a task: recipient 0 of the event at position 1234
    1234:0@7-1f3a9c2e    the same, after a take-over
    1234.0@7-1f3a9c2e

A plane that takes over with an older journal gives positions out anew that brokers and agents have met already, and
would take what is new there for a repetition. So its `PlaneStarted` says a *stamp* that no other plane has, which is in
the ids from there on, also in those of later planes of this journal; whatever has its id keeps it, whoever carries it
out. A journal that nobody took over has positions alone: they are given out once.
"""

_UUID_CHARS = 8


def stamp_of(epoch: int, uuid: str) -> str:
    """The stamp of a plane: its epoch, and of its uuid as much as tells it from others of that epoch.

    An epoch may be taken twice: with an older journal, while no broker that knows better can be asked.
    """
    return f"{epoch}-{uuid[:_UUID_CHARS]}"


def stamped(place: str, stamp: str) -> str:
    """An id: a place, and who gave it; the place alone without a stamp."""
    return f"{place}@{stamp}" if stamp else place


def place_of(id: str) -> str:
    """The place in an id, with a stamp or without."""
    return id.partition("@")[0]
