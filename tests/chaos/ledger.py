"""What was said to publishers and consumers, set against what the log and the archive hold. Pure.

Each violation is one sentence. None may be excused by what went wrong meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

SHOWN_MAX = 5
"""Examples of one kind of violation."""


class Place(NamedTuple):
    """Where an event stands."""

    partition: int
    offset: int


class Sent(NamedTuple):
    """An event that was published: the `n`th of its key."""

    id: str
    key: str
    n: int


class Heard(NamedTuple):
    """A delivery, in the order in which members got them."""

    place: Place
    id: str
    attempt: int


class Ledger:
    """Written while it storms. Once its publish has ended, an event is in one of `acked`, `unknown`, `refused`."""

    def __init__(self) -> None:
        self.sent: dict[str, Sent] = {}
        self.acked: dict[str, Place] = {}
        self.unknown: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.heard: dict[str, list[Heard]] = {}
        self.followed: list[tuple[Place, str]] = []
        self.troubles: Counter[str] = Counter()
        """What consumers were told and went on from, by name."""

    def redeliveries(self, group: str) -> int:
        """Deliveries of a group beyond the first of each event."""
        heard = self.heard[group]
        return len(heard) - len({each.place for each in heard})


def violations(
    ledger: Ledger, log: Mapping[Place, str], archive: Iterable[str], strict: Iterable[str] = ()
) -> list[str]:
    """Everything that is wrong. `log` and `archive`: what is read back; `strict`: the groups that promise order."""
    found = _publishing(ledger, log) if ledger.acked else ["nothing was acked"]
    found += _order(ledger, log)
    found += _archived(log, Counter(archive))
    found += _followed(ledger, log)
    for group in ledger.heard:
        found += _delivered(group, ledger.heard[group], log)
    for group in strict:
        found += _strict(group, ledger.heard[group], ledger.sent)
    return found


def _shown(what: str, which: list[str]) -> list[str]:
    return [f"{len(which)} {what}: {', '.join(which[:SHOWN_MAX])}"] if which else []


def _publishing(ledger: Ledger, log: Mapping[Place, str]) -> list[str]:
    times = Counter(log.values())
    moved = [
        f"{id} at {tuple(place)}, which holds {log.get(place)}"
        for id, place in ledger.acked.items()
        if log.get(place) != id
    ]
    ended = [*ledger.acked, *ledger.unknown, *ledger.refused]
    return [
        *_shown("acked events are not where their receipt says", moved),
        *_shown("events stand in the log more than once", [f"{id} x{n}" for id, n in times.items() if n > 1]),
        *_shown(
            "events were refused and stand in the log",
            [f"{id} ({why})" for id, why in ledger.refused.items() if id in times],
        ),
        *_shown("events in the log were never published", [id for id in times if id not in ledger.sent]),
        *_shown("publishes never ended", sorted(ledger.sent.keys() - set(ended))),
    ]


def _order(ledger: Ledger, log: Mapping[Place, str]) -> list[str]:
    """Acked events of a key stand in the order in which they were published."""
    last: dict[str, Sent] = {}
    wrong = []
    for place in sorted(log):
        sent = ledger.sent.get(log[place])
        if sent is None or sent.id not in ledger.acked:
            continue
        if sent.key in last and last[sent.key].n > sent.n:
            wrong.append(f"{sent.id} after {last[sent.key].id}")
        last[sent.key] = sent
    return _shown("events of a key changed places", wrong)


def _archived(log: Mapping[Place, str], archive: Counter[str]) -> list[str]:
    in_log = set(log.values())
    return [
        *_shown("events were archived more than once", [f"{id} x{n}" for id, n in archive.items() if n > 1]),
        *_shown("events of the log are not archived", [id for id in in_log if id not in archive]),
        *_shown("archived events are not in the log", [id for id in archive if id not in in_log]),
    ]


def _followed(ledger: Ledger, log: Mapping[Place, str]) -> list[str]:
    """A reader that follows gets each event once, in order, and only what stays."""
    wrong, last = [], dict[int, int]()
    for place, id in ledger.followed:
        if log.get(place) != id:
            wrong.append(f"{id} at {tuple(place)}, which holds {log.get(place)}")
        elif place.offset != last.get(place.partition, -1) + 1:
            wrong.append(f"{id} at {tuple(place)} after offset {last.get(place.partition, -1)}")
        last[place.partition] = place.offset
    got = {place for place, _ in ledger.followed}
    return [
        *_shown("events were read wrongly", wrong),
        *_shown("events were never read by the follower", [log[place] for place in log if place not in got]),
    ]


def _delivered(group: str, heard: list[Heard], log: Mapping[Place, str]) -> list[str]:
    got = {each.place for each in heard}
    return [
        *_shown(
            f"deliveries to {group} are of events that are not in the log",
            [f"{each.id} at {tuple(each.place)}" for each in heard if log.get(each.place) != each.id],
        ),
        *_shown(f"events were never delivered to {group}", [log[place] for place in log if place not in got]),
    ]


def _strict(group: str, heard: list[Heard], sent: Mapping[str, Sent]) -> list[str]:
    """The first deliveries of a key's events follow its order in the log."""
    last: dict[str, Heard] = {}
    seen: set[Place] = set()
    wrong = []
    for each in heard:
        if each.place in seen or each.id not in sent:
            continue
        seen.add(each.place)
        key = sent[each.id].key
        if key in last and last[key].place > each.place:
            wrong.append(f"{each.id} after {last[key].id}")
        last[key] = each
    return _shown(f"events of a key were delivered to {group} out of order", wrong)
