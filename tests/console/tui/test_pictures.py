"""Every picture can be drawn at every size, from every story, with any text; a wrong answer stays in its panel."""

import unicodedata
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.canvas import Canvas
from console.pictures import agents, board, dead, events, fleet, flows, frame, health, partition, saga, sagas, timebar
from console.pictures.bars import fit
from console.pictures.board import BoardView
from console.pictures.frame import Scene
from console.pictures.parts import panel
from console.pictures.table import layout, table
from console.pictures.tracks import chosen, tracks
from controlplane.questions import (
    AskDeadGroups,
    AskDeadLetters,
    AskEvent,
    AskEvents,
    AskFlows,
    AskHealth,
    AskSaga,
    AskSagas,
    Bar,
    Question,
)
from tests.console import frozen
from tests.console.frozen import Frozen

Draw = Callable[[Frozen, int, int], Canvas]
STORIES = {"trouble": frozen.trouble(), "calm": frozen.calm(), "empty": frozen.empty()}


def ask(link: Frozen, question: Question) -> object:
    return link.body(question)


def scene(link: Frozen, **more: object) -> Scene:
    live = {"live": link.timeline(), "live_now": link.story.now}
    return Scene("prod-eu", link.story.board, link.story.position, link.story.now, **(live | more))  # type: ignore[arg-type]


def first_saga(link: Frozen) -> str:
    return link.story.sagas[0].saga if link.story.sagas else ""


def draw_board(link: Frozen, w: int, h: int) -> Canvas:
    view = BoardView("partition:7", {7: 2})
    return board.picture(link.story.board, link.story.now, view, w, h)


def draw_flows(link: Frozen, w: int, h: int) -> Canvas:
    answer = ask(link, AskFlows())
    return flows.detail(answer, answer.rows[0] if answer.rows else None, w, h)  # type: ignore[attr-defined, arg-type]


def draw_saga(link: Frozen, w: int, h: int) -> Canvas:
    answer = ask(link, AskSaga(first_saga(link)))
    return saga.picture(answer, link.story.now, 0, 0, w, h) if link.story.sagas else Canvas(w, h)  # type: ignore[arg-type]


def draw_preview(link: Frozen, w: int, h: int) -> Canvas:
    answer = ask(link, AskSaga(first_saga(link)))
    return sagas.preview(answer, link.story.now, w, h) if link.story.sagas else Canvas(w, h)  # type: ignore[arg-type]


def draw_letters(link: Frozen, w: int, h: int) -> Canvas:
    if not link.story.dead:
        return Canvas(w, h)
    answer = ask(link, AskDeadLetters(link.story.dead[0].id))
    return dead.detail(answer, None, link.story.now, w, h)  # type: ignore[arg-type]


def draw_event(link: Frozen, w: int, h: int) -> Canvas:
    if not link.story.events:
        return Canvas(w, h)
    return events.detail(ask(link, AskEvent(link.story.events[-1].id)), w, h)  # type: ignore[arg-type]


def draw_fleet(link: Frozen, w: int, h: int) -> Canvas:
    status = link.story.board.status
    broker = status.brokers[-1]
    return fleet.detail(status, link.story.now, broker, None, 0, w, h)


def draw_partition(link: Frozen, w: int, h: int) -> Canvas:
    status = link.story.board.status
    return partition.picture(status.partitions[7], status.brokers, "b1", w, h)


def draw_frame(link: Frozen, w: int, h: int) -> Canvas:
    c = Canvas(w, 8)
    lost = scene(link, silent_s=12, tries=3, retry_in_s=3, why="refused")
    for y, part in enumerate((
        frame.header(scene(link), "Sagas", w), timebar.picture(scene(link, frozen=True), w), timebar.picture(lost, w),
        frame.banner(lost, w), frame.footer(lost, [("r", "redrive", True)], w), frame.too_small(scene(link), w, h),
    )):  # fmt: skip
        c.paste(part, 0, y)
    return c


PICTURES: dict[str, Draw] = {
    "board": draw_board,
    "tracks": lambda link, w, h: tracks(link.story.board.status, {}, w, h, 3),
    "flows": draw_flows,
    "saga": draw_saga,
    "saga preview": draw_preview,
    "dead": draw_letters,
    "event": draw_event,
    "volume": lambda link, w, h: events.volume(ask(link, AskEvents(bars=108)), w),  # type: ignore[arg-type]
    "health": lambda link, w, h: health.picture(ask(link, AskHealth()), link.story.now, 0, w, h),  # type: ignore[arg-type]
    "fleet": draw_fleet,
    "partition": draw_partition,
    "broker table": lambda link, w, h: table(fleet.COLUMNS, fleet.rows(link.story.board.status, link.story.now), w, h),
    "frame": draw_frame,
    "flow table": lambda link, w, h: table(flows.COLUMNS, flows.rows(ask(link, AskFlows())), w, h),  # type: ignore[arg-type]
    "saga table": lambda link, w, h: table(sagas.COLUMNS, sagas.rows(ask(link, AskSagas())), w, h),  # type: ignore[arg-type]
    "dead table": lambda link, w, h: table(dead.COLUMNS, dead.rows(ask(link, AskDeadGroups()), link.story.now), w, h),  # type: ignore[arg-type]
    "event table": lambda link, w, h: table(events.COLUMNS, events.rows(ask(link, AskEvents())), w, h),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", PICTURES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=st.sampled_from(sorted(STORIES)), width=st.integers(0, 220), height=st.integers(0, 70))
def test_every_picture_can_be_drawn_at_every_size(name: str, story: str, width: int, height: int) -> None:
    c = PICTURES[name](STORIES[story], width, height)
    assert all(len(row) == c.width for row in c.rows)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(st.characters(codec=None, categories=None), min_size=1, max_size=12),
    st.sampled_from(sorted(PICTURES)),
    st.sampled_from([(80, 24), (120, 36)]),
)
def test_no_text_of_an_answer_drives_the_terminal(evil: str, name: str, size: tuple[int, int]) -> None:
    link = frozen.trouble()
    marked = "\x1b[2J\u202e" + evil

    def poison(value: object) -> object:
        if isinstance(value, str):
            return marked + value
        if isinstance(value, list):
            return [poison(item) for item in value]
        return value

    for row in (
        *link.story.flows,
        *link.story.sagas,
        *link.story.dead,
        *link.story.events,
        *link.story.board.lately,
        *link.story.board.status.brokers,
        *link.story.board.status.partitions,
    ):
        for field in row.__struct_fields__:
            if field not in ("severity", "state", "trend", "id", "saga"):
                setattr(row, field, poison(getattr(row, field)))
    text = PICTURES[name](link, *size).text()
    assert [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\n"] == []


def test_a_wrong_answer_stays_in_its_panel() -> None:
    link = frozen.trouble()
    link.story.board.flows = None  # type: ignore[assignment]
    text = draw_board(link, 120, 33).text()
    assert "cannot draw" in text
    assert "p07 refuses publishes" in text
    assert "TRACKS" in text


def test_a_panel_that_can_be_drawn_is_left_alone() -> None:
    c = Canvas(10, 2)
    assert panel(10, 2, "X", lambda w, h: c) is c


@given(st.integers(30, 250))
def test_columns_never_overlap_and_the_dear_ones_stay(total: int) -> None:
    for columns in (
        flows.COLUMNS,
        sagas.COLUMNS,
        dead.COLUMNS,
        events.COLUMNS,
        dead.LETTER_COLUMNS,
        fleet.COLUMNS,
        fleet.HERE,
        partition.COLUMNS,
        agents.COLUMNS,
    ):
        places = layout(columns, total)
        for (_, x, width), (_, following, _) in pairwise(places):
            assert x + width < following
        if total >= 120:
            assert places[-1][1] + places[-1][2] <= total - 2
        kept = {i for i, _, _ in places}
        assert {i for i, column in enumerate(columns) if column.keep == 1} <= kept
        if len(kept) < len(columns):
            assert max(columns[i].keep for i in kept) <= min(
                columns[i].keep for i in range(len(columns)) if i not in kept
            )


@given(st.integers(3, 40), st.sets(st.integers(0, 47), max_size=20))
def test_folding_tracks_keeps_those_in_trouble_in_number_order(room: int, sick: set[int]) -> None:
    template = frozen.calm().story.board.status.partitions[0]
    partitions = [
        msgspec.structs.replace(template, partition=n, severity="bad" if n in sick else "ok") for n in range(48)
    ]
    drawn, folded = chosen(partitions, room)
    assert sorted(p.partition for p in (*drawn, *folded)) == list(range(48))
    assert [p.partition for p in drawn] == sorted(p.partition for p in drawn)
    assert len(drawn) + bool(folded) <= room
    if len(sick) < room:
        assert sick <= {p.partition for p in drawn}


TOLD = st.tuples(st.integers(0, 99), st.sampled_from(["ok", "warn", "bad"]), st.booleans())


@given(st.lists(TOLD, min_size=1, max_size=60), st.integers(1, 150))
def test_fitting_bars_loses_no_trouble(told: list[tuple[int, str, bool]], room: int) -> None:
    bars = [Bar(i, n, mood, f"i{i}" * flag) for i, (n, mood, flag) in enumerate(told)]  # type: ignore[arg-type]
    shown = fit(bars, room)
    assert len(shown) == room
    assert {bar.severity for bar in shown} <= {bar.severity for bar in bars}
    assert ("bad" in {bar.severity for bar in shown}) == ("bad" in {bar.severity for bar in bars})
    incidents = [bar.incident for bar in shown if bar.incident]
    assert len(incidents) == len(set(incidents))
    assert bool(incidents) == any(bar.incident for bar in bars)
