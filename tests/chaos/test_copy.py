"""The journal's copy in a real fleet: kept whole whatever kills the plane, and nobody else's to read or to write."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path

import pytest

import bus
from bus.client.operator import Operator
from bus.errors import UnknownPartition
from bus.event import Event
from bus.limits import RESERVED_PARTITIONS
from bus.store import open_store
from controlplane import copied, segments
from controlplane.arrivals import Follows
from controlplane.brokerlogs import BrokerLogs
from controlplane.copied import CopiedStep
from controlplane.directory import Directory
from controlplane.errors import BrokersRun
from controlplane.facts import JournalRebuilt
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES
from controlplane.questions import AskHealth, AskStatus, AskVerify, Health, Status, Verified
from controlplane.rebuild import rebuild, rebuilt_facts
from controlplane.stored import copied_steps
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

PARTITIONS = 3


def copy_in(directory: Directory) -> list[CopiedStep]:
    """All steps that the copy has, as often and in the order in which they were appended."""
    fleet = directory.fleet()
    assert fleet is not None
    with BrokerLogs(directory, fleet.fleet, fleet.partitions) as logs:
        return [step for _, chunk in logs.chunks() for step in chunk.steps]


def journaled(directory: Directory) -> list[CopiedStep]:
    journal = Journal(directory.journal, Follows(FOLLOWED_TYPES), read_only=True)
    found: list[CopiedStep] = []
    with closing(journal), closing(journal.reading()) as db:
        while some := copied_steps(db, db.holding(len(found) + 1), len(found)):
            found += some
    return found


async def publish(urls: list[str], count: int, first: int = 0) -> None:
    async with bus.connect(urls) as fleet:
        await fleet.publish_many(numbered(count, first))


def urls_of(fleet: LiveFleet) -> list[str]:
    return [fleet.broker(broker).url for broker in fleet.directory.brokers()]


async def caught_up(fleet: LiveFleet, position: int = 0) -> Status:
    """Wait until the copy has everything up to a position, or what was journaled by now."""
    upto = position or (await fleet.ready()).controlplane.position

    def is_copied() -> Status | None:
        status = fleet.status()
        return status if status is not None and status.controlplane.copied >= upto else None

    found = await until("the copy follows", lambda: asyncio.to_thread(is_copied))
    assert isinstance(found, Status)
    return found


@pytest.mark.asyncio
async def test_the_copy_has_each_step_once_whenever_the_plane_is_killed(tmp_path: Path) -> None:
    with live_fleet(tmp_path, "--partitions", str(PARTITIONS)) as fleet:
        for life in range(4):
            await fleet.ready()
            await publish(urls_of(fleet), 300, 300 * life)
            # Killed while it publishes: some chunk is under way, acked or not.
            seen = fleet.status()
            assert seen is not None
            await caught_up(fleet, seen.controlplane.copied + 1)
            fleet.kill_plane()
            fleet.start()
        await caught_up(fleet)
        assert fleet.end() == 0
    copy, journal = copy_in(fleet.directory), journaled(fleet.directory)
    assert [step.number for step in copy] == list(range(1, len(copy) + 1))
    assert copy == journal[: len(copy)]
    # What came after the last chunk is the brokers' end and the plane's.
    assert len(journal) - len(copy) < 60


@pytest.mark.asyncio
async def test_nobody_but_the_plane_reads_or_writes_the_copy(tmp_path: Path) -> None:
    with live_fleet(tmp_path, "--partitions", str(PARTITIONS)) as fleet:
        await caught_up(fleet)
        urls = urls_of(fleet)
        async with bus.connect(urls) as client:
            described = await client.describe()
            assert sorted(described) == list(range(PARTITIONS))
            assert [one async for one in client.read("signalbox.journal.>", start="earliest")] == []
        async with Operator("stranger") as operator:
            for url in urls:
                session = await operator.open(url)
                with pytest.raises(UnknownPartition, match=f"this fleet has {PARTITIONS}"):
                    await session.append(PARTITIONS, b"", 0, [Event(type="a.b", source="agent/x", id="1", data=1)])
                with pytest.raises(UnknownPartition, match=f"this fleet has {PARTITIONS}"):
                    await session.read(PARTITIONS, 0, 1)
                with pytest.raises(bus.FleetError, match="does not lead"):
                    await session.extent(PARTITIONS)
        status = fleet.ask(AskStatus())
        assert isinstance(status, Status)
        assert [each.partition for each in status.partitions] == list(range(PARTITIONS))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)


@pytest.mark.asyncio
async def test_a_damaged_journal_is_said_made_again_and_verified(tmp_path: Path) -> None:
    with live_fleet(tmp_path, "--partitions", str(PARTITIONS)) as fleet:
        await fleet.ready()
        await publish(urls_of(fleet), 500)
        await caught_up(fleet)
        fleet.kill_plane()
        with pytest.raises(BrokersRun, match=r"b1 \(pid \d+\)"):
            rebuild(fleet.directory, dry_run=True)
        for broker in fleet.directory.brokers():
            fleet.kill_broker(broker)
        await until("nobody lives", lambda: not fleet.live())
        alike = journaled(fleet.directory)
        flip(segments.wal_of(segments.path_of(fleet.directory.journal, 1)))
        fleet.start()
        assert fleet.plane is not None and fleet.plane.wait(30) == 1
        assert "doctor --rebuild-journal --dry-run" in fleet.said()
        planned = rebuild(fleet.directory, dry_run=True)
        done = rebuild(fleet.directory, dry_run=False, by="ops", reason="bit rot")
        assert [one.segment for one in planned.rebuilt] == [one.segment for one in done.rebuilt] == [1]
        assert not done.rebuilt[0].missing and done.open_end
        again = journaled(fleet.directory)
        assert len(again) > 20 and again == alike[: len(again)]
        fleet.start()
        await fleet.ready()
        verified = fleet.ask(AskVerify(), timeout=60.0)
        assert isinstance(verified, Verified) and verified.same, verified
        assert len([one for one in fleet.exported() if one["type"] == "load.step"]) == 500
        await caught_up(fleet)
        assert fleet.end() == 0
        # It is journaled, once, and the copy went on after it.
        with closing(Journal(fleet.directory.journal, Follows(FOLLOWED_TYPES), read_only=True)) as journal:
            facts = [step.input for step in journal.replay() if isinstance(step.input, JournalRebuilt)]
        assert [(one.segment, one.by, one.reason) for one in facts] == [(1, "ops", "bit rot")]
        assert rebuilt_facts(fleet.directory.journal) == []
        assert [step.number for step in copy_in(fleet.directory)][-1] > len(again)


def trim(directory: Directory, partition: int, below: int) -> int:
    """Have all brokers, which are ended, let go of events below an offset; where the first one stands then."""
    first = 0
    for broker in directory.brokers():
        store = open_store(directory.broker(broker) / "store.lmdb", PARTITIONS + RESERVED_PARTITIONS)
        store.trim(partition, store.index_of(partition, below))
        store.commit()
        first = store.first_offset(partition)
        store.close()
    return first


@pytest.mark.asyncio
async def test_events_that_retention_took_from_the_brokers_are_named(tmp_path: Path) -> None:
    with live_fleet(tmp_path, "--partitions", str(PARTITIONS)) as fleet:
        await fleet.ready()
        for part in range(8):
            await publish(urls_of(fleet), 150, 150 * part)
        await caught_up(fleet)
        assert fleet.end() == 0
        reach = trim(fleet.directory, 1, 200)
        segments.remove(segments.path_of(fleet.directory.journal, 1))
        report = rebuild(fleet.directory, dry_run=False)
        missing = [each for one in report.rebuilt for each in one.missing]
        assert {each.partition for each in missing} == {1} and missing[0].first == 0
        assert sum(each.count for each in missing) == reach > 100
        fleet.start()
        await fleet.ready()
        exported = fleet.exported()
        assert sum(one["type"] == "load.step" for one in exported) == 1_200 - reach
        verified = fleet.ask(AskVerify(), timeout=60.0)
        assert isinstance(verified, Verified) and not verified.same
        assert "events are missing from p01, offset 0 on" in verified.divergence


@pytest.mark.asyncio
async def test_a_plane_with_an_older_journal_says_what_is_lost_and_the_copy_goes_on_with_that_one(
    tmp_path: Path,
) -> None:
    with live_fleet(tmp_path / "fleet", "--partitions", str(PARTITIONS)) as fleet:
        await caught_up(fleet)
        fleet.kill_plane()
        shutil.copytree(fleet.directory.journal, tmp_path / "backup")
        fleet.start()
        await fleet.ready()
        await publish(urls_of(fleet), 100)
        await caught_up(fleet)
        fleet.kill_plane()
        shutil.rmtree(fleet.directory.journal)
        shutil.copytree(tmp_path / "backup", fleet.directory.journal)
        fleet.start()
        assert fleet.plane is not None and fleet.plane.wait(30) == 1
        assert "--take-over" in fleet.said()
        fleet.options += ("--take-over", "--reason", "an old backup")
        fleet.start()
        await caught_up(fleet)
        health = fleet.ask(AskHealth())
        assert isinstance(health, Health)
        assert [need.key for need in health.penalties if need.key in ("beyond", "copy")] == ["beyond"]
        assert fleet.end() == 0
    fleet_file = fleet.directory.fleet()
    assert fleet_file is not None
    with BrokerLogs(fleet.directory, fleet_file.fleet, fleet_file.partitions) as logs:
        chunks = [chunk for _, chunk in logs.chunks()]
    assert sum(bool(chunk.anew) for chunk in chunks) == 1
    laid_out, journal = copied.laid_out(chunks), journaled(fleet.directory)
    assert laid_out == journal[: len(laid_out)] and len(journal) - len(laid_out) < 60
    assert rebuild(fleet.directory, dry_run=True).rebuilt == []
