"""One log in memory, that all fake brokers share."""

import time

from bus import batch, wire
from bus.producer import Original, Windows


class Partition:
    """One log, shared by all fake brokers as if replication were instant."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.records: list[tuple[batch.Header, bytes]] = []
        self.windows = Windows()
        self.high = 0

    def append(self, section: wire.Section, body: bytes) -> Original:
        original = self.windows.judge(section.producer, section.sequence)
        if original is None:
            now = time.time_ns()
            header = batch.Header(
                batch.EVENTS, self.number, 1, self.high, section.count, now, section.producer, section.sequence
            )
            original = Original(section.producer, section.sequence, len(self.records), self.high, section.count, now)
            self.records.append((header, batch.seal(header, body)))
            self.windows.commit(original)
            self.high += section.count
        return original
