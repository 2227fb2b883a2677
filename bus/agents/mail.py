"""First mail: who has no inbox yet is told when something comes for it.

An inbox is a group, and a group costs every partition; most agents never get mail. So a group is made when the first
comes. Until then a watch on its type waits for that, which costs nothing while nothing comes: one for each agent, as
long as a connection has few, else one that sees the mail of all.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.agents.heard import Heard
from bus.agents.inbox import EVERY, PREFIX, pattern_of
from bus.agents.limits import INBOX_BACK_MS, INBOX_WATCHES_MAX

if TYPE_CHECKING:
    from bus.client.fleet import Fleet
    from bus.client.reading import Positioned


class FirstMail:
    """See the module. `came(name, appended)`: mail of this instant, ns, is there for an agent that awaits it."""

    def __init__(self, fleet: "Fleet", came: Callable[[str, int], None]) -> None:
        self._fleet = fleet
        self._came = came
        self._awaiting: set[str] = set()
        self._watches: dict[str, Heard] = {}
        self._wide: Heard | None = None

    def expect(self, name: str) -> None:
        """An agent awaits its first mail from now on, and from a little while ago."""
        self._awaiting.add(name)
        if self._wide is not None:
            return
        if len(self._watches) < INBOX_WATCHES_MAX:
            self._watches[name] = Heard(self._fleet, pattern_of(name), INBOX_BACK_MS, self._heard)
        else:
            self._wide = Heard(self._fleet, EVERY, INBOX_BACK_MS, self._heard)

    def is_expected(self, name: str) -> bool:
        """Whether somebody awaits its first mail."""
        return name in self._awaiting

    async def forget(self, name: str) -> None:
        """It awaits it no longer: it came, or the agent left."""
        self._awaiting.discard(name)
        watch = self._watches.pop(name, None)
        if watch is not None:
            await watch.close()
        if self._wide is not None and not self._awaiting - self._watches.keys():
            wide, self._wide = self._wide, None
            await wide.close()

    async def close(self) -> None:
        """Await nothing any more."""
        for name in list(self._awaiting):
            await self.forget(name)

    def _heard(self, found: "Positioned") -> None:
        name = found.event.type.removeprefix(PREFIX)
        if name in self._awaiting:
            self._came(name, found.appended)
