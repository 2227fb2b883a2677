"""A client that vanishes during a long question: the work for it ends, and nobody else notices."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from controlplane import limits
from controlplane.fold import Step
from controlplane.journal import Journal
from controlplane.questions import AskStatus, Status
from tests.controlplane.edge.asked import END_S, Asked
from tests.controlplane.edge.asked import asked as plane

RUNAWAY = "select count(*) from range(1000000) a, range(1000000) b where a.range * b.range % 7 = 3"
STEP_S = 0.1
"""How long a step of the journal takes to be read here."""


class SlowJournal:
    """In the place of `Journal.replay`: the same steps, each after a while. `read` counts them."""

    def __init__(self) -> None:
        self._real: Callable[..., Iterator[Step]] = Journal.replay
        self.read = 0
        self.reading = 0

    def replay(self, journal: Journal, *given: Any, **named: Any) -> Iterator[Step]:
        self.reading += 1
        try:
            for step in self._real(journal, *given, **named):
                self.read += 1
                threading.Event().wait(STEP_S)
                yield step
        finally:
            self.reading -= 1

    @property
    def is_left(self) -> bool:
        """Whether no thread reads any more: what nobody refers to is closed."""
        return not self.reading or (gc.collect() >= 0 and not self.reading)


@pytest.fixture
async def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setattr(limits, "SQL_START_MS_MAX", 120_000)
    async with plane(tmp_path) as made:
        yield made


@pytest.fixture
def slow(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowJournal]:
    journal = SlowJournal()
    gc.freeze()  # what is there by now is not looked through each time that something looks whether it is left
    monkeypatch.setattr(asked.life.journal, "replay", lambda *a, **k: journal.replay(asked.life.journal, *a, **k))
    monkeypatch.setattr(asked.life.answering._as_of._pasts, "_steps", asked.life.journal.replay)
    yield journal
    gc.unfreeze()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(END_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "verify"],
        ["replay", "what-if", "--set", "sagas.stuck_after=1s"],
        ["replay", "diff", "1", "END"],
        ["replay", "at", "END"],
        ["status", "--at", "END"],
        ["event", "search", "x", "--at", "END"],
        ["sql", "select count(*) from sagas", "--at", "END"],
    ],
    ids=" ".join,
)
async def test_the_journal_is_read_no_further_for_a_client_that_was_killed(
    asked: Asked, slow: SlowJournal, words: list[str]
) -> None:
    steps, end = asked.life.journal.step, str(asked.life.journal.position)
    client = asked.client(*(end if word == "END" else word for word in words))
    await until(lambda: slow.read >= 3)
    client.kill()
    await until(lambda: asked.socket.given_up == 1 and not asked.socket._tasks and slow.is_left)
    assert slow.read < steps, "it did not end by itself"


async def test_a_query_ends_with_its_client(asked: Asked) -> None:
    desk = asked.life.answering._desk
    client = asked.client("sql", RUNAWAY)
    await until(lambda: any(query.doing == "running the query" for query in desk._queries.values()))
    assert desk._worker is not None
    worker = psutil.Process(desk._worker._child.pid)
    client.kill()
    await until(lambda: asked.socket.given_up == 1)
    await asyncio.to_thread(worker.wait, END_S)
    assert not desk._queries
    again = asked.client("sql", "select count(*) from events")
    assert await asyncio.to_thread(again.wait, END_S) == 0


async def test_an_export_waits_no_longer_for_the_archive(asked: Asked) -> None:
    async def describe() -> dict[int, Any]:
        return {0: SimpleNamespace(high=10**9)}

    asked.life.answering.look_through(cast(Any, SimpleNamespace(describe=describe)))
    client = asked.client("event", "export")
    condition = asked.life.turns._landing._committed
    await until(lambda: len(condition._waiters) == 1)
    client.kill()
    await until(lambda: asked.socket.given_up == 1 and not condition._waiters)


async def test_others_that_ask_meanwhile_get_their_answers(asked: Asked, slow: SlowJournal) -> None:
    """Two want the same moment; the one for whom it is made goes, and it is made for the other."""
    end = str(asked.life.journal.position)
    first = asked.client("status", "--at", end)
    await until(lambda: slow.read >= 3)
    second = asked.client("status", "--at", end)
    await until(lambda: len(asked.socket._tasks) == 2)
    first.kill()
    assert await asyncio.to_thread(second.wait, END_S) == 0
    assert asked.socket.given_up == 1
    told = await asked.life.ask(AskStatus())
    assert isinstance(told.body, Status)


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ASKER_PING_MS", 100)
    monkeypatch.setattr(limits, "ASKER_SILENT_MS_MAX", 1_000)


async def test_a_client_that_hangs_is_gone_after_a_while(pings: None, asked: Asked, slow: SlowJournal) -> None:
    client = asked.client("replay", "verify")
    await until(lambda: slow.read * STEP_S > 2 * limits.ASKER_SILENT_MS_MAX / 1000)
    assert asked.socket.given_up == 0, "it answered its pings"
    os.kill(client.pid, signal.SIGSTOP)
    await until(lambda: asked.socket.given_up == 1 and slow.is_left)
    assert slow.read < asked.life.journal.step
