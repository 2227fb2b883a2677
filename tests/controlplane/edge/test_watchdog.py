"""A plane that stands still says so: in its log, with where its threads stand, and in what it answers."""

import asyncio
import ctypes
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane import limits
from controlplane.answering import Answering
from controlplane.clock import Clock
from controlplane.fold import Heart
from controlplane.journal import Journal, Kept
from controlplane.plane import folds
from controlplane.questions import AskHealth, Health
from controlplane.turns import Turns
from controlplane.watchdog import Watchdog
from tests.controlplane.edge.examples import FOLLOWS

HELD_MS = 1_000
ENOUGH_S = 30.0


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TURN_WATCH_MS", 20)
    monkeypatch.setattr(limits, "TURN_MS_MAX", 200)


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[Turns, asyncio.Queue[str]]]:
    """Turns, and what the watchdog says of them; nothing runs yet."""
    turns = Turns(Heart(folds()), Journal(folder, FOLLOWS), Clock(), FOLLOWS, lambda said: None)
    loop, said = asyncio.get_running_loop(), asyncio.Queue[str]()

    def stuck(beats: int, why: str) -> None:
        loop.call_soon_threadsafe(turns.stand_still, beats, why)
        loop.call_soon_threadsafe(said.put_nowait, why)

    watchdog = Watchdog(folder / "plane.log", turns.progress, stuck)
    watchdog.start()
    try:
        yield turns, said
    finally:
        watchdog.stop()
        turns.close()
        turns.journal.close()


async def test_a_commit_that_does_not_return_is_told_and_answers_carry_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched(tmp_path) as (turns, said):
        commit, released = turns.journal.commit, threading.Event()

        def held(kept: Sequence[Kept]) -> None:
            assert released.wait(ENOUGH_S)
            commit(kept)

        monkeypatch.setattr(turns.journal, "commit", held)
        turn = asyncio.create_task(turns.turn())
        why = await asyncio.wait_for(said.get(), ENOUGH_S)
        assert "it commits 1 step, positions 1 to 1" in why
        assert "thread journal_0" in caplog.text and "in held" in caplog.text

        answering = Answering(turns, cast(Any, None), cast(Any, None), str(tmp_path), lambda reason: None)
        body = (await asyncio.wait_for(answering.answer(AskHealth(), lambda body: None), ENOUGH_S)).body
        assert isinstance(body, Health)
        assert (body.penalties[0].what, body.penalties[0].why) == ("the plane stands still", why)

        released.set()
        await turn
        assert turns.stuck == "" and turns.journal.position == 1
        body = (await answering.answer(AskHealth(), lambda body: None)).body
        assert isinstance(body, Health) and "the plane stands still" not in [need.what for need in body.penalties]


async def test_a_loop_that_stands_still_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    never = threading.Event()
    async with watched(tmp_path) as (_, said):
        while "in test_a_loop_that_stands_still_is_told" not in caplog.text:
            never.wait(0.01)
        assert "no turn has come to its end" in await asyncio.wait_for(said.get(), ENOUGH_S)


def test_an_interpreter_that_stands_still_is_told(tmp_path: Path) -> None:
    looked = threading.Event()

    def progress() -> tuple[int, str]:
        looked.set()
        return 1, "it works"

    watchdog = Watchdog(tmp_path / "plane.log", progress, lambda beats, why: None)
    watchdog.start()
    assert looked.wait(ENOUGH_S)
    ctypes.PyDLL(None).poll(None, 0, HELD_MS)  # waits in C, and keeps every other thread from running
    watchdog.stop()
    assert "in test_an_interpreter_that_stands_still_is_told" in (tmp_path / "plane.log").read_text()


def test_a_process_that_a_library_aborts_leaves_a_word_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "plane.log"
    dies = (
        f"import os, pathlib; from controlplane import __main__ as m; m.log_to(pathlib.Path({str(path)!r})); os.abort()"
    )
    ended = subprocess.run([sys.executable, "-c", dies], stderr=subprocess.DEVNULL, timeout=ENOUGH_S, check=False)
    assert ended.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in path.read_text() and 'File "<string>", line 1' in path.read_text()


async def test_turns_that_go_on_are_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with watched(tmp_path) as (turns, said):
        for _ in range(20):
            await turns.turn()
            await asyncio.sleep(limits.TURN_WATCH_MS / 1000)
        assert said.empty() and "come to its end" not in caplog.text
    assert (tmp_path / "plane.log").read_text() == ""
