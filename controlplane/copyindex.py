"""Where in the journal's copy which steps stand, so that any stretch of them is read without holding all in memory."""

from collections.abc import Iterator

from controlplane.brokerlogs import BrokerLogs
from controlplane.copied import CopiedStep


class CopyIndex:
    """The steps that hold in the copy that brokers' logs have: `first` to `last`, both 0 when it has none."""

    def __init__(self, logs: BrokerLogs) -> None:
        self._logs = logs
        self._chunks: list[tuple[int, int, int]] = []  # offset, and the steps that count there: from, up to
        for offset, chunk in logs.chunks():
            if chunk.anew:
                cut = [(at, low, min(high, chunk.anew - 1)) for at, low, high in self._chunks if low < chunk.anew]
                self._chunks = cut
            if chunk.steps:
                low = max(chunk.steps[0].number, self.last + 1)
                if low <= chunk.steps[-1].number:
                    self._chunks.append((offset, low, chunk.steps[-1].number))

    @property
    def first(self) -> int:
        return self._chunks[0][1] if self._chunks else 0

    @property
    def last(self) -> int:
        return self._chunks[-1][2] if self._chunks else 0

    def steps(self, after: int, upto: int | None = None) -> Iterator[CopiedStep]:
        """Those with numbers > `after`, up to `upto`, in order; it ends where one is missing."""
        due = after + 1
        for offset, low, high in self._chunks:
            if high < due or (upto is not None and low > upto):
                continue
            if low > due:
                return
            _, chunk = next(self._logs.chunks(offset))
            for step in chunk.steps:
                if step.number == due and step.number <= high and (upto is None or step.number <= upto):
                    yield step
                    due += 1
