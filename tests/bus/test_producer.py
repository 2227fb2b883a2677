"""Producer windows against a list of everything that was ever appended; forgetting; snapshots; garbage."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus.errors import CorruptRecord, OutcomeUnknown, OutOfSequence, UnknownProducer
from bus.producer import Original, Windows

PRODUCERS = [b"p", b"q", b"r"]


def original(producer: bytes, sequence: int, index: int) -> Original:
    return Original(producer, sequence, index, 10 * index, 3, 1_000 + index)


class Partition(RuleBasedStateMachine):
    """A partition through publishes, repetitions, commits, failovers and restarts; no producer is ever forgotten."""

    @initialize()
    def begin(self) -> None:
        self.windows = Windows(producers_max=3, outcomes_max=1_000)
        self.log: list[Original] = []
        self.high = 0
        self.noted = b""

    def of(self, producer: bytes) -> list[Original]:
        return [one for one in self.log if one.producer == producer]

    @rule(producer=st.sampled_from(PRODUCERS))
    def publish(self, producer: bytes) -> None:
        sequence = len(self.of(producer))
        assert self.windows.judge(producer, sequence) is None
        fresh = original(producer, sequence, len(self.log))
        self.log.append(fresh)
        self.windows.append(fresh)

    @rule(producer=st.sampled_from(PRODUCERS), back=st.integers(0, 5))
    def repeat(self, producer: bytes, back: int) -> None:
        sent = self.of(producer)
        if sent:
            again = sent[max(0, len(sent) - 1 - back)]
            assert self.windows.judge(producer, again.sequence) == again

    @rule(producer=st.sampled_from(PRODUCERS), ahead=st.integers(1, 3))
    def skip(self, producer: bytes, ahead: int) -> None:
        sent = len(self.of(producer))
        with pytest.raises(OutOfSequence if sent else UnknownProducer):
            self.windows.judge(producer, sent + ahead)

    @precondition(lambda self: self.high < len(self.log))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        upto = data.draw(st.integers(self.high + 1, len(self.log)))
        for one in self.log[self.high : upto]:
            self.windows.commit(one)
        self.high = upto

    @rule()
    def group_record(self) -> None:
        """A record without a producer."""
        self.log.append(original(b"", 0, len(self.log)))

    @rule()
    def lose_leadership(self) -> None:
        """What is not committed is gone, from the log and from the windows."""
        del self.log[self.high :]
        self.windows.relay([])

    @rule()
    def note(self) -> None:
        self.noted = self.windows.snapshot()

    @rule()
    def restart_and_lead(self) -> None:
        """From the last snapshot, the committed records after it, and the uncommitted ones."""
        self.windows = Windows(producers_max=3, outcomes_max=1_000)
        if self.noted:
            self.windows.restore(self.noted)
        for one in self.log[: self.high]:
            self.windows.commit(one)
        self.windows.relay(self.log[self.high :])

    @invariant()
    def is_a_fold_over_the_committed_log(self) -> None:
        fold = Windows(producers_max=3, outcomes_max=1_000)
        for one in self.log[: self.high]:
            fold.commit(one)
        assert fold.snapshot() == self.windows.snapshot()


Partition.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPartition = Partition.TestCase


def filled(count: int, producers_max: int = 3, outcomes_max: int = 4) -> Windows:
    """`count` producers with one committed batch each."""
    windows = Windows(producers_max, outcomes_max)
    for at in range(count):
        windows.commit(original(bytes([at + 1]), 0, at))
    return windows


def test_the_producer_unused_longest_is_forgotten_first() -> None:
    windows = filled(3)
    windows.commit(original(b"\x01", 1, 3))
    windows.commit(original(b"new", 0, 4))
    assert len(windows) == 3
    with pytest.raises(UnknownProducer, match="02"):
        windows.judge(b"\x02", 1)
    assert windows.judge(b"\x01", 2) is None


def test_a_forgotten_producer_comes_back_by_what_the_leader_appended() -> None:
    windows = filled(3)
    windows.append(original(b"\x01", 1, 3))
    windows.commit(original(b"new", 0, 4))
    assert windows.judge(b"\x01", 1) == original(b"\x01", 1, 3)
    assert windows.judge(b"\x01", 2) is None


def test_placements_are_remembered_up_to_a_bound() -> None:
    windows = Windows(outcomes_max=4)
    for at in range(10):
        windows.commit(original(b"p", at, at))
    assert windows.judge(b"p", 6) == original(b"p", 6, 6)
    with pytest.raises(OutcomeUnknown, match="last 4"):
        windows.judge(b"p", 5)


def test_no_producer_is_no_window() -> None:
    windows = Windows()
    for at in range(3):
        assert windows.judge(b"", at) is None
        windows.append(original(b"", 0, at))
        windows.commit(original(b"", 0, at))
    assert (len(windows), windows.applied) == (0, 3)


def test_what_is_applied_is_passed_over() -> None:
    windows = filled(2)
    before = windows.snapshot()
    windows.commit(original(b"\x01", 7, 1))
    assert windows.snapshot() == before


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.builds(msgspec.msgpack.encode, st.recursive(st.integers(-9, 9) | st.binary(), st.lists)),
    )
)
def test_garbage_is_no_snapshot(garbage: bytes) -> None:
    windows = filled(2)
    before = windows.snapshot()
    try:
        windows.restore(garbage)
    except CorruptRecord:
        assert windows.snapshot() == before
    else:
        assert len(msgspec.msgpack.decode(garbage)) >= 2


def test_an_empty_window_in_a_snapshot_is_corrupt() -> None:
    with pytest.raises(CorruptRecord):
        Windows().restore(msgspec.msgpack.encode([0, [[]]]))
