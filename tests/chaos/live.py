"""A real fleet in a directory of its own: processes that can be killed, and none of which outlives the test."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bus
from console.link import Link, NoAnswer
from controlplane.directory import BrokerFile, Directory, alive
from controlplane.questions import AskExport, AskStatus, Body, Exported, Question, Status

ROOT = Path(__file__).resolve().parents[2]
READY_S = 40.0
ENDED_S = 30.0


class LiveFleet:
    """A plane and its brokers. `start` may follow a kill. `odd`: what `oddplane` is told, for a plane of that kind."""

    def __init__(self, folder: Path, *options: str, odd: Sequence[str] = ()) -> None:
        self.directory = Directory(folder)
        self.odd = list(odd)
        self.options = options
        self.plane: subprocess.Popen[bytes] | None = None
        self._said = ""

    def start(self) -> None:
        """Start a plane; it ends with this process, however that ends."""
        module = ["tests.chaos.oddplane", *self.odd, "--"] if self.odd else ["controlplane"]
        command = [sys.executable, "-m", *module, "--data-dir", str(self.directory.root), "--while-stdin"]
        self.plane = subprocess.Popen(
            [*command, *self.options], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )

    def kill_plane(self) -> None:
        """As the kernel would: at once, without a word."""
        plane = self._plane()
        plane.kill()
        plane.wait(ENDED_S)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the fleet with a signal to its plane; the exit code."""
        plane = self._plane()
        plane.send_signal(number)
        return plane.wait(ENDED_S)

    def broker(self, broker: str) -> BrokerFile:
        """What a broker says of itself."""
        file = self.directory.broker_file(broker)
        assert file is not None, f"{broker} has not said where it is"
        return file

    def kill_broker(self, broker: str) -> int:
        """SIGKILL; the pid that it had."""
        pid = self.broker(broker).pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def live(self) -> list[int]:
        """Pids of the fleet's live processes."""
        files = [self.directory.broker_file(broker) for broker in self.directory.brokers()]
        found = [file.pid for file in files if file is not None and alive(file.pid, file.started)]
        if self.plane is not None and self.plane.poll() is None:
            found.append(self.plane.pid)
        return found

    def started(self) -> list[int]:
        """Pids of all brokers that its planes have started so far."""
        lines = self.directory.log.read_text().splitlines() if self.directory.log.exists() else []
        return [int(line.rpartition(" ")[2]) for line in lines if ": started broker " in line]

    def ask(self, question: Question, timeout: float = 20.0) -> Body:
        """One question to the plane that runs now. Raises NoAnswer."""
        file = self.directory.plane()
        if file is None or self.plane is None or file.pid != self.plane.pid:
            raise NoAnswer("the plane is not up")
        link = Link(file.url)
        try:
            return link.ask(question, timeout).body
        finally:
            link.close()

    def status(self) -> Status | None:
        """The fleet's status, or None while nobody answers."""
        try:
            body = self.ask(AskStatus(), timeout=2.0)
        except NoAnswer:
            return None
        return body if isinstance(body, Status) else None

    async def ready(self) -> Status:
        """Wait until every broker is up and every partition led."""

        def is_ready() -> Status | None:
            status = self.status()
            if status is None or status.controlplane.state != "running":
                return None
            up = all(broker.state in ("up", "slow") for broker in status.brokers)
            return status if up and all(each.leader for each in status.partitions) else None

        return await until("the fleet is ready", lambda: asyncio.to_thread(is_ready))

    def exported(self) -> list[dict[str, Any]]:
        """Everything archived up to now, in journal order, as JSON objects."""
        lines: list[str] = []
        page = self._page(AskExport())
        while True:
            lines += page.lines
            if page.done:
                return [json.loads(line) for line in lines]
            page = self._page(AskExport(after=page.after, up_to=page.up_to))

    def _page(self, ask: AskExport) -> Exported:
        page = self.ask(ask, timeout=60.0)
        assert isinstance(page, Exported), page
        return page

    def said(self) -> str:
        """What the plane that ended said on stderr."""
        plane = self._plane()
        assert plane.stderr is not None
        self._said += plane.stderr.read().decode()
        return self._said

    def clean_up(self) -> None:
        """Leave nothing behind."""
        if self.plane is not None and self.plane.poll() is None:
            self.plane.terminate()
            try:
                self.plane.wait(ENDED_S)
            except subprocess.TimeoutExpired:
                self.plane.kill()
                self.plane.wait()
        for pid in self.live():
            os.kill(pid, signal.SIGKILL)
        if self.plane is not None and self.plane.returncode not in (0, 1, -signal.SIGKILL, -signal.SIGTERM):
            sys.stderr.write(f"the plane ended with {self.plane.returncode}, and said: {self.said()}\n")
        for stream in (self.plane.stdin, self.plane.stderr) if self.plane is not None else ():
            if stream is not None:
                stream.close()

    def _plane(self) -> "subprocess.Popen[bytes]":
        assert self.plane is not None, "the plane was not started"
        return self.plane


@contextmanager
def live_fleet(folder: Path, *options: str, odd: Sequence[str] = ()) -> Iterator[LiveFleet]:
    """A fleet that was started and is gone afterwards."""
    fleet = LiveFleet(folder, *options, odd=odd)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.clean_up()


async def until(what: str, look: Callable[[], Any], within: float = READY_S) -> Any:
    """The first true answer of `look` (which may be a coroutine function), looked for every 50 ms."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within:g} s")
        await asyncio.sleep(0.05)


def numbered(count: int, first: int = 0) -> list[bus.Event]:
    """Events with ids of their own, of fifty sagas, whose order within a saga shows in their data."""
    return [
        bus.Event(id=f"n-{n}", type="load.step", source=f"agent/{n % 7}", subject=f"saga-{n % 50}", data={"n": n})
        for n in range(first, first + count)
    ]
