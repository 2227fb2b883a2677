"""All groups of one partition, as committed: the fold of the deltas in its log. Pure.

A name is not a group: an operator may remove one, and the next member makes another of that name. What tells them apart
is the number of a *definition*: the greatest decision to remove any group that had been taken at the partition when it
was made, 0 if none. Decisions have numbers from the plane, a later one a greater number, so that

- of one name, later definitions have greater numbers: between two there is a removal of the first, whose decision is
  greater than the first's number, or it would not have been removed; and the second's is no less than that decision's.
  A member that returns with an older definition than the present one is told that its group was removed;
- a removal that is carried twice removes once. What a decision is for was made before it, and is older than it by its
  number, too; what was made after it was carried out here has a number no less than the decision's, and stays. So long
  as it has not been carried out here, what it finds is removed: nothing was made anew here yet.

This needs no agreement between partitions, each of which carries a decision out for itself. A leader gives a definition
its number and logs it with it, once all that earlier leaders logged is committed and applied, and follows what it takes
itself; what it takes and never logs only makes numbers greater. A removal is answered when the log that holds it is
committed, `decided` is the greatest number there, and so the next leader knows it; this is why a removal is logged
where no such group is, too: one may be made before it is carried again.

A group that was defined before there were numbers has 0. A removal without one removes whatever there is.
"""

import msgspec

from bus.errors import CorruptRecord
from bus.groupstate import Delta, GroupState, Kept, Natural, decode_deltas, misfit


class Companion:
    """All groups of one partition as applied up to, and not including, record index `applied`. `decided`: the greatest
    number of a decision or definition in these records."""

    def __init__(self) -> None:
        self.applied = 0
        self.decided = 0
        self.groups: dict[str, GroupState] = {}

    def apply(self, index: int, companion: bytes) -> list[str]:
        """Apply the companion of committed record `index`; gives the groups that moved. Raises CorruptRecord.

        Records must come in order. One that is already applied is passed over, so that a scan may begin early.
        """
        if index < self.applied:
            return []
        moved = []
        for delta in decode_deltas(companion) if companion else ():
            passed = [self._passing(delta, name) for name in delta.also]
            state = self.groups.get(delta.group)
            self.decided = max(self.decided, delta.number)
            if delta.removed:
                if state is None and not delta.number:
                    raise misfit(delta, "the group is not defined, and removed")
                if state is not None and (not delta.number or state.definition < delta.number):
                    del self.groups[delta.group]
                    moved.append(delta.group)
                continue
            if state is None:
                if delta.settings is None:
                    raise misfit(delta, "the group is not defined")
                state = GroupState(delta.group, delta.settings, 0, delta.number)
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
            raise misfit(delta, f"group {name!r} is not defined, or beyond that")
        return state

    def snapshot(self) -> bytes:
        """The whole of it, for the store."""
        return _encoder.encode(_Snapshot(self.applied, [state.kept() for state in self.groups.values()], self.decided))

    @classmethod
    def restore(cls, snapshot: bytes) -> "Companion":
        """From `snapshot()`; raises CorruptRecord on anything else. No bytes: a partition without groups."""
        companion = cls()
        if not snapshot:
            return companion
        try:
            found = _snapshots.decode(snapshot)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptRecord(f"snapshot of groups: {error}") from error
        companion.applied, companion.decided = found.applied, found.decided
        for kept in found.groups:
            try:
                companion.groups[kept.name] = GroupState.restored(kept)
            except CorruptRecord as error:
                raise CorruptRecord(f"snapshot of group {kept.name!r}: its open events are no state: {error}") from None
        return companion


class _Snapshot(msgspec.Struct, array_like=True, frozen=True):
    applied: Natural
    groups: list[Kept]
    decided: Natural = 0


_encoder = msgspec.msgpack.Encoder()
_snapshots = msgspec.msgpack.Decoder(_Snapshot)
