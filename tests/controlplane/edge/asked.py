"""A plane that answers on its socket, over a made-up life, and the command line as processes of their own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from controlplane.asking import QuestionSocket
from tests.console.cli.responder import plane_file
from tests.controlplane.edge.lived import Lived, demo_log

SIGNALBOX = Path(sys.executable).parent / "signalbox"
END_S = 150


class Asked:
    """A plane that answers on a socket, and clients of it that are processes of their own."""

    def __init__(self, folder: Path, life: Lived) -> None:
        self.life = life
        self.socket = QuestionSocket(life.answering.answer, life.answering.present)
        self.folder = folder
        (folder / "plane.json").write_bytes(plane_file(self.socket.url))
        self._clients: list[subprocess.Popen[bytes]] = []

    def client(self, *words: str) -> "subprocess.Popen[bytes]":
        command = [str(SIGNALBOX), *words, "--data-dir", str(self.folder)]
        self._clients.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self._clients[-1]

    async def run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        """A command, to its end."""
        command = [str(SIGNALBOX), *words, "--data-dir", str(self.folder)]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=END_S, check=False)

    def close(self) -> None:
        for client in self._clients:
            client.kill()
            client.wait()
        self.socket.close()


@asynccontextmanager
async def asked(folder: Path) -> AsyncIterator[Asked]:
    """It lived through the beginning of the demo's log."""
    (folder / "journal").mkdir()
    life = Lived(folder / "journal")
    with life.one_turn():
        life.begin()
    for _ in life.live(demo_log()[:200], size=10):
        pass
    made = Asked(folder, life)
    serving = asyncio.create_task(made.socket.serve())
    try:
        yield made
    finally:
        life.answering.stopping = True  # whatever was not given up ends with the plane
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        made.close()
        await asyncio.to_thread(life.close)
