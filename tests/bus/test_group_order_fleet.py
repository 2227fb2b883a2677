"""Groups in an order that spans partitions, on real broker processes: members and leaders that are killed."""

import asyncio
import sys
from pathlib import Path

import pytest

from bus.client.fleet import Fleet, connect
from bus.errors import GroupConflict, StaleDelivery
from bus.event import Event
from tests.bus.test_groups_fleet import WAIT_S, elected, urls
from tests.bus.test_order_fleet import lose_a_leader

pytestmark = pytest.mark.fleet
CHAIN = 60

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
    stuck = 22
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet), causal=True) as publisher, connect(urls(fleet)) as client:
            await chain(publisher, 0, CHAIN // 2)
            command = [sys.executable, "-c", WORKER, ",".join(urls(fleet)), str(stuck)]
            first = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            got: list[int] = []
            attempts: dict[int, int] = {}
            try:
                assert first.stdout is not None
                async with (
                    asyncio.timeout(2 * WAIT_S),
                    client.subscribe(
                        "work.>", group="g", order="causal", start="earliest", ack_wait=5.0
                    ) as standing_by,
                ):
                    # Who came first is decided by when they began, so this one works until it lets go.
                    seen = [int((await anext(standing_by)).event.data["n"])]
                    assert (await first.stdout.readline()).split() == [b"joined"]
                    assert seen == [0] and standing_by.held > 0
            finally:
                pass
            try:
                async with asyncio.timeout(2 * WAIT_S):
                    while got[-1:] != [stuck]:
                        got.append(int((await first.stdout.readline()).split()[1]))
                    assert got == meant(0, stuck + 1), "the one that stood by took over, and took nothing out of order"
                    async with client.subscribe(
                        "work.>", group="g", order="causal", start="earliest", ack_wait=5.0
                    ) as mine:
                        first.kill()
                        rest: list[int] = []
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
                            if rest[-1] == meant(0, CHAIN)[-1]:
                                break
                        assert mine.held == 0 and not mine.waiting() and mine.gaps == 0
            finally:
                if first.returncode is None:
                    first.kill()
                await first.communicate()
            assert list(dict.fromkeys(rest)) == meant(stuck, CHAIN), rest
            assert rest == sorted(rest), "one that came twice came before what depends on it"
            assert attempts[stuck] == 2 and max(attempts[n] for n in meant(stuck + 1, CHAIN)) <= 2


async def test_what_is_nacked_holds_up_its_effects_and_gaps_go_by_policy(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet), causal=True) as client, connect(urls(fleet)) as other:
            await chain(client, 0, 4)
            await other.publish(Event(type="work.asked", source="tests", id="gap", deps={0: 10**9}, data={"n": 99}))
            seen: list[tuple[int, int]] = []
            options = {"order": "causal", "start": "earliest", "lateness": 0.3, "gap": "dead-letter"}
            async with asyncio.timeout(2 * WAIT_S):
                async with client.subscribe("work.>", group="g", max_deliver=2, ack_wait=1.0, **options) as mine:  # type: ignore[arg-type]
                    while len(seen) < 5:
                        delivery = await anext(mine)
                        seen.append((delivery.event.data["n"], delivery.attempt))
                        if delivery.event.data["n"] == 1:
                            delivery.nack(0.5, "not yet")
                        else:
                            await delivery.ack()
                    while not mine.dead:
                        await mine._arrived.wait()
                    assert (mine.gaps, mine.dead, mine.skipped, mine.late) == (1, 1, 0, 0)
                    for changed in ({"order": "timestamp"}, {"gap": "wait"}, {"lateness": 1.0}):
                        with pytest.raises(GroupConflict) as caught:
                            async with other.subscribe(
                                "work.>", group="g", max_deliver=2, ack_wait=1.0, **(options | changed)
                            ):  # type: ignore[arg-type]
                                pass
                        assert caught.value.field == next(iter(changed))
                letters = {}
                while len(letters) < 2:
                    async for letter in other.read("signalbox.deadletter"):
                        letters[letter.data["event"]["id"]] = letter.data
            assert seen == [(0, 1), (1, 1), (1, 2), (2, 1), (3, 1)], "2 waited until 1 was dead"
            assert (
                letters["gap"]["reason"] == "terminated"
                and "event 1000000000 of partition 0" in letters["gap"]["error"]
            )
            assert letters["e1"]["reason"] == "max_deliver"


async def test_by_time_over_all_partitions_whatever_was_published_first(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client:
            times = [(7 * n) % 100 for n in range(100)]
            await client.publish_many(
                Event(type="work.asked", source="tests", id=f"e{n}", subject=f"k{n}", time=time * 10**6 + 1, data=time)
                for n, time in enumerate(times)
            )
            async with asyncio.timeout(2 * WAIT_S):
                async with client.subscribe(
                    "work.>",
                    group="g",
                    order="timestamp",
                    start="earliest",
                    lateness=0.5,
                    in_flight=4,
                    late="dead-letter",
                ) as mine:
                    got = []
                    while len(got) < 100:
                        delivery = await anext(mine)
                        got.append(delivery.event.data)
                        await delivery.ack()
                    assert got == list(range(100)) and (mine.late, mine.forced, mine.held) == (0, 0, 0)
                    await client.publish(Event(type="work.asked", source="tests", id="late", time=5, data=-1))
                    while not mine.late:
                        await asyncio.sleep(0.01)
            letters = [letter.data async for letter in client.read("signalbox.deadletter")]
            assert [one["event"]["id"] for one in letters] == ["late"] and "late:" in letters[0]["error"]
