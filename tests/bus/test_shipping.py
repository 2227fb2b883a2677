"""When a leader ships: at once, as far as windows allow, and not with the next beat."""

from typing import Any, cast

from bus import batch, limits, wire
from bus.broker.replication import Replication
from bus.event import Event
from bus.record import EVENTS
from bus.store import MemoryMedium, Platter, Store

BODY = batch.encode([Event(type="a.b", source="s", id="one")])
SECOND = 1_000_000_000


class Sent:
    """Links that keep what is said: how many records each ship had, by the index of the first."""

    def __init__(self) -> None:
        self.ships: list[tuple[int, int]] = []

    def send(self, broker: str, partition: int, message: Any, blobs: list[bytes], now: int) -> bool:
        if isinstance(message, wire.Ship) and blobs:
            self.ships.append((message.prev + 1, len(blobs)))
        return True

    def taken(self) -> list[tuple[int, int]]:
        ships, self.ships = self.ships, []
        return ships


def test_a_follower_with_a_backlog_is_shipped_to_as_soon_as_it_has_acked() -> None:
    store, sent = Store(MemoryMedium(Platter()), 1, "store"), Sent()
    leader = Replication("b1", 1, store, cast(Any, None), cast(Any, sent), lambda _: None, lambda *_: None)
    leader.now = SECOND

    def acked(end: int, matched: bool = True) -> None:
        leader.on_link("b2", wire.Shipped(0, 1, "b2", "s2", end, matched))
        leader.pump()

    leader.offer(0, 1)
    leader.place(wire.Seat(0, 1, "b1", ["b1", "b2"], 2))
    leader.pump()
    acked(0)
    assert sent.taken() == [(0, 1)], "the epoch start, to a follower that has answered"
    for _ in range(2 * limits.SHIP_WINDOW_RECORDS_MAX):
        leader.append(EVENTS, 0, BODY, 1)
    for _ in range(20):
        leader.pump()
    assert sum(count for _, count in sent.taken()) == limits.SHIP_WINDOW_RECORDS_MAX - 1, "as far as the window goes"
    acked(limits.SHIP_WINDOW_RECORDS_MAX // 2)
    first, count = sent.taken()[0]
    assert (first, count) == (limits.SHIP_WINDOW_RECORDS_MAX, limits.SHIP_RECORDS_MAX), "the clock stands still"
    acked(3, matched=False)
    assert sent.taken()[0] == (3, limits.SHIP_RECORDS_MAX), "so it is where a ship did not fit"
