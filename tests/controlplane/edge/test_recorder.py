"""However records arrive (again, in part, in any mix of partitions), each event is taken once and in order."""

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given, settings
from hypothesis import strategies as st

from bus import batch
from controlplane import limits
from controlplane.recorder import Recorder
from tests.controlplane.edge.examples import simple

Record = tuple[batch.Header, bytes]


def record(partition: int, first: int, count: int) -> Record:
    return batch.Header(batch.EVENTS, partition, 1, first, count, 7), batch.encode(simple(count, first))


def nothing() -> None:
    """Nobody waits."""


records_of_a_log = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(records_of_a_log, min_size=1, max_size=3), st.integers(1, 20))
def test_every_event_is_taken_once_and_in_order(data: st.DataObject, logs: list[list[int]], turn_max: int) -> None:
    recorder = Recorder({}, nothing)
    made: dict[int, list[Record]] = {}
    for partition, counts in enumerate(logs):
        first = 0
        for count in counts:
            made.setdefault(partition, []).append(record(partition, first, count))
            first += count
    taken: dict[int, list[str]] = {partition: [] for partition in made}
    reached = dict.fromkeys(made, 0)
    while recorder.events or any(reached[partition] < len(made[partition]) for partition in made):
        open_ones = [partition for partition in made if reached[partition] < len(made[partition])]
        partition = data.draw(st.sampled_from(open_ones or sorted(made)))
        # A new session starts again a little earlier: some records come twice.
        start = max(0, reached[partition] - data.draw(st.integers(0, 2)))
        for header, body in made[partition][start : reached[partition] + 1]:
            recorder.add(header, body)
        reached[partition] = min(reached[partition] + 1, len(made[partition]))
        if not open_ones or data.draw(st.booleans()):
            turn = recorder.take(turn_max)
            assert len({arrival.partition for arrival in turn}) == len(turn)
            assert sum(map(len, turn)) <= turn_max + 8
            for arrival in turn:
                assert arrival.first_offset == len(taken[arrival.partition])
                taken[arrival.partition] += arrival.ids
    assert taken == {partition: [f"e-{n}" for n in range(sum(logs[partition]))] for partition in made}


def test_it_goes_on_in_the_middle_of_a_record() -> None:
    recorder = Recorder({2: 3}, nothing)
    recorder.add(*record(2, 0, 5))
    (arrival,) = recorder.take()
    assert (arrival.first_offset, arrival.ids, recorder.repeated) == (3, ["e-3", "e-4"], 3)


def test_an_unreadable_record_stops_nobody() -> None:
    recorder = Recorder({}, nothing)
    header, _ = record(0, 0, 5)
    recorder.add(header, b"garbage")
    recorder.add(batch.Header(batch.EVENTS, 0, 1, 5, 3, 7), batch.encode(simple(2)))
    recorder.add(*record(0, 8, 1))
    (arrival,) = recorder.take()
    assert (arrival.first_offset, recorder.unreadable) == (8, 8)


def test_what_is_missing_is_counted_and_starts_an_input_of_its_own() -> None:
    recorder = Recorder({}, nothing)
    recorder.add(*record(0, 0, 2))
    recorder.add(*record(0, 5, 2))
    assert [arrival.first_offset for arrival in recorder.take()] == [0]
    assert [arrival.first_offset for arrival in recorder.take()] == [5]
    assert recorder.missing == 3


def test_partitions_take_turns() -> None:
    recorder = Recorder({}, nothing)
    for n in range(3):
        recorder.add(*record(0, 10 * n, 10))
    recorder.add(*record(1, 0, 10))
    taken = [[arrival.partition for arrival in recorder.take(10)] for _ in range(4)]
    assert taken == [[0], [1], [0], [0]]


async def test_a_journal_that_is_behind_slows_the_brokers() -> None:
    recorder = Recorder({}, nothing)
    sent = 0

    async def flood() -> AsyncIterator[list[Record]]:
        nonlocal sent
        while sent < 3 * limits.RECORDER_EVENTS_MAX:
            some = [record(0, sent, 500)]
            sent += 500
            yield some

    following = asyncio.create_task(recorder.follow(flood()))
    await asyncio.wait([following], timeout=0.5)
    assert not following.done()
    assert sent == limits.RECORDER_EVENTS_MAX
    taken = 0
    while not following.done() or recorder.events:
        taken += sum(map(len, recorder.take()))
        await asyncio.sleep(0)
    await following
    assert taken == 3 * limits.RECORDER_EVENTS_MAX
