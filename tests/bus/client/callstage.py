"""What tests of calls share: an agent in a process of its own, and one that is told what to answer, byte by byte."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq

from bus import wire
from bus.session import Greeted, Heard, Session, Sessions
from tests.bus.rig import FLEET, WAIT_S, Peer

AGENT = """
import asyncio, os, sys
import bus

async def answer(payload, context):
    if payload == "hang":
        print("hanging", flush=True)
        await asyncio.Event().wait()
    return [os.getpid(), payload]

async def main():
    async with bus.connect(sys.argv[1], name="other") as fleet, fleet.answers(sys.argv[2], answer):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


class Agent:
    """An agent in a process of its own: answers [its pid, what came], or hangs when told to."""

    def __init__(self, url: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", AGENT, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.line()

    def line(self) -> str:
        """The next thing that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """kill -9, and wait."""
        self.process.kill()
        self.process.communicate(timeout=WAIT_S)


@contextmanager
def agent(url: str, name: str) -> Iterator[Agent]:
    """An Agent that leaves nothing behind."""
    made = Agent(url, name)
    try:
        yield made
    finally:
        made.kill()


class Impostor(threading.Thread):
    """Announced as an agent; its answer to each Call is what `reply(session, call)` gives, frames as they are."""

    def __init__(self, url: str, name: str, reply: Callable[[Session, wire.Call], list[bytes]]) -> None:
        super().__init__(daemon=True)
        self.reply = reply
        self.halted = threading.Event()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.linger = 0
        port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.peer = Peer(url)
        self.peer.welcomed()
        here = wire.Answerer(name, f"tcp://127.0.0.1:{port}", [])
        self.peer.ask(wire.Present(self.peer.number(), here), wire.Presented)
        self.heard: list[wire.Message] = []
        self.start()

    def run(self) -> None:
        sessions = Sessions(FLEET)
        while not self.halted.is_set():
            if not self.router.poll(10):
                continue
            identity, *parts = self.router.recv_multipart()
            arrival = sessions.receive(identity, parts, time.monotonic_ns())
            frames: list[bytes] = []
            if isinstance(arrival, Greeted):
                frames = arrival.session.send(wire.Welcome(FLEET, "impostor", "", 1, [], "anonymous", 0))
            elif isinstance(arrival, Heard):
                self.heard.append(arrival.message)
                if isinstance(arrival.message, wire.Call):
                    frames = self.reply(arrival.session, arrival.message)
            if frames:
                self.router.send_multipart([identity, *frames])
        self.router.close()
        self.context.term()


@contextmanager
def impostor(url: str, name: str, reply: Callable[[Session, wire.Call], list[bytes]]) -> Iterator[Impostor]:
    """An Impostor that leaves nothing behind."""
    made = Impostor(url, name, reply)
    try:
        yield made
    finally:
        made.halted.set()
        made.join(WAIT_S)
        made.peer.close()
