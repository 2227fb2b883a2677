"""Projections of a whole fleet, by the commands: one's own write is in the answer, whatever was killed meanwhile."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

import bus
from tests.chaos.live import ROOT, LiveFleet, live_fleet, until
from tests.console.cli.test_fleet import signalbox, signalbox_said

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]
EXAMPLE = f"{ROOT / 'tests' / 'examples' / 'totals.py'}:Totals"
WAIT = ("--timeout", 120)


def asked(live: LiveFleet, *arguments: object) -> Any:
    return json.loads(signalbox("projection", *arguments, "-o", "json", "--data-dir", live.directory.root))


async def ordered(live: LiveFleet, *totals: int) -> str:
    """Orders of one customer; where the last one stands, as `--after` takes it."""
    async with bus.connect(data_dir=live.directory.root) as fleet:
        for total in totals:
            event = bus.Event(type="order.created", source="shop", subject="c-1", data={"total": total})
            receipt = await fleet.publish(event)
    return f"p{receipt.partition:02d}={receipt.offset}"


def worker_of(live: LiveFleet) -> psutil.Process | None:
    """The process of the only projection."""
    assert live.plane is not None
    for child in psutil.Process(live.plane.pid).children():
        if "controlplane.projecting" in child.cmdline():
            return child
    return None


async def test_ones_own_write_is_read_back_after_any_kill(tmp_path: Path) -> None:
    with live_fleet(tmp_path, "--brokers", "1", "--partitions", "3") as live:
        await live.ready()
        after = await ordered(live, 1, 2, 3)
        said = await asyncio.to_thread(asked, live, "add", "totals", "--file", EXAMPLE, "--yes", "--reason", "to see")
        assert said["position"] > 0 and "totals.py:Totals" in said["touched"][0]

        async def total(after: str) -> tuple[int, int]:
            told = await asyncio.to_thread(asked, live, "rows", "totals", "--after", after, *WAIT)
            assert [row["key"] for row in told["rows"]] == ["c-1"]
            return told["rows"][0]["orders"], told["rows"][0]["total"]

        assert await total(after) == (3, 6)
        assert await total(await ordered(live, 4)) == (4, 10)
        worker = worker_of(live)
        assert worker is not None
        worker.kill()
        assert await total(await ordered(live, 5)) == (5, 15)
        worker = worker_of(live)
        live.kill_plane()
        assert worker is not None
        await asyncio.to_thread(worker.wait, 60)
        live.start()
        await live.ready()
        assert await total(await ordered(live, 6)) == (6, 21)
        listed = await asyncio.to_thread(asked, live, "list")
        assert [(row["name"], row["reason"], row["keys"]) for row in listed["rows"]] == [("totals", "to see", 1)]
        refused = await asyncio.to_thread(
            signalbox_said, "projection", "rows", "totals", "--after", "p00=999999", "--timeout", 0.2,
            "--data-dir", live.directory.root, code=1,
        )  # fmt: skip
        assert "p00=999999 was not archived within 0.2 s" in refused
        await asyncio.to_thread(asked, live, "remove", "totals", "--yes")
        await until("its process is gone", lambda: worker_of(live) is None)
