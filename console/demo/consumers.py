"""Two consumers that do honest work, which sometimes fails; what they raise becomes retries and dead letters.

`reviewer` parses the Python in each message's fences and raises on a syntax error. `watcher` raises what the
terminal said when a command failed. Neither pretends: a redriven event fails again.
"""

import ast
import asyncio
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bus

MAX_DELIVER = 3
RETRY_S = 0.25
_FENCE = re.compile(r"```[Pp]ython[^\n]*\n(.*?)```", re.DOTALL)


class ExecutionFailed(Exception):
    """A command of the log's terminal failed; the message is the error of its traceback, else what it said last."""


def text_of(event: bus.Event) -> str:
    """The text an event carries, or ""."""
    data: Any = event.data
    text = data.get("text") if isinstance(data, dict) else None
    return text if isinstance(text, str) else ""


def review(event: bus.Event) -> None:
    """Parse every fenced Python block. Raises SyntaxError (or ValueError for what no parser takes)."""
    for block in _FENCE.findall(text_of(event)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(block)


def watch(event: bus.Event) -> None:
    """Raise what the terminal said."""
    text = text_of(event)
    _, traced, raised = text.rpartition("Traceback (most recent call last):")
    lines = [line for line in text.splitlines() if line.strip()]
    if traced:
        # A traceback's frames are indented; its error comes next. What the command had printed follows.
        lines = [line for line in raised.splitlines() if line.strip() and not line[0].isspace()][:1] or lines
    raise ExecutionFailed(lines[-1].strip() if lines else "failed without a word")


@dataclass
class Consumer:
    """One group of one member. `finished` holds (partition, offset) of what is acked or given up for good."""

    group: str
    pattern: str
    work: Callable[[bus.Event], None]
    finished: set[tuple[int, int]] = field(default_factory=set)
    acked: int = 0
    retried: int = 0
    given_up: int = 0
    joined: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, fleet: bus.Fleet) -> None:
        """Work until cancelled."""
        async with fleet.subscribe(self.pattern, group=self.group, max_deliver=MAX_DELIVER) as deliveries:
            self.joined.set()
            async for delivery in deliveries:
                self._take(delivery)

    def _take(self, delivery: bus.Delivery) -> None:
        place = (delivery.partition, delivery.offset)
        try:
            self.work(delivery.event)
        except (ExecutionFailed, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            delay = RETRY_S * 2 ** (delivery.attempt - 1)
            # What the terminal said names its own kind; the class in front would only push it out of narrow columns.
            said = str(error) if isinstance(error, ExecutionFailed) else f"{type(error).__name__}: {error}"
            # Not awaited: one that comes too late, or meets a leader's end, comes back as another delivery.
            delivery.nack(delay=delay, error=said)
            if delivery.attempt < MAX_DELIVER:
                self.retried += 1
                return
            self.given_up += place not in self.finished
        else:
            delivery.ack()
            self.acked += 1
        self.finished.add(place)
        self.moved.set()

    async def drained(self, wanted: int, patience: float) -> bool:
        """Wait until `wanted` events are finished; False when nothing moved for `patience` seconds."""
        while len(self.finished) < wanted:
            self.moved.clear()
            try:
                await asyncio.wait_for(self.moved.wait(), patience)
            except TimeoutError:
                return False
        return True


def consumers() -> list[Consumer]:
    """The demo's two groups."""
    return [Consumer("reviewer", "agent.message", review), Consumer("watcher", "exec.failed", watch)]
