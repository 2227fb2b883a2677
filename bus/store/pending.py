"""Writes that are durable in the write-ahead log and not in the tree yet, laid over the tree for reading. Pure.

Per partition they are the end of its log: what a layer holds or hides begins at its floor, and the layers and the tree
below it know nothing of what lies there.
"""

from bus.store.medium import Writes

_FAR = 1 << 62


class Pending:
    """One layer: many turns' writes, as if they had been one. `bytes` counts its records and values."""

    def __init__(self) -> None:
        self.cuts: dict[int, int] = {}
        self.trims: dict[int, int] = {}
        self.records: dict[int, dict[int, bytes]] = {}
        self.values: dict[str, bytes] = {}
        self.bytes = 0
        self.count = 0

    @property
    def changed(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.records or self.values or self.cuts or self.trims)

    def add(self, writes: Writes) -> None:
        """One turn more."""
        for partition, end in writes.cuts.items():
            self._drop(partition, end, _FAR)
            self.cuts[partition] = min(end, self.cuts.get(partition, _FAR))
        for partition, first in writes.trims.items():
            self._drop(partition, 0, first)
            self.trims[partition] = max(first, self.trims.get(partition, 0))
        for partition, index, record in writes.records:
            held = self.records.get(partition)
            if held is None:
                held = self.records[partition] = {}
            held[index] = record
            self.bytes += len(record)
        self.count += len(writes.records)
        for key, value in writes.values.items():
            self.bytes += len(value) - len(self.values.get(key, b""))
        self.values.update(writes.values)

    def writes(self) -> Writes:
        """All of it as one transaction, records ascending."""
        records = [
            (partition, index, record)
            for partition, held in sorted(self.records.items())
            for index, record in sorted(held.items())
        ]
        return Writes(dict(self.cuts), dict(self.trims), records, dict(self.values))

    def floor(self, partition: int) -> int:
        """From here on nothing below this layer counts."""
        return min(next(iter(self.records.get(partition) or ()), _FAR), self.cuts.get(partition, _FAR))

    def end(self, partition: int, below: int) -> int:
        """One more than the greatest index; `below`: the end of what lies under this layer."""
        if held := self.records.get(partition):
            return next(reversed(held)) + 1
        end = min(below, self.cuts.get(partition, _FAR))
        return end if end > self.trims.get(partition, 0) else 0

    def _drop(self, partition: int, first: int, upto: int) -> None:
        held = self.records.get(partition, {})
        for index in [index for index in held if first <= index < upto]:
            self.bytes -= len(held.pop(index))


def find(layers: tuple[Pending, ...], partition: int, index: int) -> bytes | None:
    """A record in the layers, the newest first; None: it lies below them all, or is hidden and gone."""
    for layer in layers:
        held = layer.records.get(partition)
        if held is not None and index in held:
            return held[index]
        if index >= layer.cuts.get(partition, _FAR) or index < layer.trims.get(partition, 0):
            return None
    return None


def floor(layers: tuple[Pending, ...], partition: int) -> int:
    """Records from here on stand in the layers, or are gone."""
    return min((layer.floor(partition) for layer in layers), default=_FAR)
