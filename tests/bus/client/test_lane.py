"""The lane as a machine: against a leader that remembers sequences, every acked batch is appended once and in order."""

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from bus import limits, wire
from bus.client.lane import REFUSED, UNSURE, Batch, Lane
from bus.errors import (
    BusError,
    InsufficientReplicas,
    NotLeader,
    OutcomeUnknown,
    OutOfSequence,
    StorageFull,
    UnknownProducer,
)
from bus.producer import Original, Windows

MS = 1_000_000


class Leader:
    """A partition's log with the broker's own producer windows."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.windows = Windows()

    def append(self, batch: Batch, refuse: str = "") -> wire.Outcome:
        """Judge first, as brokers do: what is appended already is never refused."""
        try:
            original = self.windows.judge(batch.producer, batch.sequence)
        except BusError as error:
            return wire.Outcome(0, -1, 0, 0, type(error).__name__, str(error))
        if original is None:
            if refuse:
                return wire.Outcome(0, -1, 0, 0, refuse, "")
            original = Original(batch.producer, batch.sequence, len(self.log), len(self.log), 1, 1)
            self.windows.commit(original)
            self.log.append(batch.body)
        return wire.Outcome(0, original.base_offset, 2, 1)


def lane() -> Lane:
    numbers = count()
    return Lane(0, lambda: b"p%d" % next(numbers))


def batch(number: int, deadline_ms: int = 10_000) -> Batch:
    return Batch(0, b"%d" % number, 1, "quorum", deadline_ms * MS, number)


answers = st.sampled_from(
    ["ok", "ok", "ok", "lost", "swallowed", "deposed", "elsewhere", "refused", "full", "unsure", "hang"]
)


@settings(max_examples=300)
@given(st.lists(answers, max_size=60), st.integers(1, 25), st.data())
def test_acked_is_appended_once_and_in_order(script: list[str], batches: int, data: st.DataObject) -> None:
    one, leader = lane(), Leader()
    link, now = object(), 0
    offered = [batch(number, data.draw(st.integers(200, 20_000))) for number in range(batches)]
    for each in offered:
        one.offer(each)
    results: dict[int, wire.Outcome | BusError] = {}

    def settle(settled: "list[tuple[Batch, wire.Outcome | BusError]]") -> None:
        for each, result in settled:
            assert each.owner not in results, "settled twice"
            results[each.owner] = result

    for turn in range(1_000):
        now += 100 * MS
        sent = one.due(link, now)
        assert len(one.out) <= limits.LANE_BATCHES_IN_FLIGHT_MAX
        for each in sent:
            what = script.pop(0) if script else "ok"
            if what == "ok":
                settle(one.answered(each, leader.append(each), link, now))
            elif what == "lost":
                one.lost(each, link)
            elif what == "swallowed":
                leader.append(each)
                one.lost(each, link)
            elif what == "elsewhere":
                settle(one.answered(each, wire.Outcome(0, -1, 0, 0, "NotLeader", ""), link, now))
            elif what == "deposed":
                leader.append(each)
                old, link = link, object()
                one.due(link, now)
                settle(one.answered(each, wire.Outcome(0, -1, 0, 0, "OutcomeUnknown", ""), old, now))
                for other in [*one.out]:
                    one.lost(other, link)
            elif what == "refused":
                settle(one.answered(each, leader.append(each, "InsufficientReplicas"), link, now))
            elif what == "full":
                settle(one.answered(each, leader.append(each, "StorageFull"), link, now))
            elif what == "unsure":
                leader.append(each)
                settle(one.answered(each, wire.Outcome(0, -1, 0, 0, "OutcomeUnknown", ""), link, now))
        settle(one.expire(now))
        if one.idle:
            break
        if turn % 7 == 6:
            for each in [*one.out]:
                one.lost(each, link)
    assert one.idle and set(results) == set(range(batches))
    assert len(set(leader.log)) == len(leader.log), "appended twice"
    acked = [number for number, result in sorted(results.items()) if isinstance(result, wire.Outcome)]
    for number in acked:
        assert leader.log[results[number].base_offset] == b"%d" % number  # type: ignore[union-attr]
    places = [leader.log.index(b"%d" % number) for number in acked]
    assert places == sorted(places), "out of order"
    for number, result in results.items():
        if isinstance(result, BusError) and not isinstance(result, OutcomeUnknown):
            assert b"%d" % number not in leader.log, f"said {result!r}, and yet it was appended"


def refuse(one: Lane, each: Batch, code: str, link: object, now: int = 0) -> list[tuple[Batch, object]]:
    return list(one.answered(each, wire.Outcome(0, -1, 0, 0, code, "no"), link, now))


def test_a_batch_keeps_its_sequence_when_the_leader_moves() -> None:
    one, old, new = lane(), object(), object()
    one.offer(batch(0))
    one.offer(batch(1))
    first = [(each.producer, each.sequence) for each in one.due(old, 0)]
    assert first == [(b"p0", 0), (b"p0", 1)]
    assert [(each.producer, each.sequence) for each in one.due(new, 0)] == first
    assert one.due(new, 0) == []


def test_a_window_bounds_what_is_out() -> None:
    one, link = lane(), object()
    for number in range(3 * limits.LANE_BATCHES_IN_FLIGHT_MAX):
        one.offer(batch(number))
    sent = one.due(link, 0)
    assert len(sent) == limits.LANE_BATCHES_IN_FLIGHT_MAX
    one.answered(sent[0], wire.Outcome(0, 0, 2, 1), link, 0)
    assert [each.owner for each in one.due(link, 0)] == [limits.LANE_BATCHES_IN_FLIGHT_MAX]


def test_a_forgotten_producer_is_unknown_only_after_a_doubt() -> None:
    one, link = lane(), object()
    one.offer(batch(0))
    (sent,) = one.due(link, 0)
    assert refuse(one, sent, "UnknownProducer", link) == []
    (again,) = one.due(link, 10_000 * MS)
    assert (again.producer, again.sequence) == (b"p1", 0)
    one.lost(again, link)
    (again,) = one.due(object(), 10_000 * MS)
    ((_, result),) = refuse(one, again, "UnknownProducer", again.link or link)
    assert isinstance(result, OutcomeUnknown)


def test_a_producer_that_is_never_accepted_ends_with_its_error() -> None:
    one, link, now = lane(), object(), 0
    one.offer(batch(0, 1_000_000))
    for _ in range(10):
        now += 1_000 * MS
        settled = [done for each in one.due(link, now) for done in refuse(one, each, "OutOfSequence", link, now)]
        if settled:
            break
    assert isinstance(settled[0][1], OutOfSequence)


def test_errors_that_waiting_would_not_help_are_final() -> None:
    one, link = lane(), object()
    for number in range(3):
        one.offer(batch(number))
    first, second, third = one.due(link, 0)
    ((_, result),) = refuse(one, first, "StorageFull", link)
    assert isinstance(result, StorageFull)
    refuse(one, second, "OutOfSequence", link)
    refuse(one, third, "OutOfSequence", link)
    again = one.due(link, 10_000 * MS)
    assert [(each.owner, each.producer, each.sequence) for each in again] == [(1, b"p1", 0), (2, b"p1", 1)]


def test_the_deadline_tells_what_is_known() -> None:
    one, link = lane(), object()
    for number in range(3):
        one.offer(batch(number, 100))
    sent = one.due(link, 0)
    refuse(one, sent[0], "InsufficientReplicas", link)
    one.lost(sent[1], link)
    results = {each.owner: type(result) for each, result in one.expire(100 * MS)}
    assert results == {0: InsufficientReplicas, 1: OutcomeUnknown, 2: OutcomeUnknown}
    assert one.idle


def test_a_batch_that_found_no_leader_was_surely_not_appended() -> None:
    one, link = lane(), object()
    one.offer(batch(0, 100))
    one.offer(batch(1, 100))
    refused, doubted = one.due(link, 0)
    refuse(one, refused, "NotLeader", link)
    refuse(one, doubted, "OutcomeUnknown", link)
    assert {each.owner: type(result) for each, result in one.expire(100 * MS)} == {0: NotLeader, 1: OutcomeUnknown}


def test_a_refusal_does_not_lift_an_earlier_doubt() -> None:
    one, old, new = lane(), object(), object()
    one.offer(batch(0, 100))
    (sent,) = one.due(old, 0)
    one.lost(sent, old)
    (again,) = one.due(new, 0)
    assert (again.producer, again.sequence) == (b"p0", 0)
    refuse(one, again, "NotLeader", new)
    ((_, result),) = one.expire(100 * MS)
    assert isinstance(result, OutcomeUnknown)


def test_the_codes_of_each_row_are_apart() -> None:
    assert not REFUSED & UNSURE
    assert UnknownProducer.__name__ not in REFUSED | UNSURE
