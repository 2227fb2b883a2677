"""Groups in an order that spans partitions, on real broker processes: members and leaders that are killed."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from bus.client.fleet import Fleet, connect
from bus.errors import GroupConflict, StaleDelivery
from bus.event import Event
from tests.bus.test_groups_fleet import WAIT_S, elected, urls
from tests.bus.test_order_fleet import lose_a_leader

pytestmark = pytest.mark.fleet
CHAIN = 60
OPTIONS: dict[str, Any] = {"order": "causal", "start": "earliest", "ack_wait": 5.0}

WORKER = """
import asyncio, sys
from bus.client.fleet import connect

async def work():
    async with connect(sys.argv[1]) as fleet:
        async with fleet.subscribe("work.>", group="g", order="causal", start="earliest", ack_wait=5.0) as mine:
            print("joined", flush=True)
            async for delivery in mine:
                print("got", delivery.event.data["n"], flush=True)
                if delivery.event.data["n"] == int(sys.argv[2]):
                    await asyncio.Event().wait()
                await delivery.ack()

asyncio.run(work())
"""


async def chain(fleet: Fleet, first: int, upto: int) -> None:
    """Each event depends on all before it, over all partitions; some of them are not meant for the group."""
    for n in range(first, upto):
        kind = "idle.noted" if n % 5 == 4 else "work.asked"
        await fleet.publish(Event(type=kind, source="tests", id=f"e{n}", subject=f"k{n}", data={"n": n}))


def meant(first: int, upto: int) -> list[int]:
    return [n for n in range(first, upto) if n % 5 != 4]


async def test_causes_come_first_through_the_loss_of_a_member_and_of_a_leader(tmp_path: Path) -> None:
    stuck, last = 22, meant(0, CHAIN)[-1]
    got: list[int] = []
    rest: list[int] = []
    attempts: dict[int, int] = {}
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet), causal=True) as publisher, connect(urls(fleet)) as client:
            await chain(publisher, 0, CHAIN // 2)
            command = [sys.executable, "-c", WORKER, ",".join(urls(fleet)), str(stuck)]
            other = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            try:
                assert other.stdout is not None
                async with asyncio.timeout(3 * WAIT_S):
                    async with client.subscribe("work.>", group="g", **OPTIONS) as before:
                        assert (await anext(before)).event.data["n"] == 0
                        assert (await other.stdout.readline()).split() == [b"joined"]
                    while got[-1:] != [stuck]:
                        got.append(int((await other.stdout.readline()).split()[1]))
                    async with client.subscribe("work.>", group="g", **OPTIONS) as mine:
                        other.kill()
                        async for delivery in mine:
                            rest.append(delivery.event.data["n"])
                            attempts[rest[-1]] = delivery.attempt
                            if len(rest) == 5:
                                await asyncio.to_thread(lose_a_leader, fleet)
                                await chain(publisher, CHAIN // 2, CHAIN)
                            try:
                                await delivery.ack()
                            except StaleDelivery:
                                continue
                            if rest[-1] == last:
                                break
                        assert mine.held == 0 and not mine.waiting() and mine.gaps == 0
            finally:
                if other.returncode is None:
                    other.kill()
                await other.communicate()
    assert got == meant(0, stuck + 1), "the one that stood by took over, and took nothing out of order"
    assert list(dict.fromkeys(rest)) == meant(stuck, CHAIN), rest
    assert rest == sorted(rest), "one that came twice came before what depends on it"
    assert attempts[stuck] > 1


async def test_what_is_nacked_holds_up_its_effects_and_gaps_go_by_policy(tmp_path: Path) -> None:
    options = OPTIONS | {"lateness": 0.3, "gap": "dead-letter", "max_deliver": 2}
    seen: list[tuple[int, int]] = []
    letters = {}
    with elected(tmp_path) as fleet:
        async with (
            asyncio.timeout(2 * WAIT_S),
            connect(urls(fleet), causal=True) as client,
            connect(urls(fleet)) as other,
        ):
            await chain(client, 0, 4)
            await other.publish(Event(type="work.asked", source="tests", id="gap", deps={0: 10**9}, data={"n": 99}))
            async with client.subscribe("work.>", group="g", **options) as mine:
                while len(seen) < 5:
                    delivery = await anext(mine)
                    seen.append((delivery.event.data["n"], delivery.attempt))
                    if delivery.event.data["n"] == 1:
                        await delivery.nack(0.5, "not yet")
                    else:
                        await delivery.ack()
                async for letter in other.read("signalbox.deadletter", follow=True):
                    letters[letter.data["event"]["id"]] = letter.data
                    if len(letters) == 2:
                        break
                assert (mine.gaps, mine.dead, mine.skipped, mine.late) == (1, 1, 0, 0)
                for changed in ({"order": "timestamp"}, {"gap": "wait"}, {"lateness": 1.0}):
                    with pytest.raises(GroupConflict) as caught:
                        async with other.subscribe("work.>", group="g", **options | changed):
                            pass
                    assert caught.value.field == next(iter(changed))
    assert seen == [(0, 1), (1, 1), (1, 2), (2, 1), (3, 1)], "2 waited until 1 was dead"
    assert letters["gap"]["reason"] == "gap"
    assert "event 1000000000 of partition 0" in letters["gap"]["error"]
    assert letters["e1"]["reason"] == "max_deliver"


async def test_by_time_over_all_partitions_whatever_was_published_first(tmp_path: Path) -> None:
    options = {"order": "timestamp", "start": "earliest", "lateness": 0.5, "in_flight": 4, "late": "dead-letter"}
    got: list[int] = []
    with elected(tmp_path) as fleet:
        async with asyncio.timeout(2 * WAIT_S), connect(urls(fleet)) as client:
            times = [(7 * n) % 100 for n in range(100)]
            await client.publish_many(
                Event(type="work.asked", source="tests", id=f"e{n}", subject=f"k{n}", time=time * 10**6 + 1, data=time)
                for n, time in enumerate(times)
            )
            async with client.subscribe("work.>", group="g", **options) as mine:
                while len(got) < 100:
                    delivery = await anext(mine)
                    got.append(delivery.event.data)
                    await delivery.ack()
                assert (mine.late, mine.forced, mine.held) == (0, 0, 0)
                await client.publish(Event(type="work.asked", source="tests", id="late", time=5, data=-1))
                async for letter in client.read("signalbox.deadletter", follow=True):
                    assert letter.data["event"]["id"] == "late" and letter.data["reason"] == "late"
                    break
                assert mine.late == 1
    assert got == list(range(100))
