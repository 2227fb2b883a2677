"""Live digest = replay digest, through a real journal: partitions interleaved, batches cut, turns of any size."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bus import batch
from bus.event import Event
from controlplane import limits, sealing, segments
from controlplane.arrivals import Arrival, Follows, of_record
from controlplane.facts import BrokerLost, Fact, PlaneResumed, Rows, SagaStuck, SettingSet, Tick
from controlplane.fold import Heart
from controlplane.journal import Journal, Kept
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.timeline import as_of, verify
from controlplane.whatif import what_if
from tests.controlplane.made import dead_letter
from tests.controlplane.test_properties import by_fold

FOLLOWS = Follows(FOLLOWED_TYPES)
PARTITIONS = 4
NOW = 1_790_000_000_000_000_000
few = settings(max_examples=30, deadline=None)

published = st.tuples(
    st.sampled_from(["task.request", "exec.failed", "agent.termination", "agent.lifecycle.joined"]),
    st.sampled_from(["agent/a", "agent/b"]),
    st.sampled_from(["s-1", "s-2", "s-3", None]),
    st.sampled_from(["", "", "log-1"]),
    st.integers(0, 30),
)
facts = st.sampled_from([
    Tick(), SettingSet("sagas.stuck_after_ms", "900"), PlaneResumed(5_000_000_000), BrokerLost("b1", "killed"),
])  # fmt: skip
things = st.lists(
    st.tuples(st.integers(0, PARTITIONS - 1), st.lists(published, min_size=1, max_size=12)) | facts,
    min_size=1, max_size=12,
)  # fmt: skip
Thing = tuple[int, list[tuple[str, str, str | None, str, int]]] | Fact


def arrivals(told: list[Thing]) -> list[Arrival | Fact]:
    """Records as the partitions would append them, interleaved as they come, and facts between them."""
    ends = [0] * PARTITIONS
    made: list[Arrival | Fact] = []
    for number, thing in enumerate(told):
        if isinstance(thing, Fact):
            made.append(thing)
            continue
        partition, rows = thing
        events = [
            Event(id=f"e-{number}-{row}", type=type, source=source, subject=subject, time=NOW - after * 10**9,
                  extensions={"importof": log} if log else {})
            for row, (type, source, subject, log, after) in enumerate(rows)
        ]  # fmt: skip
        if len(rows) == 3:
            events.append(letter(f"dead-{number}"))
        header = batch.Header(batch.EVENTS, partition, 1, ends[partition], len(events), NOW + number * 10**9)
        ends[partition] += len(events)
        made.append(of_record(header, batch.encode(events)))
    return made


def letter(id: str) -> Event:
    from bus.event import from_json

    return from_json(dead_letter(id))


def cut(arrival: Arrival, at: int) -> list[Arrival]:
    """The same events in two pieces, or in one."""
    middle = arrival.first_offset + at % len(arrival)
    if middle == arrival.first_offset:
        return [arrival]
    lists = {name: getattr(arrival, name)[: middle - arrival.first_offset]
             for name in arrival.__struct_fields__ if name not in ("partition", "first_offset")}  # fmt: skip
    return [Arrival(arrival.partition, arrival.first_offset, **lists), arrival.after(middle)]


def live(folder: str, given: list[Arrival | Fact], turn: int, settle: bool = False) -> Heart:
    """A heart and its journal, `turn` steps in each transaction. `settle`: no segment is waited for in vain."""
    heart, journal = Heart(folds()), Journal(Path(folder), FOLLOWS)
    kept: list[Kept] = []
    for number, one in enumerate(given):
        arrival = one if isinstance(one, Arrival) else None
        step = heart.step(one.rows(FOLLOWS) if isinstance(one, Arrival) else one, NOW + number * 10**9)
        kept.append(Kept(step, arrival))
        if len(kept) == turn or number == len(given) - 1:
            journal.commit(kept)
            kept = []
            if settle:
                journal.settle()
    journal.close()
    return heart


def lives_again(folder: str, heart: Heart) -> None:
    """The journal gives what lived, step by step; and regenerates itself from its inputs."""
    journal = Journal(Path(folder), FOLLOWS)
    again = Heart(folds())
    for step in journal.replay():
        again.replay(step)
        assert again.digest() == step.digest
    assert by_fold(again) == by_fold(heart)
    assert again.next_deadline() == heart.next_deadline()
    assert verify(journal.replay(), folds()).divergence == ""
    assert what_if(journal.replay(), folds, {}).same
    journal.close()


def sealed_here(sealer: sealing.Sealer, path: Path, form: str) -> Path:
    """What a process of its own does otherwise; from a copy, as this one has the file open."""
    target, copy, work = segments.path_of(path.parent, segments.number_of(path), form), path, path.parent / "sealing-1"
    if form == segments.PARQUET:
        copy = Path(shutil.copy(path, path.with_suffix(".copy")))
    (sealing.write_parquet if form == segments.PARQUET else sealing.write_sealed)(copy, target, work)
    shutil.rmtree(work)
    return target


@few
@given(things, st.integers(1, 5))
def test_the_journal_gives_what_lived(told: list[Thing], turn: int) -> None:
    with TemporaryDirectory() as folder:
        lives_again(folder, live(folder, arrivals(told), turn))


EVENTFUL: list[Thing] = [
    SettingSet("sagas.stuck_after_ms", "900"),
    *((partition, [("task.request", "agent/a", "s-1", "", 0)] * 3) for partition in (0, 3, 1)),
    *[Tick()] * 3,
    (2, [("exec.failed", "agent/b", "s-2", "log-1", 5)] * 4),
    PlaneResumed(5_000_000_000),
    (0, [("task.request", "agent/a", "s-1", "", 0)]),
    *[Tick()] * 3,
]
"""With dead letters, which are followed, and sagas that get stuck, which timers say."""


@settings(max_examples=12, deadline=None)
@given(things, st.integers(1, 4), st.integers(1, 20), st.integers(1, 2))
@example(EVENTFUL, 1, 4, 1)
@example(EVENTFUL, 3, 9, 2)
def test_a_new_segment_may_begin_anywhere(told: list[Thing], turn: int, rows: int, kept: int) -> None:
    """After every few rows, sealed at once, and all but the newest few as Parquet."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits, "SEGMENT_ROWS_MAX", rows)
        patched.setattr(limits, "SEGMENTS_SEALED_MAX", kept)
        patched.setattr(sealing.Sealer, "turn", sealed_here)
        heart = live(folder, arrivals(told), turn, settle=True)
        lives_again(folder, heart)
        if told is EVENTFUL and kept == 1:
            forms = {segments.form_of(path) for path in segments.listed(Path(folder))}
            assert forms == {segments.OPEN, segments.SEALED, segments.PARQUET}


def test_what_is_eventful_has_timers_and_followed_events() -> None:
    heart = Heart(folds())
    steps = [
        heart.step(one.rows(FOLLOWS) if isinstance(one, Arrival) else one, NOW + number * 10**9)
        for number, one in enumerate(arrivals(EVENTFUL))
    ]
    assert any(isinstance(step.input, Rows) and step.input.followed for step in steps)
    assert any(isinstance(entry.fact, SagaStuck) for step in steps for entry in step.derived)


@few
@given(things, st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_batches_may_be_cut_anywhere(told: list[Thing], cuts: list[int]) -> None:
    """A timer that fires at a batch says its facts after the first piece of it, so it has fired before: by a Tick."""
    whole = Heart(folds())
    pieces = Heart(folds())
    for number, one in enumerate(arrivals(told)):
        now = NOW + number * 10**9
        for heart in (whole, pieces):
            heart.step(Tick() if isinstance(one, Arrival) else one, now)
        if isinstance(one, Fact):
            continue
        rows: Rows = one.rows(FOLLOWS)
        whole.step(rows, now)
        for piece in cut(one, cuts[number % len(cuts)]):
            pieces.step(piece.rows(FOLLOWS), now)
        assert by_fold(pieces) == by_fold(whole)
        assert pieces.position == whole.position


@few
@given(things)
def test_every_moment_is_what_it_was(told: list[Thing]) -> None:
    with TemporaryDirectory() as folder:
        heart = live(folder, arrivals(told), 2)
        journal = Journal(Path(folder), FOLLOWS)
        steps = list(journal.replay())
        for step in steps[:: max(1, len(steps) // 4)]:
            assert as_of(journal.replay(), folds(), position=step.last).digest() == step.digest
        assert steps[-1].digest == heart.digest()
        journal.close()
