"""Brokers that somebody else started: processes beside a live fleet, of its id or of another, gone after the test."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.live import ENDED_S, ROOT, until


class Guest:
    """One broker in a folder of its own. `start` may follow a kill; its port stays."""

    def __init__(self, folder: Path, id: str, fleet: str, *options: str) -> None:
        self.id = id
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._line = [sys.executable, "-P", "-m", "bus", "--dir", str(folder), "--id", id, "--fleet", fleet, *options]

    async def start(self) -> str:
        """Start it, and wait until it listens; where."""
        pid = self._run().pid
        said = self.folder / "broker.json"
        await until(f"{self.id} listens", lambda: said.exists() and json.loads(said.read_text())["pid"] == pid)
        return str(json.loads(said.read_text())["url"])

    def _run(self) -> "subprocess.Popen[bytes]":
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._line, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        return self.process

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, as its owner or the kernel would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(ENDED_S)

    def forget(self) -> None:
        """Its store is lost; it is another replica from here on."""
        shutil.rmtree(self.folder / "store.lmdb")

    @property
    def store(self) -> str:
        """The uuid of its store."""
        return str(json.loads((self.folder / "broker.json").read_text())["store"])

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self.folder / "broker.log").read_text()


@contextmanager
def guest(folder: Path, id: str, fleet: str, *options: str) -> Iterator[Guest]:
    """A broker that is not started yet, and gone afterwards."""
    one = Guest(folder, id, fleet, *options)
    try:
        yield one
    finally:
        one.kill()
