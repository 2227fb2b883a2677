"""Operations on a real fleet under load: what is drained, killed, restarted and sent elsewhere loses nothing."""

import asyncio
from pathlib import Path

import bus
from controlplane.questions import AskBrokers, AskPartitions, Brokers, Operate, Operated, Partitions, Verb
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

HOME_S = 60.0
BATCH_S = 0.05
"""From one batch of the load to the next: two thousand events a second, whatever the machine could do."""


def brokers(live: LiveFleet) -> Brokers:
    told = live.ask(AskBrokers())
    assert isinstance(told, Brokers), told
    return told


def leads(live: LiveFleet) -> dict[str, int]:
    """How many partitions each broker leads."""
    return {row.id: len(row.leads) for row in brokers(live).rows}


def is_well(live: LiveFleet) -> bool:
    """Whether each leads four, and nothing keeps leaderships from moving."""
    told = brokers(live)
    return not told.ailment and all(len(row.leads) == 4 for row in told.rows)


def order(live: LiveFleet, verb: Verb, *targets: str, to: str = "") -> Operated:
    told = live.ask(Operate(verb, list(targets), to, by="test"))
    assert isinstance(told, Operated), told
    return told


async def test_drain_kill_revive_and_restart_under_load(tmp_path: Path) -> None:
    acked = 0
    with live_fleet(tmp_path) as live:
        await live.ready()
        over = asyncio.Event()

        async def load() -> None:
            nonlocal acked
            async with bus.connect(data_dir=tmp_path) as fleet:
                while not over.is_set():
                    acked += len(await fleet.publish_many(numbered(100, acked)))
                    await asyncio.sleep(BATCH_S)

        task = asyncio.create_task(load())
        await until("4 each lead, and all is well", lambda: is_well(live))

        order(live, "drain", "b2")
        await until("b2 leads nothing", lambda: leads(live)["b2"] == 0)
        live.kill_plane()
        live.start()
        await live.ready()
        assert leads(live)["b2"] == 0, "a drain survives the plane"

        old = live.kill_broker("b1")
        await until("b1 is back", lambda: live.broker("b1").pid != old)
        order(live, "revive", "b2")
        await until("4 each lead again", lambda: is_well(live), within=HOME_S)

        pids = {row.id: row.pid for row in brokers(live).rows}
        order(live, "restart")
        ended = await until("all are restarted", lambda: _ended(live), within=HOME_S)
        assert ended == "done" and all(row.pid != pids[row.id] for row in brokers(live).rows)

        order(live, "rebalance", "3", to="b3")
        await until("p03 is led by b3", lambda: _leader(live, 3) == "b3", within=HOME_S)
        over.set()
        await task
        found = await asyncio.to_thread(live.exported)
        assert sorted(event["data"]["n"] for event in found) == list(range(acked))
        assert live.end() == 0


def _ended(live: LiveFleet) -> str:
    restart = brokers(live).restart
    return restart.ended if restart is not None else ""


def _leader(live: LiveFleet, partition: int) -> str | None:
    told = live.ask(AskPartitions(partition=partition))
    assert isinstance(told, Partitions)
    return told.rows[0].leader
