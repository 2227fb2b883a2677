"""What a group's leader has still to log: the changes of a turn, coalesced into one delta. Pure.

An event that was read and settled between two deltas leaves no trace but `upto`. One that was read and is still open is
`opened`; one that an earlier delta opened, and that is settled now, is `closed`.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from bus import limits
from bus.groupplain import Sheet
from bus.groupstate import Delta, Failed, Opened
from bus.groupwork import Work
from bus.runs import extend
from bus.wire import GroupSettings


class Unlogged:
    """The changes since the last delta that was appended. `define`: the group's definition is one of them, which has
    the number `definition`."""

    def __init__(self, group: str, settings: GroupSettings, upto: int, define: bool, definition: int) -> None:
        self.group = group
        self.settings = settings
        self.definition = definition
        self.define = define
        self.changed = define
        self._upto = upto
        self._read: list[Sheet] = []
        self._odd: list[int] = []
        self._closed: dict[int, int] = {}
        self._failed: dict[int, list[Failed]] = {}
        self._buried: list[int] = []
        self._parked: dict[int, bool] = {}

    def read(self, sheet: Sheet, odd: Iterable[int]) -> None:
        """Events matched; sheets come ascending. `odd`: those that expire or have a tag. Worth no record of its own."""
        sheet.unlogged = sheet.open
        self._read.append(sheet)
        self._odd += odd

    def settled(self, sheet: Sheet, bits: int) -> None:
        """Events are settled."""
        fresh = bits & sheet.unlogged
        sheet.unlogged ^= fresh
        if known := bits ^ fresh:
            self._closed[sheet.base] = self._closed.get(sheet.base, 0) | known
        self.changed = True

    def over(self, offset: int, buried: bool) -> None:
        """What is to be logged of an event that is settled; `buried` if its dead letter comes with the delta."""
        if buried:
            self._buried.append(offset)
        self._failed.pop(offset, None)

    def parked(self, key: int, is_parked: bool) -> None:
        """A key is parked, or goes on; comes with a settlement."""
        self._parked[key] = is_parked

    def change(self, settings: GroupSettings) -> None:
        """Other settings hold, and are to be told."""
        self.settings = settings
        self.define = self.changed = True

    def failed(self, failed: Failed) -> None:
        """An attempt is over."""
        attempts = self._failed.setdefault(failed.offset, [])
        attempts.append(failed)
        del attempts[: -limits.GROUP_HISTORY_MAX]
        self.changed = True

    def delta(self, cursor: int, works: Mapping[int, Work]) -> Delta | None:
        """All of it as one delta up to `cursor`; None: nothing worth a record. `works`: the events that are known by
        more than their bit.

        Failures of more than GROUP_FAILED_PER_DELTA_MAX events are left for the next delta.
        """
        if not self.changed and cursor - self._upto < limits.GROUP_PASSED_EVENTS_MAX:
            return None
        opened: list[Opened] = []
        for sheet in self._read:
            if sheet.unlogged:
                if not opened or opened[-1].appended != sheet.appended:
                    opened.append(Opened(sheet.appended, []))
                extend(opened[-1].runs, sheet.base, sheet.unlogged)
        closed: list[int] = []
        for base, bits in sorted(self._closed.items()):
            extend(closed, base, bits)
        entries = [(offset, works[offset].entry) for offset in self._odd if offset in works]
        return Delta(
            self.group,
            cursor,
            self.settings if self.define else None,
            opened,
            closed,
            [one for few in islice(self._failed.values(), limits.GROUP_FAILED_PER_DELTA_MAX) for one in few],
            {offset: entry.expires for offset, entry in entries if entry.expires},
            list(self._buried),
            {offset: entry.tag for offset, entry in entries if entry.tag},
            dict(self._parked),
            number=self.definition if self.define else 0,
        )

    def logged(self, cursor: int) -> None:
        """The delta up to `cursor` that was made just now is in the log."""
        self._upto = cursor
        self.define = False
        for sheet in self._read:
            sheet.unlogged = 0
        self._read.clear()
        self._odd.clear()
        self._closed.clear()
        self._buried.clear()
        self._parked.clear()
        for offset in list(islice(self._failed, limits.GROUP_FAILED_PER_DELTA_MAX)):
            del self._failed[offset]
        self.changed = bool(self._failed)
