"""Two processes under one name: the control plane listens to who joined last, and the elder has to notice.

The plane's digest of who came and went says nothing of incarnations. So when it names an agent of this connection, the
`joined` words since that agent joined, or of a while, are looked through: the last one of its source tells who counts.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bus.agents.limits import FEED_RETRY_MS_MAX, HEARD_BACK_MS, NAMESAKE_BACK_MS
from bus.agents.saying import JOINED, source_of
from bus.errors import BusError, InvalidEvent
from bus.event import Event, format_time

if TYPE_CHECKING:
    from bus.agents.life import Life
    from bus.client.fleet import Fleet
    from bus.client.reading import Positioned

log = logging.getLogger("bus.agents")
TOLD = ("joined", "ready", "left", "failed")
"""The states that may tell of another one under the same name."""


def changes_of(event: Event) -> dict[str, str]:
    """Source -> state, of a digest."""
    try:
        data = event.data
    except InvalidEvent:
        return {}
    told = data.get("changes") if isinstance(data, dict) else None
    pairs = [one for one in told if isinstance(one, list) and len(one) == 2] if isinstance(told, list) else []
    return {one[0]: one[1] for one in pairs if isinstance(one[0], str) and one[1] in TOLD}


async def look(fleet: "Fleet", told: "Positioned", lives: "Mapping[str, Life]") -> None:
    """The plane has told of these agents, by name, all of whom had joined: each hears who of its name joined last."""
    changes = changes_of(told.event)
    since = max(min(life.joined for life in lives.values()), told.appended - NAMESAKE_BACK_MS * 1_000_000)
    start = format_time(max(0, since - HEARD_BACK_MS * 1_000_000))
    while True:
        try:
            newest = await _newest(fleet, start, frozenset(map(source_of, lives)))
            break
        except BusError as error:
            log.info("who else joined as %s cannot be seen yet: %s", ", ".join(sorted(lives)[:8]), error)
        await asyncio.sleep(FEED_RETRY_MS_MAX / 1000)
    for name, life in lives.items():
        await life.told(changes[source_of(name)], newest.get(source_of(name), ""), told.appended)


async def _newest(fleet: "Fleet", start: str, sources: frozenset[str]) -> dict[str, str]:
    """Source -> incarnation of its last `joined`; words of one source stand in one partition, in their order."""
    found: dict[str, str] = {}
    async for event in fleet.read(JOINED, start=start):
        if event.source in sources:
            try:
                data = event.data
            except InvalidEvent:
                continue
            if isinstance(data, dict) and isinstance(data.get("incarnation"), str):
                found[event.source] = data["incarnation"]
    return found
