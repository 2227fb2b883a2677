"""All groups of one partition, as committed: the fold of the deltas in its log. Pure."""

import msgspec

from bus.errors import CorruptRecord
from bus.groupstate import Delta, GroupState, Kept, Natural, decode_deltas, misfit


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
            if delta.removed:
                if self.groups.pop(delta.group, None) is None:
                    raise misfit(delta, "the group is not defined, and removed")
                moved.append(delta.group)
                continue
            state = self.groups.get(delta.group)
            if state is None:
                if delta.settings is None:
                    raise misfit(delta, "the group is not defined")
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
            raise misfit(delta, f"group {name!r} is not defined, or beyond that")
        return state

    def snapshot(self) -> bytes:
        """The whole of it, for the store."""
        return _encoder.encode((self.applied, [state.kept() for state in self.groups.values()]))

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
        for kept in states:
            try:
                companion.groups[kept.name] = GroupState.restored(kept)
            except CorruptRecord as error:
                raise CorruptRecord(f"snapshot of group {kept.name!r}: its open events are no state: {error}") from None
        return companion


_encoder = msgspec.msgpack.Encoder()
_snapshots = msgspec.msgpack.Decoder(tuple[Natural, list[Kept]])
