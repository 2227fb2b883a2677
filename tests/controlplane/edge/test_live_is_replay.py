"""Live digest = replay digest, through a real journal: partitions interleaved, batches cut, turns of any size."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from bus import batch
from bus.event import Event
from controlplane.arrivals import Arrival, Follows, of_record
from controlplane.facts import BrokerLost, Fact, PlaneResumed, Rows, SettingSet, Tick
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


def live(folder: str, given: list[Arrival | Fact], turn: int) -> Heart:
    """A heart and its journal, `turn` steps in each transaction."""
    heart, journal = Heart(folds()), Journal(Path(folder), FOLLOWS)
    kept: list[Kept] = []
    for number, one in enumerate(given):
        arrival = one if isinstance(one, Arrival) else None
        step = heart.step(one.rows(FOLLOWS) if isinstance(one, Arrival) else one, NOW + number * 10**9)
        kept.append(Kept(step, arrival))
        if len(kept) == turn or number == len(given) - 1:
            journal.commit(kept)
            kept = []
    journal.close()
    return heart


@few
@given(things, st.integers(1, 5))
def test_the_journal_gives_what_lived(told: list[Thing], turn: int) -> None:
    with TemporaryDirectory() as folder:
        heart = live(folder, arrivals(told), turn)
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
