"""SQL from question to answer, with a real worker: what it sees, that it follows, and how it ends."""

import asyncio
import os
import signal
import socket
from time import monotonic
from typing import Any

import psutil
import pytest

from bus.event import Event
from controlplane import limits
from controlplane.questions import AskSql, Refusal
from tests.controlplane.logs import NOW
from tests.controlplane.sql.conftest import Office, as_json, order

RUNAWAY = "select count(*) from range(1000000) a, range(1000000) b where a.range * b.range % 7 = 3"


def worker_of(office: Office) -> psutil.Process:
    worker = office.desk._worker
    assert worker is not None
    return psutil.Process(worker._child.pid)


async def until_running(office: Office) -> None:
    """A query has come as far as being run."""
    async with asyncio.timeout(30):
        while not any(query.doing == "running the query" for query in office.desk._queries.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_documented_tables_hold_what_happened(office: Office) -> None:
    events = await office.rows(
        "select position, type, source, subject, saga, data, attributes, time_ns, recorded, bytes, size, internal "
        "from events order by position"
    )
    assert len(events) == 13
    assert events[0][1:7] == ["order.created", "agent/shop", "order-0", "order-0", '{"n":0}', None]
    assert as_json(events[8][6]) == {"priority": "high", "importof": "log"}
    assert events[8][7] == NOW + 123_456_789
    assert events[9][9:] == [b"\x00\xff", 2, False]
    assert events[10][-1] is True
    assert await office.rows("select sum((data->>'$.n')::int) from events where type = 'order.created'") == [[36]]
    facts = await office.rows("select kind, cause, fact->>'$.id' from facts where kind = 'BrokerLost'")
    assert facts == [["BrokerLost", None, "b1"]]
    flows = await office.rows("select source, type, events, recent from flows order by type")
    assert flows == [["agent/shop", "order.created", 9, 9], ["agent/till", "order.scanned", 1, 1]]
    sagas = await office.rows("select saga, state, steps, step, severity from sagas order by saga")
    assert [saga[:3] for saga in sagas] == [[f"order-{n}", "open", 1 + (n < 4)] for n in range(5)]
    letters = await office.rows("select id, dead_group, \"group\", state, attempts, event->>'$.type' from dead_letters")
    assert sorted(letters) == [[f"d-{n}", "g-01", "coder", "waiting", 2, "exec.failed"] for n in range(3)]


async def test_the_next_question_sees_what_is_new_and_only_that_is_sent(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SQL_FEED_ROWS_MAX", 3)
    assert await office.rows("select count(*), max(position) from events") == [[13, office.journal.position - 1]]
    worker = worker_of(office)
    sent = []
    tell = office.desk._worker.tell  # type: ignore[union-attr]
    monkeypatch.setattr(office.desk._worker, "tell", lambda frame: (sent.append(frame), tell(frame)))
    await office.say(order(100, priority="low"), order(101))
    assert await office.rows("select id, attributes->>'$.priority' from events order by position desc limit 2") == [
        ["e-101", None],
        ["e-100", "low"],
    ]
    assert [type(frame).__name__ for frame in sent if type(frame).__name__ == "Feed"] == ["Feed"]
    assert await office.rows("select count(*) from events") == [[15]]
    assert await office.rows("select steps from sagas where saga = 'order-1'") == [[3]]
    assert worker_of(office).pid == worker.pid


async def test_a_runaway_query_is_cancelled_at_once_and_the_next_one_works(office: Office) -> None:
    await office.rows("select 1")
    runaway = asyncio.create_task(office.ask(RUNAWAY, token="runaway"))
    await until_running(office)
    worker = worker_of(office)
    begun = monotonic()
    assert office.desk.cancel("runaway")
    refusal = await runaway
    assert monotonic() - begun < 0.5
    assert isinstance(refusal, Refusal) and (refusal.code, refusal.message) == ("failed", "the query was cancelled")
    assert await office.rows("select count(*) from events") == [[13]]
    assert not worker.is_running()
    assert not office.desk.cancel("runaway")


async def test_a_query_has_its_time_and_no_more(office: Office) -> None:
    await office.rows("select 1")
    begun = monotonic()
    refusal = await office.ask(RUNAWAY, timeout_ms=300)
    assert monotonic() - begun < 1.5
    assert isinstance(refusal, Refusal) and refusal.message == "the query took longer than 0.3 s"
    assert await office.rows("select 2") == [[2]]


BOMBS = {
    "a text that doubles": "with recursive r(s) as (select 'x' union all select s || s from r) select count(s) from r",
    "rows without end": "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r",
    "a list of all": "select list(range) from range(1000000000000)",
    "one huge value": "select repeat('x', 700000000)",
    "a wide number": "select format('{:>2000000000}', 'x')",
    "no end of brackets": "select " + "(" * 20_000 + "1" + ")" * 20_000,
    "no end of unions": "select 1" + " union all select 1" * 3_400,
    "json without a bottom": "select (repeat('[', 50000000) || repeat(']', 50000000))::json->>'$[0]'",
}


async def test_what_would_eat_time_or_memory_ends_in_a_refusal(office: Office) -> None:
    for name, sql in BOMBS.items():
        refusal = await office.ask(sql, timeout_ms=1_000)
        assert isinstance(refusal, Refusal), name
    assert await office.rows("select count(*) from events") == [[13]]


async def test_a_worker_killed_under_a_query_is_a_clean_error(office: Office) -> None:
    runaway = asyncio.create_task(office.ask(RUNAWAY))
    await until_running(office)
    os.kill(worker_of(office).pid, signal.SIGKILL)
    refusal = await runaway
    assert isinstance(refusal, Refusal)
    assert refusal.message == "the SQL worker ended (killed by SIGKILL)"
    assert await office.rows("select count(*) from events") == [[13]]


async def test_a_worker_out_of_memory_is_a_clean_error(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = await office.ask("select list(repeat('x', 1000) || range) from range(20000000)")
    assert isinstance(refusal, Refusal), refusal
    assert "Out of Memory" in refusal.message or "SQL worker ended" in refusal.message
    assert await office.rows("select 1") == [[1]]


async def test_queries_take_turns_and_a_waiting_one_is_cancelled_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SQL_WAITING_MAX", 1)
    monkeypatch.setattr(limits, "PROGRESS_MS", 20)
    first = asyncio.create_task(office.ask(RUNAWAY, token="first"))
    await until_running(office)
    second = asyncio.create_task(office.ask("select 2", token="second"))
    third = asyncio.create_task(office.ask("select 3", token="second"))
    refused = await third
    assert isinstance(refused, Refusal) and refused.code == "unavailable"
    office.desk.cancel("second")
    waited = await second
    assert isinstance(waited, Refusal) and waited.message == "the query was cancelled"
    assert not first.done()
    office.desk.cancel("first")
    await first
    assert await office.rows("select 4") == [[4]]


async def test_a_plane_that_ends_gives_its_queries_up(office: Office) -> None:
    task = asyncio.create_task(office.desk.answer(AskSql(RUNAWAY), office.told.append))
    await until_running(office)
    worker = worker_of(office)
    office.ending = True
    with pytest.raises(RuntimeError):
        await task
    await asyncio.to_thread(office.desk.close)
    assert not worker.is_running()


async def test_an_idle_worker_is_ended_and_another_one_is_complete(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SQL_IDLE_MS", 1)
    await office.rows("select 1")
    worker = worker_of(office)
    await asyncio.to_thread(worker.wait, 20)
    assert await office.rows("select count(*) from events") == [[13]]


async def test_the_worker_stands_back_and_dies_with_its_plane(office: Office) -> None:
    await office.rows("select 1")
    worker = worker_of(office)
    assert worker.nice() >= limits.SQL_NICENESS
    assert worker.rlimit(psutil.RLIMIT_DATA)[1] == limits.SQL_PROCESS_MEMORY_MB * 1024 * 1024
    runaway = asyncio.create_task(office.ask(RUNAWAY))
    await until_running(office)
    # As the kernel does when the plane is killed: the line ends, nothing else is said.
    office.desk._worker._line.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
    await asyncio.to_thread(worker.wait, 20)
    await asyncio.wait((runaway,))


@pytest.mark.parametrize("kept", [64, 1], ids=["sealed", "parquet"])
async def test_sealed_segments_are_attached_and_only_the_rest_travels(
    office: Office, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 20)
    monkeypatch.setattr(limits, "SEGMENTS_SEALED_MAX", kept)
    counted = "select count(*), count(distinct id), count(attributes) from events where type = 'order.created'"
    assert await office.rows(counted) == [[9, 9, 1]]
    for number in range(50, 70):
        await office.say(order(number, priority="low"))
        await asyncio.to_thread(office.journal.settle)
    sealed, upto = office.journal.sealed
    assert len(sealed) >= 2 and upto < office.journal.position
    assert sealed[0].name.endswith(".parquet") == (kept == 1)
    assert await office.rows(counted) == [[29, 29, 21]]
    assert await office.rows("select count(*) from facts where kind = 'BrokerLost'") == [[1]]
    assert await office.rows("select count(*), count(distinct position) from facts") == [
        [office.journal.cursor().execute("select count(*) from entries").fetchall()[0][0]] * 2
    ]
    assert office.desk._worker is not None and office.desk._worker.sealed == sealed
    refused = await office.ask(f"from read_parquet('{sealed[0]}/events.parquet')")
    assert isinstance(refused, Refusal)


async def test_ballots_and_leases_are_tables(office: Office) -> None:
    def said(type: str, source: str, **data: Any) -> Event:
        return Event(type=type, source=source, data=data)

    voters = ["agent/a", "agent/b", "agent/c"]
    await office.say(
        *(said("ballot.proposed", "agent/a", ballot=id, question="?", options=["y", "n"], voters=voters,
               deadline_ms=9_000) for id in ("x", "z")),
        *(said("ballot.voted", voter, ballot="x", choice="y") for voter in voters[:2]),
        said("ballot.voted", "agent/c", ballot="z", choice=None),
        *(said("lease.requested", f"agent/{n}", lease=f"l{n}", resource="r", ttl_ms=7_000, wait_ms=5_000,
               priority="low") for n in range(2)),
    )  # fmt: skip
    assert await office.rows(
        "select ballot, outcome, choice, proposer, question, quorum, voters, votes, abstained, "
        "tally->>'$.y', epoch_ms(deadline) from ballots order by ballot"
    ) == [
        ["x", "decided", "y", "agent/a", "?", "majority", 3, 2, 0, "2", None],
        ["z", "open", None, "agent/a", "?", "majority", 3, 0, 1, "0", office.now // 1_000_000 + 9_000],
    ]
    leases = await office.rows(
        "select lease, holder, state, priority, units, capacity, token > 0, epoch_ms(until), position from leases "
        "order by lease"
    )
    now = office.now // 1_000_000
    assert [row[:8] for row in leases] == [
        ["l0", "agent/0", "held", "low", 1, 1, True, now + 10_000],
        ["l1", "agent/1", "waiting", "low", 1, 1, None, now + 5_000],
    ]
    assert await office.rows("select type from events where position = 17") and leases[1][8] == leases[0][8] + 1
