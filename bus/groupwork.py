"""What a group keeps of an event in hand and of a member, how events are dealt, and its figures. Pure.

Dealing: the events that are ready are cut into stretches of neighbours, one for each member with credit, as equal as
their credits allow. Neighbours lie in the same record, and a record is sent to a member whole: this sends least.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from bus import limits
from bus.groupplain import Loan, Sheet
from bus.groupstate import ENDS, NACKED, Attempt, Failed, Open, fail
from bus.wire import GroupSample, Settlement

READY = "ready"
WAITING = "waiting"
HELD = "held"
DELAYED = "delayed"
DEAD = "dead"
TRIMMED = "trimmed"
BEGIN = "begin"
_VERDICTS = frozenset({"ack", NACKED, BEGIN, *ENDS})


class Work:
    """An event that is read and not settled, and of which there is more to say than a bit does (see `bus.groupplain`).

    `attempt`: the last one begun; `entry`: what is durable of it; `sheet` has its bit.

    `member` had the last attempt, since `since` (ns). `timer`: the one deadline that counts (ns); 0 while a member has
    the event and holds it back. `spared`: attempts that do not count against `max_deliver`, of which `entry` knows
    those up to its last failure.
    """

    __slots__ = ("attempt", "entry", "member", "offset", "phase", "sheet", "since", "spared", "timer")

    def __init__(self, offset: int, entry: Open, sheet: Sheet) -> None:
        self.offset = offset
        self.entry = entry
        self.sheet = sheet
        self.attempt = entry.attempt
        self.spared = entry.spared
        self.member = entry.history[-1].member if entry.history else ""
        self.since = 0
        self.timer = 0
        self.phase = ""

    def claim(self, attempt: int) -> bool:
        """A member may claim an attempt of the leader before: a later one than all that are known of."""
        if self.phase not in (READY, DELAYED) or attempt <= self.attempt:
            return False
        self.spared += attempt - self.attempt - 1
        return True

    def fails(self, how: str, error: str, now: int, due: int) -> Failed:
        """The current attempt is over; what is to be logged of it."""
        error = error[: limits.GROUP_ERROR_CHARS_MAX]
        ended = Attempt(self.attempt, now, error, self.member, (now - self.since) // 1_000_000, how)
        failed = Failed(self.offset, self.spared, due, ended)
        fail(self.entry, failed)
        return failed

    def settles_late(self, member: str, attempt: int) -> bool:
        """Whether an ack of the last attempt still counts though its time is over: nobody else has begun one."""
        if self.phase not in (READY, DELAYED) or self.attempt != attempt or self.member != member or not attempt:
            return False
        return not self._said(member, attempt)

    def why_stale(self, member: str, item: Settlement) -> str:
        """Why a settlement is refused; "" when it only repeats what was said of that attempt."""
        if item.verdict == self._said(member, item.attempt):
            return ""
        over = f"attempt {item.attempt} of event {self.offset} is over"
        ended = next((one for one in self.entry.history if one.attempt == item.attempt), None)
        if ended is not None:
            over += f" ({ended.how})"
        if self.phase == HELD and item.attempt < self.attempt:
            return f"{over}: {self.member} has attempt {self.attempt}"
        if self.phase == HELD:
            return f"attempt {self.attempt} of event {self.offset} is with {self.member}, not with {member}"
        if self.phase == DEAD:
            return f"{over}: the event goes to the dead letters"
        return f"{over}: attempt {self.attempt + 1} is due"

    def _said(self, member: str, attempt: int) -> str:
        """The verdict that ended an attempt of this member; "" when none did."""
        for one in self.entry.history:
            if one.attempt == attempt and one.member == member and one.how in (NACKED, *ENDS):
                return one.how
        return ""


class Member:
    """One member: how many more events it takes, and what it holds: the offsets of `held`, and the `lent` events of its
    `loans`. `served`: its turn among equals.

    `lapsed`: it let an event's `ack_wait` pass, and has not been heard of since; it may be dead without our knowing.
    `since`: when it came, by its own word (`bus.groupactive`), ns.
    """

    __slots__ = ("credit", "held", "lapsed", "lent", "loans", "name", "served", "since")

    def __init__(self, name: str, served: int) -> None:
        self.name = name
        self.served = served
        self.credit = 0
        self.lapsed = False
        self.since = 0
        self.held: dict[int, None] = {}
        self.loans: dict[Loan, None] = {}
        self.lent = 0


class Dead(NamedTuple):
    """An event whose dead letter is due. `reason`: max_deliver, terminated, late, gap, expired, parked."""

    offset: int
    reason: str
    expires: int
    attempts: list[Attempt]


def dying(work: Work, reason: str) -> Dead:
    """What the dead letter of an event has to say."""
    return Dead(work.offset, reason, work.entry.expires, list(work.entry.history))


def holding(members: Iterable[Member]) -> dict[str, int]:
    """How many events each member holds, of those GROUP_SAMPLE_MEMBERS_MAX that hold most."""
    counted = sorted((-len(member.held) - member.lent, member.name) for member in members)
    return {name: -out for out, name in counted[: limits.GROUP_SAMPLE_MEMBERS_MAX]}


def why_impossible(item: Settlement) -> str:
    """Why a settlement is none; "" if it is one."""
    if item.verdict not in _VERDICTS:
        return f"{item.verdict!r} is no verdict: ack, nack or terminate"
    if not 0 <= item.delay_ms <= limits.GROUP_DELAY_MS_MAX:
        return f"a delay of {item.delay_ms} ms: 0 to {limits.GROUP_DELAY_MS_MAX} are possible"
    return ""


def undeliverable(works: Mapping[int, Work], first_offset: int, reporting: bool) -> list[Work]:
    """Of works, those that lie below the log's first event and cannot come to anything any more, ascending.

    `reporting`: members may still say that they hold what is ready or delayed.
    """
    spared = (HELD, WAITING, READY, DELAYED) if reporting else (HELD, WAITING)
    gone = (works[offset] for offset in sorted(works) if offset < first_offset)
    return [work for work in gone if work.phase not in spared]


class Figures:
    """Counters since the last sample. `latency`: log2 of the µs from append to ack -> acks."""

    __slots__ = ("acked", "dead", "delivered", "failed", "latency", "trimmed")

    def __init__(self) -> None:
        self.latency: dict[int, int] = {}
        self._restart()

    def _restart(self) -> None:
        self.delivered = self.acked = self.failed = self.dead = self.trimmed = 0
        self.latency = {}

    def taken(
        self,
        name: str,
        partition: int,
        pattern: str,
        members: int,
        places: tuple[int, int, int],
        oldest: int,
        endangered: int,
    ) -> GroupSample:
        """All of them; they count anew from here on. `places`: the floor, events waiting, events in flight."""
        counts = (self.delivered, self.acked, self.failed, self.dead)
        sample = GroupSample(
            *(name, partition, pattern, members),
            *(*places, *counts),
            oldest=oldest,
            latency=self.latency,
            trimmed=self.trimmed,
            endangered=endangered,
        )
        self._restart()
        return sample

    def ack(self, took_ns: int, count: int = 1) -> None:
        """Events are acked, `took_ns` after they were appended."""
        self.acked += count
        bucket = max(1, took_ns // 1_000).bit_length() - 1
        self.latency[bucket] = self.latency.get(bucket, 0) + count


class Settled:
    """Events that this leader has settled, the last GROUP_RECENT_EVENTS_MAX: a settlement repeated is not stale. Those
    that were acked by runs `Plain` remembers."""

    def __init__(self) -> None:
        self._recent: OrderedDict[int, tuple[str, int, str]] = OrderedDict()

    def note(self, work: Work, how: str) -> None:
        """One more."""
        self._recent[work.offset] = (how, work.attempt, work.member)
        if len(self._recent) > limits.GROUP_RECENT_EVENTS_MAX:
            self._recent.popitem(last=False)

    def why_stale(self, member: str, item: Settlement, cursor: int, acked_by: str) -> str | None:
        """Why a settlement is refused, "" for one repeated; None: nothing is known here of that event.

        Events from `cursor` on have not been read; `acked_by` is who acked its first attempt by a run.
        """
        known = ("ack", 1, acked_by) if acked_by else self._recent.get(item.offset)
        if known is None:
            unread = item.offset >= cursor or item.offset < 0
            return f"event {item.offset} was not delivered by this leader; it will come again" if unread else None
        if known == (item.verdict, item.attempt, member):
            return ""
        how, attempt, by = known
        return f"event {item.offset} is settled: {how}, attempt {attempt} of {by or 'nobody'}"


class Timers:
    """Deadlines of events: (when, offset); of one event only that counts which its work names last."""

    def __init__(self, works: Mapping[int, Work]) -> None:
        self._works = works
        self._heap: list[tuple[int, int]] = []

    def set(self, due: int, work: Work) -> None:
        """From now on this is its deadline."""
        work.timer = due
        heappush(self._heap, (due, work.offset))
        # Acked events leave their deadlines behind; without this there would be ack_wait's worth of them.
        if len(self._heap) > 2 * len(self._works) + 1_024:
            self._heap = [timer for timer in self._heap if self._counts(*timer)]
            heapify(self._heap)

    def next(self) -> int | None:
        """The first that counts."""
        while self._heap and not self._counts(*self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: int) -> Iterator[Work]:
        """Those whose deadline has passed, each taken out."""
        while (first := self.next()) is not None and first <= now:
            yield self._works[heappop(self._heap)[1]]

    def _counts(self, due: int, offset: int) -> bool:
        work = self._works.get(offset)
        return work is not None and work.timer == due and work.phase in (HELD, DELAYED)


def takers(members: Iterable[Member]) -> list[Member]:
    """Who is dealt to, in order: those with credit, who holds least first. Lapsed ones only when there is no other."""
    free = [member for member in members if member.credit > 0]
    free = [member for member in free if not member.lapsed] or free
    return sorted(free, key=lambda member: (len(member.held) + member.lent, member.served))


def shares(members: Sequence[Member], count: int) -> list[tuple[Member, int]]:
    """How `count` events are cut into stretches for members, the first members first; there must be credit for all."""
    dealt: list[tuple[Member, int]] = []
    credits = {member.name: member.credit for member in members}
    while count:
        able = [member for member in members if credits[member.name] > 0]
        for place, member in enumerate(able):
            share = min(-(-count // (len(able) - place)), credits[member.name])
            if share:
                credits[member.name] -= share
                count -= share
                dealt.append((member, share))
    return dealt
