"""Two planes on one directory, a copied directory, an older backup: each is fenced, told plainly, and has a way out."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path

import pytest

import bus
from controlplane.arrivals import Follows
from controlplane.directory import Mark
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES
from controlplane.questions import AskBoard, AskVerify, Board, Verified
from tests.chaos.live import ENDED_S, LiveFleet, live_fleet, numbered
from tests.chaos.test_endings import SMALL, ended, serving

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(240)]
TAKE_OVER = ("--take-over", "--reason", "the disk was lost")


@contextmanager
def again(folder: Path, *options: str) -> Iterator[LiveFleet]:
    """A further plane on a directory, gone afterwards with what it started."""
    with live_fleet(folder, *SMALL, *options) as live:
        yield live


async def refused(folder: Path, *options: str) -> str:
    """What a plane says that does not begin."""
    with again(folder, *options) as live:
        assert await ended(live) == 1
        said = live.said()
        assert said.count("\n") == 1, said
        return said


async def publish(folder: Path, count: int, first: int = 0) -> None:
    async with bus.connect(data_dir=folder) as fleet:
        await fleet.publish_many(numbered(count, first))


async def archived(live: LiveFleet) -> list[int]:
    return sorted(event["data"]["n"] for event in await asyncio.to_thread(live.exported))


def marked(live: LiveFleet) -> bool:
    """Whether the mark is where the journal ends."""
    with closing(Journal(live.directory.journal, Follows(FOLLOWED_TYPES), read_only=True)) as journal:
        return live.directory.mark() == Mark(journal.position, journal.step)


def copied(folder: Path, target: Path) -> Path:
    """As `cp -a` does it, of a directory whose fleet is down or up."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.new", "sealing-*"))
    return target


async def taken_over(live: LiveFleet) -> None:
    """It says so, journaled, and its journal verifies."""
    board = await asyncio.to_thread(live.ask, AskBoard())
    assert isinstance(board, Board)
    assert [line.text for line in board.lately if "taken over: the disk was lost" in line.text], board.lately
    verified = await asyncio.to_thread(live.ask, AskVerify(), 60.0)
    assert isinstance(verified, Verified) and verified.same, verified


async def test_a_directory_without_its_lock_file_still_has_one_plane(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await serving(live)
        (tmp_path / "lock").unlink()
        said = await refused(tmp_path)
        assert live.plane is not None
        assert "is open in another process" in said and f"PID {live.plane.pid}" in said and "End that one first" in said
        assert live.plane.poll() is None and live.end() == 0


async def test_a_copy_of_a_directory_that_is_up_does_not_begin(tmp_path: Path) -> None:
    with live_fleet(tmp_path / "a", *SMALL) as live:
        await serving(live)
        copy = copied(tmp_path / "a", tmp_path / "b")
        said = await refused(copy)
        assert "is up already" in said and "signalbox down" in said and "--take-over --reason" in said
        await publish(tmp_path / "a", 10)
        assert await archived(live) == list(range(10))
        assert live.end() == 0


@pytest.mark.parametrize("first", ["a", "b"])
async def test_of_two_copies_that_were_down_the_second_does_not_begin(tmp_path: Path, first: str) -> None:
    with live_fleet(tmp_path / "a", *SMALL) as live:
        await serving(live)
        await publish(tmp_path / "a", 10)
        assert live.end() == 0
    copied(tmp_path / "a", tmp_path / "b")
    with again(tmp_path / first) as live:
        await serving(live)
        url = live.directory.fleet().plane_url  # type: ignore[union-attr]
        other = tmp_path / ("b" if first == "a" else "a")
        assert f"its control plane answers at {url}" in await refused(other)
        with again(other, *TAKE_OVER) as beside:
            await beside.ready()
            await publish(other, 5, 10)
            assert await archived(beside) == list(range(15))
            await taken_over(beside)
            assert await archived(live) == list(range(10)), "they know nothing of each other"
            assert beside.end() == 0
        assert live.end() == 0


async def test_a_copy_whose_original_has_lost_its_plane_finds_its_brokers(tmp_path: Path) -> None:
    with live_fleet(tmp_path / "a", *SMALL) as live:
        await serving(live)
        live.kill_plane()
        copy = copied(tmp_path / "a", tmp_path / "b")
        assert f"its broker b1 answers at {live.broker('b1').url}" in await refused(copy)
        live.said()
        live.start()
        await serving(live)
        assert live.end() == 0


async def test_an_older_journal_of_the_same_plane_is_known_by_its_mark(tmp_path: Path) -> None:
    """No plane has started since, so no broker knows more than it does."""
    backup = tmp_path / "backup"
    with live_fleet(tmp_path / "a", *SMALL) as live:
        await serving(live)
        await publish(tmp_path / "a", 10)
        assert await archived(live) == list(range(10))
        live.kill_plane()
        live.said()
        shutil.copytree(live.directory.journal, backup)
        live.start()
        await live.ready()
        await publish(tmp_path / "a", 90, 10)
        assert await archived(live) == list(range(100))
        assert live.end() == 0
    assert marked(live), "to its very end, although that was less than a second ago"
    shutil.rmtree(tmp_path / "a" / "journal")
    shutil.copytree(backup, tmp_path / "a" / "journal")
    said = await refused(tmp_path / "a")
    assert "an older copy was put in its place" in said and "are given out anew" in said and "--take-over" in said
    with again(tmp_path / "a", *TAKE_OVER) as live:
        await live.ready()
        assert await archived(live) == list(range(100)), "what the brokers have is archived again"
        await taken_over(live)
        assert live.end() == 0
    with again(tmp_path / "a") as live:
        await live.ready()
        assert live.end() == 0


async def test_an_older_backup_is_fenced_by_brokers_that_were_down_too(tmp_path: Path) -> None:
    """Nothing beside journal and brokers is left, so only the brokers know, and they live from the first try on."""
    backup, root = tmp_path / "backup", tmp_path / "a"
    with live_fleet(root, *SMALL) as live:
        await serving(live)
        assert live.end() == 0
    shutil.copytree(root / "journal", backup)
    for first in (0, 10):
        with again(root) as live:
            await serving(live)
            await publish(root, 10, first)
            assert live.end() == 0
    shutil.rmtree(root / "journal")
    shutil.copytree(backup, root / "journal")
    (root / "journal.mark").unlink()
    with again(root, *TAKE_OVER) as live:
        # One command is enough, although no broker could be asked before it started.
        await live.ready()
        assert len(await archived(live)) == 20
        await taken_over(live)
        assert live.end() == 0


async def test_the_same_without_take_over_says_which_plane_is_obeyed(tmp_path: Path) -> None:
    backup, root = tmp_path / "backup", tmp_path / "a"
    with live_fleet(root, *SMALL) as live:
        await serving(live)
        assert live.end() == 0
    shutil.copytree(root / "journal", backup)
    for _ in range(2):
        with again(root) as live:
            await serving(live)
            assert live.end() == 0
    shutil.rmtree(root / "journal")
    shutil.copytree(backup, root / "journal")
    (root / "journal.mark").unlink()
    with again(root) as live:
        assert await ended(live) == 1
        said = live.said()
        assert "broker b1 obeys another plane, of epoch 3, and this one has 2" in said
        assert said.count("\n") == 1, said
        file = json.loads((root / "brokers" / "b1" / "broker.json").read_text())
        assert file["pid"] in live.live(), "the broker lives on"
        assert live.plane is not None and live.plane.wait(ENDED_S) == 1


async def test_what_a_plane_says_after_it_took_over_is_not_taken_for_what_a_lost_journal_said(tmp_path: Path) -> None:
    """The same requests are recorded again, at about the same positions, and each is answered again."""
    backup, root, count = tmp_path / "backup", tmp_path / "a", 400
    alone = ("--brokers", "1", "--partitions", "1")
    with live_fleet(root, *alone) as live:
        await serving(live)
        live.kill_plane()
        shutil.copytree(live.directory.journal, backup)
        live.start()
        await live.ready()
        async with bus.connect(data_dir=root) as fleet:
            for first in (0, count // 2):
                await fleet.publish_many([lease_request(n) for n in range(first, first + count // 2)])
                lost = await granted(root, first + count // 2)
        assert live.end() == 0
    shutil.rmtree(root / "journal")
    shutil.copytree(backup, root / "journal")
    with live_fleet(root, *alone, *TAKE_OVER) as live:
        await live.ready()
        both = await granted(root, 2 * count)
        again = both[count:]
        assert both[:count] == lost
        assert sorted(event.data["lease"] for event in again) == sorted(event.data["lease"] for event in lost)
        places = [{event.id.partition("@")[0] for event in events} for events in (lost, again)]
        assert places[0] & places[1], "positions were given out anew, and this is what it is about"
        await taken_over(live)
        assert live.end() == 0


def lease_request(n: int) -> bus.Event:
    data = {"lease": f"l-{n}", "resource": f"r-{n}", "ttl_ms": 600_000}
    return bus.Event(type="lease.requested", source=f"agent/{n}", partitionkey=f"r-{n}", data=data)


async def granted(folder: Path, count: int) -> list[bus.Event]:
    """The first answers to requests, in order."""
    found: list[bus.Event] = []
    async with (
        asyncio.timeout(ENDED_S),
        bus.connect(data_dir=folder) as fleet,
        aclosing(fleet.read("lease.granted", start="earliest", follow=True)) as events,
    ):
        while len(found) < count:
            found.append(await anext(events))
    return found
