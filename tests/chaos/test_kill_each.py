"""Each process of a fleet is killed in turn during an import; the archive then holds the input, event by event."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import bus
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]
BATCH = 200
PAUSE_S = 0.01
"""Between batches, so that a round of kills does not grow the journal without end."""
PROGRESS_S = 60.0
BACK_S = 90.0
"""A broker that was killed again and again is restarted after half a minute."""


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
            await asyncio.sleep(PAUSE_S)

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
    await until(f"{broker} is back", lambda: live.broker(broker).pid != old, within=BACK_S)


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
    rounds, between = (6, 8_000) if long else (1, 1_500)
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


@pytest.mark.long
async def test_a_broker_that_hangs_loses_its_leaderships_and_comes_back(tmp_path: Path) -> None:
    def condition(live: LiveFleet, broker: str) -> tuple[str, int]:
        status = live.status()
        if status is None:
            return "", 0
        found = next(each for each in status.brokers if each.id == broker)
        return found.state, len(found.leads)

    with live_fleet(tmp_path) as live:
        await live.ready()
        async with importing(live) as load:
            await load.more(1_000)
            pid = live.broker("b2").pid
            os.kill(pid, signal.SIGSTOP)
            try:
                await until("b2 is silent and leads nothing", lambda: condition(live, "b2") == ("silent", 0))
                await load.more(1_000)
            finally:
                os.kill(pid, signal.SIGCONT)
            await until("b2 is back", lambda: condition(live, "b2")[0] == "up")
            assert live.broker("b2").pid == pid
            await load.more(1_000)
        await asyncio.to_thread(check, live, load.acked)
        assert live.end() == 0
