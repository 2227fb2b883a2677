"""A fold that raises in a running plane stands still, is named with the entry, and goes on in another version."""

import asyncio
from pathlib import Path

import pytest

import bus
from controlplane.questions import AskBoard, AskHealth, AskVerify, Board, Health, Need, Verified
from tests.chaos.brittle import BREAKS
from tests.chaos.live import LiveFleet, live_fleet, numbered, until
from tests.chaos.test_endings import SMALL

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(240)]


async def publish(live: LiveFleet, events: list[bus.Event]) -> None:
    async with bus.connect(data_dir=live.directory.root) as fleet:
        await fleet.publish_many(events)


def quarantine(live: LiveFleet) -> Need | None:
    """What health says of the fold."""
    health = live.ask(AskHealth())
    assert isinstance(health, Health)
    found = next((need for need in health.penalties if need.what == "fold brittle stands still"), None)
    assert (found is not None) == (health.state == "CRITICAL"), health
    return found


def verified(live: LiveFleet) -> Verified:
    told = live.ask(AskVerify(), 60.0)
    assert isinstance(told, Verified) and told.same, told
    return told


async def test_a_fold_that_raises_is_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL, odd=["--brittle", "1"]) as live:
        await live.ready()
        await publish(live, numbered(50))
        assert await asyncio.to_thread(quarantine, live) is None
        await publish(live, [bus.Event(id="it", type=BREAKS, source="agent/x", subject="s")])
        need = await until("it is quarantined", lambda: asyncio.to_thread(quarantine, live))
        ids = [event["id"] for event in await asyncio.to_thread(live.exported)]
        # Where it stands: the event, or the record that it came with.
        assert need.why.startswith("it raised: position") and ", Rows: ValueError: what is this?" in need.why
        assert need.severity == "bad" and need.mend == "replay verify"
        assert len(ids) == 51
        board = await asyncio.to_thread(live.ask, AskBoard())
        assert isinstance(board, Board)
        assert any(line.text.startswith("fold brittle stands still: position") for line in board.lately)
        await publish(live, numbered(50, 50))
        assert len(await asyncio.to_thread(live.exported)) == 101
        await asyncio.to_thread(verified, live)

        live.kill_plane()
        live.said()
        live.start()
        await live.ready()
        again = await asyncio.to_thread(quarantine, live)
        assert again is not None and again.why == need.why, "the same version stays quarantined"
        assert (await asyncio.to_thread(verified, live)).older == 0

        live.kill_plane()
        live.said()
        live.odd = ["--brittle", "2"]
        live.start()
        await live.ready()
        assert await asyncio.to_thread(quarantine, live) is None, "another version is another fold"
        assert (await asyncio.to_thread(verified, live)).older > 0
        assert live.end() == 0
