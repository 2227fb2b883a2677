"""A state that was written down and read again is the state: now, and in all that follows from it."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane import statefile
from controlplane.errors import SnapshotUnusable
from controlplane.facts import FoldQuarantined, Rows, encode_fact, encode_intent
from controlplane.fold import Entry, Fold, Heart, KeyedState, Step, World
from controlplane.plane import folds
from tests.controlplane.made import Story, actions


class Writer:
    """Writes a heart down, chain after chain."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self.chain: list[bytes] = []
        heart.follow_changes()

    def write(self, whole: bool = False) -> list[bytes]:
        """One more link, or a new chain; the chain as it is then."""
        changed = {name: state.changes() for name, state in self.heart.states.items()}
        whole = whole or not self.chain
        tables = {name: state.tables() for name, state in self.heart.states.items()} if whole else changed
        if whole:
            self.chain = []
        base = self.chain[-1][-statefile.CHECKSUM_BYTES :] if self.chain else b""
        header = statefile.header_of(self.heart, b"", len(self.chain), base)
        self.chain = [*self.chain, b"".join(statefile.encode(header, tables))]
        return self.chain


def said(step: Step) -> object:
    """All that a step says."""
    derived = [(e.position, e.cause, encode_fact(e.fact)) for e in step.derived if not isinstance(e.fact, Rows)]
    return step.first, step.last, derived, [(c, i, encode_intent(x)) for c, i, x in step.intents], step.digest


@settings(max_examples=40, deadline=None)
@given(actions, st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=8))
def test_what_was_written_is_read_and_goes_on_as_the_live_one_did(
    things: list[tuple[int, int]], marks: list[tuple[int, bool]]
) -> None:
    story = Story()
    writer = Writer(story.heart)
    story.begin(partitions=3)
    due = dict(marks)
    written: list[tuple[int, Sequence[bytes], dict[str, dict[str, object]], int | None]] = []
    for number, (code, argument) in enumerate(things):
        story.act(code, argument)
        if number in due:
            heart = story.heart
            tables = {name: dict(state.tables()) for name, state in heart.states.items()}
            written.append((len(story.steps), writer.write(due[number]), tables, heart.next_deadline()))  # type: ignore[arg-type]
    for count, chain, tables, deadline in written:
        heart = statefile.restored(folds(), chain)
        step = story.steps[count - 1]
        assert (heart.position, heart.steps, heart.recorded) == (step.last, count, step.recorded)
        assert heart.digest() == step.digest
        assert {name: state.tables() for name, state in heart.states.items()} == tables
        assert heart.next_deadline() == deadline
        for after in story.steps[count:]:
            assert said(heart.step(after.input, after.recorded)) == said(after)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_happens_to_a_file_it_is_noticed(data: st.DataObject) -> None:
    story = Story()
    writer = Writer(story.heart)
    story.begin(partitions=2)
    writer.write()
    story.act(12, 8)
    chain = writer.write()
    hit = data.draw(st.integers(0, 1))
    file = chain[hit]
    place = data.draw(st.integers(0, len(file) - 1))
    damaged = data.draw(
        st.sampled_from([file[:place], file[:place] + bytes([file[place] ^ 0x40]) + file[place + 1 :], file + b"x"])
    )
    with pytest.raises(SnapshotUnusable):
        statefile.restored(folds(), [damaged if number == hit else each for number, each in enumerate(chain)])


def test_a_link_is_not_taken_for_another() -> None:
    story = Story()
    writer = Writer(story.heart)
    story.begin(partitions=2)
    first = writer.write()
    story.act(12, 8)
    second = writer.write()
    story.act(12, 9)
    third = writer.write()
    for wrong in ([third[2]], [first[0], third[2]], [second[1], first[0]], [first[0], second[1], second[1]]):
        with pytest.raises(SnapshotUnusable):
            statefile.restored(folds(), wrong)
    assert statefile.restored(folds(), third).digest() == story.heart.digest()
    writer.write(whole=True)
    story.act(12, 10)
    fourth = writer.write()
    with pytest.raises(SnapshotUnusable, match="another snapshot"):
        statefile.restored(folds(), [first[0], fourth[1]])


class Broken(Fold):
    """Raises at a dead leader; has a deadline that it can then never keep."""

    name = "broken"
    follows = (Rows,)
    timed = ("at",)
    tables = {"at": int}  # noqa: RUF012

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        if isinstance(entry.fact, Rows) and entry.fact.types[0] == "boom":
            raise ValueError("boom")
        state.put("at", "next", entry.recorded + 5)

    def due(self, table: str, value: int) -> int:
        return value


def test_a_quarantined_fold_stays_so_and_its_timers_rest() -> None:
    story = Story(Heart([*folds(), Broken()]))
    writer = Writer(story.heart)
    story.say("fine")
    story.say("boom")
    assert isinstance(story.heart.quarantined["broken"], FoldQuarantined)
    heart = statefile.restored([*folds(), Broken()], writer.write())
    assert heart.quarantined == story.heart.quarantined
    assert heart.next_deadline() == story.heart.next_deadline()
    assert heart.digest() == story.heart.digest()


def test_every_table_says_what_its_values_are() -> None:
    story = Story().begin(partitions=3)
    for n in range(600):
        story.act(n * 7 % 15, n * 11 % 61)
    for name, state in story.heart.states.items():
        assert set(state.tables()) <= set(story.heart.folds[name].tables), name


def test_other_versions_are_not_mixed() -> None:
    story = Story()
    writer = Writer(story.heart)
    story.begin(partitions=2)
    chain = writer.write()
    others = folds()
    others[1].version += 1
    with pytest.raises(SnapshotUnusable, match="other versions"):
        statefile.restored(others, chain)
    header = statefile.read_header(chain[0][: statefile.HEAD_BYTES_MAX])
    assert header.position == story.heart.position
    assert msgspec.structs.replace(header, position=0) != header
