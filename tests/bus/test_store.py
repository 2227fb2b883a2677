"""One suite for both media: whatever LMDB promises, the twin in memory promises, too."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import CorruptRecord, FleetError, StorageFull
from bus.record import EVENTS, GROUP, Header, seal
from bus.store import DiskMedium, Medium, MemoryMedium, Platter, Store
from bus.store.medium import Writes

PARTITIONS = 3
Opening = Callable[..., Store]


class Bench:
    """Opens the same store again and again."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind = kind
        self.root = root
        self.platter = Platter()
        self.stores: list[Store] = []

    def medium(self, bytes_max: int = 1 << 26) -> Medium:
        if self.kind == "disk":
            return DiskMedium(self.root / "store.lmdb", bytes_max)
        self.platter.bytes_max = bytes_max
        return MemoryMedium(self.platter)

    def open(self, cache_bytes_max: int = 1 << 20, bytes_max: int = 1 << 26) -> Store:
        self.close()
        self.stores.append(Store(self.medium(bytes_max), PARTITIONS, f"id-{len(self.stores)}", cache_bytes_max))
        return self.stores[-1]

    def close(self) -> None:
        for store in self.stores[-1:]:
            store.close()

    def damage(self, partition: int, index: int, record: bytes) -> None:
        """Write bytes where a record stands, behind the store's back."""
        self.close()
        medium = self.medium()
        medium.commit(Writes(records=[(partition, index, record)]))
        medium.close()
        self.stores.clear()


@pytest.fixture(params=["disk", "memory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(request.param, tmp_path)
    yield made
    made.close()


def put(store: Store, partition: int, count: int = 1, body: bytes = b"body", appended: int = 0, epoch: int = 1) -> int:
    """Append a record at the end, as a leader would."""
    mark = store.mark(partition)
    kind = EVENTS if count else GROUP
    header = Header(kind, partition, epoch, mark.end_offset, count, max(appended, mark.appended))
    return store.append(partition, header, seal(header, body))


def bodies(store: Store, partition: int) -> list[bytes]:
    return [entry.record[-4:] for entry in store.span(partition, 0, store.mark(partition).end, 1 << 30)]


def test_what_was_committed_is_there_after_opening_again_and_the_rest_is_not(bench: Bench) -> None:
    store = bench.open()
    put(store, 0, 5, b"aaaa", appended=10)
    put(store, 2, 0, b"bbbb", appended=11)
    store.put("name", b"value")
    assert store.dirty
    store.commit()
    assert not store.dirty
    put(store, 0, 7, b"cccc", appended=12)
    store.put("name", b"later")
    assert store.mark(0).end == 2

    again = bench.open()
    assert again.id == store.id == "id-0"
    assert again.mark(0) == (1, 5, 10)
    assert again.mark(1) == (0, 0, 0)
    assert again.mark(2) == (1, 0, 11)
    assert again.value("name") == b"value"
    assert bodies(again, 0) == [b"aaaa"]


def test_staged_records_can_be_read_before_the_commit_and_are_gone_after_a_rollback(bench: Bench) -> None:
    store = bench.open()
    put(store, 1, 3, b"kept")
    store.commit()
    put(store, 1, 4, b"lost")
    store.put("name", b"lost")
    assert bodies(store, 1) == [b"kept", b"lost"]
    assert store.header(1, 1).base_offset == 3
    store.rollback()
    assert not store.dirty
    assert bodies(store, 1) == [b"kept"]
    assert store.mark(1).end_offset == 3
    assert store.value("name") is None


def test_a_lazy_value_waits_for_the_next_commit(bench: Bench) -> None:
    store = bench.open()
    store.put("lazy", b"1", lazy=True)
    assert not store.dirty
    assert store.value("lazy") == b"1"
    put(store, 0)
    assert store.dirty
    store.commit()
    assert bench.open().value("lazy") == b"1"


@pytest.mark.parametrize("partition", [0, 1, 2])
@pytest.mark.parametrize("end", range(7))
def test_truncation_below_within_and_above_what_is_durable(bench: Bench, partition: int, end: int) -> None:
    store, other = bench.open(), (partition + 1) % PARTITIONS
    names = [b"r%03d" % number for number in range(6)]
    for name in names[:4]:
        put(store, partition, 2, name, appended=1)
    put(store, other, 1, b"else")
    store.commit()
    for name in names[4:]:
        put(store, partition, 2, name, appended=2)
    store.truncate(partition, end)
    assert bodies(store, partition) == names[:end]
    put(store, partition, 1, b"next", appended=3)
    expected = [*names[:end], b"next"]
    assert bodies(store, partition) == expected
    assert store.mark(partition) == (min(end, 6) + 1, min(end, 6) * 2 + 1, 3)
    store.commit()
    assert bodies(store, partition) == expected
    again = bench.open(cache_bytes_max=0)
    assert bodies(again, partition) == expected
    assert bodies(again, other) == [b"else"]


def test_a_rolled_back_truncation_gives_the_records_back(bench: Bench) -> None:
    store = bench.open()
    for _ in range(3):
        put(store, 0)
    store.commit()
    store.truncate(0, 1)
    put(store, 0, 1, b"more")
    store.rollback()
    assert bodies(store, 0) == [b"body"] * 3


def test_a_log_that_begins_anew_in_the_turn_that_cut_it_keeps_nothing_of_the_old_one(bench: Bench) -> None:
    store = bench.open()
    for number in range(20):
        put(store, 0, 1, b"%04d" % number)
    store.commit()
    store.truncate(0, 3)
    store.begin(0, 10, 10, 5_000)
    store.commit()
    again = bench.open()
    assert (again.first(0), again.mark(0).end) == (10, 10)


@settings(max_examples=40)
@given(counts=st.lists(st.integers(0, 4), max_size=12), steps=st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_offsets_and_instants_are_found_as_a_scan_finds_them(counts: list[int], steps: list[int]) -> None:
    store = Store(MemoryMedium(Platter()), 1, "id", cache_bytes_max=200)
    now = 0
    for at, (count, step) in enumerate(zip(counts, steps, strict=False)):
        now += step
        put(store, 0, count, appended=now)
        if at % 2:
            store.commit()
    end = store.mark(0).end
    headers = [store.header(0, index) for index in range(end)]
    for offset in range(store.mark(0).end_offset + 2):
        holding = [i for i, header in enumerate(headers) if header.base_offset + header.count > offset]
        assert store.index_of(0, offset) == (holding[0] if holding else end)
    for instant in range(now + 2):
        since = [i for i, header in enumerate(headers) if header.appended >= instant]
        assert store.index_since(0, instant) == (since[0] if since else end)


@pytest.mark.parametrize("cache", [0, 300, 1 << 20])
def test_spans_are_cut_by_bytes_wherever_the_records_are(bench: Bench, cache: int) -> None:
    store = bench.open(cache)
    for number in range(6):
        put(store, 0, 1, b"%04d" % number)
    store.commit()
    for number in range(6, 8):
        put(store, 0, 1, b"%04d" % number)
    size = len(store.entry(0, 0).record)
    for first in range(8):
        for room in range(4):
            got = store.span(0, first, 8, room * size)
            wanted = list(range(first, 8))[: max(1, room)]
            assert [int(entry.record[-4:]) for entry in got] == wanted
            assert [entry.header.base_offset for entry in got] == wanted
    assert store.span(0, 3, 3, 100) == []


@pytest.mark.parametrize("kept", [b"", b"junk", None])
def test_a_damaged_record_is_named_and_nothing_else_is_lost(bench: Bench, kept: bytes | None) -> None:
    store = bench.open()
    for name in (b"aaaa", b"bbbb", b"cccc"):
        put(store, 0, 1, name)
    store.commit()
    whole = store.entry(0, 1).record
    bench.damage(0, 1, whole[:-1] + b"X" if kept is None else kept)
    again = bench.open()
    assert again.entry(0, 0).record[-4:] == b"aaaa"
    assert again.entry(0, 2).record[-4:] == b"cccc"
    with pytest.raises(CorruptRecord):
        again.entry(0, 1)
    with pytest.raises(CorruptRecord):
        again.span(0, 0, 3, 1 << 20)


def test_a_record_that_is_not_there_is_a_corrupt_record_too(bench: Bench) -> None:
    store = bench.open()
    put(store, 0)
    store.commit()
    with pytest.raises(CorruptRecord, match="past the end"):
        store.entry(0, 1)
    bench.close()
    medium = bench.medium()
    try:
        with pytest.raises(CorruptRecord, match="record 7 is missing"):
            medium.record(0, 7)
        with pytest.raises(CorruptRecord, match="partition 1: record 0 is missing"):
            medium.span(1, 0, 2, 100)
    finally:
        medium.close()
        bench.stores.clear()


def test_headers_longer_than_usual_are_read_whole(bench: Bench) -> None:
    store = bench.open()
    header = Header(GROUP, 0, 1, 0, 0, 5, companion=b"c" * 20_000)
    store.append(0, header, seal(header, b"body"))
    store.commit()
    assert bench.open(0).header(0, 0) == header


def test_a_full_store_says_so_keeps_what_it_had_and_goes_on_when_less_is_asked(bench: Bench) -> None:
    store = bench.open(bytes_max=1 << 20)
    put(store, 0, 1, b"first")
    store.commit()
    free = store.bytes_free()
    put(store, 0, 1, bytes(1 << 21))
    store.put("name", b"value")
    with pytest.raises(StorageFull, match=r"full|make room"):
        store.commit()
    assert store.dirty
    store.rollback()
    assert store.mark(0).end == 1
    put(store, 0, 1, b"small")
    store.commit()
    assert [entry.record[-5:] for entry in store.span(0, 0, 2, 1 << 20)] == [b"first", b"small"]
    assert 0 < store.bytes_free() <= free
    assert store.bytes_used() > 0


def test_the_cache_is_bounded_and_what_fell_out_is_read_from_the_medium(bench: Bench) -> None:
    store = bench.open(cache_bytes_max=1_000)
    for number in range(50):
        put(store, 0, 1, b"%04d" % number)
        store.commit()
    assert store._tail.bytes <= 1_000
    assert bodies(store, 0) == [b"%04d" % number for number in range(50)]


def test_a_folder_that_cannot_be_a_store_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FleetError, match="file"):
        DiskMedium(tmp_path / "file" / "store")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(FleetError, match="bad"):
        DiskMedium(tmp_path / "bad")


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 1), st.integers(0, 3)),
            st.tuples(st.just("cut"), st.integers(0, 1), st.integers(0, 8)),
            st.tuples(st.just("commit"), st.just(0), st.just(0)),
            st.tuples(st.just("rollback"), st.just(0), st.just(0)),
            st.tuples(st.just("reopen"), st.just(0), st.just(0)),
        ),
        max_size=30,
    )
)
def test_both_media_stay_equal_to_a_plain_list(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    benches = [Bench(kind, tmp_path_factory.mktemp("twin")) for kind in ("disk", "memory")]
    stores = [bench.open(cache_bytes_max=150) for bench in benches]
    durable: list[list[bytes]] = [[], []]
    model: list[list[bytes]] = [[], []]
    try:
        for number, (verb, partition, value) in enumerate(steps):
            name = b"%04d" % number
            if verb == "reopen":
                stores = [bench.open(cache_bytes_max=150) for bench in benches]
                model = [list(log) for log in durable]
            for store in stores:
                if verb == "put":
                    put(store, partition, value, name)
                elif verb == "cut":
                    store.truncate(partition, value)
                elif verb == "commit":
                    store.commit()
                elif verb == "rollback":
                    store.rollback()
            if verb == "put":
                model[partition].append(name)
            elif verb == "cut":
                del model[partition][value:]
            elif verb == "commit":
                durable = [list(log) for log in model]
            elif verb == "rollback":
                model = [list(log) for log in durable]
            for store in stores:
                assert [bodies(store, at) for at in range(2)] == model
        marks = [[store.mark(at) for at in range(2)] for store in stores]
        assert marks[0] == marks[1]
    finally:
        for bench in benches:
            bench.close()
