"""Nonsense at both ends of a call: counted, dropped, and the next call is served."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bus
from bus import limits, wire
from bus.client.answering import desk
from bus.client.cluster import Cluster
from bus.client.connection import Greeting
from bus.client.switchboard import Switchboard
from bus.session import Session
from tests.bus.client.callstage import impostor
from tests.bus.rig import Peer, rig, until
from tests.bus.test_broker_hostile import BLOBS, GARBAGE, NONSENSE

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NIL = b"\xc0"


async def echo(payload: Any, context: bus.CallContext) -> Any:
    return payload


def called(peer: Peer, payload: bytes = NIL) -> wire.Message:
    """One good call by hand."""
    return peer.ask(wire.Call(peer.number(), "agent/a", "", 5_000, payload), wire.Returned)


def on_a_switchboard(drive: Callable[[Switchboard], Any]) -> None:
    """`drive` in a thread, beside an agent that is announced to nobody."""

    async def scenario() -> None:
        cluster = Cluster(list, Greeting("client", "tester"))
        board = Switchboard(cluster, "agent/a")
        opening = asyncio.create_task(board.open(desk("agent/a", echo, "", 8), 60))
        try:
            await asyncio.to_thread(drive, board)
        finally:
            opening.cancel()
            await asyncio.wait([opening])
            await board.close()
            await cluster.close()
        assert board.running == 0

    asyncio.run(scenario())


def welcomed(board: Switchboard) -> Peer:
    peer = Peer(board.url, fleet="")
    peer.welcomed()
    return peer


@QUIET
@given(st.lists(GARBAGE, min_size=1, max_size=12))
def test_garbage_is_counted_and_the_agent_answers_on(frames: list[list[bytes]]) -> None:
    def drive(board: Switchboard) -> None:
        bad, good = welcomed(board), welcomed(board)
        for parts in frames:
            bad.write(parts)
        bad.say(wire.Ping(1))
        try:
            bad.hear(wire.Pong)
            assert called(good) == wire.Returned(1, NIL)
            assert board.malformed >= 1
        finally:
            bad.close()
            good.close()

    on_a_switchboard(drive)


@QUIET
@given(st.lists(st.tuples(NONSENSE, st.lists(BLOBS, max_size=2)), min_size=1, max_size=15))
def test_nonsense_in_good_form_never_ends_the_agent(said: list[tuple[wire.Message, list[bytes]]]) -> None:
    def drive(board: Switchboard) -> None:
        number = secrets.randbits(63)
        bad, good = Peer(board.url, fleet=""), welcomed(board)
        try:
            for sequence, (message, blobs) in enumerate(said):
                bad.write(wire.encode(number, sequence, message, blobs))
            second = welcomed(board)
            for sequence, (message, blobs) in enumerate(said, start=1):
                second.write(wire.encode(second.session.id, sequence, message, blobs))
            second.close()
            assert called(good) == wire.Returned(1, NIL)
        finally:
            bad.close()
            good.close()

    on_a_switchboard(drive)


def test_unreadable_payloads_traces_and_repeated_requests_are_dropped_and_counted() -> None:
    def drive(board: Switchboard) -> None:
        peer = welcomed(board)
        try:
            for call, code in (
                (wire.Call(1, "agent/a", "", 100, b"\xc1"), "ProtocolError"),
                (wire.Call(2, "agent/a", "", 100, b"\x91" * 5_000), "ProtocolError"),
                (wire.Call(3, "agent/a", "", 100, NIL, "trace"), "InvalidCall"),
            ):
                peer.say(call)
                fault, _ = peer.hear(wire.Fault)
                assert (fault.request, fault.code) == (call.request, code)
            assert board.malformed == 3
            again = wire.Call(9, "agent/a", "", 5_000, NIL)
            for call in (again, again, wire.Call(8, "agent/a", "", 5_000, NIL)):
                peer.say(call)
            peer.say(wire.Ping(1))
            peer.hear(wire.Pong)
            assert board.duplicates == 2
            assert [one for one, _ in peer.inbox if isinstance(one, wire.Returned)] or peer.hear(wire.Returned)
        finally:
            peer.close()

    on_a_switchboard(drive)


# ---------------------------------------------------------------------------------------------- the other end


def test_answers_that_nobody_reads_end_the_session_and_cost_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEER_SEND_BYTES_MAX", 50_000)
    monkeypatch.setattr(limits, "PEER_PING_BYTES", 10_000)
    large = msgspec.msgpack.encode(b"x" * 5_000)

    def drive(board: Switchboard) -> None:
        deaf, other = welcomed(board), welcomed(board)
        sessions = board._listener.sessions

        def ended() -> bool:
            if len(sessions) > 1:
                deaf.say(wire.Call(deaf.number(), "agent/a", "", 5_000, large))
            assert isinstance(called(other, large), wire.Returned)
            return len(sessions) == 1

        until(ended)
        parts = []
        while deaf.socket.poll(200):
            parts.append(deaf.socket.recv_multipart())
        assert 50_000 < sum(map(len, (part for some in parts for part in some))) < 70_000
        assert any(isinstance(wire.decode(some)[0].message, wire.Bye) for some in parts)

    on_a_switchboard(drive)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig(tmp_path_factory.mktemp("calls"), partitions=1, brokers=1) as made:
        made.elect(0)
        yield made.processes["b1"].url


REPLIES: dict[str, tuple[Callable[[Session, wire.Call], list[bytes]], type[bus.BusError], str]] = {
    "garbage": (lambda session, call: [b"junk"], bus.CallLost, "broke the protocol"),
    "gap": (lambda session, call: wire.encode(session.id, 9, wire.Returned(call.request, NIL)), bus.CallLost, "due"),
    "verb": (lambda session, call: session.send(wire.Settled(call.request, {})), bus.CallLost, "answers no Call"),
    "payload": (
        lambda session, call: session.send(wire.Returned(call.request, b"\xc1")),
        bus.ProtocolError,
        "no MessagePack",
    ),
    "code": (
        lambda session, call: session.send(wire.Fault(call.request, "Odd", "who knows")),
        bus.FleetError,
        "Odd: who knows",
    ),
    "bye": (lambda session, call: session.bye("closing", "no more"), bus.CallLost, "no more"),
    "another": (
        lambda session, call: session.send(wire.Returned(call.request + 5, NIL)),
        bus.CallTimeout,
        "did not answer in time",
    ),
}


@pytest.mark.fleet
@pytest.mark.parametrize("kind", sorted(REPLIES))
async def test_an_agent_that_answers_nonsense_costs_one_call(url: str, kind: str) -> None:
    reply, error, why = REPLIES[kind]
    name = f"agent/{kind}"
    async with bus.connect(url) as fleet, fleet.answers("agent/honest", echo):
        with impostor(url, name, reply):
            with pytest.raises(error, match=why):
                await fleet.call(name, 1, 0.5)
            assert await fleet.call("agent/honest", 2) == 2


@pytest.mark.fleet
async def test_an_answer_that_comes_too_late_is_dropped(url: str) -> None:
    late: list[list[bytes]] = []

    def reply(session: Session, call: wire.Call) -> list[bytes]:
        late.append(session.send(wire.Returned(call.request, msgspec.msgpack.encode("late"))))
        return [] if len(late) == 1 else late.pop(0)

    async with bus.connect(url) as fleet:
        with impostor(url, "agent/late", reply) as told:
            with pytest.raises(bus.CallTimeout):
                await fleet.call("agent/late", 1, 0.1)
            with pytest.raises(bus.CallTimeout):
                await fleet.call("agent/late", 2, 0.2)
            assert [type(one) for one in told.heard if not isinstance(one, wire.Ping)][:3] == [
                wire.Call,
                wire.Cancel,
                wire.Call,
            ]
