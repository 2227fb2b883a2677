"""The journal's table without what it measures: the life that it is of, its arithmetic, a row that fails."""

from collections import Counter
from pathlib import Path

import pytest

from bus import batch
from tests.bench import _journallive as live
from tests.bench import journal
from tests.bench._life import AT_WORK, PARTITIONS, PAYLOAD_BYTES, RECORD_EVENTS, SAGAS, Life


@pytest.mark.parametrize("number", [0, 9, 99_999, 9_999_999])
def test_a_payload_has_the_size_that_is_said(number: int) -> None:
    columns = batch.decode(batch.encode([Life(10_000_000).event(number)]))
    assert len(columns.payloads()[0]) == PAYLOAD_BYTES


@pytest.mark.parametrize("events", [20_000, 1_000_000, 10_000_000])
def test_every_saga_gets_as_many_events(events: int) -> None:
    life = Life(events)
    assert life.sagas * life.each == events
    at_work = range(AT_WORK * life.each)
    assert set(Counter(map(life.saga, at_work)).values()) == {life.each}
    assert life.saga(events - 1) == life.sagas - 1
    assert Life(10_000_000).sagas == SAGAS


def test_a_saga_stays_in_its_partition() -> None:
    seen: dict[str, int] = {}
    for partition, events in Life(20_000).records():
        assert len(events) == RECORD_EVENTS
        for event in events:
            assert seen.setdefault(str(event.subject), partition) == partition
    assert set(seen.values()) == set(range(PARTITIONS))


def test_ids_are_single() -> None:
    life = Life(300_000)
    assert len({life.event(number).id for number in range(0, 300_000, 7)}) == len(range(0, 300_000, 7))


@pytest.mark.parametrize(
    ("one", "other", "covered"),
    [((2, 4), (6, 8), 4), ((2, 6), (4, 8), 6), ((-5, 3), (9, 30), 4), ((2, 4), (2, 4), 2), ((-5, -3), (4, 6), 2)],
)
def test_the_share_of_turns_counts_no_moment_twice(one: tuple[int, int], other: tuple[int, int], covered: int) -> None:
    assert live._covered(0, 10, one, other) == covered


def test_a_line_says_whether_it_is_reached() -> None:
    table = journal.Table()
    table.add("restart", "to live", [4.0, 6.0, 5.0])
    table.add("ingest", "stalls", [0.0])
    table.add("replay", "folds", [240_000.0, 260_000.0, 250_000.0])
    told = {line["what"]: (line["measured"], line["reached"], line["over_target"]) for line in table.lines()}
    assert told == {
        "turns over 100 ms": (0.0, True, None),
        "fold replay, all folds, by processor time": (250_000.0, True, 1.0),
        "restart, whole process": (6.0, False, 1.2),
    }


def test_what_fails_is_said_and_is_no_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_state: object, _found: object) -> None:
        raise OSError("no such disk")

    monkeypatch.setitem(journal.OF_STATE, "disk", fails)
    table = journal.measure(["disk"], 20_000, 1.0, 1.0)
    journal.show(table)
    assert not table.lines()
    assert "disk: not measured: OSError: no such disk" in capsys.readouterr().out


def test_every_row_has_a_line_and_every_line_a_row() -> None:
    rows = {line.row for line in journal.LINES}
    assert rows == {*journal.OF_STATE, *journal.OF_FLEET}


def test_the_bench_finds_it() -> None:
    assert Path(journal.__file__).name == "journal.py" and journal.ONLY_IF_NAMED
