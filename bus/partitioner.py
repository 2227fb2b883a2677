"""Key -> slot -> partition. Pure, and the same in every process and version: a key has one home for a fleet's life.

A key is the event's `partitionkey`, else its `subject`, else its `source`. Slots are many and fixed at a fleet's
birth, so that partitions can be rearranged later by moving slots, without asking each key.
"""

from zlib import crc32

from bus.limits import SLOTS


def key_hash(key: str) -> int:
    """32 bits of a key; stored beside each event in its batch."""
    return crc32(key.encode("utf-8", "surrogatepass"))


def slot_of(key: str, slots: int = SLOTS) -> int:
    """The slot of a key, 0 <= slot < slots."""
    return key_hash(key) % slots


def partition_of_slot(slot: int, partitions: int) -> int:
    """The partition that holds a slot, 0 <= partition < partitions."""
    return slot % partitions


def partition_of(key: str, partitions: int, slots: int = SLOTS) -> int:
    """The partition that a key's events are appended to."""
    return partition_of_slot(slot_of(key, slots), partitions)
