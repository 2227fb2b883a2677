"""What a group's leader has still to log: the changes of a turn, coalesced into one delta. Pure.

An event that was read and settled between two deltas leaves no trace but `upto`. One that was read and is still open is
`opened`; one that an earlier delta opened, and that is settled now, is `closed`.
"""

from collections.abc import Mapping
from itertools import islice

from bus import limits
from bus.groupstate import Delta, Failed, Opened, runs_of
from bus.groupwork import Work
from bus.wire import GroupSettings


class Unlogged:
    """The changes since the last delta that was appended. `define`: the group's definition is one of them."""

    def __init__(self, group: str, settings: GroupSettings, upto: int, define: bool) -> None:
        self.group = group
        self.settings = settings
        self.define = define
        self.changed = define
        self._upto = upto
        self._open: dict[int, None] = {}
        self._closed: list[int] = []
        self._failed: dict[int, list[Failed]] = {}
        self._buried: list[int] = []
        self._parked: dict[int, bool] = {}

    def read(self, offset: int) -> None:
        """An event matched; offsets come ascending. Worth no record of its own."""
        self._open[offset] = None

    def settled(self, offset: int, buried: bool) -> None:
        """An event is settled; `buried` if its dead letter comes with the delta."""
        if buried:
            self._buried.append(offset)
        self._failed.pop(offset, None)
        if offset in self._open:
            del self._open[offset]
        else:
            self._closed.append(offset)
        self.changed = True

    def parked(self, key: int, is_parked: bool) -> None:
        """A key is parked, or goes on; comes with a settlement."""
        self._parked[key] = is_parked

    def failed(self, failed: Failed) -> None:
        """An attempt is over."""
        attempts = self._failed.setdefault(failed.offset, [])
        attempts.append(failed)
        del attempts[: -limits.GROUP_HISTORY_MAX]
        self.changed = True

    def delta(self, cursor: int, works: Mapping[int, Work]) -> Delta | None:
        """All of it as one delta up to `cursor`; None: nothing worth a record. `works`: the events that are open.

        Failures of more than GROUP_FAILED_PER_DELTA_MAX events are left for the next delta.
        """
        if not self.changed and cursor - self._upto < limits.GROUP_PASSED_EVENTS_MAX:
            return None
        opened: list[Opened] = []
        run: list[int] = []
        appended = 0
        for offset in self._open:
            at = works[offset].entry.appended
            if run and at != appended:
                opened.append(Opened(appended, runs_of(run)))
                run = []
            appended = at
            run.append(offset)
        if run:
            opened.append(Opened(appended, runs_of(run)))
        return Delta(
            self.group,
            cursor,
            self.settings if self.define else None,
            opened,
            runs_of(sorted(self._closed)),
            [one for few in islice(self._failed.values(), limits.GROUP_FAILED_PER_DELTA_MAX) for one in few],
            {offset: works[offset].entry.expires for offset in self._open if works[offset].entry.expires},
            list(self._buried),
            {offset: works[offset].entry.tag for offset in self._open if works[offset].entry.tag},
            dict(self._parked),
        )

    def logged(self, cursor: int) -> None:
        """The delta up to `cursor` that was made just now is in the log."""
        self._upto = cursor
        self.define = False
        self._open.clear()
        self._closed.clear()
        self._buried.clear()
        self._parked.clear()
        for offset in list(islice(self._failed, limits.GROUP_FAILED_PER_DELTA_MAX)):
            del self._failed[offset]
        self.changed = bool(self._failed)
