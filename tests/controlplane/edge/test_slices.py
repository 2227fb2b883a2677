"""A replay's slice against the plainest way to choose one: count and pages are the same events, exactly."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.attributes import NO_EXTRAS
from bus.event import Event, to_json
from bus.topic import matches
from controlplane import limits
from controlplane.archive import Archive
from controlplane.arrivals import of_archive
from controlplane.journal import Journal
from controlplane.questions import AskSlice, AskSlicePage, Recorded, Slice
from controlplane.slices import Slices, left_out
from tests.controlplane.edge.examples import FOLLOWS, arrived, simple, step_of

NOW = 1_772_366_400_000_000_000
KINDS = ["order.created", "order.paid", "agent.lifecycle.joined", "signalbox.deadletter"]
published = st.builds(
    Event,
    id=st.uuids().map(str),
    type=st.sampled_from(KINDS),
    source=st.sampled_from(["agent/shop", "signalbox/plane"]),
    subject=st.none() | st.sampled_from(["order-1", "order-2"]),
    correlationid=st.none() | st.just("order-1"),
    time=st.none() | st.integers(NOW, NOW + 10),
    data=st.none() | st.just({"n": 1}),
    expirytime=st.sampled_from([None, None, NOW - 1, NOW, NOW + 1]),
    extensions=st.sampled_from([{}, {}, {"redriveto": "billing"}, {"importof": "log"}, {"replayrun": "r"}]),
)
steps = st.lists(st.lists(published, min_size=1, max_size=5), min_size=1, max_size=4)
places = st.none() | st.integers(0, 25)
slices = st.builds(
    Slice,
    pattern=st.sampled_from([">", "order.>", "*.paid", "nothing.at.all"]),
    subject=st.sampled_from(["", "", "order-1"]),
    saga=st.sampled_from(["", "", "order-1"]),
    position=places,
    instant=st.none() | st.integers(0, 5),
    until_position=places,
    until_instant=st.none() | st.integers(0, 5),
)


def archived(folder: str, given_steps: list[list[Event]]) -> tuple[Journal, Slices, list[tuple[int, int, Event]]]:
    """(position, recorded, event) of all of them; step n is recorded at n, in partition n."""
    journal = Journal(Path(folder), FOLLOWS)
    found = []
    for number, events in enumerate(given_steps, 1):
        kept = step_of(journal, arrived(events, partition=number, appended=100 + number))
        journal.commit([kept])
        first = journal.position - len(events) + 1
        found += [(first + row, journal.recorded, event) for row, event in enumerate(events)]
    return journal, Slices(journal, Archive(journal), lambda: None), found


def why(event: Event, expired_at: int | None) -> str:
    """The table in `slices`, written down once more."""
    if event.type.startswith("signalbox.") or event.source.startswith("signalbox/"):
        return "plane"
    if "redriveto" in event.extensions:
        return "redriven"
    if event.type.startswith("agent.lifecycle."):
        return "lifecycle"
    if "replayrun" in event.extensions:
        return "replayed"
    late = expired_at is not None and event.expirytime is not None and event.expirytime <= expired_at
    return "expired" if late else ""


def chosen(slice: Slice, position: int, recorded: int, event: Event) -> bool:
    return (
        matches(slice.pattern, event.type)
        and slice.subject in ("", event.subject)
        and slice.saga in ("", event.correlationid or event.subject)
        and (slice.position is None or position >= slice.position)
        and (slice.until_position is None or position <= slice.until_position)
        and (slice.instant is None or recorded >= slice.instant)
        and (slice.until_instant is None or recorded <= slice.until_instant)
    )


def pages(slices: Slices, ask: AskSlicePage) -> Iterator[Recorded]:
    after, done = ask.after, False
    while not done:
        page = slices.page(AskSlicePage(ask.slice, ask.up_to, after, ask.expired_at, ask.limit))
        assert page.after > after or page.done
        yield from page.rows
        after, done = page.after, page.done


@settings(max_examples=60, deadline=None)
@given(steps, slices, st.sampled_from([None, NOW]), st.integers(1, 4))
def test_a_slice_is_counted_and_given_out_exactly(
    given_steps: list[list[Event]], slice: Slice, expired_at: int | None, limit: int
) -> None:
    with TemporaryDirectory() as folder:
        journal, asked, everything = archived(folder, given_steps)
        matching = [each for each in everything if chosen(slice, *each)]
        wanted = [each for each in matching if not why(each[2], expired_at)]
        told = asked.count(AskSlice(slice, expired_at), journal.position)
        assert told.events == len(wanted)
        assert told.left_out == Counter(reason for *_, event in matching if (reason := why(event, expired_at)))
        assert told.types == Counter(event.type for *_, event in wanted)
        assert told.imported == sum("importof" in event.extensions for *_, event in wanted)
        assert told.bytes == sum(len(event.payload) for *_, event in wanted)
        positions = [position for position, *_ in wanted]
        assert (told.first, told.last) == ((positions[0], positions[-1]) if positions else (0, 0))
        times = [event.time for *_, event in wanted if event.time is not None]
        assert told.times == ((min(times), max(times)) if times else None)
        rows = list(pages(asked, AskSlicePage(slice, told.up_to, 0, expired_at, limit)))
        assert [(row.position, row.recorded, row.event) for row in rows] == [
            (position, recorded, to_json(event).decode()) for position, recorded, event in wanted
        ]
        assert [row.appended - 100 for row in rows] == [row.partition for row in rows]
        journal.close()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"type": "signalbox.journal"}, "plane"),
        ({"source": "signalbox/b1"}, "plane"),
        ({"type": "agent.lifecycle.left"}, "lifecycle"),
        ({"extensions": {"redriveto": "billing"}}, "redriven"),
        ({"extensions": {"replayrun": "r1"}}, "replayed"),
        ({"extensions": {"importof": "log"}}, ""),
        ({"expirytime": NOW}, "expired"),
        ({"expirytime": NOW + 1}, ""),
    ],
)
def test_what_is_left_out_and_why(changes: dict[str, Any], why: str) -> None:
    event = Event(type="order.paid", source="agent/shop").replace(**changes)
    assert left_out(event.type, event.source, event.extras or NO_EXTRAS, NOW) == why
    assert left_out(event.type, event.source, event.extras or NO_EXTRAS, None) == why.replace("expired", "")


def test_many_types_are_named_up_to_a_bound(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(limits, "SLICE_TYPES_MAX", 2)
    monkeypatch.setattr(limits, "SLICE_KINDS_REMEMBERED_MAX", 2)
    events = [Event(id=f"{n}", type=f"t.{n // 2}", source="s", extensions={"importof": f"{n}"}) for n in range(8)]
    journal, asked, _ = archived(str(tmp_path), [[*events, Event(id="x", type="t.3", source="s")]])
    told = asked.count(AskSlice(Slice()), journal.position)
    assert (told.types, told.other_types, told.events, told.imported) == ({"t.3": 3, "t.0": 2}, 4, 9, 8)
    journal.close()


def test_what_comes_later_is_not_in_it(tmp_path: Path) -> None:
    journal, asked, _ = archived(str(tmp_path), [simple(4)])
    told = asked.count(AskSlice(Slice()), journal.position)
    journal.commit([step_of(journal, arrived(simple(3, first=4), first_offset=4))])
    assert len(list(pages(asked, AskSlicePage(Slice(), told.up_to)))) == told.events == 4
    journal.close()


def test_a_page_holds_no_more_than_an_answer_may(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("controlplane.limits.EXPORT_PAGE_BYTES_MAX", 250)
    journal, asked, everything = archived(str(tmp_path), [simple(9)])
    assert len(asked.page(AskSlicePage(Slice(), journal.position)).rows) < 9
    rows = list(pages(asked, AskSlicePage(Slice(), journal.position)))
    assert [row.position for row in rows] == [position for position, *_ in everything]
    journal.close()


def test_no_more_payloads_are_read_than_a_page_may_hold(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("controlplane.limits.EXPORT_PAGE_BYTES_MAX", 250)
    read: list[int] = []

    def counted(columns: dict[str, list[Any]], names: list[str]) -> Any:
        read.append(len(columns["position"]))
        return of_archive(columns, names)

    monkeypatch.setattr("controlplane.slices.of_archive", counted)
    events = [Event(id=f"{n}", type="t", source="s", data="é" * 100) for n in range(9)]
    journal, asked, everything = archived(str(tmp_path), [events])
    rows = list(pages(asked, AskSlicePage(Slice(), journal.position)))
    assert [row.position for row in rows] == [position for position, *_ in everything]
    assert read == [1] * 9
    journal.close()
