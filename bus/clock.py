"""Vector clocks over partitions: what an event depends on, and how far a reader has come. Pure.

    deps     partition -> the greatest offset its publisher had read or written there (inclusive)
    cursors  partition -> the next offset a reader is to be given (exclusive): all below it were delivered or passed

A log's partitions are the processes of the vector clock, and offsets their counters; so a clock never has more entries
than there are partitions. Cursors *reach* deps when every offset that deps name is below its cursor. One clock is
before another if it is nowhere greater and somewhere smaller; two of which neither is before the other are concurrent.
"""

from collections.abc import Mapping

Clock = Mapping[int, int]


def merge(one: Clock, other: Clock) -> dict[int, int]:
    """The least clock that is nowhere smaller than either; partitions ascending."""
    return {partition: max(one.get(partition, -1), other.get(partition, -1)) for partition in sorted({*one, *other})}


def compare(one: Clock, other: Clock) -> str:
    """`equal`, `before` (all that `one` knows `other` knows, and more), `after`, or `concurrent`."""
    less = any(offset > one.get(partition, -1) for partition, offset in other.items())
    more = any(offset > other.get(partition, -1) for partition, offset in one.items())
    if less and more:
        return "concurrent"
    return "before" if less else "after" if more else "equal"


def missing(cursors: Clock, deps: Clock) -> dict[int, int]:
    """The entries of `deps` that `cursors` have not reached."""
    return {partition: offset for partition, offset in deps.items() if cursors.get(partition, 0) <= offset}


def reaches(cursors: Clock, deps: Clock) -> bool:
    """Whether all that `deps` name lies below `cursors`."""
    return not missing(cursors, deps)


class Knowledge:
    """What one client has read and written: the deps of whatever it publishes next. At most one entry a partition."""

    def __init__(self) -> None:
        self._greatest: dict[int, int] = {}

    def saw(self, partition: int, offset: int) -> None:
        """An event there was read, or its receipt came."""
        if offset > self._greatest.get(partition, -1):
            self._greatest[partition] = offset

    def deps(self, more: Clock | None = None) -> dict[int, int] | None:
        """A copy of it, merged with deps that were given; None while there is nothing to depend on."""
        return merge(self._greatest, more or {}) or None
