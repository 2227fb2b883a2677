"""A control plane that is killed between any two stages of its journal's retention: the next one goes on, exactly."""

import asyncio
import signal
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from controlplane.arrivals import Follows
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES
from controlplane.questions import AskVerify, Status, Verified
from tests.chaos.live import LiveFleet, live_fleet, until
from tests.chaos.planekills import FLEET, VERIFY_S, Publisher, dense

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]
LIMITS = {
    "SEGMENT_ROWS_MAX": 600,
    "SEGMENTS_SEALED_MAX": 1,
    "SNAPSHOT_ENTRIES_MAX": 500,
    "SNAPSHOT_CHAIN_MAX": 3,
    "RETENTION_LOOK_MS": 300,
}
ODD = [f"--limit={name}={value}" for name, value in LIMITS.items()]
STAGES = (
    "controlplane.bases:write",
    "controlplane.turns:Turns.decide",
    "controlplane.segments:write_oldest",
    "controlplane.snapshots:Snapshots.rebase",
    "controlplane.journal:Journal.drop",
    "controlplane.shelf:Shelf.drop@2",
)
"""Before the base, the fact, reach.json, the snapshots' new beginning, the first file that goes, and the second."""
DIES_S = 60.0


async def die_at(live: LiveFleet, stage: str) -> None:
    """A plane that comes as far as that stage, and no further."""
    live.odd = [*ODD, f"--die-before={stage}"]
    live.start()
    plane = live.plane
    assert plane is not None
    await until(f"it dies before {stage}", lambda: plane.poll() is not None, within=DIES_S)
    assert plane.returncode == -signal.SIGKILL, live.said()
    live.said()


@pytest.mark.long  # half a minute; test_trimmed.py kills between the stages in one process
async def test_a_plane_that_is_killed_between_the_stages_of_retention_loses_nothing_else(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *FLEET, "--journal-retention-bytes", "1", odd=ODD) as live:
        await live.ready()
        publisher = Publisher()
        publishing = asyncio.create_task(publisher.run(tmp_path))
        try:
            live.kill_plane()
            live.said()
            for stage in STAGES:
                await die_at(live, stage)
            live.odd = ODD
            live.start()
            began = (await live.ready()).controlplane.journal_from
            assert began, "the stages after reach.json have let go of something"

            def goes_on() -> Status | None:
                status = live.status()
                return status if status is not None and status.controlplane.journal_from > began else None

            await until("retention goes on", lambda: asyncio.to_thread(goes_on), within=DIES_S)
        finally:
            publisher.stopping = True
            await publishing
        archive = Counter(event["id"] for event in await asyncio.to_thread(live.exported))
        verified = await asyncio.to_thread(live.ask, AskVerify(), VERIFY_S)
        assert isinstance(verified, Verified) and verified.same and verified.journal_from, verified
        assert live.end() == 0
    assert dense(live.directory.journal) == []
    with closing(Journal(live.directory.journal, Follows(FOLLOWED_TYPES), read_only=True)) as journal:
        gone, base = journal.reach.events, f"{journal.reach.segment:06d}.base"
    assert [path.name for path in live.directory.journal.glob("*.base*")] == [base]
    assert max(archive.values()) == 1 and archive.keys() <= publisher.acked | publisher.unknown
    assert len(publisher.acked - archive.keys()) <= gone, "what is missing is what retention let go of"
    lines = live.directory.log.read_text().splitlines()
    assert not [line for line in lines if " ERROR " in line or "differs" in line]
