"""The Fleet screen: where the cursor goes, what it opens, and that no partition of a broker is out of reach."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.pictures import fleet, partition
from console.screens.fleet import FleetScreen
from console.screens.partition import PartitionScreen
from controlplane.questions import AskStatus, ReplicaStatus
from tests.console import frozen
from tests.console.tui.seat import Seat, seat


def why(at: Seat) -> str:
    """What the screen says below WHY."""
    return at.text.split("WHY")[1]


async def test_fleet_opens_on_the_worst_broker_with_its_cause_and_its_mend() -> None:
    async with seat() as at:
        await at.press("7")
        assert AskStatus() in at.link.asked
        assert at.cursor == "b5"
        assert "b5 is down since 03:08:31, 4m13s" in why(at)
        assert "p07 refuses publishes" in why(at)
        await at.press("C")
        assert at.app.clipboard == "signalbox broker revive b5"
        await at.press("c")
        assert at.app.clipboard == "b5"
        await at.press("j", "C")
        assert at.app.clipboard == "signalbox partition rebalance p07 --to b1"


async def test_tab_walks_into_the_partitions_enter_opens_one_and_esc_comes_back() -> None:
    async with seat() as at:
        await at.press("7", "j", "tab")
        assert "p07 refuses publishes" in why(at)
        await at.press("j")
        assert at.cursor == "b4"
        assert "p01 takes publishes" in why(at)
        await at.press("c")
        assert at.app.clipboard == "p01"
        await at.press("enter")
        assert isinstance(at.app.screen, PartitionScreen)
        assert "REPLICAS" in at.text and "2 of 6" in at.text
        await at.press("n")
        assert "Fleet › p02" in at.text and "3 of 6" in at.text
        await at.press("escape")
        assert isinstance(at.app.screen, FleetScreen) and "p01 takes publishes" in why(at)
        await at.press("escape")
        assert "b4 is slow" in why(at)
        await at.press("k")
        assert at.cursor == "b5"


async def test_a_track_of_the_board_opens_its_partition_and_a_replica_opens_its_broker() -> None:
    async with seat() as at:
        await at.press("tab", *"jjjjjjj", "enter")
        assert isinstance(at.app.screen, PartitionScreen)
        assert "Fleet › p07" in at.text and "8 of 12" in at.text
        await at.press("C")
        assert at.app.clipboard == "signalbox partition rebalance p07 --to b1"
        await at.press("j", "enter")
        assert isinstance(at.app.screen, FleetScreen)
        assert at.cursor == "b4"


async def test_a_need_of_the_board_opens_what_is_ill() -> None:
    async with seat() as at:
        await at.press("enter")
        assert isinstance(at.app.screen, PartitionScreen) and "Fleet › p07" in at.text
        await at.press("1", "j", "enter")
        assert isinstance(at.app.screen, FleetScreen)
        assert at.cursor == "b5"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("b3", "b3 is well"), ("p03", "Fleet › p03"), ("p3", "Fleet › p03"), ("partition 99", "no partition p99"),
     ("brokers", "b5 is down"), ("broker b2", "b2 is well")],
)  # fmt: skip
async def test_colon_goes_to_a_broker_and_a_partition(typed: str, shown: str) -> None:
    async with seat() as at:
        await at.press("colon")
        await at.type(typed)
        await at.press("enter")
        assert shown in at.text


async def test_the_cursor_among_the_partitions_stays_on_its_own_when_the_fleet_changes() -> None:
    async with seat() as at:
        await at.press("7", "j", "tab", "j")
        status = at.link.story.board.status
        status.partitions[2].severity = "bad"
        await at.beat()
        assert "p01 takes publishes" in why(at)
        status.partitions[1].replicas = [r for r in status.partitions[1].replicas if r.broker != "b4"]
        await at.beat()
        assert "p02 refuses publishes" in why(at)
        for p in status.partitions:
            p.replicas = [r for r in p.replicas if r.broker != "b4"]
        await at.beat()
        assert "no replica is here" in at.text and "b4 is slow" in why(at)


async def test_of_many_partitions_the_one_under_the_cursor_is_seen() -> None:
    link = frozen.calm()
    status = link.story.board.status
    first = status.partitions[0]
    status.partitions = [msgspec.structs.replace(first, partition=n) for n in range(48)]
    async with seat(link, size=(80, 24)) as at:
        await at.press("7", "tab", "G")
        assert "p47" in at.text.split("WHY")[0] and "p47 is well" in why(at)
        await at.press("g")
        assert "p00" in at.text.split("WHY")[0] and "p00 is well" in why(at)


async def test_a_click_chooses_a_partition_and_a_second_opens_it() -> None:
    async with seat() as at:
        await at.press("7")
        row = next(y for y, line in enumerate(at.text.splitlines()) if "p09" in line)
        await at.pilot.click(offset=(12, row))
        await at.press()
        await at.pilot.pause()
        assert "p09 takes publishes" in why(at)
        await at.pilot.click(offset=(12, row))
        await at.pilot.pause()
        assert isinstance(at.app.screen, PartitionScreen)


def test_no_lever_is_promised() -> None:
    from console.actions import of_screen

    assert not any(action.lever for kind in ("fleet", "partition") for action in of_screen(kind))


@given(st.lists(st.integers(0, 9_000_000), min_size=1, max_size=5), st.sampled_from(["ok", "warn", "bad"]))
def test_a_replica_that_lacks_events_never_has_a_full_bar(ends: list[int], severity: str) -> None:
    template = frozen.trouble().story.board.status.partitions[7]
    there = [ReplicaStatus(f"b{i}", "lagging" if end < max(ends) else "in_sync", end) for i, end in enumerate(ends)]
    p = msgspec.structs.replace(template, replicas=there, severity=severity)
    lines = partition.replicas(p, [], None, 120, len(ends) + 2).text().splitlines()[2:]
    assert [("┄" in line) for line in lines] == [end < max(ends) for end in ends]


@given(st.permutations(range(12)))
def test_every_replica_on_a_broker_is_listed_worst_first(order: list[int]) -> None:
    status = frozen.trouble().story.board.status
    status.partitions = [status.partitions[i] for i in order]
    for broker in status.brokers:
        found = fleet.held(status, broker.id)
        assert {p.partition for p, _ in found} == {
            p.partition for p in status.partitions if any(r.broker == broker.id for r in p.replicas)
        }
        ranks = [({"bad": 0, "warn": 1, "ok": 3}[p.severity], p.partition) for p, _ in found]
        assert ranks == sorted(ranks)
