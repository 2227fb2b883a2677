"""The play itself: announce the agents, publish each event when it is due, let the consumers finish."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import msgspec

import bus
from console.demo.consumers import Consumer, consumers
from console.demo.script import Script

CHUNK_EVENTS = 2_000
PATIENCE_S = 15.0
_SECOND = 1_000_000_000


@dataclass
class Played:
    """What was done. `published` maps each acked event's id to its fingerprint; `failed` counts what was not acked."""

    published: dict[str, bytes] = field(default_factory=dict)
    by_type: dict[str, int] = field(default_factory=dict)
    joined: int = 0
    failed: int = 0
    error: str = ""
    seconds: float = 0.0
    groups: list[Consumer] = field(default_factory=list)
    drained: bool = True


def fingerprint(line: bytes | str) -> bytes:
    """Of what an event's JSON says, however it is written."""
    said = msgspec.json.encode(msgspec.json.decode(line), order="deterministic")
    return blake2b(said, digest_size=16).digest()


@dataclass(frozen=True)
class Pace:
    """How fast (0: at once), how often, and for how many seconds at most."""

    speed: float
    repeat: int
    seconds: float | None


class Stage:
    """One play on one fleet. `on_progress(published, total)` is called after each chunk."""

    def __init__(self, script: Script, pace: Pace, on_progress: Callable[[int, int], None]) -> None:
        self.script, self.pace, self.on_progress = script, pace, on_progress
        self.played = Played(groups=consumers())
        self.total = len(script.lines) * pace.repeat
        self.began = time.monotonic()

    async def run(self, data_dir: Path, until: "asyncio.Event | None" = None) -> None:
        """Play. With `until`, the consumers go on until that is set, however long after the last event."""
        async with bus.connect(data_dir=data_dir, name="signalbox-demo") as fleet:
            tasks = [asyncio.create_task(group.run(fleet)) for group in self.played.groups]
            try:
                await self._all_joined(tasks)
                await self._announce(fleet)
                await self._publish(fleet, until)
                if until is not None:
                    await until.wait()
                await self._drain()
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if isinstance(error, bus.BusError):
                    self.played.error = self.played.error or str(error)
                elif isinstance(error, Exception):
                    raise error

    async def _all_joined(self, tasks: "list[asyncio.Task[None]]") -> None:
        for task, group in zip(tasks, self.played.groups, strict=True):
            waiting = asyncio.create_task(group.joined.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.done():
                task.result()

    async def _announce(self, fleet: bus.Fleet) -> None:
        """One connection speaks for all agents of the log."""
        now = time.time_ns()
        hello = [
            bus.Event(type="agent.lifecycle.joined", source=source, subject=source, time=now, data={"by": "demo"})
            for source in self.script.sources
        ]
        self.played.joined = len(await fleet.publish_many(hello))

    async def _publish(self, fleet: bus.Fleet, until: "asyncio.Event | None") -> None:
        speed = self.pace.speed
        began, wall = time.monotonic(), time.time_ns()
        self.began = began
        last = self.script.span_ns + (self.pace.repeat - 1) * self.script.round_ns
        chunk: list[bus.Event] = []
        for due, event in self.script.rounds(self.pace.repeat):
            at = began + due / _SECOND / speed if speed else began
            if chunk and (len(chunk) >= CHUNK_EVENTS or at > time.monotonic()):
                await self._send(fleet, chunk)
                chunk = []
            if self._over(began, at) or (until is not None and until.is_set()):
                break
            if not await _wait_until(at, until):
                break
            chunk.append(event.replace(time=wall + int(due / speed) if speed else wall - last + due))
        if chunk:
            await self._send(fleet, chunk)

    def _over(self, began: float, at: float) -> bool:
        return self.pace.seconds is not None and max(time.monotonic(), at) - began > self.pace.seconds

    async def _send(self, fleet: bus.Fleet, chunk: list[bus.Event]) -> None:
        played = self.played
        try:
            results: list[object] = list(await fleet.publish_many(chunk))
        except bus.PublishError as error:
            results, played.error = error.results, str(error)
        for event, result in zip(chunk, results, strict=True):
            if isinstance(result, bus.Receipt):
                played.published[event.id] = fingerprint(bus.to_json(event))
                played.by_type[event.type] = played.by_type.get(event.type, 0) + 1
            else:
                played.failed += 1
        played.seconds = time.monotonic() - self.began
        self.on_progress(len(played.published), self.total)

    async def _drain(self) -> None:
        for group in self.played.groups:
            wanted = self.played.by_type.get(group.pattern, 0)
            if not await group.drained(wanted, PATIENCE_S):
                self.played.drained = False


async def _wait_until(at: float, until: "asyncio.Event | None") -> bool:
    """Wait for an instant of the monotonic clock; False when `until` was set before it."""
    pause = at - time.monotonic()
    if pause <= 0:
        return True
    if until is None:
        await asyncio.sleep(pause)
        return True
    try:
        await asyncio.wait_for(until.wait(), pause)
    except TimeoutError:
        return True
    return False
