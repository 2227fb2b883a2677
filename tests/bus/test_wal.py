"""The write-ahead log under the tree: what was committed is there whatever happens to the ends of the files, and damage
in the middle is never passed over."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import limits
from bus.errors import CorruptRecord, StorageFull
from bus.store import DiskMedium, MemoryMedium, Platter, frames, wal
from bus.store.medium import Medium, Writes
from bus.store.pending import Pending, find, floor
from bus.store.tree import Tree

SALT = b"s" * frames.SALT_BYTES
PARTITIONS = 3


def state(medium: Medium) -> tuple[list[list[bytes]], list[bytes | None]]:
    """Everything in a medium that the tests put there."""
    logs = []
    for partition in range(PARTITIONS):
        end, first = medium.end(partition), int.from_bytes(medium.value(f"first/{partition}") or b"", "big")
        logs.append(medium.span(partition, first, max(end, first), 1 << 30))
        assert medium.sizes(partition, first, max(end, first)) == [len(record) for record in logs[-1]]
        assert [medium.prefix(partition, index, 2) for index in range(first, end)] == [one[:2] for one in logs[-1]]
        for gone in (first - 1, end):
            with pytest.raises(CorruptRecord, match="missing"):
                medium.record(partition, gone) if gone >= 0 else medium.span(partition, end, end + 1, 1)
    return logs, [medium.value(name) for name in ("a", "b")]


class Twins:
    """The same turns for the medium on disk and for its twin in memory, each a plausible one of a broker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = DiskMedium(path)
        self.platter = Platter()
        self.twin = MemoryMedium(self.platter)
        self.number = 0

    def commit(self, verb: str, partition: int, value: int) -> None:
        self.number += 1
        writes = Writes()
        first = int.from_bytes(self.twin.value(f"first/{partition}") or b"", "big")
        end = max(self.twin.end(partition), first)
        if verb == "cut":
            writes.cuts[partition] = max(first, end - value)
            end = max(first, end - value)
        elif verb == "trim":
            writes.trims[partition] = min(end, first + value)
            writes.values[f"first/{partition}"] = min(end, first + value).to_bytes(8, "big")
        elif verb == "value":
            writes.values["ab"[value % 2]] = b"%d" % self.number
        if verb in ("put", "cut"):
            body = b"%06d" % self.number
            count = value // 2 if verb == "cut" else value
            writes.records += [(partition, end + at, body * (1 + 40 * value)) for at in range(count)]
        self.twin.commit(writes)
        self.disk.commit(writes)

    def same(self) -> None:
        assert state(self.disk) == state(self.twin)

    def crash(self, where: Path) -> None:
        """Go on from the files as they are now, as after a kill -9."""
        shutil.copytree(self.path, where)
        self.disk.close()
        self.path = where
        self.disk = DiskMedium(where)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "cut", "trim", "value", "crash"]), st.integers(0, 2), st.integers(0, 6)
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(STEPS, st.sampled_from([1, 3_000, 1 << 23]), st.sampled_from([3, 10_000]))
def test_a_killed_store_has_every_turn_that_was_committed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]], flush_bytes: int, flush_records: int
) -> None:
    root = tmp_path_factory.mktemp("wal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "FLUSH_BYTES", flush_bytes)
        patch.setattr(limits, "FLUSH_RECORDS", flush_records)
        patch.setattr(limits, "WAL_BYTES_MAX", 32 * 1024)
        patch.setattr(limits, "WAL_BYTES_MIN", 16 * 1024)
        patch.setattr(limits, "WAL_GROWTH_BYTES", 8 * 1024)
        twins = Twins(root / "0")
        for number, (verb, partition, value) in enumerate(steps):
            if verb == "crash":
                twins.crash(root / str(number + 1))
            else:
                twins.commit(verb, partition, value)
            twins.same()
        twins.crash(root / "last")
        twins.same()
        twins.disk.close()


def turns(medium: DiskMedium, count: int, size: int = 5_000) -> None:
    for number in range(count):
        medium.commit(Writes(records=[(0, number, bytes([number]) * size)], values={"a": bytes([number])}))


def left(path: Path) -> int:
    """How many of the turns are there after opening."""
    medium = DiskMedium(path)
    try:
        end = medium.end(0)
        assert [record[0] for record in medium.span(0, 0, end, 1 << 30)] == list(range(end))
        assert medium.value("a") == (bytes([end - 1]) if end else None)
        return end
    finally:
        medium.close()


def killed(root: Path, count: int) -> tuple[Path, Path]:
    """The folder of a store that was killed after `count` turns, and its log."""
    medium = DiskMedium(root / "first")
    turns(medium, count)
    shutil.copytree(root / "first", root / "killed")
    medium.close()
    return root / "killed", root / "killed" / "wal-0"


@pytest.mark.parametrize("at", [0, 1, 47, 48, 500, 4_096, 5_200, 8_191])
def test_a_turn_that_was_cut_short_never_was(tmp_path: Path, at: int) -> None:
    path, file = killed(tmp_path, 5)
    whole = file.read_bytes()
    frame = list(frames.walk(whole, Tree(path).value("wal/salt") or b""))[-1]
    torn = whole[: frame.start + at] + os.urandom(len(whole) - frame.start - at)
    file.write_bytes(torn)
    assert left(path) == 4 + (at >= 5_200)


def test_a_damaged_turn_before_others_is_said_and_nothing_is_passed_over(tmp_path: Path) -> None:
    path, file = killed(tmp_path, 5)
    whole = bytearray(file.read_bytes())
    for at in (10, 5_000):
        damaged = whole.copy()
        damaged[2 * 8_192 + at] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(
            CorruptRecord, match=r"turn 3 cannot be read and turn 5 is there; start with an empty store"
        ):
            DiskMedium(path)
    file.write_bytes(whole)
    assert left(path) == 5


def test_event_data_cannot_pass_for_a_turn(tmp_path: Path) -> None:
    medium = DiskMedium(tmp_path / "first")
    pieces, _ = frames.encode(Writes(records=[(0, 0, b"forged")]), 9, SALT)
    page = b"".join(pieces)
    medium.commit(Writes(records=[(0, 0, page * 3)]))
    shutil.copytree(tmp_path / "first", tmp_path / "killed")
    medium.close()
    medium = DiskMedium(tmp_path / "killed")
    assert medium.span(0, 0, 1, 1) == [page * 3]
    medium.close()


def test_a_turn_that_failed_and_was_made_again_elsewhere_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = DiskMedium(tmp_path / "first")
    turns(medium, 2)

    def broken(descriptor: int) -> None:
        raise OSError(5, os.strerror(5))

    with monkeypatch.context() as patch:
        patch.setattr(wal, "_sync", broken)
        with pytest.raises(StorageFull, match="Input/output error"):
            medium.commit(Writes(records=[(0, 2, b"failed")]))
    assert medium.end(0) == 2
    medium._make_room(0)  # the next turn stands in the other file
    medium.commit(Writes(records=[(0, 2, bytes([2]))], values={"a": bytes([2])}))
    shutil.copytree(tmp_path / "first", tmp_path / "killed")
    medium.close()
    assert left(tmp_path / "killed") == 3


def test_what_the_tree_cannot_take_stays_readable_and_refuses_the_next_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium = DiskMedium(tmp_path / "first")
    turns(medium, 3)

    def full(self: Tree, writes: Writes) -> None:
        raise StorageFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Tree, "commit", full)
        medium._make_room(0)
        assert medium._flush is not None and medium._flush.exception(20) is not None
        for _ in range(2):
            with pytest.raises(StorageFull, match="no room"):
                medium.commit(Writes(values={"b": b"refused"}))
            assert [record[0] for record in medium.span(0, 0, 3, 1 << 20)] == [0, 1, 2]
        shutil.copytree(tmp_path / "first", tmp_path / "killed")
        again = DiskMedium(tmp_path / "killed")
        assert again.end(0) == 3
        with pytest.raises(StorageFull, match="no room"):
            again.commit(Writes(values={"b": b"refused"}))
        again.close()
    medium.commit(Writes(values={"b": b"taken"}))
    assert medium.value("b") == b"taken"
    medium.close()
    assert left(tmp_path / "first") == 3
    assert left(tmp_path / "killed") == 3


def test_an_upper_layer_hides_what_it_cut_and_trimmed_in_a_lower_one() -> None:
    lower, upper = Pending(), Pending()
    lower.add(Writes(records=[(0, index, b"%d" % index) for index in range(6)]))
    upper.add(Writes(cuts={0: 4}, trims={0: 1}, records=[(0, 4, b"anew")]))
    found = [find((upper, lower), 0, index) for index in range(6)]
    assert found == [None, b"1", b"2", b"3", b"anew", None]
    assert upper.end(0, lower.end(0, 0)) == 5
    upper.add(Writes(cuts={0: 2}))
    assert [find((upper, lower), 0, index) for index in range(6)] == [None, b"1", None, None, None, None]
    assert upper.end(0, lower.end(0, 0)) == floor((upper,), 0) == 2


@given(st.binary(max_size=20_000))
def test_garbage_is_no_log(file: bytes) -> None:
    assert list(frames.walk(file, SALT)) == []


@given(st.lists(st.binary(max_size=9_000), max_size=6), st.integers(1, 1 << 60), st.binary(max_size=100))
def test_frames_are_read_as_they_were_written(bodies: list[bytes], number: int, value: bytes) -> None:
    wanted, file = [], b""
    for at, body in enumerate(bodies):
        writes = Writes({1: at}, {2: at}, [(0, at, body), (3, 1 << 40, b"")], {"v": value})
        pieces, size = frames.encode(writes, number + at, SALT)
        assert sum(map(len, pieces)) == size and size % frames.PAGE_BYTES == 0
        file += b"".join(pieces)
        wanted.append((number + at, writes))
    assert [(frame.number, frame.writes) for frame in frames.walk(file + b"rest", SALT)] == wanted
    assert frames.greatest(file, SALT) == (number + len(bodies) - 1 if bodies else 0)
    assert frames.greatest(file, b"t" * frames.SALT_BYTES) == 0
