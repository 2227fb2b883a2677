"""Each process of a fleet is killed in turn during an import; the archive then holds the input, event by event."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import bus
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]
BATCH = 500
PROGRESS_S = 60.0


class Import:
    """Publishes numbered events until it is told to stop; each was acked when it is in `acked`."""

    def __init__(self) -> None:
        self.acked: list[bus.Event] = []
        self.stopping = False
        self._more = asyncio.Condition()

    async def run(self, fleet: bus.Fleet) -> None:
        while not self.stopping:
            events = numbered(BATCH, len(self.acked))
            await fleet.publish_many(events, deadline=PROGRESS_S)
            self.acked += events
            async with self._more:
                self._more.notify_all()

    async def more(self, count: int) -> None:
        """Wait until so many more were acked."""
        goal = len(self.acked) + count
        async with self._more, asyncio.timeout(PROGRESS_S):
            await self._more.wait_for(lambda: len(self.acked) >= goal)


@asynccontextmanager
async def importing(live: LiveFleet) -> AsyncIterator[Import]:
    async with bus.connect(data_dir=live.directory.root) as fleet:
        running = Import()
        task = asyncio.create_task(running.run(fleet))
        try:
            yield running
        finally:
            running.stopping = True
            await task


async def kill_broker_and_wait(live: LiveFleet, broker: str) -> None:
    old = live.kill_broker(broker)
    await until(f"{broker} is back", lambda: live.broker(broker).pid != old)


def check(live: LiveFleet, acked: list[bus.Event]) -> None:
    """The archive is the input: all of it, once, and in order within each saga."""
    archived = live.exported()
    by_id = {event["id"]: event for event in archived}
    assert len(by_id) == len(archived), "an event was archived twice"
    assert len(archived) == len(acked)
    for event in acked:
        assert by_id[event.id] == bus.to_object(event)
    last: dict[str, int] = {}
    for event in archived:
        assert event["data"]["n"] > last.get(event["subject"], -1), "a saga's events changed places"
        last[event["subject"]] = event["data"]["n"]


async def test_each_process_is_killed_and_nothing_is_lost_or_doubled(tmp_path: Path, long: bool) -> None:
    rounds, between = (8, 8_000) if long else (1, 1_500)
    with live_fleet(tmp_path) as live:
        await live.ready()
        async with importing(live) as load:
            for _ in range(rounds):
                for broker in ("b1", "b2", "b3"):
                    await load.more(between)
                    await kill_broker_and_wait(live, broker)
                await load.more(between)
                live.kill_plane()
                await load.more(between)
                live.start()
                await live.ready()
            await load.more(between)
        await asyncio.to_thread(check, live, load.acked)
        assert live.end() == 0
        assert live.live() == []


async def test_killing_everything_at_once_loses_nothing_that_was_acked(tmp_path: Path) -> None:
    with live_fleet(tmp_path) as live:
        await live.ready()
        async with bus.connect(data_dir=live.directory.root) as fleet:
            events = numbered(3_000)
            await fleet.publish_many(events)
        live.kill_plane()
        for broker in ("b1", "b2", "b3"):
            live.kill_broker(broker)
        live.start()
        await live.ready()
        await asyncio.to_thread(check, live, events)
        assert live.end() == 0
