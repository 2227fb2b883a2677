"""The window of given ids against a list of everything that was ever appended; its bounds; what travels; garbage."""

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus import batch, limits
from bus.bitmap import bitmap, marked
from bus.broker.kept import keep_given, kept_given
from bus.errors import BusError, CorruptRecord, ProtocolError
from bus.event import Event
from bus.given import DIGEST_BYTES, GivenIds, check_given, digests_of
from bus.record import EVENTS, Header
from bus.repeats import Repeated, check_repeats, repeated_rows, resolved, runs
from bus.store import MemoryMedium, Platter, Store

IDS_MAX = 12
AGE_NS = 40
Name = tuple[str, str]
names = st.tuples(st.sampled_from("st"), st.sampled_from("abcdefghijklmnopqrstuvwxyz"))


def body_of(ids: list[Name]) -> bytes:
    return batch.encode([Event(type="a.b", source=source, id=id, data=n) for n, (source, id) in enumerate(ids)])


def header_of(
    index: int, base: int, count: int, appended: int, marks: bytes, repeats: list[Repeated] | None = None
) -> Header:
    return Header(EVENTS, 0, 1, base, count, appended, given=marks, repeats=repeats or [])


class Placed(msgspec.Struct):
    """One event of the model's log, `name` only where its publisher gave the id."""

    name: Name | None
    appended: int


class Partition(RuleBasedStateMachine):
    """One leader after another: batches with given ids, some of them known, commits, failovers, restarts."""

    @initialize()
    def begin(self) -> None:
        self.window = GivenIds(IDS_MAX, AGE_NS)
        self.records: list[Header] = []
        self.log: list[Placed] = []
        self.high = 0
        self.now = 1_000
        self.noted = b""

    def must_know(self) -> set[Name]:
        """The last ids, in order of the log."""
        last = [one for one in self.log if one.name is not None][-IDS_MAX:]
        return {one.name for one in last if one.name and one.appended >= last[-1].appended - AGE_NS}

    @rule(ids=st.lists(names, min_size=1, max_size=8), gives=st.lists(st.booleans(), min_size=8, max_size=8))
    def publish(self, ids: list[Name], gives: list[bool]) -> None:
        rows = [row for row in range(len(ids)) if gives[row]] or [0]
        self.now += 7
        base, body = len(self.log), body_of(ids)
        bits = bitmap(rows, len(ids))
        found = self.window.sift(bits, batch.decode(body), body)
        repeats = resolved(found.repeats, base, self.now)
        check_repeats(repeats, len(ids), bits)
        repeated = {row: (offset, appended) for row, offset, appended in repeated_rows(repeats)}
        must_know = self.must_know()
        for row, name in enumerate(ids):
            if row not in repeated:
                assert row not in rows or name not in must_know, f"{name} is appended twice"
                must_know |= {name} if row in rows else set()
                self.log.append(Placed(name if row in rows else None, self.now))
        for row, (offset, appended) in repeated.items():
            assert self.log[offset] == Placed(ids[row], appended), "where it stands is another event"
            assert ids[row] not in [one.name for one in self.log[offset + 1 :]], "it stands further on, too"
        left = [name for row, name in enumerate(ids) if row not in repeated]
        assert found.count == len(left)
        if left:
            columns = batch.decode(found.body)
            assert [(columns.sources[columns.source_index[n]], columns.ids[n]) for n in range(found.count)] == left
        header = header_of(len(self.records), base, found.count, self.now, found.given, list(found.repeats))
        assert bool(found.given) == any(one.name for one in self.log[base:])
        check_given(header)
        self.window.append(len(self.records), header)
        self.records.append(header)

    @rule()
    def grow_old(self) -> None:
        self.now += AGE_NS

    @precondition(lambda self: self.high < len(self.records))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        upto = data.draw(st.integers(self.high + 1, len(self.records)))
        for index in range(self.high, upto):
            self.window.commit(index, self.records[index])
        self.high = upto

    @rule()
    def lose(self) -> None:
        """Another broker leads from here, which holds what this one does; what is above the watermark stays or goes."""
        self.window.relay(())
        self.window.relay((index, self.records[index]) for index in range(self.high, len(self.records)))

    @rule()
    def truncate(self) -> None:
        self.window.relay(())
        del self.records[self.high :]
        del self.log[sum(header.count for header in self.records) :]

    @rule()
    def note(self) -> None:
        self.noted = self.window.snapshot()

    @precondition(lambda self: self.noted)
    @rule()
    def restart(self) -> None:
        self.window = GivenIds(IDS_MAX, AGE_NS)
        self.window.restore(self.noted)
        for index in range(self.high):
            self.window.commit(index, self.records[index])
        self.window.relay((index, self.records[index]) for index in range(self.high, len(self.records)))

    @invariant()
    def it_is_a_fold_over_what_is_committed(self) -> None:
        twin = GivenIds(IDS_MAX, AGE_NS)
        for index, header in enumerate(self.records[: self.high]):
            twin.commit(index, header)
        assert twin.snapshot() == self.window.snapshot() and len(twin) <= IDS_MAX


TestPartition = Partition.TestCase
TestPartition.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)


def test_an_id_beyond_the_count_is_new_again() -> None:
    window = GivenIds(ids_max=2, age_ns=AGE_NS)
    for number, name in enumerate("abc"):
        body = body_of([("s", name)])
        fresh = window.sift(b"\1", batch.decode(body), body)
        header = header_of(number, number, 1, 5, fresh.given)
        window.append(number, header)
        window.commit(number, header)
    known = {name: window.sift(b"\1", batch.decode(body_of([("s", name)])), b"").repeats for name in "abc"}
    assert known == {"a": (), "b": [Repeated(0, 1, 1, 5)], "c": [Repeated(0, 1, 2, 5)]}


def test_a_leader_that_has_applied_beyond_the_high_watermark_that_it_knows_applies_nothing_twice() -> None:
    """So is one that began anew, restarted and was elected (seed 107951 of the simulation)."""
    headers = []
    for index in range(4):
        (digest,) = digests_of(batch.decode(body_of([("s", str(index))])), [0])
        headers.append(header_of(index, index, 1, index, bitmap([0], 1) + digest))
    window, other = GivenIds(), GivenIds()
    for index in range(2):
        window.commit(index, headers[index])
    window.relay(enumerate(headers))
    for index, header in enumerate(headers):
        window.commit(index, header)
        other.commit(index, header)
    assert window.snapshot() == other.snapshot()


def test_a_whole_batch_that_is_known_leaves_nothing_to_append() -> None:
    window = GivenIds()
    ids = [("s", f"id {n}") for n in range(limits.BATCH_EVENTS_MAX)]
    body, bits = body_of(ids), bitmap(range(len(ids)), len(ids))
    fresh = window.sift(bits, batch.decode(body), body)
    assert fresh.body is body and fresh.count == len(ids) and not fresh.repeats
    window.append(0, header_of(0, 40, fresh.count, 9, fresh.given))
    again = window.sift(bits, batch.decode(body), body)
    assert (again.count, again.body, again.given) == (0, b"", b"")
    assert again.repeats == [Repeated(0, len(ids), 40, 9)], "what stands together is one run"


def test_a_snapshot_of_a_full_window_stays_small() -> None:
    window, per = GivenIds(), 500
    for index in range(limits.GIVEN_IDS_MAX // per + 2):
        digests = b"".join((index * per + n).to_bytes(DIGEST_BYTES, "little") for n in range(per))
        window.commit(index, header_of(index, index * per, per, 9, bitmap(range(per), per) + digests))
    assert len(window) == limits.GIVEN_IDS_MAX
    assert len(window.snapshot()) < limits.GIVEN_IDS_MAX * 32 + 100 < limits.BEGIN_BYTES_MAX // 8


@given(st.binary(max_size=80))
def test_a_snapshot_that_is_none_changes_nothing(garbage: bytes) -> None:
    window = GivenIds()
    window.commit(0, header_of(0, 0, 1, 5, b"\1" + bytes(DIGEST_BYTES)))
    before = window.snapshot()
    try:
        window.restore(garbage)
    except CorruptRecord:
        assert window.snapshot() == before
    else:
        twin = GivenIds()
        twin.restore(window.snapshot())
        assert twin.snapshot() == window.snapshot()


@pytest.mark.parametrize(
    "columns",
    [
        (b"x" * 15, b"", b""),
        (bytes(16), bytes(8), b""),
        (bytes(16), bytes(7), bytes(8)),
        (bytes(32), b"\2" + bytes(7) + b"\1" + bytes(7), bytes(16)),
        (bytes(32), bytes(16), b"\2" + bytes(7) + b"\1" + bytes(7)),
        (bytes(16 * 13), bytes(8 * 13), bytes(8 * 13)),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: tuple[bytes, bytes, bytes]) -> None:
    with pytest.raises(CorruptRecord):
        GivenIds(IDS_MAX).restore(msgspec.msgpack.encode([3, [0, *columns]]))


@given(st.lists(st.integers(1, 900), max_size=40), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_what_is_written_down_page_by_page_is_the_window(counts: list[int], seed: int) -> None:
    """Notes, restarts, turns that were not kept, and windows taken over, in any order."""
    dice, store = Random(seed), Store(MemoryMedium(Platter()), 1, "store")
    window, noted, kept_rows, base = GivenIds(), 0, (0, 0), 0
    kept_snapshot = window.snapshot()
    for index, count in enumerate(counts):
        digests = dice.randbytes(DIGEST_BYTES * count * 4)
        marks = bitmap(range(count * 4), count * 4) + digests
        window.commit(index, header_of(index, base, count * 4, index + 1, marks))
        base += count * 4
        chance = dice.random()
        if chance < 0.6:
            kept_rows = keep_given(store, 0, window, noted, lazy=False)
            store.commit()
            noted, kept_snapshot = kept_rows[1], window.snapshot()
            again = kept_given(store, 0, window.applied, kept_rows)
            assert again.snapshot() == kept_snapshot
            window = again if dice.random() < 0.3 else window
        elif chance < 0.7:
            keep_given(store, 0, window, noted, lazy=False)
            store.rollback()
            noted = 0
        elif chance < 0.8:
            twin = GivenIds()
            twin.restore(window.snapshot())
            window, noted = twin, 0


def test_a_note_writes_what_is_new_and_not_the_window() -> None:
    store, window = Store(MemoryMedium(Platter()), 1, "store"), GivenIds()
    window.commit(0, header_of(0, 0, limits.GIVEN_IDS_MAX, 1, bitmap(range(limits.GIVEN_IDS_MAX), limits.GIVEN_IDS_MAX)
                               + bytes(DIGEST_BYTES * limits.GIVEN_IDS_MAX)))  # fmt: skip
    _, noted = keep_given(store, 0, window, 0, lazy=False)
    assert len(store._values) == limits.GIVEN_IDS_MAX // limits.GIVEN_PAGE_IDS
    store.commit()
    window.commit(1, header_of(1, limits.GIVEN_IDS_MAX, 1, 1, b"\1" + bytes(DIGEST_BYTES)))
    assert keep_given(store, 0, window, noted, lazy=False) == (1, limits.GIVEN_IDS_MAX + 1)
    assert sum(map(len, store._values.values())) < 100, "one page of one row"
    store.commit()
    assert keep_given(store, 0, window, noted + 1, lazy=False)[1] == noted + 1 and not store._values


@pytest.mark.parametrize("rows", [(0, 5), (3, 2), (-1, 1), (0, 1 << 40), (2_047, 2_050)])
def test_pages_that_do_not_hold_the_rows_are_refused(rows: tuple[int, int]) -> None:
    store, window = Store(MemoryMedium(Platter()), 1, "store"), GivenIds()
    window.commit(0, header_of(0, 0, 4, 1, bitmap(range(4), 4) + bytes(DIGEST_BYTES * 4)))
    keep_given(store, 0, window, 0, lazy=False)
    with pytest.raises(CorruptRecord):
        kept_given(store, 0, 1, rows)


@given(st.binary(max_size=60), st.integers(0, 20))
def test_a_headers_marks_are_as_many_as_its_digests_or_refused(marks: bytes, count: int) -> None:
    header = header_of(0, 7, count, 5, marks)
    try:
        check_given(header)
    except CorruptRecord:
        return
    window = GivenIds()
    window.commit(0, header)
    bits = marks[: (count + 7) // 8]
    assert len(window) == int.from_bytes(bits, "little").bit_count() == (len(marks) - len(bits)) // DIGEST_BYTES


@given(st.binary(max_size=4), st.integers(1, 20))
def test_a_bitmap_that_does_not_fit_the_batch_is_a_protocol_error(bits: bytes, count: int) -> None:
    body = body_of([("s", f"{n}") for n in range(count)])
    fits = len(bits) == (count + 7) // 8 and int.from_bytes(bits, "little") < 1 << count
    try:
        fresh = GivenIds().sift(bits, batch.decode(body), body)
    except ProtocolError:
        assert not fits
    else:
        assert fits and fresh.count == count


def test_source_and_id_together_name_an_event() -> None:
    columns = batch.decode(body_of([("ab", "c"), ("a", "bc"), ("ab", "c"), ("ab", "d")]))
    one, other, same, next_ = digests_of(columns, range(4))
    assert one == same and len({one, other, next_}) == 3 and len(one) == DIGEST_BYTES


@given(st.lists(st.booleans(), max_size=40))
def test_marks_become_the_bitmap_of_their_rows(given_: list[bool]) -> None:
    rows = [row for row, mark in enumerate(given_) if mark]
    assert marked(bytes(b"1"[0] if mark else b"0"[0] for mark in given_)) == (
        bitmap(rows, len(given_)) if rows else b""
    )


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 3)), unique_by=lambda one: one[0]))
def test_runs_say_the_same_as_their_rows(places: list[tuple[int, int, int]]) -> None:
    places.sort()
    found = runs(places)
    assert list(repeated_rows(found)) == places
    check_repeats(found, 61, bitmap([row for row, _, _ in places], 61))
    for first, second in pairwise(found):
        joined = first.row + first.count == second.row and first.offset + first.count == second.offset
        assert not (joined and first.appended == second.appended)


integers = st.integers(-3, 12)


@given(st.lists(st.builds(Repeated, integers, integers, integers, integers), max_size=4), st.binary(max_size=2))
def test_an_answers_runs_fit_the_batch_or_are_refused(repeats: list[Repeated], bits: bytes) -> None:
    try:
        check_repeats(repeats, 10, bits)
    except BusError as error:
        assert isinstance(error, ProtocolError)
        return
    rows = [row for row, _, _ in repeated_rows(repeats)]
    assert rows == sorted(set(rows)) and all(0 <= row < 10 for row in rows)
    assert all(int.from_bytes(bits, "little") >> row & 1 for row in rows)
    assert all(offset >= 0 and appended > 0 for _, offset, appended in repeated_rows(repeats))
