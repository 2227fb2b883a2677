"""Hold-back buffers against brute force: what leaves, in which order, and what is counted."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.holdback import ByTime, Causal

PARTITIONS = 3
Place = tuple[int, int]


class Log:
    """Events in the order of their making: (partition, offset, deps, matches)."""

    def __init__(self, draws: list[tuple[int, list[int], bool]]) -> None:
        self.events: list[tuple[int, int, dict[int, int], bool]] = []
        ends = [0] * PARTITIONS
        for partition, back, matches in draws:
            deps = {
                one: ends[one] - 1 - behind
                for one, behind in enumerate(back)
                if behind < 4 and ends[one] - 1 - behind >= 0
            }
            self.events.append((partition, ends[partition], deps, matches))
            ends[partition] += 1
        self.ends = ends

    def shuffled(self, picks: list[int]) -> list[tuple[int, int, dict[int, int], bool]]:
        """Any interleaving of the partitions."""
        lines = [[one for one in self.events if one[0] == partition] for partition in range(PARTITIONS)]
        out = []
        for pick in picks + [0] * len(self.events):
            full = [line for line in lines if line]
            if not full:
                break
            out.append(full[pick % len(full)].pop(0))
        return out


LOG = st.lists(
    st.tuples(
        st.integers(0, PARTITIONS - 1),
        st.lists(st.integers(0, 7), min_size=PARTITIONS, max_size=PARTITIONS),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=25,
).map(Log)
PICKS = st.lists(st.integers(0, 5), max_size=25)


@settings(max_examples=300, deadline=None)
@given(LOG, PICKS)
def test_causes_come_first_whatever_arrives_first(log: Log, picks: list[int]) -> None:
    buffer: Causal[Place] = Causal({}, 10)
    got: list[Place] = []
    received = dict.fromkeys(range(PARTITIONS), 0)
    overtaking = 0
    for partition, offset, deps, matches in log.shuffled(picks):
        if matches:
            overtaking += any(received[one] <= at for one, at in deps.items() if one != partition)
            received[partition] = offset + 1
            buffer.push(partition, offset, deps, (partition, offset), 0)
        else:
            received[partition] = offset + 1
            buffer.passed(partition, offset + 1)
        got += buffer.release(0, ())
    assert len(buffer) == 0 and not buffer.waiting() and buffer.gaps == 0
    assert sorted(got) == sorted((partition, offset) for partition, offset, _, matches in log.events if matches)
    assert buffer.prevented == overtaking
    deps_of = {(partition, offset): deps for partition, offset, deps, _ in log.events}
    place = {one: number for number, one in enumerate(got)}
    for one, number in place.items():
        causes = [(partition, at) for partition, offset in deps_of[one].items() for at in range(offset + 1)] + [
            (one[0], at) for at in range(one[1])
        ]
        assert all(place[cause] < number for cause in causes if cause in place)
    assert [buffer.cursor(partition) for partition in range(PARTITIONS)] == log.ends


def test_c_b_a_comes_out_as_a_b_c() -> None:
    buffer: Causal[str] = Causal({}, 10)
    buffer.push(2, 0, {1: 0, 0: 0}, "C", 0)
    assert buffer.release(0, ()) == []
    buffer.push(1, 0, {0: 0}, "B", 0)
    assert buffer.release(0, ()) == []
    assert buffer.waiting() == [("C", 1, 0), ("B", 0, 0)]
    buffer.push(0, 0, {}, "A", 0)
    assert buffer.release(0, ()) == ["A", "B", "C"]
    assert (len(buffer), buffer.prevented, buffer.gaps) == (0, 2, 0)


@pytest.mark.parametrize(
    ("policy", "delivered", "counts"),
    [("wait", [], (1, 0, 0)), ("skip", ["X", "Y"], (1, 1, 0)), ("dead-letter", ["Y"], (1, 0, 1))],
)
def test_a_gap_is_seen_once_and_dealt_with_by_policy(policy: str, delivered: list[str], counts: Any) -> None:
    buffer: Causal[str] = Causal({}, 10, policy)
    buffer.push(0, 0, {1: 5}, "X", 0)
    buffer.push(0, 1, {}, "Y", 0)
    assert buffer.release(9, ()) == [] and buffer.gaps == 0, "patience"
    assert buffer.next_due() == 10
    assert buffer.release(10, {1}) == [] and buffer.gaps == 0, "more of the partition is on its way"
    assert buffer.release(10, ()) == delivered
    assert buffer.release(20, ()) == [] and buffer.next_due() is None
    assert (buffer.gaps, buffer.skipped, buffer.dead) == counts
    assert list(buffer.aside) == (["X"] if policy == "dead-letter" else [])
    buffer.passed(1, 6)
    assert buffer.release(20, ()) == ([] if delivered else ["X", "Y"])
    assert len(buffer) == 0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.dictionaries(st.integers(0, 3), st.integers(0, 6), max_size=4)), max_size=12
    )
)
def test_no_deps_however_false_stop_a_reader_that_skips(arrivals: list[tuple[int, dict[int, int]]]) -> None:
    buffer: Causal[Place] = Causal({}, 10, "skip")
    ends = [0, 0, 0]
    got: list[Place] = []
    for partition, deps in arrivals:
        buffer.push(partition, ends[partition], deps, (partition, ends[partition]), 0)
        ends[partition] += 1
        got += buffer.release(0, ())
    got += buffer.release(10, ())
    assert sorted(got) == [(partition, at) for partition in range(3) for at in range(ends[partition])]
    assert all([at for one, at in got if one == partition] == list(range(ends[partition])) for partition in range(3))
    assert len(buffer) == 0 and buffer.skipped == buffer.gaps


TIMES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(TIMES, st.integers(0, 50), st.sampled_from(["deliver", "drop"]))
def test_in_time_order_but_for_the_late_ones_which_are_counted(
    arrivals: list[tuple[int, int]], lateness: int, policy: str
) -> None:
    buffer: ByTime[tuple[int, int, int]] = ByTime(lateness, policy)
    in_order: list[tuple[int, int, int]] = []
    late: list[tuple[int, int, int]] = []
    latest = -1
    for offset, (partition, time) in enumerate(arrivals):
        item = (time, partition, offset)
        overdue = bool(in_order) and item < in_order[-1]
        assert not overdue or time < latest - lateness, "late though within the lateness"
        latest = max(latest, time)
        assert buffer.push(partition, offset, time, item, 0) == ([item] if overdue and policy == "deliver" else [])
        late += [item] * overdue
        in_order += buffer.release(-1, (), 100)
        due = [(at, one, place) for place, (one, at) in enumerate(arrivals[: offset + 1]) if at < latest - lateness]
        assert set(due) <= {*in_order, *late}
    in_order += buffer.flush()
    assert in_order == sorted(in_order) and buffer.late == len(late) and len(buffer) == 0
    assert sorted(in_order + late) == sorted((time, one, place) for place, (one, time) in enumerate(arrivals))
    assert not late or lateness < 40


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 99), max_size=10).map(sorted), min_size=3, max_size=3), PICKS)
def test_history_is_merged_whatever_partition_is_read_fastest(lines: list[list[int]], picks: list[int]) -> None:
    buffer: ByTime[tuple[int, int, int]] = ByTime(0)
    at = [0, 0, 0]
    out: list[tuple[int, int, int]] = []
    for pick in picks + [0] * 30:
        behind = [partition for partition in range(3) if at[partition] < len(lines[partition])]
        if not behind:
            break
        partition = behind[pick % len(behind)]
        time = lines[partition][at[partition]]
        assert buffer.push(partition, at[partition], time, (time, partition, at[partition]), 0) == []
        at[partition] += 1
        out += buffer.release(10**9, [one for one in behind if at[one] < len(lines[one])], 1_000)
    out += buffer.flush()
    everything = [(time, one, offset) for one, line in enumerate(lines) for offset, time in enumerate(line)]
    assert [time for time, _, _ in out] == [time for time, _, _ in sorted(everything)] and buffer.late == 0


def test_nothing_waits_longer_than_the_lateness_and_nothing_exceeds_the_room() -> None:
    buffer: ByTime[str] = ByTime(10)
    buffer.push(0, 0, 100, "b", 0)
    buffer.push(1, 0, 95, "a", 3)
    assert buffer.release(9, (), 10) == []
    assert buffer.next_due() == 10
    assert buffer.release(10, {1}, 10) == [], "partition 1 is behind"
    assert buffer.release(10, (), 10) == ["a", "b"]
    assert buffer.next_due() is None
    buffer.push(0, 1, 101, "c", 10)
    buffer.push(0, 2, 102, "d", 10)
    assert buffer.release(10, (), 1) == ["c"] and buffer.forced == 1
    assert (buffer.held(0), buffer.held(1), len(buffer)) == (1, 0, 1)
