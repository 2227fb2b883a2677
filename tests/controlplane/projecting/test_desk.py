"""Projections from the lever to the answer, with real workers: whose write is in it, and what ends it."""

import asyncio
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from controlplane import limits
from controlplane.errors import WorkerEnded
from controlplane.facts import FleetFounded, ProjectionQuarantined
from controlplane.projecting.process import ProjectionProcess
from controlplane.projecting.runner import Broken, Runner
from controlplane.projections import Registered
from controlplane.questions import (
    AskProjection,
    AskProjections,
    At,
    Project,
    Projected,
    ProjectionRows,
    Projections,
    Refusal,
)
from tests.controlplane.projecting.conftest import SUMS, WITHIN_S, Room, order

pytestmark = pytest.mark.fleet
VIEW = "select subject, count(*) as events from events where type = 'order.created' group by subject order by subject"
BODY = "        one = state.get"


def sums(count: int) -> dict[str, tuple[int, int]]:
    """What `SUMS` should hold after the first events."""
    return {
        f"s-{subject}": (len(numbers), sum(numbers))
        for subject in range(min(5, count))
        if (numbers := list(range(subject, count, 5)))
    }


async def held(room: Room, name: str = "sums", **more: object) -> dict[str, tuple[int, int]]:
    rows, _ = await room.rows(name, **more)
    return {row["key"]: (row["events"], row["total"]) for row in rows}


async def orders(room: Room, first: int, count: int) -> dict[int, int]:
    return await room.say(*(order(number) for number in range(first, first + count)))


async def test_what_happened_before_it_was_registered_and_after_is_in_it(room: Room) -> None:
    await orders(room, 0, 100)
    target = await room.file(SUMS, "Sums")
    would = await room.pull("add", "sums", kind="class", target=target, dry_run=True)
    assert isinstance(would, Projected) and (would.dry_run, would.position) == (True, 0)
    assert (await room.ask(AskProjections())).body == Projections([])
    said = await room.add("sums", target, expected=would.touched, by="op", reason="because")
    assert said.touched == would.touched and said.position > 100
    receipt = await orders(room, 100, 1)
    assert await held(room, offsets=receipt) == sums(101)
    for number in range(101, 110):
        receipt = await orders(room, number, 1)
        rows, told = await room.rows("sums", offsets=receipt)
        assert sum(row["events"] for row in rows) == number + 1
        assert max(row["last"] for row in rows) <= told.position <= room.journal.position
    row = await room.until("sums", lambda row: row.state == "following")
    assert (row.kind, row.pattern, row.keys, row.by, row.reason) == ("class", "order.>", 5, "op", "because")


async def test_several_receipts_and_positions_are_waited_for(room: Room) -> None:
    await room.add("sums", await room.file(SUMS, "Sums"))
    first = await orders(room, 0, 3)
    second = await room.say(order(3), partition=2)
    position = room.journal.position
    assert await held(room, offsets=first | second) == sums(4)
    _, told = await room.rows("sums", position=position)
    assert told.position >= position


async def test_what_has_not_come_is_refused_when_the_time_is_over(room: Room) -> None:
    await room.add("sums", await room.file(SUMS, "Sums"))
    refused = await room.refused("sums", offsets={3: 7}, timeout_ms=50)
    assert (refused.code, refused.message) == ("failed", "p03=7 was not archived within 0.05 s")
    refused = await room.refused("sums", position=10**9, timeout_ms=50)
    assert refused.code == "failed" and "did not come so far within 0.05 s" in refused.message
    assert (await room.refused("other")).code == "not_found"


async def test_a_receipt_of_no_partition_is_refused_at_once(room: Room) -> None:
    await room.add("sums", await room.file(SUMS, "Sums"))
    await room.turns.decide(FleetFounded("mine", 4, 16, ["b1"]))
    refused = await room.refused("sums", offsets={4: 0})
    assert (refused.code, refused.message) == ("not_found", "there is no partition p04; this fleet has 4")


def test_one_that_retention_overtakes_begins_anew(tmp_path: Path) -> None:
    registered = Registered("class", "m:C", ">", "", "", 1, 0, "", "")
    journal = SimpleNamespace(reach=SimpleNamespace(position=7))
    runner = Runner("sums", registered, tmp_path, cast(Any, journal))
    runner._begin()
    runner.position = 50
    journal.reach.position = 40
    runner._begin()
    assert (runner.journal_from, runner.position) == (7, 50)
    journal.reach.position = 60
    with pytest.raises(WorkerEnded, match="retention let go of events"):
        runner._begin()
    assert runner.position == 0
    runner._begin()
    assert runner.journal_from == 60
    runner.close()


async def test_a_pattern_of_ones_own(room: Room) -> None:
    await orders(room, 0, 5)
    await room.add("sums", await room.file(SUMS, "Sums"), pattern="nothing.>")
    position = room.journal.position
    rows, told = await room.rows("sums", position=position)
    assert rows == [] and told.position >= position
    refused = await room.pull("add", "x", kind="class", target=await room.file(SUMS, "Sums"), pattern="a..b")
    assert isinstance(refused, Refusal) and refused.code == "usage"


async def test_a_view_is_evaluated_when_it_is_asked(room: Room) -> None:
    await orders(room, 0, 7)
    said = await room.add("counted", VIEW, kind="view")
    assert said.touched == [f"counted  view {VIEW}"]
    receipt = await orders(room, 7, 1)
    rows, told = await room.rows("counted", offsets=receipt)
    assert [(row["subject"], row["events"]) for row in rows] == [
        ("s-0", 2),
        ("s-1", 2),
        ("s-2", 2),
        ("s-3", 1),
        ("s-4", 1),
    ]
    assert told.position >= 8
    assert (await room.row("counted")).state == "view"
    for sql in (
        "select 1; select 2",
        "from read_csv('/etc/passwd')",
        "select nothing from events",
        "drop table events",
    ):
        refused = await room.pull("add", "bad", kind="view", target=sql)
        assert isinstance(refused, Refusal) and refused.code == "usage", sql


async def test_its_killed_process_is_built_again_and_nothing_is_counted_twice(room: Room) -> None:
    await room.add("sums", await room.file(SUMS, "Sums"))
    receipt = await orders(room, 0, 20)
    assert await held(room, offsets=receipt) == sums(20)
    first = room.pid("sums")
    os.kill(first, signal.SIGKILL)
    receipt = await orders(room, 20, 5)
    assert await held(room, offsets=receipt) == sums(25)
    assert room.pid("sums") not in (0, first)


async def test_one_that_raises_is_quarantined_by_its_event_and_the_others_go_on(room: Room) -> None:
    fails = SUMS.replace(BODY, f"        if event.data['n'] == 7: raise KeyError('seven')\n{BODY}")
    await room.add("fails", await room.file(fails, "Sums", "fails.py"))
    await room.add("sums", await room.file(SUMS, "Sums"))
    receipt = await orders(room, 0, 10)
    assert await held(room, offsets=receipt) == sums(10)
    row = await room.until("fails", lambda row: row.state == "quarantined")
    assert (row.severity, row.why, row.event) == ("bad", "KeyError: 'seven'", "e-7 (order.created)")
    refused = await room.refused("fails", offsets=receipt)
    assert refused.code == "failed" and f"stands still at position {row.event_position:,}, e-7" in refused.message
    assert refused.hint == "signalbox projection rebuild fails"
    await room.file(SUMS, "Sums", "fails.py")
    said = await room.pull("rebuild", "fails", reason="mended")
    assert isinstance(said, Projected)
    assert await held(room, "fails", offsets=receipt) == sums(10)
    assert (await room.row("fails")).reason == "mended"


async def test_one_that_hangs_is_ended_by_its_event(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROJECTION_EVENT_MS_MAX", 1_500)
    hangs = SUMS.replace(BODY, f"        while event.data['n'] == 3: pass\n{BODY}")
    await room.add("hangs", await room.file(hangs, "Sums"))
    await room.until("hangs", lambda row: row.state == "following")
    process = psutil.Process(room.pid("hangs"))
    receipt = await orders(room, 0, 5)
    row = await room.until("hangs", lambda row: row.state == "quarantined")
    assert (row.why, row.event) == ("it takes longer than 1.5 s over one event", "e-3 (order.created)")
    assert not process.is_running()
    assert (await room.refused("hangs", offsets=receipt)).code == "failed"


async def test_one_that_only_waits_for_a_processor_does_not_hang(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROJECTION_EVENT_MS_MAX", 300)
    sleeps = SUMS.replace(BODY, f"        __import__('time').sleep(event.data['n'] == 3)\n{BODY}")
    monkeypatch.setattr(ProjectionProcess, "_wants_processor", lambda process: True)
    await room.add("sleeps", await room.file(sleeps, "Sums"))
    assert await held(room, "sleeps", offsets=await orders(room, 0, 5)) == sums(5)
    monkeypatch.setattr(ProjectionProcess, "_wants_processor", lambda process: False)
    await room.pull("rebuild", "sleeps")
    assert (await room.until("sleeps", lambda row: row.state == "quarantined")).event == "e-3 (order.created)"


async def test_one_that_takes_all_memory_is_ended_and_ingest_goes_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROJECTION_MEMORY_MB", 512)
    takes = SUMS.replace(BODY, f"        state[event.id] = bytes(64_000_000 * (event.data['n'] >= 2))\n{BODY}")
    await room.add("takes", await room.file(takes, "Sums"))
    await orders(room, 0, 30)
    row = await room.until("takes", lambda row: row.state == "quarantined")
    assert "MemoryError" in row.why and row.event.startswith("e-"), row
    await orders(room, 30, 5)
    assert room.journal.events == 35


async def test_one_whose_process_ends_at_an_event_is_quarantined_after_a_few(room: Room) -> None:
    ends = SUMS.replace(
        BODY, f"        __import__('os')._exit(7 * (event.data['n'] == 1)) if event.data['n'] == 1 else 0\n{BODY}"
    )
    await room.add("ends", await room.file(ends, "Sums"))
    await orders(room, 0, 3)
    row = await room.until("ends", lambda row: row.state == "quarantined")
    assert row.event == "e-1 (order.created)" and "exited with 7" in row.why and "3 times" in row.why


async def test_rows_that_raise_refuse_and_rows_that_hang_end_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    raises = SUMS + "\n    def rows(self, state):\n        yield {'a': 1}\n        yield state['nothing']\n"
    await room.add("raises", await room.file(raises, "Sums", "raises.py"))
    refused = await room.refused("raises")
    assert refused.code == "failed" and "its rows() raises KeyError: 'nothing'" in refused.message
    await room.until("raises", lambda row: row.state == "following")
    monkeypatch.setattr(limits, "PROJECTION_EVENT_MS_MAX", 1_000)
    hangs = SUMS + "\n    def rows(self, state):\n        while True: pass\n"
    await room.add("hangs", await room.file(hangs, "Sums", "hangs.py"))
    refused = await room.refused("hangs")
    assert "its rows() takes longer than 1 s" in refused.message
    assert (await room.until("hangs", lambda row: row.state == "quarantined")).event == ""


async def test_why_it_stands_is_its_last_word(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else is at it meanwhile finds its process gone, and the fact is not committed yet."""
    await room.add("sums", await room.file(SUMS, "Sums"))
    assert await held(room, offsets=await orders(room, 0, 3)) == sums(3)
    runners, committed = room.answering.projections.runners, asyncio.Event()
    live = runners.get("sums")
    assert live is not None and live.task is not None
    monkeypatch.setattr(room.turns, "decide", lambda fact: committed.wait())
    broken = Broken(ProjectionQuarantined("sums", live.runner.registered.build, 3, "", "at fault"))
    quarantine = asyncio.create_task(runners.quarantine(live, broken))
    await orders(room, 3, 3)
    live.asked.set()
    assert "at fault" in (await room.refused("sums")).message
    await asyncio.wait((live.task,), timeout=WITHIN_S)
    await runners.say(live, "its process ended")
    assert live.task.done() and live.stands and live.why == str(broken)
    committed.set()
    await quarantine


async def test_a_lever_that_is_let_go_of_is_in_nobodys_way(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread goes on, in the folder that the next one needs."""
    begun, may_go_on, at_once = threading.Event(), threading.Event(), list[int]()
    load = ProjectionProcess.load

    def slow(process: ProjectionProcess, *about: str) -> Any:
        at_once.append(1)
        begun.set()
        may_go_on.wait(WITHIN_S)
        try:
            return load(process, *about)
        finally:
            at_once.pop()

    monkeypatch.setattr(ProjectionProcess, "load", slow)
    add = Project("add", "sums", kind="class", target=await room.file(SUMS, "Sums"), dry_run=True)
    gone = asyncio.create_task(room.ask(add))
    assert await asyncio.to_thread(begun.wait, WITHIN_S)
    gone.cancel()
    begun.clear()
    next_one = asyncio.create_task(room.ask(add))
    assert not await asyncio.to_thread(begun.wait, 0.5) and len(at_once) == 1
    may_go_on.set()
    assert isinstance((await next_one).body, Projected)


async def test_code_that_changed_is_said_and_used_when_it_is_rebuilt(room: Room) -> None:
    await room.add("sums", await room.file(SUMS, "Sums"))
    receipt = await orders(room, 0, 10)
    assert await held(room, offsets=receipt) == sums(10)
    pid = room.pid("sums")
    doubled = SUMS.replace('+ event.data["n"]', '+ 2 * event.data["n"]')
    await room.file(doubled, "Sums")
    row = await room.row("sums")
    assert row.severity == "warn" and row.why.endswith("mine.py has changed since"), row
    assert row.mend == "projection rebuild sums"
    assert await held(room) == sums(10)
    os.kill(pid, signal.SIGKILL)
    row = await room.until("sums", lambda row: row.state == "standing")
    assert "is not what it was when it was registered" in row.why
    assert "is not what it was" in (await room.refused("sums")).message
    await room.file(doubled.replace("order.>", "order.*"), "Sums")
    assert isinstance(await room.pull("rebuild", "sums"), Projected)
    assert (await room.row("sums")).pattern == "order.*"
    assert await held(room, offsets=receipt) == {key: (events, 2 * total) for key, (events, total) in sums(10).items()}


async def test_a_removed_one_is_gone_with_its_process(room: Room) -> None:
    await room.add("sums", await room.file(SUMS, "Sums"))
    await room.until("sums", lambda row: row.state == "following")
    process = psutil.Process(room.pid("sums"))
    assert isinstance(await room.pull("remove", "sums"), Projected)
    await asyncio.to_thread(process.wait, WITHIN_S)
    assert (await room.refused("sums")).code == "not_found"
    assert (await room.pull("remove", "sums")).code == "not_found"  # type: ignore[union-attr]


async def test_it_stands_back_and_ends_with_its_plane(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.add("sums", await room.file(SUMS, "Sums"))
    await room.until("sums", lambda row: row.state == "following")
    process = psutil.Process(room.pid("sums"))
    assert process.nice() >= limits.PROJECTION_NICENESS
    megabyte = 1024 * 1024
    assert process.rlimit(psutil.RLIMIT_DATA)[1] == limits.PROJECTION_MEMORY_MB * megabyte
    assert process.rlimit(psutil.RLIMIT_FSIZE)[1] == limits.PROJECTION_FILE_MB * megabyte
    written = [file.path for file in process.open_files() if file.mode not in ("r", "rb")]
    assert all(Path(path).parent == tmp_path / "projections" / "sums" for path in written), written
    await room.close()
    assert not process.is_running()


async def test_a_plane_that_starts_again_remembers_and_builds(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.add("sums", await room.file(SUMS, "Sums"))
    await room.add("counted", VIEW, kind="view")
    fails = SUMS.replace(BODY, f"        raise ValueError('no')\n{BODY}")
    await room.add("fails", await room.file(fails, "Sums", "fails.py"))
    receipt = await orders(room, 0, 10)
    await room.until("fails", lambda row: row.state == "quarantined")
    await room.close()
    room = Room(tmp_path)
    try:
        assert await held(room, offsets=receipt) == sums(10)
        receipt = await orders(room, 10, 5)
        assert await held(room, offsets=receipt) == sums(15)
        assert len((await room.rows("counted", offsets=receipt))[0]) == 5
        row = await room.row("fails")
        assert (row.state, row.why) == ("quarantined", "ValueError: no")
    finally:
        await room.close()


@pytest.mark.parametrize("kept", [64, 1], ids=["sealed", "parquet"])
async def test_it_reads_sealed_segments_by_itself_and_goes_on_over_sealing(
    room: Room, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 20)
    monkeypatch.setattr(limits, "SEGMENTS_SEALED_MAX", kept)
    await room.add("early", await room.file(SUMS, "Sums"))
    for first in range(0, 90, 5):
        receipt = await orders(room, first, 5)
        await asyncio.to_thread(room.journal.settle)
    sealed, upto = room.journal.sealed
    assert len(sealed) >= 2 and 0 < upto < room.journal.position
    assert sealed[0].name.endswith(".parquet") == (kept == 1)
    await room.add("late", await room.file(SUMS, "Sums"))
    for name in ("early", "late"):
        assert await held(room, name, offsets=receipt) == sums(90)
    rows, _ = await room.rows("late")
    assert rows == (await room.rows("early"))[0]


async def test_the_past_has_the_list_and_views_as_of_then(room: Room) -> None:
    before = room.journal.position
    await orders(room, 0, 2)
    said = await room.add("sums", await room.file(SUMS, "Sums"))
    viewed = await room.add("counted", VIEW, kind="view")
    await orders(room, 2, 3)
    assert isinstance(await room.pull("remove", "counted"), Projected)
    then = (await room.ask(AskProjections(), At(viewed.position))).body
    assert isinstance(then, Projections) and [row.name for row in then.rows] == ["counted", "sums"]
    assert (await room.ask(AskProjections(), At(before))).body == Projections([])
    told = await room.ask(AskProjection("counted"), At(viewed.position))
    assert isinstance(told.body, ProjectionRows) and told.past and told.position == viewed.position
    assert told.body.values() == [["s-0", 1], ["s-1", 1]]
    refused = (await room.ask(AskProjection("counted"), At(said.position))).body
    assert isinstance(refused, Refusal) and refused.code == "not_found"
    for question in (AskProjection("sums"), Project("remove", "sums")):
        refused = (await room.ask(question, At(said.position))).body
        assert isinstance(refused, Refusal) and refused.code == "usage"
