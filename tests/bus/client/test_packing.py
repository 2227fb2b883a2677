"""Checking by columns says yes only where checking one by one does, and packing loses and reorders nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

import bus
from bus import batch, limits, wire
from bus.client.packing import _plainly_fine, check, fill, ids_of, marks_of, pack, receipts, surely_fine
from bus.errors import ClientError
from bus.event import validate
from bus.ids import new_ids
from bus.repeats import Repeated

texts = st.one_of(
    st.sampled_from(["a", "a.b", "signalbox.x", "signalbox/x", "a..b", "*", "é", ""]), st.text(max_size=4)
)
odd = st.one_of(texts, st.sampled_from([None, "x\n", "\ud800", 7, b"x"]))
events = st.builds(
    lambda type, source, id, subject, time, correlation, trace, key, extension: bus.Event(
        type=type, source=source, id=id, subject=subject, time=time, correlationid=correlation, traceparent=trace,
        partitionkey=key, extensions=extension, data=1,
    ),
    odd, odd, odd, odd, st.sampled_from([None, 0, 1 << 63, -(1 << 63), True, "now"]), odd, odd, odd,
    st.sampled_from([{}, {"importof": "log"}, {"Bad": 1}, {"a": 1 << 40}, {"a": "x" * 2_000}, {"nocapable": "x"}]),
)  # fmt: skip
fine = st.builds(
    lambda type, subject, data: bus.Event(type=type, source="agent/a", id="e", subject=subject, data=data),
    st.sampled_from(["a.b", "b c.d", "é.f"]),
    st.one_of(st.none(), st.text("abc é", min_size=1, max_size=5)),
    st.one_of(st.none(), st.integers(), st.binary(max_size=20)),
)


def passes(event: bus.Event, id: str, reserved: bool) -> bool:
    try:
        check(fill(event, "me", id), reserved)
    except ClientError:
        return False
    return True


@given(events, st.booleans())
def test_the_short_look_passes_only_what_the_long_one_does(event: bus.Event, reserved: bool) -> None:
    whole = fill(event, "me", "new")
    if _plainly_fine(whole, reserved):
        validate(whole)


@given(st.lists(st.one_of(events, fine, fine, fine), max_size=8), st.booleans())
def test_what_is_surely_fine_passes_one_by_one(some: list[bus.Event], reserved: bool) -> None:
    ids = ids_of(some, marks_of(some), new_ids)
    if surely_fine(some, ids, "me", reserved):
        assert all(passes(event, id, reserved) for event, id in zip(some, ids, strict=True))


@given(st.lists(fine, max_size=30), st.booleans())
def test_usual_events_are_surely_fine(some: list[bus.Event], reserved: bool) -> None:
    assert surely_fine(some, ids_of(some, marks_of(some), new_ids), "me", reserved)


def test_one_that_is_no_event_is_never_surely_fine() -> None:
    some = [bus.Event(type="a"), {"type": "a"}]
    assert not surely_fine(some, ["i", "j"], "me", False)  # type: ignore[arg-type]


@given(st.lists(st.one_of(fine, fine.map(lambda event: event.replace(id=""))), min_size=1, max_size=30))
def test_columns_and_copies_say_the_same(some: list[bus.Event]) -> None:
    """What is encoded and told in receipts under ids beside the events is what filled copies of them would be."""
    ids = ids_of(some, marks_of(some), new_ids)
    copies = [fill(event, "me", id) for event, id in zip(some, ids, strict=True)]
    assert [one.body for one in pack(some, ids, "me")] == [one.body for one in pack(copies, ids, "")]
    assert [event.id or id for event, id in zip(some, ids, strict=True)] == ids == [copy.id for copy in copies]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([1, 100, 400_000, 1_000_000]), min_size=1, max_size=14))
def test_packing_keeps_order_and_bounds(sizes: list[int]) -> None:
    some = [bus.Event(type="a", source="b", id=f"e{n}", data=b"x" * size) for n, size in enumerate(sizes)]
    packed = pack(some, [event.id for event in some], "")
    assert [one.start for one in packed] == [0, *(one.stop for one in packed[:-1])]
    assert all(len(one.body) <= limits.BATCH_BYTES_MAX and one.error is None for one in packed)
    ids = [id for one in packed for id in batch.decode(one.body).ids]
    assert ids == [event.id for event in some]


def test_many_events_are_cut_at_the_bound() -> None:
    some = [bus.Event(type="a", source="b", id=f"e{n}") for n in range(1_201)]
    assert [(one.start, one.stop) for one in pack(some, [event.id for event in some], "")] == [
        (0, 500),
        (500, 1_000),
        (1_000, 1_201),
    ]


def test_an_event_that_cannot_be_encoded_is_alone_at_fault() -> None:
    some = [bus.Event(type="a", source="b", id=f"e{n}") for n in range(9)]
    some[4] = some[4].replace(subject="\ud800")
    packed = pack(some, [event.id for event in some], "")
    assert [(one.start, one.stop) for one in packed if one.error] == [(4, 5)]
    assert sum(one.stop - one.start for one in packed if one.error is None) == 8


def test_filling_leaves_the_given_event_alone() -> None:
    given_event = bus.Event(type="a")
    filled = fill(given_event, "me", "new")
    assert (filled.id, filled.source, given_event.id, given_event.source) == ("new", "me", "", "")
    whole = bus.Event(type="a", source="b", id="c")
    assert fill(whole, "me", "new") is whole


def test_receipts_count_up_from_the_base() -> None:
    events = [bus.Event(type="t", id=id) for id in ("a", "b")]
    made = receipts(wire.Outcome(3, 40, 2, 99), events, ["a", "b"], "leader")
    assert [(one.partition, one.offset, one.appended, one.id) for one in made] == [(3, 40, 99, "a"), (3, 41, 99, "b")]
    assert "lost if" in made[0].guarantee and {one.routing for one in made} == {"topic"}


def test_receipts_of_a_batch_that_repeats_say_where_each_stands_and_how_it_is_routed() -> None:
    events = [bus.Event(type="t", id="a"), bus.Event(type="t", id="b", requires=["x"]), bus.Event(type="t", id="c")]
    made = receipts(wire.Outcome(3, 40, 2, 99, repeats=[Repeated(0, 1, 7, 55)]), events, ["a", "b", "c"], "quorum")
    assert [(one.offset, one.appended, one.duplicate) for one in made] == [
        (7, 55, True),
        (40, 99, False),
        (41, 99, False),
    ]
    assert [one.routing.split(":")[0] for one in made] == ["topic", "dispatch", "topic"]
