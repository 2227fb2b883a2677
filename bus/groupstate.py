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
    runs     = offsets as [first, length, first, length, ...], ascending
    Open     = one event below `upto` that is not settled, with the attempts that failed
    Companion = all groups of a partition, and the record index they are applied up to
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec

from bus import limits
from bus.errors import ClientError, CorruptRecord, GroupConflict
from bus.holdback import GAPS, GROUP_LATE
from bus.topic import check_pattern
from bus.wire import GroupSettings

NACKED = "nack"
TERMINATED = "terminate"
TIMED_OUT = "ack_wait"
LOST = "lost"
ORDERS = ("none", "strict", "timestamp", "causal")
"""What a group's order can be."""

Natural = Annotated[int, msgspec.Meta(ge=0)]
Runs = list[Natural]


class Attempt(msgspec.Struct, array_like=True, frozen=True):
    """An attempt that did not end in an ack. `how`: nack, terminate, ack_wait, lost. `at`: when it ended, ns."""

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

    `settings` stands in the first delta of a group only. `expires`: offset -> ns, for opened events that expire.
    `buried`: those of the settled whose dead letter the delta comes with. `tags`: offset -> tag, for opened events that
    have one. `parked`: key -> whether it is parked from now on, or no longer. `also`: further groups that move to
    `upto`, too, and in nothing else.
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


class GroupState(msgspec.Struct, array_like=True):
    """One group at one partition, as committed. `open` is keyed by offset, ascending.

    `buried`: the last GROUP_BURIED_EVENTS_MAX events that became dead letters, so that a later leader tells no member
    that its ack of one of them holds. `parked`: the keys whose events become dead letters, since an earlier one did.
    """

    name: str
    settings: GroupSettings
    upto: int
    open: dict[int, Open] = {}
    buried: list[int] = []
    parked: list[int] = []

    @property
    def floor(self) -> int:
        """All events below it are settled."""
        return next(iter(self.open), self.upto)

    def apply(self, delta: Delta) -> None:
        """Move by one delta. Raises CorruptRecord, and changes nothing, when it does not fit this state."""
        if delta.upto < self.upto:
            raise _misfit(delta, f"upto goes back from {self.upto}")
        opened = self._opened(delta)
        closed = spread(delta.closed, limits.GROUP_IN_FLIGHT_MAX)
        for offset in closed:
            if offset not in self.open:
                raise _misfit(delta, f"offset {offset} is closed, but was not open")
        attempts: dict[int, int] = {}
        for failed in delta.failed:
            entry = opened.get(failed.offset) or self.open.get(failed.offset)
            if entry is None:
                raise _misfit(delta, f"offset {failed.offset} failed, but was not open")
            before = attempts.get(failed.offset, entry.attempt)
            if failed.ended.attempt <= before:
                raise _misfit(delta, f"offset {failed.offset}: attempt {failed.ended.attempt} after {before}")
            attempts[failed.offset] = failed.ended.attempt
        self.open.update(opened)
        for failed in delta.failed:
            fail(self.open[failed.offset], failed)
        for offset in closed:
            del self.open[offset]
        remember(self.buried, delta.buried)
        for key, parked in delta.parked.items():
            park(self.parked, key, parked)
        self.upto = delta.upto

    def _opened(self, delta: Delta) -> dict[int, Open]:
        opened: dict[int, Open] = {}
        after = self.upto
        for part in delta.opened:
            for offset in spread(part.runs, limits.GROUP_IN_FLIGHT_MAX - len(opened)):
                if not after <= offset < delta.upto:
                    raise _misfit(delta, f"offset {offset} is opened outside [{after}, {delta.upto})")
                opened[offset] = Open(part.appended, delta.expires.get(offset, 0), tag=delta.tags.get(offset, 0))
                after = offset + 1
        if len(self.open) + len(opened) - sum(delta.closed[1::2]) > limits.GROUP_IN_FLIGHT_MAX:
            raise _misfit(delta, f"over {limits.GROUP_IN_FLIGHT_MAX} open events")
        return opened

    def copy(self) -> "GroupState":
        """A state of its own; the history's entries are frozen and shared."""
        held = {
            offset: msgspec.structs.replace(entry, history=list(entry.history)) for offset, entry in self.open.items()
        }
        return GroupState(self.name, self.settings, self.upto, held, list(self.buried), list(self.parked))


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


def runs_of(offsets: Iterable[int]) -> Runs:
    """Ascending offsets as [first, length, first, length, ...]."""
    runs: Runs = []
    end = -1
    for offset in offsets:
        if offset == end:
            runs[-1] += 1
        else:
            runs += (offset, 1)
        end = offset + 1
    return runs


def spread(runs: Sequence[int], most: int) -> list[int]:
    """The offsets of runs, at most `most` of them; raises CorruptRecord when they are not ascending, or more."""
    if len(runs) % 2 or sum(runs[1::2]) > most:
        raise CorruptRecord(f"runs of offsets: {len(runs)} numbers, or over {most} offsets")
    offsets: list[int] = []
    after = 0
    for first, length in zip(runs[::2], runs[1::2], strict=True):
        if first < after or length < 1:
            raise CorruptRecord(f"runs of offsets: {length} from {first}, after {after}")
        offsets.extend(range(first, first + length))
        after = first + length
    return offsets


def check_settings(group: str, settings: GroupSettings) -> None:
    """Refuse what no group can be: raises ClientError, which names the field and its bounds."""
    if not 0 < len(group) <= limits.GROUP_NAME_CHARS_MAX:
        raise ClientError(f"group: a name of {len(group)} characters; 1 to {limits.GROUP_NAME_CHARS_MAX} are possible")
    check_pattern(settings.pattern)
    if settings.order not in ORDERS:
        raise ClientError(f"order={settings.order!r} is not supported; group {group} can have {', '.join(ORDERS)}")
    if settings.park and settings.order != "strict":
        raise ClientError(f"park: only a group with order='strict' parks keys, and {group} has {settings.order!r}")
    _check_hold_back(group, settings)
    if not 0 < settings.ack_wait_ms <= limits.GROUP_DELAY_MS_MAX:
        raise ClientError(f"ack_wait: {settings.ack_wait_ms} ms; 1 to {limits.GROUP_DELAY_MS_MAX} are possible")
    if not 0 < settings.max_deliver <= limits.GROUP_DELIVER_ATTEMPTS_MAX:
        raise ClientError(f"max_deliver: {settings.max_deliver}; 1 to {limits.GROUP_DELIVER_ATTEMPTS_MAX} are possible")


def _check_hold_back(group: str, settings: GroupSettings) -> None:
    order = settings.order
    late = GROUP_LATE if order == "timestamp" else ("",)
    gap = GAPS if order == "causal" else ("",)
    lateness_ms = limits.LATENESS_MS_MAX if order in ("timestamp", "causal") else 0
    for field, value, legal in (("late", settings.late, late), ("gap", settings.gap, gap)):
        if value not in legal:
            raise ClientError(
                f"{field}={value!r}: group {group} with order={order!r} can have {', '.join(legal) or None}"
            )
    if not 0 <= settings.lateness_ms <= lateness_ms:
        raise ClientError(f"lateness: {settings.lateness_ms} ms; with order={order!r}, 0 to {lateness_ms} are possible")


def check_same(group: str, known: GroupSettings, coming: GroupSettings) -> None:
    """A member must agree with its group, but for `start`, which counts for the first only: raises GroupConflict."""
    for field in ("pattern", "order", "ack_wait_ms", "max_deliver", "park", "lateness_ms", "late", "gap"):
        has, wants = getattr(known, field), getattr(coming, field)
        if has != wants:
            name = field.removesuffix("_ms")
            raise GroupConflict(f"group {group} has {field}={has!r}, and the member came with {wants!r}", name)


class Companion:
    """All groups of one partition as applied up to, and not including, record index `applied`."""

    def __init__(self) -> None:
        self.applied = 0
        self.groups: dict[str, GroupState] = {}

    def apply(self, index: int, companion: bytes) -> list[str]:
        """Apply the companion of committed record `index`; gives the groups that deltas are of. Raises CorruptRecord.

        Records must come in order. One that is already applied is passed over, so that a scan may begin early.
        """
        if index < self.applied:
            return []
        moved = []
        for delta in decode_deltas(companion) if companion else ():
            passed = [self._passing(delta, name) for name in delta.also]
            state = self.groups.get(delta.group)
            if state is None:
                if delta.settings is None:
                    raise _misfit(delta, "the group is not defined")
                state = GroupState(delta.group, delta.settings, 0)
                state.apply(delta)
                self.groups[delta.group] = state
            else:
                state.apply(delta)
            for other in passed:
                other.upto = delta.upto
            moved.append(delta.group)
        self.applied = index + 1
        return moved

    def _passing(self, delta: Delta, name: str) -> GroupState:
        state = self.groups.get(name)
        if state is None or state.upto > delta.upto:
            raise _misfit(delta, f"group {name!r} is not defined, or beyond that")
        return state

    def snapshot(self) -> bytes:
        """The whole of it, for the store."""
        return _encoder.encode((self.applied, list(self.groups.values())))

    @classmethod
    def restore(cls, snapshot: bytes) -> "Companion":
        """From `snapshot()`; raises CorruptRecord on anything else. No bytes: a partition without groups."""
        companion = cls()
        if not snapshot:
            return companion
        try:
            companion.applied, states = _snapshots.decode(snapshot)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptRecord(f"snapshot of groups: {error}") from error
        for state in states:
            offsets = list(state.open)
            ascending = offsets == sorted(offsets) and (not offsets or 0 <= offsets[0] <= offsets[-1] < state.upto)
            if not ascending or len(offsets) > limits.GROUP_IN_FLIGHT_MAX:
                raise CorruptRecord(f"snapshot of group {state.name!r}: its open events are no state")
            companion.groups[state.name] = state
        return companion


def encode_deltas(deltas: Sequence[Delta]) -> bytes:
    """A record's companion."""
    return _encoder.encode(deltas)


def decode_deltas(companion: bytes) -> list[Delta]:
    """The deltas of a record's companion; raises CorruptRecord on anything else."""
    try:
        return _deltas.decode(companion)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptRecord(f"companion of groups: {error}") from error


def _misfit(delta: Delta, why: str) -> CorruptRecord:
    return CorruptRecord(f"group {delta.group!r}: a delta up to {delta.upto} does not fit: {why}")


_encoder = msgspec.msgpack.Encoder()
_deltas = msgspec.msgpack.Decoder(list[Delta])
_snapshots = msgspec.msgpack.Decoder(tuple[Natural, list[GroupState]])
