"""How a fleet begins and ends: nothing is left behind, nobody else is touched, and each trouble is one clear line."""

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import bus
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(120)]
SMALL = ("--brokers", "1", "--partitions", "2")


async def serving(live: LiveFleet) -> None:
    """Wait until every partition is led."""

    async def described() -> bool:
        if live.directory.fleet() is None:
            return False
        try:
            async with bus.connect(data_dir=live.directory.root, deadline=1.0) as fleet:
                return bool(await fleet.describe(deadline=1.0))
        except bus.BusError:
            return False

    await until("the fleet serves", described)


async def ended(live: LiveFleet) -> int:
    assert live.plane is not None
    return await asyncio.to_thread(live.plane.wait, 30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_the_whole_fleet(tmp_path: Path, number: signal.Signals) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await serving(live)
        live.plane.send_signal(number)  # type: ignore[union-attr]
        assert await ended(live) == 0
        assert live.live() == []
        assert live.directory.plane() is None
        assert live.said() == ""


async def test_the_end_of_standard_input_ends_the_whole_fleet(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await serving(live)
        live.plane.stdin.close()  # type: ignore[union-attr]
        assert await ended(live) == 0
        assert live.live() == []


async def test_a_signal_while_brokers_start_leaves_nothing_behind(tmp_path: Path) -> None:
    with live_fleet(tmp_path) as live:
        await until("brokers are started", live.started)
        live.plane.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
        assert await ended(live) == 0
        assert live.live() == []
        assert not [pid for pid in live.started() if psutil.pid_exists(pid)]


async def test_a_second_plane_is_told_who_is_there(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await serving(live)
        second = LiveFleet(tmp_path, *SMALL)
        second.start()
        assert await ended(second) == 1
        assert live.plane is not None
        assert f"in use by the control plane with pid {live.plane.pid}" in second.said()
        assert live.plane.poll() is None
        assert live.directory.plane() is not None


async def test_what_a_crash_left_behind_does_not_stop_the_next_start(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await serving(live)
        # Its pid now belongs to somebody else, who must not be touched.
        stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
        try:
            live.kill_plane()
            live.kill_broker("b1")
            path = live.directory.broker("b1") / "broker.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": stranger.pid}))
            live.start()
            await serving(live)
            assert live.end() == 0
            assert stranger.returncode is None
        finally:
            stranger.kill()
            await stranger.communicate()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with live_fleet(tmp_path, *SMALL, "--port", str(port)) as live:
            assert await ended(live) == 1
            assert live.said().count("\n") == 1
            assert f"port {port}" in live.said()
            assert live.live() == []


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with live_fleet(tmp_path / "file" / "data", *SMALL) as live:
        assert await ended(live) == 1
        assert live.said().count("\n") == 1 and "--data-dir" in live.said()


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions mean nothing to root")
def test_no_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with live_fleet(tmp_path / "data", *SMALL) as live:
        assert live.plane is not None and live.plane.wait(30) == 1
        assert live.said().count("\n") == 1 and "Permission denied" in live.said()


async def test_a_journal_that_lags_behind_its_brokers_asks_before_it_takes_over(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await serving(live)
        async with bus.connect(data_dir=tmp_path) as fleet:
            await fleet.publish_many(numbered(100))
        live.kill_plane()
        shutil.rmtree(live.directory.journal)
        live.start()
        assert await ended(live) == 1
        assert "--take-over" in live.said()
        assert live.live() == [live.broker("b1").pid], "the broker lives on"
        taking = LiveFleet(tmp_path, *SMALL, "--take-over", "--reason", "the disk was lost")
        live.plane.stdin.close()  # type: ignore[union-attr]
        taking.start()
        try:
            await taking.ready()
            archived = await asyncio.to_thread(taking.exported)
            assert len(archived) == 100
            assert taking.end() == 0
            assert taking.live() == []
        finally:
            taking.clean_up()


async def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await live.ready()
        assert live.plane is not None
        wal = next(path for path in live.directory.journal.iterdir() if path.suffix == ".wal")
        limit = wal.stat().st_size + 50_000
        resource.prlimit(live.plane.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        async with bus.connect(data_dir=tmp_path) as fleet:
            await fleet.publish_many(numbered(2_000))
        full = await until("it is full", lambda: (told := live.status()) and told.controlplane.state == "full" and told)
        assert "no room for the journal" in full.controlplane.why
        assert full.counts.health != "OK"
        resource.prlimit(live.plane.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        archived = await asyncio.to_thread(live.exported)
        assert sorted(event["data"]["n"] for event in archived) == list(range(2_000))
        assert live.end() == 0
