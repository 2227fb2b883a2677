"""A replica moves to a new broker while others die: whoever voted when the move began votes until it is over."""

import asyncio
import os
import signal
from pathlib import Path

import bus
from controlplane.questions import PartitionRow
from tests.chaos.live import LiveFleet, live_fleet, numbered, until
from tests.chaos.test_membership import MOVED_S, is_well, order, partition, state

ACKED_S = 20.0


def learning(live: LiveFleet) -> PartitionRow | None:
    """The partition, while a newcomer copies it."""
    row = partition(live, 0)
    return row if "copies the log" in row.why else None


async def test_a_move_goes_on_although_a_replica_and_the_plane_die_in_the_middle_of_it(tmp_path: Path) -> None:
    """Had the one that is to go lost its vote already, nothing could be acked with another one dead."""
    with live_fleet(tmp_path, "--partitions", "1") as live:
        await live.ready()
        async with bus.connect(data_dir=tmp_path) as fleet:
            await fleet.publish_many(numbered(2_000))
            order(live, "add")
            await until("b4 is up", lambda: state(live, "b4") == "up")
            await until("all is well", lambda: is_well(live), within=MOVED_S)
            order(live, "rebalance", "0", to="b4")
            row = await until("b4 learns", lambda: learning(live), within=MOVED_S)
            replicas = [replica.broker for replica in row.replicas]
            assert row.severity == "ok" and "b4" not in replicas and len(replicas) == 3
            goes = row.why.rpartition(" ")[2]
            stays = next(broker for broker in replicas if broker not in (row.leader, goes))

            # By now its leader has taken the seat with the learner.
            await fleet.publish_many(numbered(100, 2_000))

            # Nobody starts it again, as the plane is gone first; and the learner cannot stand in for it.
            live.kill_plane()
            learner = live.broker("b4").pid
            os.kill(learner, signal.SIGSTOP)
            live.kill_broker(stays)
            for first in range(2_100, 2_500, 100):
                receipts = await fleet.publish_many(numbered(100, first), deadline=ACKED_S)
                assert {receipt.replicas for receipt in receipts} == {2}

            # The next plane goes on with the move where it was.
            os.kill(learner, signal.SIGCONT)
            live.start()
            await live.ready()
            await until("b4 leads p00", lambda: partition(live, 0).leader == "b4", within=MOVED_S)
            row = partition(live, 0)
            assert goes not in [replica.broker for replica in row.replicas] and not row.why
            await fleet.publish_many(numbered(100, 2_500))
        events = await asyncio.to_thread(live.exported)
        assert sorted(event["data"]["n"] for event in events) == list(range(2_600))
        assert live.end() == 0
