"""Brokers that join by address, come back with old data, with none, with somebody else's, and leave: real processes."""

import asyncio
import shutil
from pathlib import Path

import pytest

import bus
from bus.limits import RETENTION_BYTES_MIN
from controlplane.questions import (
    AskBrokers,
    AskPartitions,
    BrokerRow,
    Brokers,
    Operate,
    Operated,
    PartitionRow,
    Partitions,
    Refusal,
    Verb,
)
from tests.chaos.guests import guest
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

MOVED_S = 90.0


def fleet_id(live: LiveFleet) -> str:
    file = live.directory.fleet()
    assert file is not None
    return file.fleet


def order(live: LiveFleet, verb: Verb, *targets: str, to: str = "", dry_run: bool = False) -> Operated:
    told = live.ask(Operate(verb, list(targets), to, dry_run, by="test"))
    assert isinstance(told, Operated), told
    return told


def refused(live: LiveFleet, verb: Verb, *targets: str) -> Refusal:
    told = live.ask(Operate(verb, list(targets), by="test"))
    assert isinstance(told, Refusal), told
    return told


def row(live: LiveFleet, id: str) -> BrokerRow | None:
    told = live.ask(AskBrokers())
    assert isinstance(told, Brokers), told
    return next((one for one in told.rows if one.id == id), None)


def state(live: LiveFleet, id: str) -> str:
    found = row(live, id)
    return found.state if found is not None else ""


def partition(live: LiveFleet, number: int) -> PartitionRow:
    told = live.ask(AskPartitions(partition=number))
    assert isinstance(told, Partitions), told
    return told.rows[0]


def is_well(live: LiveFleet) -> bool:
    told = live.ask(AskBrokers())
    assert isinstance(told, Brokers), told
    return not told.ailment


def caught_up(live: LiveFleet, number: int, broker: str) -> bool:
    """Whether a broker's replica holds all that is committed."""
    asked = partition(live, number)
    found = next((one for one in asked.replicas if one.broker == broker), None)
    return found is not None and found.state == "in_sync" and found.end >= (asked.high or 0) > 0


async def publish(folder: Path, count: int, first: int) -> int:
    """Publish numbered events to every partition; the number that comes next."""
    async with bus.connect(data_dir=folder) as fleet:
        await fleet.publish_many(numbered(count, first))
    return first + count


async def test_a_broker_joins_leads_dies_comes_back_with_old_data_with_none_and_leaves(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    with live_fleet(folder, "--partitions", "3") as live:
        await live.ready()
        fleet = fleet_id(live)
        with guest(tmp_path / "joined", "b4", fleet, "--partitions", "3") as b4:
            url = await b4.start()
            acked = await publish(folder, 600, 0)

            shown = order(live, "add", url, dry_run=True)
            assert row(live, "b4") is None, "a dry run changes nothing"
            assert order(live, "add", url).touched == shown.touched
            await until("b4 is up", lambda: state(live, "b4") == "up")
            found = row(live, "b4")
            assert found is not None and found.joined and (found.url, found.store) == (url, b4.store)
            assert "not this plane's to restart" in refused(live, "restart", "b4").message
            assert "member already" in refused(live, "add", url).message

            # It gets a replica, catches up from the beginning, and leads.
            await until("all is well", lambda: is_well(live))
            order(live, "rebalance", "1", to="b4")
            await until("b4 leads p01", lambda: partition(live, 1).leader == "b4", within=MOVED_S)
            acked = await publish(folder, 300, acked)

            # It dies as a leader; another leads, and it comes back with old data as a follower.
            b4.kill()
            await until("b4 is down", lambda: state(live, "b4") == "down")
            await until("another leads p01", lambda: partition(live, 1).leader not in (None, "b4"))
            acked = await publish(folder, 300, acked)
            await b4.start()
            await until("b4 follows, caught up", lambda: caught_up(live, 1, "b4"))
            assert partition(live, 1).leader != "b4"

            # A plane that starts dials it again.
            live.kill_plane()
            live.start()
            await live.ready()
            await until("b4 is up again", lambda: state(live, "b4") == "up")
            acked = await publish(folder, 300, acked)

            # Without its store it is a new replica: it has no vote before it caught up.
            old = b4.store
            b4.kill()
            b4.forget()
            await b4.start()
            assert b4.store != old
            # Its admission is an election, whose start moves the high watermark on.
            await until("b4 has caught up from nothing", lambda: caught_up(live, 1, "b4"))
            await until("b4's new store votes", lambda: is_well(live), within=MOVED_S)

            # It leaves: what it holds moves first, and nobody listens to it any more.
            order(live, "remove", "b4")
            await until("b4 is no member", lambda: row(live, "b4") is None, within=MOVED_S)
            assert len(partition(live, 1).replicas) == 3
            await until("b4 was told", lambda: "is no member of fleet" in b4.log)
            assert "takes it back" in _ask_for(live, "b4").hint
            await publish(folder, 300, acked)
            acked += 300
            events = await asyncio.to_thread(live.exported)
            assert sorted(event["data"]["n"] for event in events) == list(range(acked))
            assert live.end() == 0
            assert b4.process is not None and b4.process.poll() is None, "it was not the plane's to end"


def _ask_for(live: LiveFleet, id: str) -> Refusal:
    told = live.ask(AskBrokers(broker=id))
    assert isinstance(told, Refusal), told
    return told


async def test_strangers_and_copies_are_refused_and_a_copied_store_is_fenced(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    with live_fleet(folder, "--partitions", "3") as live:
        await live.ready()
        fleet = fleet_id(live)
        told = refused(live, "add", "tcp://192.0.2.7:4000")
        assert told.code == "denied" and "no keys yet" in told.message
        told = refused(live, "add", "tcp://127.0.0.1:1")
        assert told.code == "unavailable" and f"--id b4 --fleet {fleet} --partitions 3 --port 1" in told.hint
        with (
            guest(tmp_path / "other", "b4", "another", "--partitions", "3") as other,
            guest(tmp_path / "small", "b4", fleet, "--partitions", "2") as small,
            guest(tmp_path / "twin", "b1", fleet, "--partitions", "3") as twin,
        ):
            assert "belongs to fleet 'another'" in refused(live, "add", await other.start()).message
            assert "2 partitions" in refused(live, "add", await small.start()).message
            assert "b1 is a member already" in refused(live, "add", await twin.start()).message

        # The store of b2, copied while b2 lives on: refused where it wants to join ...
        acked = await publish(folder, 300, 0)
        with guest(tmp_path / "b4", "b4", fleet, "--partitions", "3") as b4:
            b4.folder.mkdir()
            shutil.copytree(live.directory.broker("b2") / "store.lmdb", b4.folder / "store.lmdb")
            url = await b4.start()
            assert b4.store == live.broker("b2").store
            assert "the store of b2" in refused(live, "add", url).message
            b4.kill()

            # ... and fenced where a member comes back with it.
            b4.forget()
            own = await b4.start()
            order(live, "add", own)
            await until("b4 is up", lambda: state(live, "b4") == "up")
            b4.kill()
            b4.forget()
            shutil.copytree(live.directory.broker("b2") / "store.lmdb", b4.folder / "store.lmdb")
            await b4.start()
            await until("b4 is fenced", lambda: state(live, "b4") == "fenced")
            found = row(live, "b4")
            assert found is not None and "b2's: a copy" in found.why
            assert state(live, "b2") == "up"
            await publish(folder, 300, acked)

            # With a store of its own it is welcome again.
            b4.kill()
            b4.forget()
            await b4.start()
            await until("b4 is up again", lambda: state(live, "b4") == "up")
        assert live.end() == 0


@pytest.mark.long  # half a minute; the simulation has learners from beyond what was trimmed
async def test_a_new_broker_takes_over_from_beyond_what_was_trimmed_and_the_old_one_goes(tmp_path: Path) -> None:
    with live_fleet(tmp_path, "--partitions", "1", "--retention-bytes", str(RETENTION_BYTES_MIN)) as live:
        await live.ready()
        acked = await publish(tmp_path, 2_000, 0)
        async with bus.connect(data_dir=tmp_path) as fleet:

            async def begins() -> int:
                return (await fleet.describe())[0].first

            first = await until("the beginning is trimmed", begins)
        assert "broker add first" in refused(live, "remove", "b3").hint
        assert order(live, "add").touched == ["b4 is started here"]
        await until("b4 is up", lambda: state(live, "b4") == "up")
        found = row(live, "b4")
        assert found is not None and not found.joined

        shown = order(live, "remove", "b1", dry_run=True)
        # The journal's copy moves with it.
        assert [move.partition for move in shown.moves] == [0, 1]
        assert shown.moves[0].target == ["b4", "b2", "b3"] and set(shown.moves[1].target) == {"b2", "b3", "b4"}
        assert shown.touched[1].startswith("the journal's copy on ")
        pid = live.broker("b1").pid
        order(live, "remove", "b1")
        await until("b1 is no member", lambda: row(live, "b1") is None, within=MOVED_S)
        await until("b1's process has ended", lambda: pid not in live.live())
        await until("b4 leads in its place", lambda: partition(live, 0).leader == "b4", within=MOVED_S)
        acked = await publish(tmp_path, 300, acked)
        async with bus.connect(data_dir=tmp_path) as fleet:
            extent = (await fleet.describe())[0]
            kept = [event.data["n"] async for event in fleet.read("load.>", start="earliest", follow=False)]
        assert 0 < first <= extent.first and kept == list(range(acked))[-len(kept) :] and len(kept) > 300

        # The next plane neither starts the old one nor gives its name to another.
        live.kill_plane()
        live.start()
        status = await live.ready()
        assert [broker.id for broker in status.brokers] == ["b2", "b3", "b4"]
        assert order(live, "add", dry_run=True).touched == ["b5 is started here"]
        events = await asyncio.to_thread(live.exported)
        assert sorted(event["data"]["n"] for event in events) == list(range(acked))
        assert live.end() == 0
