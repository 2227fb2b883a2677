"""How a subscription's `in_flight` is spread over its partitions: one pool, lent by demand. Pure.

A leader may deliver as many events as it has credit for. Each partition gets a small base when it joins, so that its
first events come without asking. One that uses half of its window is busy: it may have twice as much from now on, and
is lent what is free. Credit comes back to the pool when deliveries end, and goes to those who have the least; what a
partition was lent and has not used since the last `reclaim` is taken back when others want more than is free.

| a share's events | counted in |
|---|---|
| the leader may still deliver | `granted`; below 0 by what was on its way when credit was taken back |
| delivered, not ended | `out` |

The sum over all shares and `free` is `total` at all times, but for the one event that a partition may have all the same
when nothing is left: without it one that was idle could not say that it has work. A partition that events held back
here wait for may always have one more: they keep their credit until it has come (what a group may have out bounds
that).

A message for one event costs as much as one for hundreds. So while deliveries come and end, less than a quarter of a
chunk waits for more, and who has nothing waits to be lent some, as the first; only when nothing has come for a while
(`lend(small=True)`), when others wait for it, or when partitions outnumber `total`, does everybody get what there is,
and one at least.
"""

from collections.abc import Iterable

from bus import limits


class Share:
    """One partition's part. `window`: the credit it may have unused; `low`: the least it had since the last look.

    `lent_at`: its turn among equals. `awaited`: what is held back waits for this partition.
    """

    __slots__ = ("awaited", "granted", "joined", "lent_at", "low", "out", "partition", "window")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.granted = 0
        self.out = 0
        self.window = 0
        self.low = 0
        self.lent_at = 0
        self.joined = False
        self.awaited = False


class CreditPool:
    """`total` deliveries in flight for `partitions` shares. Methods that lend give what to tell the leaders."""

    def __init__(self, total: int, partitions: int) -> None:
        self.free = total
        self._partitions = partitions
        self._hungry: dict[int, Share] = {}
        self._turn = 0
        self._size(total)

    def widen(self, more: int) -> None:
        """So many more deliveries may be in flight."""
        self.free += more
        self._size(self.total + more)

    def _size(self, total: int) -> None:
        self.total = total
        self.base = max(1, total // (limits.CREDIT_BASE_PARTS * max(1, self._partitions)))
        self._chunk = max(1, total // limits.CREDIT_CHUNKS)
        self._crowded = total < self._partitions

    def join(self, share: Share) -> int:
        """A leader is about to be told of us: the credit it starts with. It gets no more before `joined`."""
        self.leave(share)
        share.window = self.base
        share.granted = max(min(self.base, self.free), 0 if share.out else 1)
        share.low = share.granted
        self.free -= share.granted
        return share.granted

    def joined(self, share: Share) -> None:
        """The leader knows us."""
        share.joined = True
        self._look(share)

    def leave(self, share: Share) -> None:
        """The leader is lost, and with it the credit it had."""
        self.free += share.granted
        share.granted = 0
        share.joined = False
        self._hungry.pop(share.partition, None)

    def delivered(self, share: Share, count: int) -> None:
        """Events came."""
        share.granted -= count
        share.out += count
        share.low = min(share.low, share.granted)
        if 2 * share.granted <= share.window:
            share.window = min(2 * share.window, self.total)
        self._look(share)

    def ended(self, share: Share, count: int = 1) -> None:
        """Some that came are over."""
        share.out -= count
        self.free += count
        self._look(share)

    @property
    def wanted(self) -> bool:
        """Whether somebody wants more."""
        return bool(self._hungry)

    @property
    def worth_lending(self) -> bool:
        """Whether enough is free to be worth a message though there is other work at hand."""
        return bool(self._hungry) and self.free >= self._chunk

    def lend(self, small: bool = False) -> list[tuple[Share, int]]:
        """What is free, to those who want more, the poorest first; in few large pieces, as each costs a delivery.
        `small`: whatever there is, and one event for those who would have nothing."""
        small = small or self._crowded
        least = 1 if small else max(1, self._chunk // 4)
        lent = []
        wanting = sorted(self._hungry.values(), key=lambda share: (share.granted + share.out, share.lent_at))
        for place, share in enumerate(wanting):
            fair = max(self.free // (len(wanting) - place), self._chunk)
            piece = min(fair, self.free)
            lone = small or share.awaited
            if piece < least and not lone:
                continue
            needs_one = lone and share.granted + (0 if share.awaited else share.out) <= 0
            most = max(piece, 1 if needs_one else 0)
            more = min(share.window - share.granted, most)
            if more > 0:
                self.free -= more
                share.granted += more
                if piece > 0:
                    self._turn += 1
                    share.lent_at = self._turn
                lent.append((share, more))
                self._look(share)
        return lent

    def reclaim(self, shares: Iterable[Share]) -> list[tuple[Share, int]]:
        """Take back, as negative credit, what shares had over the base ever since the last look, if others want it."""
        taken = []
        for share in shares:
            idle = min(share.low, share.granted) - self.base
            if share.joined and idle > 0 and self._hungry:
                share.granted -= idle
                share.window = max(self.base, share.granted)
                self.free += idle
                taken.append((share, -idle))
            share.low = share.granted
        return taken

    def _look(self, share: Share) -> None:
        if share.joined and (2 * share.granted <= share.window or share.granted + share.out <= 0):
            self._hungry[share.partition] = share
        else:
            self._hungry.pop(share.partition, None)
