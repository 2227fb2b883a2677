"""The question socket against consoles of every kind, garbage included."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import zmq
import zmq.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import wire
from controlplane import limits
from controlplane.asking import QuestionSocket, Tell
from controlplane.errors import PortInUse
from controlplane.questions import (
    MAGIC,
    AskHealth,
    AskStatus,
    At,
    Body,
    Progress,
    Question,
    Refusal,
    Told,
    decode_told,
    encode,
)

NOW = 1_790_000_000_000_000_000
ANSWERED = Refusal("not_found", "nothing here", "")


def told(body: Body) -> Told:
    return Told(7, 8, body)


class Desk:
    """Answers everything alike; AskHealth only when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def answer(self, question: Question, tell: Tell, at: At | None) -> Told:
        if at is not None:
            return Told(at.position or 0, at.instant or 0, ANSWERED, past=True)
        if isinstance(question, AskHealth):
            tell(Progress(1, 2, "under way"))
            await self.let.wait()
        if isinstance(question, AskStatus):
            raise RuntimeError("a fault of the plane")
        return told(ANSWERED)


@asynccontextmanager
async def asked(desk: Desk) -> AsyncIterator[tuple[QuestionSocket, "zmq.asyncio.Socket"]]:
    socket = QuestionSocket(desk.answer, told)
    serving = asyncio.create_task(socket.serve())
    context = zmq.asyncio.Context()
    console = context.socket(zmq.DEALER)
    console.linger = 0
    console.connect(socket.url)
    try:
        async with asyncio.timeout(20):
            yield socket, console
    finally:
        console.close()
        context.term()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        socket.close()


async def reply(console: "zmq.asyncio.Socket") -> tuple[bytes, Body]:
    magic, request, body = await console.recv_multipart()
    assert magic == MAGIC
    return request, decode_told(body).body


async def test_progress_comes_before_the_answer_and_others_need_not_wait() -> None:
    desk = Desk()
    async with asked(desk) as (_, console):
        await console.send_multipart([MAGIC, b"1", encode(AskHealth())])
        assert await reply(console) == (b"1", Progress(1, 2, "under way"))
        await console.send_multipart([MAGIC, b"2", encode(AskStatus())])
        request, body = await reply(console)
        assert request == b"2" and isinstance(body, Refusal) and body.code == "failed"
        desk.let.set()
        assert await reply(console) == (b"1", ANSWERED)


async def test_the_end_waits_for_answers_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    async with asked(desk) as (socket, console):
        await console.send_multipart([MAGIC, b"1", encode(AskHealth())])
        assert await reply(console) == (b"1", Progress(1, 2, "under way"))
        draining = asyncio.create_task(socket.drain())
        desk.let.set()
        await draining
        assert await reply(console) == (b"1", ANSWERED)
        desk.let.clear()
        await console.send_multipart([MAGIC, b"2", encode(AskHealth())])
        assert await reply(console) == (b"2", Progress(1, 2, "under way"))
        monkeypatch.setattr(limits, "FINISH_MS_MAX", 50)
        await socket.drain()


async def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUESTIONS_AT_ONCE_MAX", 2)
    desk = Desk()
    async with asked(desk) as (_, console):
        for request in (b"1", b"2", b"3"):
            await console.send_multipart([MAGIC, request, encode(AskHealth())])
        bodies = [await reply(console) for _ in range(3)]
        refused = [body for request, body in bodies if request == b"3"]
        assert isinstance(refused[0], Refusal) and refused[0].code == "unavailable"
        desk.let.set()
        assert {(await reply(console))[0] for _ in range(2)} == {b"1", b"2"}


async def test_a_moment_stands_in_a_part_of_its_own() -> None:
    async with asked(Desk()) as (_, console):
        for at in (At(position=120_431), At(instant=NOW), At(position=0), At(position=2**63 - 1)):
            await console.send_multipart([MAGIC, b"1", encode(AskStatus()), encode(at)])
            told = decode_told((await console.recv_multipart())[2])
            assert told == Told(at.position or 0, at.instant or 0, ANSWERED, past=True)


@pytest.mark.parametrize(
    "moment",
    [
        {},
        {"position": 1, "instant": 1},
        {"position": None, "instant": None},
        {"position": -1},
        {"position": 2**63},
        {"instant": 2**64 - 1},
        {"instant": -(2**63)},
        {"position": 1.5},
        {"position": "1"},
        {"position": True},
        [1, None],
        None,
        7,
    ],
)
async def test_what_is_no_moment_is_refused(moment: object) -> None:
    async with asked(Desk()) as (socket, console):
        await console.send_multipart([MAGIC, b"1", encode(AskHealth()), msgspec.msgpack.encode(moment)])
        request, body = await reply(console)
        assert request == b"1" and isinstance(body, Refusal) and body.code == "usage"
        assert socket.malformed == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=400), min_size=1, max_size=3))
def test_a_garbled_moment_stops_nobody(moments: list[bytes]) -> None:
    async def play() -> None:
        async with asked(Desk()) as (_, console):
            await console.send_multipart([MAGIC, b"1", encode(AskHealth()), *moments])
            await console.send_multipart([MAGIC, b"2", encode(AskHealth()), encode(At(position=3))])
            while True:
                _, request, body = await console.recv_multipart()
                if request == b"2":
                    break
            assert decode_told(body) == Told(3, 0, ANSWERED, past=True)

    asyncio.run(play())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([MAGIC, b"SB1", b""]) | st.binary(max_size=40), min_size=1, max_size=5), max_size=8
    )
)
def test_garbage_is_counted_and_stops_nobody(frames: list[list[bytes]]) -> None:
    async def play() -> None:
        async with asked(Desk()) as (_, console):
            for parts in frames:
                await console.send_multipart(parts)
            await console.send_multipart([MAGIC, b"the last one", b"\xc1"])
            while True:
                parts = await console.recv_multipart()
                if parts[0] == MAGIC and parts[1] == b"the last one":
                    break
            body = decode_told(parts[2]).body
            assert isinstance(body, Refusal) and body.code == "usage"

    asyncio.run(play())


async def test_a_client_of_the_bus_is_sent_on_to_the_brokers() -> None:
    async with asked(Desk()) as (socket, console):
        topology = wire.Topology(3, "f", 4096, [wire.Node("b1", "tcp://127.0.0.1:1", "s")], [])
        socket.welcome = lambda: wire.Welcome("f", "plane", "", 1, [], "anonymous", 1, topology)
        hello = wire.Hello("client", "me", "", "", 1, 1, [], "anonymous")
        await console.send_multipart(wire.encode(5, 0, hello))
        frames = [wire.decode(await console.recv_multipart())[0] for _ in range(2)]
        assert [(frame.session, frame.sequence) for frame in frames] == [(5, 0), (5, 1)]
        assert isinstance(frames[0].message, wire.Welcome) and frames[0].message.topology == topology
        assert isinstance(frames[1].message, wire.Bye) and frames[1].message.code == "closing"
        await console.send_multipart(wire.encode(5, 1, wire.Ping(1)))
        bye = wire.decode(await console.recv_multipart())[0].message
        assert isinstance(bye, wire.Bye) and bye.code == "unknown"


async def test_the_port_that_was_had_last_is_had_again_and_one_that_is_taken_is_named() -> None:
    desk = Desk()
    first = QuestionSocket(desk.answer, told)
    port = int(first.url.rpartition(":")[2])
    with pytest.raises(PortInUse, match=str(port)):
        QuestionSocket(desk.answer, told, port=port)
    other = QuestionSocket(desk.answer, told, wanted=port)
    assert other.url != first.url
    other.close()
    first.close()
    again = QuestionSocket(desk.answer, told, wanted=port)
    assert again.url == first.url
    again.close()
