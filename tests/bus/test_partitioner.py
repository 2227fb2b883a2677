"""Keys have one home: pinned numbers, so that no version ever moves a key by accident."""

from hypothesis import given
from hypothesis import strategies as st

from bus.limits import SLOTS
from bus.partitioner import key_hash, partition_of, partition_of_slot, slot_of


def test_homes_are_pinned() -> None:
    assert key_hash("wwa-001") == 4269668069
    assert [partition_of(f"case-{number}", 12) for number in range(6)] == [4, 2, 4, 6, 5, 11]


@given(st.text(), st.integers(1, 64))
def test_every_key_has_a_home(key: str, partitions: int) -> None:
    slot = slot_of(key)
    assert 0 <= slot < SLOTS
    assert partition_of(key, partitions) == partition_of_slot(slot, partitions) == slot % partitions
    assert 0 <= partition_of(key, partitions) < partitions
