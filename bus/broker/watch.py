"""Watches, and those of one partition: what `bus.broker.reading` moves. Pure."""

from bus import limits, wire
from bus.session import Session
from bus.topic import Filter, check_pattern
from bus.trie import Trie


class Watch:
    """One reader at one partition. `index`: the record that holds `offset`, -1 while the partition is not readable.

    `said`: the position last told. While it is `asleep` it stands at its partition's `upto`, if that is further.
    `comes`: it is a newcomer.
    """

    __slots__ = (
        *("asleep", "comes", "credit", "filter", "index", "offset", "partition", "passes", "said", "session"),
        *("subscription", "time"),
    )

    def __init__(self, session: Session, asked: wire.Watch) -> None:
        check_pattern(asked.pattern)
        self.session = session
        self.subscription = asked.subscription
        self.partition = asked.partition
        self.offset = asked.offset
        self.time = asked.time
        self.filter = Filter(asked.pattern, asked.internal)
        self.passes = asked.passes
        self.credit = min(max(asked.credit, 0), limits.WATCH_CREDIT_BYTES_MAX)
        self.index = -1
        self.said = -1
        self.asleep = False
        self.comes = False


class WatchedPartition:
    """The watches of one partition, and how far its committed records were looked through for those asleep.

    `upto` is the next record, `offset` the next event. `passes`: those who want to know. `unplaced`: waiting for it to
    be readable. `newcomers` are looked after from record `back` on, `coming` after them.
    """

    def __init__(self) -> None:
        self.watches: dict[Watch, None] = {}
        self.trie: Trie[Watch] = Trie()
        self.passes: dict[Watch, None] = {}
        self.unplaced: dict[Watch, None] = {}
        self.newcomers: dict[Watch, None] = {}
        self.coming: list[Watch] = []
        self.back = 0
        self.asleep = 0
        self.upto = self.offset = 0

    def add(self, watch: Watch) -> None:
        self.watches[watch] = None
        self.trie.add(watch.filter.pattern, watch, watch.filter.internal)
        if watch.passes:
            self.passes[watch] = None

    def remove(self, watch: Watch) -> None:
        del self.watches[watch]
        self.trie.remove(watch.filter.pattern, watch, watch.filter.internal)
        self.passes.pop(watch, None)
        self.unplaced.pop(watch, None)
        self.newcomers.pop(watch, None)
        self.asleep -= watch.asleep

    def sleep(self, watch: Watch) -> None:
        watch.asleep = True
        self.asleep += 1
