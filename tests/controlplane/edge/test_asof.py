"""Time travel: what the plane answers of a moment is what it answered when it stood there; and what it refuses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane import limits
from controlplane.questions import (
    AskAt,
    AskBoard,
    AskBrokers,
    AskDeadGroups,
    AskDeadLetters,
    AskDiff,
    AskEvent,
    AskEvents,
    AskExport,
    AskFlows,
    AskGroups,
    AskHealth,
    AskPartitions,
    AskSaga,
    AskSagas,
    AskSlice,
    AskSlicePage,
    AskSql,
    AskStatus,
    AskVerify,
    AskWhatIf,
    At,
    Board,
    CancelSql,
    DeadGroups,
    DeadLetters,
    Down,
    Events,
    Exported,
    Operate,
    Past,
    Progress,
    Question,
    Redrive,
    Refusal,
    Saga,
    Sagas,
    Slice,
    SqlAnswer,
    Status,
    Told,
)
from tests.controlplane.edge.lived import Lived, demo_log, plain
from tests.controlplane.logs import NOW, SECOND

STANDING: list[Question] = [
    AskStatus(),
    AskBoard(bars=40),
    AskFlows(),
    AskFlows(match="coder", limit=3),
    AskGroups(),
    AskGroups("coder"),
    AskGroups("nobody"),
    AskSagas(state="all", limit=30),
    AskSagas(state="stuck"),
    AskSagas(match="wwa-00"),
    AskSaga("wwa-001"),
    AskSaga("wwa-100"),
    AskSaga("live-1"),
    AskSaga("log-1-2"),
    AskDeadGroups(),
    AskDeadLetters("g-01"),
    AskHealth(),
    AskEvents(limit=20, bars=30),
    AskEvents(pattern="exec.>", internal=True),
    AskEvents(text="wwa-0", since=NOW + 20 * SECOND),
    AskEvent("wwa-001-003"),
    AskEvent("wwa-100-003"),
    AskEvent("@40"),
    AskBrokers(),
    AskBrokers("b2"),
    AskPartitions(),
    AskPartitions(3),
]
SQL = (
    "select * from events order by position",
    "select count(*), max(position), count(attributes) from events where data is not null",
    "select * from facts order by position",
    "select * from flows order by source, type",
    "select * from sagas order by saga",
    "select * from dead_letters order by id",
    "select state, count(*) from sagas join events using (saga) group by state order by state",
)


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[Lived]:
    life = Lived(tmp_path)
    yield life
    life.close()


async def test_the_past_answers_as_it_did_when_it_was_the_present(lived: Lived) -> None:
    lived.begin()
    then: list[tuple[int, int, list[Told]]] = []
    for turn, position in enumerate(lived.live(demo_log(), size=30)):
        if turn % 5 == 2:
            then.append((position, lived.heart.recorded, [await lived.ask(question) for question in STANDING]))
    assert len(then) >= 6
    bodies = [type(told.body) for _, _, answers in then for told in answers]
    assert {Status, Board, Saga, Sagas, DeadGroups, DeadLetters, Events, Refusal} <= set(bodies)
    for position, recorded, answers in [*then[::-1], *then[::2]]:
        for question, told in zip(STANDING, answers, strict=True):
            again = await lived.ask(question, At(position=position))
            assert again.past and not told.past
            assert plain(again) == plain(told), question
            assert plain(await lived.ask(question, At(instant=recorded))) == plain(told)


async def rows(lived: Lived, sql: str, at: At | None = None) -> tuple[int, list[list[object]]]:
    told = await lived.ask(AskSql(sql), at)
    assert isinstance(told.body, SqlAnswer), told.body
    assert told.past == (at is not None)
    return told.position, told.body.values()


async def test_sql_of_the_past_answers_as_it_did_when_it_was_the_present(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 300)
    lived.begin()
    then: list[tuple[int, int, list[tuple[int, list[list[object]]]]]] = []
    for turn, position in enumerate(lived.live(demo_log(), size=40)):
        if turn % 5 == 2:
            then.append((position, lived.heart.recorded, [await rows(lived, sql) for sql in SQL]))
    lived.journal.settle()
    assert len(lived.journal.sealed[0]) >= 2 and len(then) >= 4
    for position, recorded, answers in [*then[::-1], *then[::2]]:
        for sql, answer in zip(SQL, answers, strict=True):
            assert answer[0] == position and answer[1]
            assert await rows(lived, sql, At(position=position)) == answer, sql
            assert await rows(lived, sql, At(instant=recorded)) == answer
    # The present is not bounded by where the past was looked at.
    assert (await rows(lived, "select max(position) from facts"))[0] == lived.journal.position
    everything = await rows(lived, "select count(*) from events")
    assert everything[1] == [[lived.journal.events]]
    for sql in SQL:
        assert (await rows(lived, sql, At(position=0)))[0] == 0
    assert (
        await rows(
            lived,
            "select (select count(*) from events) + (select count(*) from facts) + "
            "(select count(*) from sagas) + (select count(*) from flows)",
            At(position=0),
        )
    ) == (0, [[0]])


async def test_sql_folds_the_past_only_for_tables_of_state(lived: Lived) -> None:
    lived.begin()
    position = list(lived.live(demo_log()[:300]))[3]
    await rows(lived, "select count(*) from events join facts using (position)", At(position=position))
    assert lived.answering._as_of._pasts.kept == []
    await rows(lived, "select count(*) from sagas", At(position=position))
    assert position in lived.answering._as_of._pasts.kept


async def test_sql_of_what_is_yet_to_come_is_refused(lived: Lived) -> None:
    lived.begin()
    told = await lived.ask(AskSql("select 1"), At(position=lived.journal.position + 1))
    assert isinstance(told.body, Refusal) and told.body.code == "not_found"
    assert f"the journal ends at {lived.journal.position:,}" in told.body.message
    wrong = await lived.ask(AskSql("select nothing from events"), At(position=1))
    assert isinstance(wrong.body, Refusal) and "nothing" in wrong.body.message


async def test_an_answer_changes_from_one_moment_to_the_next(lived: Lived) -> None:
    lived.begin()
    first, *_, last = lived.live(demo_log()[:600])
    for question in (AskStatus(), AskBoard(), AskFlows(), AskSagas(state="all"), AskEvents(), AskHealth()):
        assert plain(await lived.ask(question, At(position=first))) != plain(
            await lived.ask(question, At(position=last))
        )


async def test_a_moment_is_rounded_down_to_a_step(lived: Lived) -> None:
    lived.begin()
    for _ in lived.live(demo_log()[:300]):
        pass
    long = next(step for step in lived.steps if step.last - step.first > 20)
    inside = await lived.ask(AskEvents(internal=True), At(position=long.last - 1))
    assert (inside.position, inside.past) == (long.first - 1, True)
    assert isinstance(inside.body, Events) and all(row.position < long.first for row in inside.body.rows)
    at = await lived.ask(AskStatus(), At(instant=long.recorded - 1))
    assert at.position == max(step.last for step in lived.steps if step.recorded < long.recorded)
    assert at.recorded < long.recorded


async def test_before_the_first_entry_the_fleet_is_empty(lived: Lived) -> None:
    lived.begin()
    lived.say("task.request")
    for at in (At(position=0), At(instant=0), At(instant=NOW - 1)):
        for question in STANDING:
            told = await lived.ask(question, at)
            assert (told.position, told.recorded, told.past) == (0, 0, True)
        status = (await lived.ask(AskStatus(), at)).body
        assert isinstance(status, Status)
        assert (status.brokers, status.partitions, status.counts.events) == ([], [], 0)
        assert status.controlplane.state == "starting"


async def test_what_is_yet_to_come_is_refused_with_where_the_journal_ends(lived: Lived) -> None:
    lived.begin()
    lived.now += 3 * SECOND
    end = lived.journal.position
    soon = lived.now + (limits.CLOCK_SKEW_MS_MAX + 1) * 1_000_000
    for at in (At(position=end + 1), At(instant=soon), At(position=2**63 - 1), At(instant=2**63 - 1)):
        told = await lived.ask(AskStatus(), at)
        assert isinstance(told.body, Refusal)
        assert told.body.code == ("usage" if at.position is None else "not_found")
        assert f"the journal ends at {end:,}" in told.body.message
        assert (told.position, told.past) == (end, False)
    for at in (At(position=end), At(instant=lived.now)):
        assert (await lived.ask(AskStatus(), at)).position == end
    gone = await lived.ask(AskAt(position=end + 1))
    assert isinstance(gone.body, Refusal)


async def test_levers_do_not_reach_into_the_past(lived: Lived) -> None:
    lived.begin()
    position = lived.journal.position
    for lever in (
        Redrive(["g-01"]),
        Redrive(["g-01"], dry_run=True),
        Operate("drain", ["b1"]),
        Operate("drain", ["b1"], dry_run=True),
        Operate("add"),
        Down(),
        AskVerify(),
        AskAt(position=1),
        AskDiff(position_a=1, position_b=1),
        AskWhatIf({"sagas.stuck_after": "60s"}),
        AskSlice(Slice()),
        AskSlicePage(Slice(), 1),
        CancelSql("token"),
    ):
        told = await lived.ask(lever, At(position=1))
        assert isinstance(told.body, Refusal) and told.body.code == "usage"
    assert lived.journal.position == position


async def test_an_export_ends_where_it_is_asked_to(lived: Lived) -> None:
    lived.begin()
    positions = list(lived.live(demo_log()[:400]))
    whole = lived.answering._archive.page(AskExport(limit=5_000), positions[-1])
    middle = positions[len(positions) // 2]
    told = await lived.ask(AskExport(), At(position=middle))
    assert isinstance(told.body, Exported)
    assert told.body.done and told.body.up_to == middle and 0 < told.body.total < whole.total
    assert told.body.lines == whole.lines[: told.body.total]
    beyond = await lived.ask(AskExport(up_to=positions[-1]), At(position=middle))
    assert isinstance(beyond.body, Exported) and beyond.body.lines == told.body.lines


async def test_the_state_at_a_moment_is_told_as_before(lived: Lived) -> None:
    lived.begin()
    position = list(lived.live(demo_log()[:300]))[3]
    step = next(step for step in lived.steps if step.last == position)
    told = await lived.ask(AskAt(position=position))
    assert isinstance(told.body, Past) and told.position == lived.journal.position
    assert (told.body.position, told.body.digest) == (position, step.digest.hex())
    both = await lived.ask(AskAt(position=1, instant=1))
    assert isinstance(both.body, Refusal)


async def test_a_pattern_that_is_none_is_refused_in_the_past_too(lived: Lived) -> None:
    lived.begin()
    told = await lived.ask(AskEvents(pattern="a..b"), At(position=5))
    assert isinstance(told.body, Refusal) and told.body.code == "usage"


async def test_how_far_it_has_gone_back_is_told_meanwhile(lived: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROGRESS_MS", 1)
    lived.begin()
    for _ in lived.live(demo_log()):
        pass
    end = lived.journal.position
    await lived.ask(AskStatus(), At(position=end))
    steps = [step for step in lived.said if isinstance(step, Progress)]
    assert steps and {step.total for step in steps} == {end}
    done = [step.done for step in steps]
    assert done == sorted(done) and done[-1] <= end


async def test_a_plane_that_ends_gives_up_looking_back(lived: Lived) -> None:
    lived.begin()
    lived.answering.stopping = True
    told = await lived.ask(AskStatus(), At(position=5))
    assert isinstance(told.body, Refusal) and told.body.code == "unavailable"
