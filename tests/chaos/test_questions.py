"""A whole fleet, asked everything: what it says adds up with what was published, now and in the past."""

import asyncio
import json
from pathlib import Path

import pytest

import bus
from bus.client.operator import Operator
from controlplane.questions import (
    AskAt,
    AskBoard,
    AskDeadGroups,
    AskDeadLetters,
    AskEvent,
    AskEvents,
    AskSaga,
    AskStatus,
    AskVerify,
    Board,
    DeadGroups,
    DeadLetters,
    Down,
    EventDetail,
    Events,
    Past,
    Redrive,
    Redriven,
    Refusal,
    Saga,
    Status,
    Stopping,
    Verified,
)
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(120)]
SMALL = ("--brokers", "1", "--partitions", "3")


async def publish(live: LiveFleet, events: list[bus.Event]) -> None:
    async with bus.connect(data_dir=live.directory.root) as fleet:
        await fleet.publish_many(events)
    await asyncio.to_thread(live.exported)


async def test_every_question_has_an_answer_that_adds_up(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await live.ready()
        await publish(live, numbered(300))
        board = live.ask(AskBoard())
        assert isinstance(board, Board)
        assert board.status.counts.events == 300 and board.status.counts.sagas_open == 50 and board.lost == 0
        middle = board.status.controlplane.position
        await publish(live, numbered(200, 300))
        status = live.ask(AskStatus())
        assert isinstance(status, Status) and status.counts.events == 500 and status.controlplane.behind == 0
        events = live.ask(AskEvents(pattern="load.*", limit=3, bars=5))
        assert isinstance(events, Events) and events.total == 500 and len(events.rows) == 3
        detail = live.ask(AskEvent("n-7"))
        assert isinstance(detail, EventDetail) and json.loads(detail.event) == bus.to_object(numbered(8)[7])
        saga = live.ask(AskSaga("saga-7"))
        assert isinstance(saga, Saga)
        assert [step.id for step in saga.steps] == [f"n-{n}" for n in range(7, 500, 50)]
        past = live.ask(AskAt(position=middle))
        assert isinstance(past, Past) and past.counts.events == 300 and past.position <= middle
        verified = live.ask(AskVerify())
        assert isinstance(verified, Verified) and verified.same and verified.events == 500
        for wrong in (AskAt(), AskEvents(pattern="a..b"), AskEvent("nobody")):
            refused = live.ask(wrong)
            assert isinstance(refused, Refusal) and refused.code in ("usage", "not_found")
        live.kill_plane()
        live.start()
        await live.ready()
        again = live.ask(AskVerify())
        assert isinstance(again, Verified) and again.same and again.events == 500


async def test_a_redriven_dead_letter_reaches_its_group_alone(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await live.ready()
        async with (
            bus.connect(data_dir=tmp_path) as fleet,
            fleet.subscribe("load.*", group="strict", max_deliver=1) as strict,
            fleet.subscribe("load.*", group="other") as other,
        ):
            await fleet.publish_many(numbered(2))
            heard = []
            async for delivery in strict:
                heard.append(delivery.event.id)
                await delivery.terminate(f"cannot read line {delivery.event.data['n']}")
                if len(heard) == 2:
                    break

            def dead() -> DeadGroups | None:
                told = live.ask(AskDeadGroups())
                return told if isinstance(told, DeadGroups) and told.waiting == 2 else None

            groups: DeadGroups = await until("both are dead letters", dead)
            assert [row.count for row in groups.rows] == [2], "numbers aside they died alike"
            target = groups.rows[0].id
            dry = live.ask(Redrive([target], dry_run=True))
            assert isinstance(dry, Redriven) and len(dry.ids) == 2 and dry.position == 0
            changed = live.ask(Redrive([target], expected=dry.ids[:1]))
            assert isinstance(changed, Refusal) and changed.code == "changed"
            done = live.ask(Redrive([target], expected=dry.ids, by="a test", reason="mended"))
            assert isinstance(done, Redriven) and done.ids == dry.ids and done.position > 0
            async for delivery in strict:
                assert delivery.event.extensions["redriveto"] == "strict"
                await delivery.ack()
                heard.append(str(delivery.event.extensions["redriveof"]))
                if len(heard) == 4:
                    break
            assert sorted(heard[2:]) == sorted(heard[:2])
            seen = set()
            async for delivery in other:
                assert "redriveto" not in delivery.event.extensions
                await delivery.ack()
                seen.add(delivery.event.id)
                if len(seen) == 2:
                    break

        def redriven() -> bool:
            told = live.ask(AskDeadLetters(target))
            return isinstance(told, DeadLetters) and {letter.state for letter in told.letters} == {"redriven"}

        await until("their echo is journaled", redriven)
        assert len(await asyncio.to_thread(live.exported)) == 2, "an export leaves out what the fleet said itself"
        verified = live.ask(AskVerify())
        assert isinstance(verified, Verified) and verified.same


async def test_down_ends_everything(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await live.ready()
        pids = sorted(live.live())
        stopping = live.ask(Down(by="a test"))
        assert isinstance(stopping, Stopping) and sorted(stopping.pids) == pids
        assert live.plane is not None and await asyncio.to_thread(live.plane.wait, 30) == 0
        assert live.live() == []


async def test_a_plane_that_was_replaced_goes_and_leaves_the_brokers(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        status = await live.ready()
        broker = live.broker("b1")
        async with Operator(name="another plane", fleet=broker.fleet) as operator:
            controls = await operator.open(broker.url)
            assert (await controls.claim(status.controlplane.epoch + 1, "another")).accepted
            assert live.plane is not None and await asyncio.to_thread(live.plane.wait, 30) == 1
        assert "obeys another plane" in live.said()
        assert live.live() == [broker.pid]
