"""The group machine against a brute-force model, and its durable form against garbage."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import limits
from bus.companion import Companion
from bus.errors import ClientError, CorruptRecord, GroupConflict, InvalidPattern
from bus.group import Group
from bus.groupsettings import check_same, check_settings
from bus.groupstate import (
    Attempt,
    Delta,
    Failed,
    GroupState,
    Kept,
    Open,
    Opened,
    decode_deltas,
    encode_deltas,
)
from bus.wire import GroupSettings, Settlement
from tests.bus.groupmodel import SETTINGS, STRICT, World, deliveries

MEMBER = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 6), st.integers(0, 63), st.sampled_from([0, 0, 0, 5])),
    st.tuples(st.just("read")),
    st.tuples(st.just("read")),
    st.tuples(st.just("join"), MEMBER, st.integers(0, 8), st.booleans()),
    st.tuples(st.just("leave"), MEMBER, st.booleans()),
    st.tuples(st.just("credit"), MEMBER, st.integers(-5, 5)),
    st.tuples(st.just("deliver")),
    st.tuples(st.just("deliver")),
    st.tuples(
        st.just("settle"), MEMBER, st.sampled_from(["ack", "ack", "nack", "terminate", "gap"]), SMALL, st.just(False)
    ),
    st.tuples(st.just("settle"), MEMBER, st.sampled_from(["ack", "nack"]), SMALL, st.just(True)),
    st.tuples(st.just("acks"), MEMBER, st.integers(0, 255), st.booleans()),
    st.tuples(st.just("acks"), MEMBER, st.integers(0, 255), st.just(False)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 2, 6])),
    st.tuples(st.just("log"), SMALL),
    st.tuples(st.just("commit"), SMALL),
    st.tuples(st.just("failover"), SMALL),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(STEP, max_size=80))
def test_any_interleaving_settles_each_event_once_and_skips_none(steps: list[tuple]) -> None:
    world = World()
    world.append(6, 0b111011, 0)
    world.join("a", 4, False)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    world.finish()


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=80))
def test_strict_order_holds_in_any_interleaving(steps: list[tuple]) -> None:
    world = World(STRICT)
    world.append(6, 0b111111, 0)
    world.join("a", 4, False)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    world.finish()


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_the_bound_on_open_events_holds(steps: list[tuple]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "GROUP_IN_FLIGHT_MAX", 7)
        patch.setattr(limits, "GROUP_FAILED_PER_DELTA_MAX", 100)
        world = World()
        world.append(6, 63, 0)
        world.append(6, 63, 0)
        world.join("a", 20, False)
        for name, *arguments in steps:
            getattr(world, name)(*arguments)
            assert world.group.room >= 0
        world.finish()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SMALL, st.integers(0, 63)), min_size=1, max_size=30), st.integers(1, 4), st.integers(1, 40))
def test_shares_are_fair(batches: list[tuple[int, int]], members: int, credit: int) -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    counts = {f"m{place}": 0 for place in range(members)}
    for name in counts:
        group.join(name, credit, 0)
    base = 0
    for extra, meant in batches:
        group.feed(base, extra + 6, meant, 0, 0)
        base += extra + 6
        for member, offset, attempt in deliveries(group, 0):
            counts[member] += 1
            assert group.settle(member, [Settlement(offset, attempt, "ack")], 0) == {}
            group.credit(member, 1)
    assert max(counts.values()) - min(counts.values()) <= len(batches)


def test_a_member_that_never_settles_gets_no_more_than_its_credit() -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    group.join("slow", 5, 0)
    group.join("fast", 5, 0)
    taken = {"slow": 0, "fast": 0}
    for base in range(0, 1_000, 10):
        group.feed(base, 10, (1 << 10) - 1, 0, 0)
        for _ in range(3):
            for member, offset, attempt in deliveries(group, 0):
                taken[member] += 1
                if member == "fast":
                    assert group.settle(member, [Settlement(offset, attempt, "ack")], 0) == {}
                    group.credit(member, 1)
    assert taken == {"slow": 5, "fast": 995}


def test_one_stuck_event_bounds_neither_the_rest_nor_the_state() -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    group.join("a", limits.IN_FLIGHT_EVENTS_MAX, 0)
    state = Companion()
    for index in range(200):
        group.feed(index * 500, 500, (1 << 500) - 1, 0, 0)
        items = [Settlement(offset, attempt, "ack") for _, offset, attempt in deliveries(group, 0) if offset]
        assert group.settle("a", items, 0) == {}
        group.credit("a", len(items))
        delta = group.delta()
        assert delta is not None
        state.apply(index, encode_deltas([delta]))
        group.logged()
    assert group.floor == 0 and group.cursor == 100_000
    assert len(state.snapshot()) < 200
    sample = group.sample(3, 10)
    assert (sample.floor, sample.in_flight, sample.waiting, sample.acked) == (0, 1, 10, 99_999)


def test_failures_beyond_one_record_go_into_the_next() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "GROUP_FAILED_PER_DELTA_MAX", 3)
        group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
        group.join("a", 10, 0)
        group.feed(0, 8, (1 << 8) - 1, 0, 0)
        items = [Settlement(offset, attempt, "nack", 1_000, "no") for _, offset, attempt in deliveries(group, 0)]
        assert group.settle("a", items, 0) == {}
        state = Companion()
        for index in range(3):
            assert group.unlogged
            delta = group.delta()
            assert delta is not None and len(delta.failed) <= 3
            state.apply(index, encode_deltas([delta]))
            group.logged()
        assert not group.unlogged and group.delta() is None
        assert state.groups["g"] == group.state()


def test_nothing_is_skipped_by_a_batch_out_of_order() -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    with pytest.raises(ValueError, match="would skip"):
        group.feed(1, 5, 0b1, 0, 0)
    assert group.feed(0, 5, 0b1, 0, 0) == 5
    assert group.feed(0, 5, 0b10, 0, 0) == 5
    assert group.feed(3, 5, 0b10001, 0, 0) == 8
    assert list(group.state().open) == [0, 7]


def test_events_passed_by_the_filter_are_logged_now_and_then() -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    group.logged()
    group.join("a", 1, 0)
    for base in range(0, limits.GROUP_PASSED_EVENTS_MAX, 500):
        assert group.delta() is None
        group.feed(base, 500, 0, 0, 0)
    assert group.delta() == Delta("g", limits.GROUP_PASSED_EVENTS_MAX)


def test_deadlines_of_settled_events_do_not_pile_up() -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    group.join("a", 500, 0)
    for base in range(0, 50_000, 500):
        group.feed(base, 500, (1 << 500) - 1, 0, base)
        items = [Settlement(offset, attempt, "ack") for _, offset, attempt in deliveries(group, base)]
        group.settle("a", items, base)
        group.credit("a", len(items))
        assert len(group._odd.timers._heap) <= 2 * 500 + 1_024
        assert len(group._plain._loans) <= 2 + limits.GROUP_LOANS_SPARED
    assert group.next_deadline(50_000) is None


@pytest.mark.parametrize(
    ("verdict", "delay", "why"),
    [("drop", 0, "no verdict"), ("nack", -1, "a delay of -1"), ("nack", limits.GROUP_DELAY_MS_MAX + 1, "a delay of")],
)
def test_nonsense_settlements_are_refused_one_by_one(verdict: str, delay: int, why: str) -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    group.join("a", 5, 0)
    group.feed(0, 2, 0b11, 0, 0)
    deliveries(group, 0)
    stale = group.settle("a", [Settlement(0, 1, verdict, delay), Settlement(1, 1, "ack")], 0)
    assert list(stale) == [0] and why in stale[0]
    assert group.settle("a", [Settlement(0, 1, "ack")], 0) == {}


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**40), 2**40), st.integers(-3, 200), st.sampled_from(["ack", "nack", "terminate"]))
def test_a_settlement_of_anything_else_changes_nothing(offset: int, attempt: int, verdict: str) -> None:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    group.join("a", 5, 0)
    group.feed(0, 2, 0b1, 0, 0)
    deliveries(group, 0)
    before = group.state()
    if (offset, attempt) != (0, 1):
        assert list(group.settle("a", [Settlement(offset, attempt, verdict)], 0)) == [offset]
    assert group.settle("b", [Settlement(offset, attempt, verdict)], 0)
    assert group.state() == before


# ------------------------------------------------------------------------------------------------ the durable form


@given(st.binary(max_size=200))
def test_garbage_is_corrupt_and_nothing_else(garbage: bytes) -> None:
    for take in (decode_deltas, Companion.restore):
        try:
            take(garbage)
        except CorruptRecord:
            pass
    companion = Companion()
    try:
        companion.apply(0, garbage)
    except CorruptRecord:
        assert companion.applied == 0


NUMBER = st.integers(0, 2**64 - 1) | st.integers(0, 20)
NUMBERS = st.lists(NUMBER, max_size=6)
FAILURES = st.lists(
    st.tuples(NUMBER, NUMBER, NUMBER, st.tuples(NUMBER, NUMBER, st.text(max_size=3), st.text(), NUMBER, st.text())),
    max_size=3,
)
OPENED = st.lists(st.tuples(NUMBER, NUMBERS), max_size=3)
FIELDS = (st.sampled_from(["g", "h"]), NUMBER, st.sampled_from([None, SETTINGS]), OPENED, NUMBERS, FAILURES)


@settings(max_examples=300)
@given(st.lists(st.tuples(*FIELDS, st.dictionaries(NUMBER, NUMBER, max_size=2)), max_size=3))
def test_deltas_that_do_not_fit_are_corrupt_and_change_nothing(deltas: list[tuple]) -> None:
    companion = Companion()
    companion.apply(0, encode_deltas([Delta("g", 10, SETTINGS)]))
    before = companion.snapshot()
    payload = msgspec.msgpack.encode(deltas[:1])
    try:
        companion.apply(1, payload)
    except CorruptRecord:
        assert companion.snapshot() == before
    else:
        for state in companion.groups.values():
            assert all(offset < state.upto for offset in state.open)
    restored = Companion.restore(companion.snapshot())
    assert restored.groups == companion.groups and restored.applied == companion.applied


@pytest.mark.parametrize(
    ("delta", "why"),
    [
        (Delta("g", 9), "goes back"),
        (Delta("g", 30, opened=[Opened(0, [19, 1])]), "opened outside"),
        (Delta("g", 30, opened=[Opened(0, [30, 1])]), "opened outside"),
        (Delta("g", 30, opened=[Opened(0, [25, 2]), Opened(0, [26, 1])]), "opened outside"),
        (Delta("g", 30, opened=[Opened(0, [25, 2, 26, 1])]), "runs of offsets"),
        (Delta("g", 30, opened=[Opened(0, [25])]), "runs of offsets"),
        (Delta("g", 30, opened=[Opened(0, [25, 0])]), "runs of offsets"),
        (Delta("g", 2**60, opened=[Opened(0, [25, 2**59])]), "runs of offsets"),
        (Delta("g", 30, closed=[11, 1]), "was not open"),
        (Delta("g", 30, failed=[Failed(11, 0, 0, Attempt(2, 0, "", "a", 0, "nack"))]), "was not open"),
        (Delta("g", 30, failed=[Failed(12, 0, 0, Attempt(1, 0, "", "a", 0, "nack"))]), "attempt 1 after 1"),
        (Delta("h", 30), "not defined"),
    ],
)
def test_a_delta_that_does_not_fit_says_why(delta: Delta, why: str) -> None:
    companion = Companion()
    ended = Failed(12, 0, 0, Attempt(1, 0, "", "a", 0, "nack"))
    companion.apply(0, encode_deltas([Delta("g", 20, SETTINGS, [Opened(0, [12, 2])], failed=[ended])]))
    before = companion.snapshot()
    with pytest.raises(CorruptRecord, match=why):
        companion.apply(1, encode_deltas([delta]))
    assert companion.snapshot() == before


def test_a_snapshot_whose_open_events_are_no_state_is_corrupt() -> None:
    cases: list[tuple[dict, list]] = [
        *((entries, []) for entries in ({5: Open(0)}, {-1: Open(0)}, {3: Open(0), 2: Open(0)})),
        ({2: Open(0, 7)}, [Opened(0, [3, 1])]),
        ({3: Open(1, 7)}, [Opened(0, [3, 1])]),
        ({}, [Opened(0, [3, 3])]),
        ({}, [Opened(0, [3, 1]), Opened(0, [3, 1])]),
        ({}, [Opened(0, [0, 2**40])]),
    ]
    for entries, plain in cases:
        snapshot = msgspec.msgpack.encode((7, [Kept("g", SETTINGS, 5, entries, plain=plain)]))
        with pytest.raises(CorruptRecord, match="no state"):
            Companion.restore(snapshot)


def test_a_snapshot_of_before_events_were_kept_as_runs_is_read() -> None:
    entries = {2: Open(9), 3: Open(9), 4: Open(9, 77), 8: Open(11)}
    old = ("g", SETTINGS, 10, entries, [1], [])
    state = Companion.restore(msgspec.msgpack.encode((7, [old]))).groups["g"]
    assert (state.open, state.count, state.floor, state.buried) == (entries, 4, 2, [1])
    assert state.kept().plain == [Opened(9, [2, 3]), Opened(11, [8, 1])] and state.kept().open == {4: Open(9, 77)}


@settings(max_examples=200)
@given(st.data())
def test_a_snapshot_with_a_bit_turned_is_corrupt_or_another_state(data: st.DataObject) -> None:
    world = World()
    world.append(6, 63, 1)
    world.join("a", 4, False)
    for _ in range(2):
        world.read()
        world.deliver()
        world.settle("a", "nack", 0, False)
        world.log(0)
    world.commit(9)
    snapshot = bytearray(world.committed.snapshot())
    place = data.draw(st.integers(0, len(snapshot) - 1))
    snapshot[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        Companion.restore(bytes(snapshot))
    except CorruptRecord:
        pass


def test_records_that_are_applied_already_are_passed_over() -> None:
    companion = Companion()
    first = encode_deltas([Delta("g", 10, SETTINGS)])
    assert companion.apply(4, first) == ["g"]
    assert companion.apply(4, first) == []
    assert companion.applied == 5


# ------------------------------------------------------------------------------------------------ definitions


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("pattern", "a.*"), ("order", "strict"), ("park", True), ("ack_wait_ms", 7), ("max_deliver", 9)],
        *[("lateness_ms", 9), ("late", "deliver"), ("gap", "skip")],
    ],
)
def test_a_conflict_names_its_field(field: str, value: object) -> None:
    with pytest.raises(GroupConflict) as caught:
        check_same("g", SETTINGS, msgspec.structs.replace(SETTINGS, **{field: value}))
    assert caught.value.field == field.removesuffix("_ms")
    assert "group g" in str(caught.value)


def test_the_start_counts_for_the_first_member_only() -> None:
    check_same("g", SETTINGS, msgspec.structs.replace(SETTINGS, start=99))


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"pattern": "a..b"}, InvalidPattern, "a..b"),
        ({"order": "backwards"}, ClientError, "order"),
        ({"order": "causal"}, ClientError, "gap"),
        ({"order": "causal", "gap": "wait", "late": "deliver"}, ClientError, "late"),
        ({"order": "timestamp", "late": "drop"}, ClientError, "late"),
        ({"lateness_ms": 1}, ClientError, "lateness"),
        ({"order": "causal", "gap": "skip", "lateness_ms": -1}, ClientError, "lateness"),
        ({"park": True}, ClientError, "park"),
        ({"ack_wait_ms": 0}, ClientError, "ack_wait"),
        ({"max_deliver": limits.GROUP_DELIVER_ATTEMPTS_MAX + 1}, ClientError, "max_deliver"),
    ],
)
def test_what_no_group_can_be_is_refused_by_name(changed: dict, error: type, named: str) -> None:
    with pytest.raises(error, match=named):
        check_settings("g", msgspec.structs.replace(SETTINGS, **changed))


def test_a_group_has_a_name() -> None:
    for name in ("", "n" * (limits.GROUP_NAME_CHARS_MAX + 1)):
        with pytest.raises(ClientError, match="group"):
            check_settings(name, GroupSettings(">", -1, 1, 1))
