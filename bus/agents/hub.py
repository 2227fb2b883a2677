"""What all agents of one connection share, so that a thousand of them cost little more than one.

| of all of them | there is one |
|---|---|
| who take work from a group of one name | membership (`work.py`) |
| coordination events; the plane's digest of who came and went | following read each (`heard.py`) |
| first mail | watch, where there are many (`mail.py`) |
| heartbeats | ticker (`pulse.py`) |

It is made with the connection's first agent and ends with the last.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from bus.agents import inbox, namesakes
from bus.agents.handlers import GROUP, Handling, Settings
from bus.agents.heard import Heard
from bus.agents.limits import (
    AGENTS_PER_FLEET_MAX,
    FEED_RETRY_MS_MAX,
    FEED_RETRY_MS_MIN,
    HEARD_BACK_MS,
    INBOX_EARLIER_MS,
    JOINS_AT_ONCE_MAX,
    NAMESAKE_LOOKS_MAX,
)
from bus.agents.mail import FirstMail
from bus.agents.pulse import Pulse
from bus.agents.saying import CHANGED, COORDINATION, source_of
from bus.agents.work import Work
from bus.errors import BusError, ClientError, FleetError, GroupConflict, InvalidEvent, NoSuchGroup
from bus.event import format_time

if TYPE_CHECKING:
    from bus.agents.desk import Desk
    from bus.client.fleet import Fleet
    from bus.client.reading import Positioned

log = logging.getLogger("bus.agents")
_HUBS: "dict[Fleet, Hub]" = {}


def hub_of(fleet: "Fleet") -> "Hub":
    """The hub of a connection, or a new one if it has none."""
    if fleet not in _HUBS:
        _HUBS[fleet] = Hub(fleet)
    return _HUBS[fleet]


class Hub:
    """See the module. `desks`: by the names of their agents."""

    def __init__(self, fleet: "Fleet") -> None:
        self.desks: dict[str, Desk] = {}
        self.pulse = Pulse(fleet)
        self._fleet = fleet
        self._works: dict[str, Work] = {}
        self._gate = asyncio.Semaphore(JOINS_AT_ONCE_MAX)
        self._first_mail = FirstMail(fleet, self._mail_came)
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._heard = [
            Heard(fleet, COORDINATION, HEARD_BACK_MS, self._coordination),
            Heard(fleet, CHANGED, HEARD_BACK_MS, self._changed),
        ]

    def register(self, name: str, desk: "Desk") -> None:
        """An agent comes; nobody else of this connection has its name from now on. Raises ClientError."""
        if name in self.desks:
            raise ClientError(f"agent {name} is on this connection already: one name is one agent")
        if len(self.desks) >= AGENTS_PER_FLEET_MAX:
            raise ClientError(f"{AGENTS_PER_FLEET_MAX} agents are on this connection; make another one")
        self.desks[name] = desk

    async def take_work(self, name: str, desk: "Desk", handlers: list[Handling]) -> None:
        """Join the groups of these handlers, and the inbox if there is one. Raises what `Fleet.subscribe` does."""
        joining = {one.group: (one.settings, one.way) for one in handlers if one.group}
        joins = [self._join(desk, settings, settings.group, way != GROUP) for settings, way in joining.values()]
        results = await asyncio.gather(*joins, self._look_for_inbox(name, desk), return_exceptions=True)
        for failed in filter(None, results):
            raise failed

    async def leave(self, name: str, desk: "Desk") -> None:
        """An agent goes: it takes no work any more."""
        opening = self._opening.pop(name, None)
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        await self._first_mail.forget(name)
        for work in list(desk.works):
            work.leave_seat(desk)
            if not work.seats:
                self._drop(work)
                await work.close()

    async def unregister(self, name: str) -> None:
        """It is gone. With the last one the hub ends."""
        self.desks.pop(name, None)
        if not self.desks and _HUBS.get(self._fleet) is self:
            del _HUBS[self._fleet]
            await self.pulse.close()
            await self._first_mail.close()
            for task in self._looking:
                task.cancel()
            for heard in self._heard:
                await heard.close()

    # ----------------------------------------------------------------------------------------- groups

    async def _join(self, desk: "Desk", settings: Settings, place: str, is_shared: bool, create: bool = True) -> None:
        work = self._works.get(settings.group)
        if work is None:
            work = self._works[settings.group] = Work(self._fleet, settings, place, is_shared, self._gate, self._lost)
        else:
            _check_same(work.settings, settings)
        try:
            await work.take_seat(desk, create)
        except BaseException:
            if not work.seats:
                self._drop(work)
            raise

    def _drop(self, work: Work) -> None:
        if self._works.get(work.settings.group) is work:
            del self._works[work.settings.group]

    def _lost(self, work: Work, error: BusError) -> None:
        """A group cannot be worked on any more: whoever took work from it has to hear of it."""
        self._drop(work)
        for desk in work.seats:
            desk.agent.fail(error)

    # ----------------------------------------------------------------------------------------- inboxes

    async def _look_for_inbox(self, name: str, desk: "Desk") -> None:
        """Join the inbox if it has been made, else await the first mail, which makes it."""
        try:
            await self._join(desk, _inbox(name, "now"), "", True, create=False)
        except NoSuchGroup:
            self._first_mail.expect(name)

    def _mail_came(self, name: str, appended: int) -> None:
        if name in self.desks and name not in self._opening:
            start = format_time(max(0, appended - INBOX_EARLIER_MS * 1_000_000))
            self._opening[name] = asyncio.get_running_loop().create_task(self._open_inbox(name, start))

    async def _open_inbox(self, name: str, start: str) -> None:
        """Its first mail is there: make the group, which begins before it, or join the one that the plane made."""
        desk, wait_ms = self.desks[name], FEED_RETRY_MS_MIN
        while True:
            try:
                await self._join(desk, _inbox(name, start), "", True)
                break
            except FleetError as error:
                log.info("the inbox of %s cannot be opened yet: %s", name, error)
            except BusError as error:
                desk.agent.fail(error)
                return
            await asyncio.sleep(wait_ms / 1000)
            wait_ms = min(2 * wait_ms, FEED_RETRY_MS_MAX)
        await self._first_mail.forget(name)
        self._opening.pop(name, None)

    # ----------------------------------------------------------------------------------------- hearing

    def _coordination(self, found: "Positioned") -> None:
        for desk in list(self.desks.values()):
            desk.hear(found.event)

    def _changed(self, found: "Positioned") -> None:
        for name in _opened(found):
            if self._first_mail.is_expected(name):
                self._mail_came(name, found.appended)
        self._look_for_namesakes(found)
        self._coordination(found)

    def _look_for_namesakes(self, found: "Positioned") -> None:
        told = namesakes.changes_of(found.event)
        lives = {name: desk.agent.life for name, desk in self.desks.items() if source_of(name) in told and desk.is_open}
        lives = {name: life for name, life in lives.items() if life.is_ready}
        if lives and len(self._looking) < NAMESAKE_LOOKS_MAX:
            task = asyncio.get_running_loop().create_task(namesakes.look(self._fleet, found, lives))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)


def _inbox(name: str, start: Any) -> Settings:
    return Settings(
        inbox.pattern_of(name), inbox.group_of(name), "none", inbox.ACK_WAIT_S, inbox.DELIVER_ATTEMPTS, start
    )


def _opened(found: "Positioned") -> list[str]:
    """The inboxes that the plane says it has opened."""
    try:
        data = found.event.data
    except InvalidEvent:
        return []
    names = data.get("inboxes") if isinstance(data, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _check_same(known: Settings, coming: Settings) -> None:
    for field in ("pattern", "order", "ack_wait", "max_deliver"):
        has, wants = getattr(known, field), getattr(coming, field)
        if has != wants:
            raise GroupConflict(
                f"group {known.group} has {field}={has!r} here, and an agent came with {wants!r}", field
            )
