"""Where a client looks for its fleet, and what it says when nothing is there."""

import asyncio
import socket
from pathlib import Path

import pytest

import bus
from bus import limits, wire
from bus.client.discovery import Whereabouts
from bus.client.starting import From, group_start, parse_start
from tests.bus.client.fakebroker import FakeFleet
from tests.bus.rig import until


def write(path: Path, urls: list[str], plane: str = "") -> None:
    brokers = ",".join(f'{{"id":"b{number}","url":"{url}"}}' for number, url in enumerate(urls))
    (path / "fleet.json").write_text(
        f'{{"fleet":"fake","partitions":4,"slots":4096,"plane_url":"{plane}","brokers":[{brokers}]}}'
    )


def test_an_argument_beats_the_environment_beats_the_directory(tmp_path: Path) -> None:
    write(tmp_path, ["tcp://h:1", "tcp://h:2"], "tcp://h:3")
    environ = {"SIGNALBOX_URL": "tcp://e:1, tcp://e:2", "SIGNALBOX_DATA_DIR": str(tmp_path)}
    assert Whereabouts("tcp://a:1", environ=environ).urls() == ["tcp://a:1"]
    assert Whereabouts(environ=environ).urls() == ["tcp://e:1", "tcp://e:2"]
    assert Whereabouts(data_dir=tmp_path, environ=environ).urls() == ["tcp://h:1", "tcp://h:2", "tcp://h:3"]
    del environ["SIGNALBOX_URL"]
    assert Whereabouts(environ=environ).urls() == ["tcp://h:1", "tcp://h:2", "tcp://h:3"]


def test_nothing_there_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(bus.NoFleet, match=r"fleet\.json does not exist.*signalbox up"):
        Whereabouts(data_dir=tmp_path, environ={}).urls()
    (tmp_path / "fleet.json").write_text('{"fleet":')
    with pytest.raises(bus.NoFleet, match="cannot be read"):
        Whereabouts(data_dir=tmp_path, environ={}).urls()
    for wrong in ("localhost:1", "tcp://host", "http://host:1"):
        with pytest.raises(bus.NoFleet, match="tcp://HOST:PORT"):
            Whereabouts(wrong, environ={})


def test_the_state_directory_is_the_default(tmp_path: Path) -> None:
    assert bus.default_data_dir({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "signalbox"
    assert bus.default_data_dir({"SIGNALBOX_DATA_DIR": str(tmp_path)}) == tmp_path


async def test_a_fleet_that_is_down(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        write(tmp_path, [f"tcp://127.0.0.1:{held.getsockname()[1]}"])
        with pytest.raises(bus.NoFleet, match=r"nothing answers at .*signalbox up"):
            async with bus.connect(data_dir=tmp_path, deadline=0.3):
                pass


async def test_a_fleet_without_any_address_is_refused_at_once(tmp_path: Path) -> None:
    write(tmp_path, [])
    with pytest.raises(bus.NoFleet, match=r"has no address.*signalbox up.*SIGNALBOX_URL"):
        async with bus.connect(data_dir=tmp_path, deadline=2):
            pass


async def test_an_address_that_cannot_be_dialled_leaves_nothing_that_keeps_the_client() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(bus.NoFleet, match="cannot be dialled"):
            async with bus.connect("tcp://*:5", deadline=0.1):
                pass


async def test_one_of_many_addresses_is_enough() -> None:
    with FakeFleet() as fake, socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        dead = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        async with bus.connect(f"{dead},{dead}, {fake.urls[1]}") as fleet:
            assert fleet.topology.fleet == "fake"
            assert len(await fleet.describe()) == 4


async def test_a_control_planes_address_leads_to_its_brokers() -> None:
    with FakeFleet() as fake:
        fake.faults.append(("farewell", ""))
        async with bus.connect(fake.urls[0]) as fleet:
            receipts = await fleet.publish_many([bus.Event(type="a", source=f"s/{n}") for n in range(20)])
            assert {one.partition for one in receipts} == set(range(4))
        assert not fake.faults


async def test_an_idle_session_stays_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSION_PING_MS", 100)
    monkeypatch.setattr(limits, "SESSION_SILENT_MS_MAX", 600)
    with FakeFleet(brokers=1) as fake:
        async with bus.connect(fake.urls) as fleet:
            assert not await fleet.cluster.change(asyncio.get_running_loop().time() + 1.5), "nothing was lost"
            await fleet.publish(bus.Event(type="a", source="b"))
        hellos = [one for one in fake.brokers[0].heard if isinstance(one, wire.Hello)]
        assert len(hellos) == 1


async def test_leaving_leaves_nothing_behind() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with FakeFleet() as fake:
        async with bus.connect(fake.urls) as fleet:
            await fleet.describe()
        before = open_files()
        for _ in range(5):
            async with bus.connect(fake.urls) as fleet:
                await fleet.publish_many([bus.Event(type="a", source=f"s/{n}") for n in range(20)])
                reading = fleet.read(follow=True)
                await anext(reading)
                async with fleet.subscribe(">", group="g"):
                    pass
        assert asyncio.all_tasks() == {asyncio.current_task()}
        until(lambda: open_files() <= before)  # ZeroMQ's own thread closes the last descriptors


async def test_a_fleet_without_leaders_says_so() -> None:
    with FakeFleet(partitions=0) as fake, pytest.raises(bus.BrokerUnavailable, match="no partition has a leader"):
        async with bus.connect(fake.urls, deadline=0.3):
            pass


async def test_outside_its_context_a_fleet_says_how_to_use_it() -> None:
    with pytest.raises(bus.ClientError, match="async with"):
        await bus.connect("tcp://127.0.0.1:1").publish(bus.Event(type="a", source="b"))


def test_starts() -> None:
    now = 10**18
    assert parse_start("-1h30m", now) == From(time=now - 5400 * 10**9)
    assert parse_start("-1.5s", now) == From(time=now - 1_500_000_000)
    assert parse_start("2001-09-09T01:46:40Z", 0) == From(time=now)
    assert [group_start(one, now) for one in ("earliest", "now", "-1s")] == [-1, now, now - 10**9]


def test_the_surface_is_what_all_says() -> None:
    for name in bus.__all__:
        assert getattr(bus, name).__name__
    assert set(bus.__all__) <= set(dir(bus))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = bus.nonsense
