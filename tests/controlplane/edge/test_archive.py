"""Questions to the archive, against the plainest way to answer them."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.event import Event, is_internal, to_json
from bus.topic import matches
from controlplane import limits
from controlplane.archive import Archive
from controlplane.arrivals import of_archive
from controlplane.journal import Journal
from controlplane.questions import AskEvent, AskEvents, AskExport, EventDetail, Refusal
from controlplane.sql.columns import TYPES
from tests.controlplane.edge.examples import FOLLOWS, arrived, events, simple, step_of

KINDS = ["order.created", "order.paid", "agent.lifecycle.joined", "signalbox.deadletter"]
listed = st.lists(
    st.builds(
        Event,
        id=st.uuids().map(str),
        type=st.sampled_from(KINDS),
        source=st.sampled_from(["agent/shop", "agent/till"]),
        subject=st.none() | st.sampled_from(["order-1", "order-2"]),
        correlationid=st.none() | st.just("order-1"),
        data=st.none() | st.just({"n": 1}),
        extensions=st.sampled_from([{}, {"redriveto": "billing"}, {"importof": "log"}]),
    ),
    min_size=1,
    max_size=12,
)


def archived(folder: str, published: list[Event]) -> tuple[Journal, Archive]:
    journal = Journal(Path(folder), FOLLOWS)
    journal.commit([step_of(journal, arrived(published))])
    return journal, Archive(journal)


def pages(archive: Archive, ask: AskExport, up_to: int) -> Iterator[str]:
    after, done = 0, False
    while not done:
        page = archive.page(AskExport(after=after, pattern=ask.pattern, internal=ask.internal, limit=ask.limit), up_to)
        yield from page.lines
        assert page.after > after or page.done
        after, done = page.after, page.done


@settings(max_examples=25, deadline=None)
@given(
    listed,
    st.sampled_from([">", "order.>", "*.created", "signalbox.>", "nothing.at.all"]),
    st.booleans(),
    st.integers(1, 5),
)
def test_an_export_is_what_was_published(published: list[Event], pattern: str, internal: bool, limit: int) -> None:
    with TemporaryDirectory() as folder:
        journal, archive = archived(folder, published)
        wanted = [
            to_json(event).decode()
            for event in published
            if matches(pattern, event.type) and (internal or not is_internal(event.type, event.extensions))
        ]
        ask = AskExport(pattern=pattern, internal=internal, limit=limit)
        assert list(pages(archive, ask, journal.position)) == wanted
        assert archive.page(ask, journal.position).total == len(wanted)
        assert list(pages(archive, ask, journal.position - 1)) == wanted[: len(wanted) - _is_last(published, wanted)]
        journal.close()


@settings(max_examples=10, deadline=None)
@given(st.lists(events, min_size=1, max_size=12), st.booleans(), st.integers(1, 5))
def test_an_export_as_columns_has_the_same_events(published: list[Event], internal: bool, limit: int) -> None:
    with TemporaryDirectory() as folder:
        journal, archive = archived(folder, published)
        wanted = [event for event in published if internal or not is_internal(event.type, event.extensions)]
        rows, after, done = [], 0, False
        while not done:
            ask = AskExport(after=after, internal=internal, limit=limit, columns=True)
            page = archive.page(ask, journal.position)
            table = pa.ipc.open_stream(page.arrow).read_all() if page.arrow else None
            assert page.count == (0 if table is None else table.num_rows) <= limit and not page.lines
            rows += [] if table is None else table.to_pylist()
            after, done = page.after, page.done
        assert [row["id"] for row in rows] == [event.id for event in wanted]
        for row, event in zip(rows, wanted, strict=True):
            assert list(row) == list(TYPES["events"])
            assert (row["type"], row["source"], row["subject"]) == (event.type, event.source, event.subject)
            assert (row["time_ns"], row["saga"] or "") == (event.time, event.saga)
            assert row["correlationid"] == event.correlationid
            assert (row["data"] or "").encode() + (row["bytes"] or b"") == event.payload
            attributes = json.loads(row["attributes"] or "{}")
            assert attributes.get("priority") == event.priority
            assert attributes.items() >= event.extensions.items()
            assert row["recorded"].timestamp() * 10**6 == row["recorded_ns"] // 1000
        journal.close()


def _is_last(published: list[Event], wanted: list[str]) -> int:
    return int(bool(wanted) and wanted[-1] == to_json(published[-1]).decode())


@settings(max_examples=25, deadline=None)
@given(listed, st.sampled_from(["", "shop", "order-1", '"n"']), st.sampled_from(["", "order-2"]))
def test_a_list_is_newest_first_and_filtered(published: list[Event], text: str, subject: str) -> None:
    with TemporaryDirectory() as folder:
        journal, archive = archived(folder, published)
        told = archive.events(AskEvents(text=text, subject=subject, internal=True, bars=10), now=10**12)
        wanted = [
            position
            for position, event in enumerate(published, 1)
            if text in " ".join((event.id, event.source, event.subject or "", event.payload.decode()))
            and subject in ("", event.subject)
        ]
        assert [row.position for row in told.rows] == wanted[::-1]
        assert told.total == len(wanted)
        assert len(told.volume) == 10
        newest = archive.events(AskEvents(internal=True, limit=2, before=len(published)), now=0).rows
        assert [row.position for row in newest] == list(range(len(published) - 1, 0, -1))[:2]
        journal.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(events, min_size=1, max_size=6))
def test_the_steps_of_a_saga_are_its_events(published: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        journal, archive = archived(folder, published)
        for saga in {event.saga for event in published if event.saga}:
            steps = archive.saga_steps(saga, 100, 2**62)
            assert [step.position for step in steps] == [n for n, e in enumerate(published, 1) if e.saga == saga]
        journal.close()


def test_one_event_with_what_is_around_it(tmp_path: Path) -> None:
    published = simple(30)
    journal, archive = archived(str(tmp_path), published)
    detail = archive.event(AskEvent("e-7"))
    assert isinstance(detail, EventDetail)
    assert json.loads(detail.event)["subject"] == "order-2"
    assert [row.id for row in detail.causes] == ["e-2", "e-7", "e-12", "e-17", "e-22", "e-27"]
    assert archive.event(AskEvent("@8")) == detail
    assert archive.at(detail.row.partition, detail.row.offset) == detail.event
    assert archive.at(detail.row.partition, 10_000) is None
    for unknown in ("e-99", "@99", "@" + "9" * 40, "@x", "'; drop table events"):
        told = archive.event(AskEvent(unknown))
        assert isinstance(told, Refusal) and told.code == "not_found"
    journal.close()


def test_a_page_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPORT_PAGE_BYTES_MAX", 300)
    journal, archive = archived(str(tmp_path), simple(30))
    assert 1 <= len(archive.page(AskExport(), 30).lines) < 5
    assert len(list(pages(archive, AskExport(), 30))) == 30
    journal.close()


@pytest.mark.parametrize(("text", "bytes_max"), [("é" * 100, 600), ("\u0001" * 100, 800)], ids=["wide", "escaped"])
def test_no_more_payloads_are_read_than_a_page_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, bytes_max: int
) -> None:
    monkeypatch.setattr(limits, "EXPORT_PAGE_BYTES_MAX", bytes_max)
    read: list[int] = []

    def counted(columns: dict[str, Any], names: list[str]) -> Any:
        read.append(len(columns["offset"]))
        return of_archive(columns, names)

    monkeypatch.setattr("controlplane.archive.of_archive", counted)
    published = [Event(id=f"{n}", type="t", source="s", data=text) for n in range(90)]
    journal, archive = archived(str(tmp_path), published)
    after, lines = 0, list[str]()
    while len(lines) < len(published):
        page = archive.page(AskExport(after=after), journal.position)
        assert page.lines and (len(page.lines) == 1 or sum(len(line.encode()) for line in page.lines) <= bytes_max)
        lines, after = lines + page.lines, page.after
    assert lines == [to_json(event).decode() for event in published]
    assert max(read) < 10
    journal.close()
