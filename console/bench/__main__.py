"""The other process of a measurement (`far.py`): one JSON task per line of stdin, one answer per line of stdout.

The first task says whom to be. `publish`: a task `make` prepares events, `go` publishes those as fast as it gets,
`pace` publishes at a fixed rate; the answer comes when all are acked. `answer`: calls get what came.
"""

import asyncio
import sys
import time
from contextlib import aclosing
from typing import Any

import msgspec

import bus
from console.bench.made import due, made
from console.bench.pace import Beat

TASKS_MAX = 4
"""Tasks that wait; whoever sends them awaits each answer."""
OUT_MAX = 20_000
"""Publishes under way of a paced load; a fleet that is further behind than that cannot keep its rate."""


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def _paced(fleet: bus.Fleet, task: dict[str, Any], acks: str, size: int) -> dict[str, int]:
    beat = Beat(task["rate"], task["count"])
    number, out = 0, set[asyncio.Task[bus.Receipt]]()
    async with asyncio.TaskGroup() as group, aclosing(beat.beats()) as beats:
        async for instant, count in beats:
            now = time.time_ns()
            for _ in range(count):
                sent = group.create_task(fleet.publish(due(task["type"], number, size, instant, now), acks=acks))
                out.add(sent)
                sent.add_done_callback(out.discard)
                number += 1
            if len(out) > OUT_MAX:
                raise bus.FleetError(f"{len(out):,} publishes wait for their acks: {task['rate']:,}/s is too fast here")
    return {"acked": number, "late_ns": beat.late_ns}


async def _publish(fleet: bus.Fleet, hello: dict[str, Any], tasks: asyncio.Queue[bytes]) -> None:
    events: list[bus.Event] = []
    while True:
        task = msgspec.json.decode(await tasks.get())
        try:
            if task["do"] == "make":
                events = made(task["type"], task["count"], hello["size"], time.time_ns())
                _say({})
            elif task["do"] == "go":
                _say({"acked": len(await fleet.publish_many(events, acks=hello["acks"]))})
            else:
                _say(await _paced(fleet, task, hello["acks"], hello["size"]))
        except* bus.BusError as several:
            _say({"error": str(several.exceptions[0])})


async def _answer(fleet: bus.Fleet, hello: dict[str, Any]) -> None:
    async def echo(payload: Any, _context: bus.CallContext) -> Any:
        return payload

    async with fleet.answers(hello["name"], echo):
        _say({})
        await asyncio.Event().wait()


async def _be(hello: dict[str, Any], tasks: asyncio.Queue[bytes]) -> None:
    async with bus.connect(hello["urls"], name="signalbox-bench") as fleet:
        if hello["role"] == "answer":
            await _answer(fleet, hello)
        _say({})
        await _publish(fleet, hello, tasks)


async def main() -> None:
    """Until stdin ends, which ends what is under way."""
    lines = await _lines()
    tasks: asyncio.Queue[bytes] = asyncio.Queue(TASKS_MAX)
    role = asyncio.create_task(_be(msgspec.json.decode(await lines.readline()), tasks))

    async def feed() -> None:
        while line := await lines.readline():
            await tasks.put(line)
        role.cancel()

    feeding = asyncio.create_task(feed())
    await asyncio.wait([role])
    feeding.cancel()
    if not role.cancelled():
        role.result()


if __name__ == "__main__":
    asyncio.run(main())
