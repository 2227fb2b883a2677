"""The other end of `calls.py`: `python -m tests.bench._callee URL` echoes calls until its stdin ends."""

import asyncio
import sys
from typing import Any

import zmq

import bus


async def echo(payload: Any, context: bus.CallContext) -> Any:
    """What came."""
    return payload


async def answer(url: str) -> None:
    """Answer, say so on stdout, and wait for the end of stdin."""
    async with bus.connect(url, name="callee") as fleet, fleet.answers("agent/echo", echo):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def bare() -> None:
    """The floor: a ROUTER in a loop that does nothing but send back. The first line of stdout is its address."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.ROUTER) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        print(f"tcp://127.0.0.1:{port}", flush=True)
        while (parts := socket.recv_multipart())[-1] != b"end":
            socket.send_multipart(parts)


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        bare()
    else:
        asyncio.run(answer(sys.argv[1]))
