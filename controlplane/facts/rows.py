"""Events that a partition appended, as the columns that folds read."""

from typing import Any

import msgspec


class Rows(msgspec.Struct, gc=False):
    """Events that one partition appended, as columns of equal length; row i has offset `first_offset + i`.

    In the journal row i stands at the entry's position + i. `sagas` is correlationid else subject, or "";
    `importofs` is the name of the log an event was imported from, or "". `sizes` are payload bytes. `followed` holds
    the whole event, CloudEvents JSON, of those rows whose type a fold follows (`plane.FOLLOWED_TYPES`) or a content
    rule names, that have `requires`, or that are redriven to dispatch; those nested deeper than FOLLOWED_DEPTH_MAX are
    left out. A fold looks at their types, as there may be others than those it wants. `deep`: those among them that
    are nested so deep that they, or what is made of them, cannot be read whole (DISPATCHED_DEPTH_MAX), with their data
    as bytes (`data_base64`): their attributes can be read.
    """

    partition: int
    first_offset: int
    appended: list[int]
    types: list[str]
    sources: list[str]
    ids: list[str]
    times: list[int | None]
    sagas: list[str]
    importofs: list[str]
    redriven: list[bool]
    sizes: list[int]
    followed: dict[int, bytes] = {}
    deep: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.types)

    def part(self, start: int, stop: int) -> "Rows":
        """Rows `start` <= i < `stop` as Rows of their own."""
        cut: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in ROW_COLUMNS}
        followed = {row - start: event for row, event in self.followed.items() if start <= row < stop}
        deep = {row - start: event for row, event in self.deep.items() if start <= row < stop}
        return Rows(self.partition, self.first_offset + start, **cut, followed=followed, deep=deep)


ROW_COLUMNS = ("appended", "types", "sources", "ids", "times", "sagas", "importofs", "redriven", "sizes")
"""The columns of `Rows`."""
