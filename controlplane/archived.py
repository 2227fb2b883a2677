"""How far the journal has come is said each second: to brokers, which may let go of that much, and to `journal.mark`.

The mark is what an older journal, put in the place of this one, is known by at the next start (`fencing`).
"""

import asyncio
import logging

from controlplane import limits
from controlplane.directory import Directory, Mark
from controlplane.errors import PlaneError
from controlplane.journal import Journal
from controlplane.supervisor import Supervisor

log = logging.getLogger("signalbox.plane")


class Archived:
    """Of one plane's journal."""

    def __init__(self, journal: Journal, directory: Directory, supervisor: Supervisor) -> None:
        self._journal = journal
        self._directory = directory
        self._supervisor = supervisor
        self._is_stale = False

    async def run(self, epoch: int, name: str) -> None:
        """Again and again, until cancelled, as a broker that starts knows nothing of it."""
        while True:
            await asyncio.sleep(limits.ARCHIVED_MS / 1000)
            self.mark()
            for controls in self._supervisor.sessions().values():
                controls.keep(epoch, name, self._journal.offsets)

    def mark(self) -> None:
        """Write the mark. One that cannot be written is a warning, once until it can be again."""
        try:
            self._directory.write_mark(Mark(self._journal.position, self._journal.step))
        except PlaneError as error:
            if not self._is_stale:
                log.warning("journal.mark stays behind, and an older journal may not be known by it: %s", error)
            self._is_stale = True
            return
        self._is_stale = False
