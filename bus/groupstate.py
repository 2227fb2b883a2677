"""What is durable of the groups of one partition, and the deltas that change it. Pure.

A group's committed state is a pair: `upto`, and the events below it that are still *open*. Every event below `upto`
that is not open is settled (acked, dead-lettered, or passed by the filter); nothing at or above `upto` has been looked
at yet. This is the usual floor with settled exceptions above it, turned over: open events are bounded by
GROUP_IN_FLIGHT_MAX, while the exceptions above one event that waits for an hour are not.

The leader appends deltas to the partition's own log: in a GROUP record, or in the `companion` slot of the EVENTS
record that carries the group's dead letters, so that the letter and the group's advance are one record. Every replica
applies them when they commit, and not before; whoever leads next goes on from there. What an old leader had delivered
above `upto`, or acked in a record that never committed, is read and delivered again: redelivered, never skipped.

    delta    = what became of one group in one turn of the leader; a record's companion is a list of them
    runs     = offsets as [first, length, first, length, ...], ascending, see `bus.runs`
    pages    = the open events in memory, a bit each, see `bus.pages`
    Open     = one event below `upto` that is not settled, with the attempts that failed
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from bus import limits
from bus.errors import CorruptRecord
from bus.pages import Page, Pages
from bus.runs import extend, pairs
from bus.wire import GroupSettings

NACKED = "nack"
TERMINATED = "terminate"
LATE = "late"
GAP = "gap"
TIMED_OUT = "ack_wait"
LOST = "lost"
ENDS = {TERMINATED: "terminated", LATE: "late", GAP: "gap"}
"""How an attempt ends that makes its event a dead letter at once -> the letter's reason."""

Natural = Annotated[int, msgspec.Meta(ge=0)]
Runs = list[Natural]


class Attempt(msgspec.Struct, array_like=True, frozen=True):
    """An attempt that did not end in an ack. `how`: nack, ack_wait, lost, or one of ENDS. `at`: when it ended."""

    attempt: int
    at: int
    error: str
    member: str
    took_ms: int
    how: str


class Open(msgspec.Struct, array_like=True):
    """An event that is not settled: when it was appended, when it expires (ns, 0 never), and how often it failed.

    `attempt` is the number of the last attempt that is over (0: none); `spared` of them do not count against
    `max_deliver`. It is not due before `due` (ns). `history` keeps the last GROUP_HISTORY_MAX attempts. `tag`: its key
    and priority in a strict group, see `bus.keys`.
    """

    appended: int
    expires: int = 0
    attempt: int = 0
    spared: int = 0
    due: int = 0
    history: list[Attempt] = []
    tag: Natural = 0


class Opened(msgspec.Struct, array_like=True, frozen=True):
    """Events that matched, were not settled when the delta was made, and share one append instant."""

    appended: int
    runs: Runs


class Failed(msgspec.Struct, array_like=True, frozen=True):
    """An attempt of the event at `offset` that is over; the event is due again at `due` (ns)."""

    offset: Natural
    spared: Natural
    due: int
    ended: Attempt


class Delta(msgspec.Struct, array_like=True, frozen=True):
    """How one group's durable state moves: first `opened`, then `failed`, then `closed` (all settled).

    `settings` stands in the first delta of a group, and where an operator has changed them. `expires`: offset
    -> ns, for opened events that expire. `buried`: those of the settled whose dead letter the delta comes with. `tags`:
    offset -> tag, for opened events that have one. `parked`: key -> whether it is parked from now on, or no longer.
    `also`: further groups that move to `upto`, too, and in nothing else. `removed`: there is no such group any more;
    nothing else of the delta counts. `number`: where `settings` stand, the definition's; of a removal, the decision's.
    See `bus.companion`.
    """

    group: str
    upto: Natural
    settings: GroupSettings | None = None
    opened: list[Opened] = []
    closed: Runs = []
    failed: list[Failed] = []
    expires: dict[Natural, int] = {}
    buried: list[Natural] = []
    tags: dict[Natural, Natural] = {}
    parked: dict[Natural, bool] = {}
    also: list[str] = []
    removed: bool = False
    number: Natural = 0


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """A GroupState as it is written down. `plain`: all open events, in as few entries as possible; `open`: by offset,
    ascending, those with more to say than when they were appended. `definition`: see `bus.companion`."""

    name: str
    settings: GroupSettings
    upto: Natural
    open: dict[int, Open] = {}
    buried: list[int] = []
    parked: list[int] = []
    plain: list[Opened] = []
    definition: Natural = 0


class GroupState:
    """One group at one partition, as committed. `pages` have the open events, `odd` what there is to say of some: of
    those that failed, expire, or have a tag.

    `buried`: the last GROUP_BURIED_EVENTS_MAX events that became dead letters, so that a later leader tells no member
    that its ack of one of them holds. `parked`: the keys whose events become dead letters, since an earlier one did.
    `definition`: which group of that name it is, see `bus.companion`.
    """

    def __init__(self, name: str, settings: GroupSettings, upto: int, definition: int = 0) -> None:
        self.name = name
        self.settings = settings
        self.upto = upto
        self.definition = definition
        self.count = 0
        self.pages: Pages[Page] = Pages()
        self.odd: dict[int, Open] = {}
        self.buried: list[int] = []
        self.parked: list[int] = []

    @property
    def floor(self) -> int:
        """All events below it are settled."""
        return self.pages.first.floor if self.pages.first is not None else self.upto

    @property
    def open(self) -> dict[int, Open]:
        """Each open event with a copy of what there is to say of it, ascending."""
        return {offset: entry for page in self.pages for offset, entry in self.entries(page, True).items()}

    def is_open(self, offset: int) -> bool:
        """Whether an event is open."""
        return self.pages.having(offset) is not None

    def entries(self, page: Page, plain: bool) -> dict[int, Open]:
        """The open events of a page, or those in `odd` alone, each with a copy of what there is to say of it."""
        if not plain and not self.odd:
            return {}
        found: dict[int, Open] = {}
        for offset in page.offsets(page.open):
            entry = self.odd.get(offset)
            if entry is not None:
                found[offset] = msgspec.structs.replace(entry, history=list(entry.history))
            elif plain:
                found[offset] = Open(page.appended)
        return found

    def apply(self, delta: Delta) -> None:
        """Move by one delta. Raises CorruptRecord, and changes nothing, when it does not fit this state."""
        if delta.upto < self.upto:
            raise misfit(delta, f"upto goes back from {self.upto}")
        opened, count = self._opened(delta)
        closed = _pairs(delta.closed, limits.GROUP_IN_FLIGHT_MAX)
        for first, length in closed:
            if sum((page.open & bits).bit_count() for page, bits in self.pages.over(first, length)) != length:
                raise misfit(delta, f"of {length} offsets from {first} that are closed one was not open")
        count += self.count - sum(delta.closed[1::2])
        if count > limits.GROUP_IN_FLIGHT_MAX:
            raise misfit(delta, f"over {limits.GROUP_IN_FLIGHT_MAX} open events")
        attempts: dict[int, int] = {}
        for failed in delta.failed:
            if opened.having(failed.offset) is None and self.pages.having(failed.offset) is None:
                raise misfit(delta, f"offset {failed.offset} failed, but was not open")
            known = self.odd.get(failed.offset)
            before = attempts.get(failed.offset, known.attempt if known is not None else 0)
            if failed.ended.attempt <= before:
                raise misfit(delta, f"offset {failed.offset}: attempt {failed.ended.attempt} after {before}")
            attempts[failed.offset] = failed.ended.attempt
        self._move(delta, opened, closed)
        self.count = count

    def _move(self, delta: Delta, opened: Pages[Page], closed: list[tuple[int, int]]) -> None:
        self.settings = delta.settings or self.settings
        for added in opened:
            self.pages.add(added)
        for offset in delta.expires.keys() | delta.tags.keys():
            if (page := opened.having(offset)) is not None:
                self._say(offset, Open(page.appended, delta.expires.get(offset, 0), tag=delta.tags.get(offset, 0)))
        for failed in delta.failed:
            if (page := self.pages.having(failed.offset)) is not None:
                entry = self.odd.get(failed.offset) or Open(page.appended)
                fail(entry, failed)
                self.odd[failed.offset] = entry
        for first, length in closed:
            self._close(first, length)
        remember(self.buried, delta.buried)
        for key, parked in delta.parked.items():
            park(self.parked, key, parked)
        self.upto = delta.upto

    def _say(self, offset: int, entry: Open) -> None:
        if entry != Open(entry.appended):
            self.odd[offset] = entry

    def _close(self, first: int, length: int) -> None:
        for page, bits in self.pages.over(first, length):
            page.open &= ~bits
            if not page.open:
                self.pages.drop(page)
        if self.odd:
            run = range(first, first + length)
            for offset in [offset for offset in run if offset in self.odd]:
                del self.odd[offset]

    def _opened(self, delta: Delta) -> tuple[Pages[Page], int]:
        """The pages of what a delta opens, and how many events these are."""
        pages: Pages[Page] = Pages()
        after, count = self.upto, 0
        for part in delta.opened:
            runs = _pairs(part.runs, limits.GROUP_IN_FLIGHT_MAX - count)
            if runs and not after <= runs[0][0] <= sum(runs[-1]) <= delta.upto:
                raise misfit(delta, f"offsets {part.runs[:8]} are opened outside [{after}, {delta.upto})")
            count += fill(pages, part.appended, runs)
            after = sum(runs[-1]) if runs else after
        return pages, count

    def kept(self) -> Kept:
        """As it is written down; equal states give equal bytes."""
        plain: list[Opened] = []
        for page in self.pages:
            if not plain or plain[-1].appended != page.appended:
                plain.append(Opened(page.appended, []))
            extend(plain[-1].runs, page.base, page.open)
        odd = dict(sorted(self.odd.items()))
        return Kept(self.name, self.settings, self.upto, odd, self.buried, self.parked, plain, self.definition)

    @classmethod
    def made(
        cls,
        name: str,
        settings: GroupSettings,
        upto: int,
        definition: int,
        pages: Iterable[Page],
        entries: Mapping[int, Open],
    ) -> "GroupState":
        """A state of its own with these open events; `entries`: what there is to say of some."""
        state = cls(name, settings, upto, definition)
        for page in pages:
            state.pages.add(Page(page.base, page.count, page.appended, page.open))
            state.count += page.open.bit_count()
        for offset, entry in entries.items():
            state._say(offset, msgspec.structs.replace(entry, history=list(entry.history)))
        return state

    @classmethod
    def restored(cls, kept: Kept) -> "GroupState":
        """From `kept()`; raises CorruptRecord when its open events are no state."""
        state = cls(kept.name, kept.settings, kept.upto, kept.definition)
        # Before there was `plain`, `open` had them all.
        parts = kept.plain or [Opened(entry.appended, [max(offset, 0), 1]) for offset, entry in kept.open.items()]
        opened, state.count = cls(kept.name, kept.settings, 0)._opened(Delta(kept.name, kept.upto, opened=parts))
        state.pages = opened
        for offset, entry in kept.open.items():
            page = opened.having(offset)
            if page is None or page.appended != entry.appended:
                raise CorruptRecord(f"group {kept.name!r}: event {offset} is not among those that are open")
            state._say(offset, entry)
        state.buried, state.parked = list(kept.buried), list(kept.parked)
        return state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GroupState) and self.kept() == other.kept()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"GroupState({self.kept()})"


def fill(pages: Pages[Page], appended: int, runs: Iterable[tuple[int, int]]) -> int:
    """Add pages of runs (ascending) behind all that are there; gives how many events these are."""
    count = 0
    page: Page | None = None
    for first, length in runs:
        count += length
        end = first + length
        while first < end:
            if page is None or first - page.base >= limits.GROUP_PAGE_OFFSETS_MAX:
                page = Page(first, 0, appended, 0)
                pages.add(page)
            upto = min(end, page.base + limits.GROUP_PAGE_OFFSETS_MAX)
            page.open |= ((1 << (upto - first)) - 1) << (first - page.base)
            page.count = upto - page.base
            first = upto
    return count


def remember(buried: list[int], more: Iterable[int]) -> None:
    """Note further dead letters' events; the first ones are forgotten beyond GROUP_BURIED_EVENTS_MAX."""
    buried.extend(more)
    del buried[: -limits.GROUP_BURIED_EVENTS_MAX]


def park(parked: list[int], key: int, is_parked: bool) -> None:
    """Note that a key is parked from now on, or no longer; beyond GROUP_PARKED_KEYS_MAX the first one goes on."""
    if key in parked:
        parked.remove(key)
    if is_parked:
        parked.append(key)
    del parked[: -limits.GROUP_PARKED_KEYS_MAX]


def fail(entry: Open, failed: Failed) -> None:
    """Note an attempt that is over; the oldest ones leave the history beyond GROUP_HISTORY_MAX."""
    entry.attempt = failed.ended.attempt
    entry.spared = failed.spared
    entry.due = failed.due
    entry.history.append(failed.ended)
    del entry.history[: -limits.GROUP_HISTORY_MAX]


def encode_deltas(deltas: Sequence[Delta]) -> bytes:
    """A record's companion."""
    return _encoder.encode(deltas)


def decode_deltas(companion: bytes) -> list[Delta]:
    """The deltas of a record's companion; raises CorruptRecord on anything else."""
    try:
        return _deltas.decode(companion)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptRecord(f"companion of groups: {error}") from error


def _pairs(runs: Runs, most: int) -> list[tuple[int, int]]:
    try:
        return pairs(runs, most)
    except ValueError as error:
        raise CorruptRecord(str(error)) from None


def misfit(delta: Delta, why: str) -> CorruptRecord:
    """The error that a delta does not fit the state it comes to."""
    return CorruptRecord(f"group {delta.group!r}: a delta up to {delta.upto} does not fit: {why}")


_encoder = msgspec.msgpack.Encoder()
_deltas = msgspec.msgpack.Decoder(list[Delta])
