"""The other process of a measurement, seen from here: tasks go to its stdin as JSON lines, answers come from stdout.

It ends when its stdin does, so that it never outlives this one, however this one ends.
"""

import asyncio
from types import TracebackType
from typing import Any

import msgspec

from console.failures import Failure
from console.terminal import PYTHON

READY_S = 30.0
ENDING_S = 10.0
LINE_BYTES_MAX = 64 * 1024


class Far:
    """A publisher (`role` "publish") or an agent that answers ("answer"), connected to the fleet at `urls`."""

    def __init__(self, role: str, urls: list[str], settings: dict[str, Any]) -> None:
        self._hello = {"role": role, "urls": urls} | settings
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Far":
        # A session of its own, so that Ctrl-C reaches this process alone, which then ends the other in order.
        self._process = await asyncio.create_subprocess_exec(
            *PYTHON,
            "console.bench",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            start_new_session=True,
        )
        try:
            await asyncio.wait_for(self.ask(self._hello), READY_S)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """One line there, one line back. Raises Failure with what the other process says was wrong."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise Failure("the other process of the measurement was not started")
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise Failure("the other process of the measurement ended", "What it said stands above.")
        answer: dict[str, Any] = msgspec.json.decode(line)
        if "error" in answer:
            raise Failure(f"the other process of the measurement: {answer['error']}")
        return answer

    async def _end(self) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), ENDING_S)
        except TimeoutError:
            process.kill()
            await process.wait()
