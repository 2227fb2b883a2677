"""The question socket: a ROUTER on the loopback where consoles ask and the plane answers.

Request `[MAGIC, request id, question]`, with or without a moment of the past as fourth part, reply `[MAGIC, request id,
told]` (see `questions`). What is malformed is counted and, where its id can be read, refused as usage. A client of the
bus may come here too: its `Hello` is answered with a `Welcome` that carries the topology, and a `Bye`, so that
`SIGNALBOX_URL` may name the plane.

Work for an asker who is gone is given up. ZeroMQ forgets a peer whose connection ends, or that answers no pings, so
that the next Progress cannot be sent: then `tell` raises AskerGone, and so does `go_on` in the threads that work for
it.
"""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import msgspec
import zmq
import zmq.asyncio

from bus import wire
from bus.errors import ProtocolError
from controlplane import limits, questions
from controlplane.errors import PortInUse

log = logging.getLogger("signalbox.asking")

Tell = Callable[[questions.Body], None]
"""Sends a body (a Progress) ahead of the answer. Raises AskerGone."""
Answer = Callable[[questions.Question, Tell, questions.At | None], Awaitable[questions.Told]]
"""Answers one question, as of now or of a moment; a refusal is an answer too."""
Present = Callable[[questions.Body], questions.Told]
"""Wraps a body with the position and the clock that it holds at."""

LOOPBACK = "127.0.0.1"
REQUEST_ID_BYTES_MAX = 64


class AskerGone(Exception):
    """Nobody waits for the answer any more: the work for it is given up."""


class Asker:
    """Who asked one question. The loop tells it something; threads only look whether it is `gone`."""

    def __init__(self, send: Callable[[questions.Body], bool]) -> None:
        self._send = send
        self.gone = False

    def tell(self, body: questions.Body) -> None:
        """Raises AskerGone when it cannot be told."""
        if not self._send(body):
            self.gone = True
            raise AskerGone


_asker: ContextVar[Asker | None] = ContextVar("asker", default=None)
"""Of the question that is being answered; `asyncio.to_thread` takes it along."""


def go_on() -> None:
    """Raises AskerGone in work for an asker who is gone."""
    asker = _asker.get()
    if asker is not None and asker.gone:
        raise AskerGone


class QuestionSocket:
    """Binds on creation; `serve` runs until it is cancelled. `url` is where it listens."""

    def __init__(self, answer: Answer, present: Present, port: int = 0, wanted: int = 0) -> None:
        """`port` must be had, else PortInUse; `wanted` is tried first when `port` is 0."""
        self._answer = answer
        self._present = present
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 500
        self._socket.sndhwm = limits.ANSWERS_QUEUED_MAX
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, limits.QUESTION_BYTES_MAX)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, limits.ASKER_PING_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, limits.ASKER_SILENT_MS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self.welcome: Callable[[], wire.Welcome] | None = None
        self.malformed = 0
        self.dropped = 0
        self.given_up = 0
        self.url = self._bind(port, wanted)

    def _bind(self, port: int, wanted: int) -> str:
        for candidate in dict.fromkeys((port,) if port else (wanted, 0)):
            try:
                if candidate:
                    self._socket.bind(f"tcp://{LOOPBACK}:{candidate}")
                    return f"tcp://{LOOPBACK}:{candidate}"
                return f"tcp://{LOOPBACK}:{self._socket.bind_to_random_port(f'tcp://{LOOPBACK}')}"
            except zmq.ZMQError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
        self.close()
        raise PortInUse(
            f"port {port} on {LOOPBACK} is taken by another program. "
            "Free it, or start with another --port (0 picks a free one)."
        )

    async def serve(self) -> None:
        """Take questions, each answered by a task of its own."""
        while True:
            parts = await self._socket.recv_multipart()
            peer, request = parts[0], parts[1:]
            if request and request[0].startswith(wire.MAGIC):
                self._tell_topology(peer, request)
            elif (
                len(request) in (3, 4)
                and request[0] == questions.MAGIC
                and len(request[1]) <= REQUEST_ID_BYTES_MAX
                and sum(map(len, request[3:])) <= limits.AT_BYTES_MAX
            ):
                self._take(peer, request[1], request[2], request[3:])
            else:
                self.malformed += 1

    def _take(self, peer: bytes, request: bytes, data: bytes, moment: list[bytes]) -> None:
        def send(body: questions.Body) -> bool:
            return self._send([peer, questions.MAGIC, request, questions.encode(self._present(body))])

        try:
            question = questions.decode_question(data)
            at = questions.decode_at(moment[0]) if moment else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.malformed += 1
            why = f"not a question of this version: {error}"
            send(questions.Refusal("usage", why, "Use the console of this version."))
            return
        if len(self._tasks) >= limits.QUESTIONS_AT_ONCE_MAX:
            send(questions.Refusal("unavailable", "the control plane has its hands full", "Ask again in a moment."))
            return
        self._keep(asyncio.create_task(self._reply(peer, request, question, Asker(send), at)))

    async def _reply(
        self, peer: bytes, request: bytes, question: questions.Question, asker: Asker, at: questions.At | None
    ) -> None:
        _asker.set(asker)
        try:
            told = await self._answer(question, asker.tell, at)
        except AskerGone:
            self.given_up += 1
            log.info("who asked %s is gone, and the answer is given up", type(question).__name__)
            return
        except Exception as error:
            log.exception("a question failed: %r, %r", question, at)
            told = self._present(
                questions.Refusal(
                    "failed", f"{type(error).__name__}: {error}", "This is a fault of the plane: see plane.log."
                )
            )
        self._send([peer, questions.MAGIC, request, questions.encode(told)])

    def _tell_topology(self, peer: bytes, parts: list[bytes]) -> None:
        try:
            frame, _ = wire.decode(parts)
        except ProtocolError:
            self.malformed += 1
            return
        if not isinstance(frame.message, wire.Hello):
            bye = wire.Bye("unknown", "the plane keeps no sessions: say Hello, then ask a broker of the topology")
            self._send([peer, *wire.encode(frame.session, 0, bye)])
            return
        if self.welcome is not None:
            self._send([peer, *wire.encode(frame.session, 0, self.welcome())])
        bye = wire.Bye("closing", "this is the control plane: talk to the brokers it named")
        self._send([peer, *wire.encode(frame.session, 1, bye)])

    def _send(self, parts: list[bytes]) -> bool:
        """Sends at once or not at all: a console that is gone, or does not take its answers, asks again."""
        sent: Any = self._socket.send_multipart(parts, flags=zmq.NOBLOCK)
        was_sent = sent.exception() is None
        self.dropped += not was_sent
        return was_sent

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Let answers under way go out. What waits for a turn that will not come is given up after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.FINISH_MS_MAX / 1000):
                while self._tasks:
                    await asyncio.wait(self._tasks)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._socket.close()
        self._context.term()
