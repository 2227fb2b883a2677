"""Somebody at the console: the application with frozen answers, and the keys that are pressed on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from console.app import Console
from console.screens.tables import TableScreen
from controlplane.questions import Redrive
from tests.console import frozen
from tests.console.frozen import Frozen
from tests.console.screens import settle, text_of


class Seat:
    """Somebody at the console."""

    def __init__(self, app: Console, link: Frozen, pilot: Pilot[None]) -> None:
        self.app, self.link, self.pilot = app, link, pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await settle(self.pilot, self.app)

    async def type(self, text: str) -> None:
        await self.pilot.press(*({" ": "space", "!": "exclamation_mark", "@": "at"}.get(char, char) for char in text))
        await settle(self.pilot, self.app)

    async def beat(self) -> None:
        """One beat, with whatever the link says now."""
        asked = len(self.link.asked)
        self.app.pulse()
        while len(self.link.asked) == asked:
            await self.pilot.pause()
        await settle(self.pilot, self.app)

    @property
    def text(self) -> str:
        return text_of(self.app)

    @property
    def cursor(self) -> str | None:
        assert isinstance(self.app.screen, TableScreen)
        return self.app.screen.grid.cursor

    def redrives(self) -> list[Redrive]:
        return [question for question in self.link.asked if isinstance(question, Redrive)]


@asynccontextmanager
async def seat(
    link: Frozen | None = None, size: tuple[int, int] = (120, 36), context: str = "local"
) -> AsyncIterator[Seat]:
    link = link or frozen.trouble()
    app = Console(link, context=context, beat=False)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, app)
        yield Seat(app, link, pilot)
