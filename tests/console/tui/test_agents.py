"""The Agents screens: what they show and open, and the lever that quarantines and releases."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.model import Landed, Model
from console.pictures import agent as one
from console.pictures import agents as picture
from console.pictures.table import table
from console.screens.agent import AgentScreen
from console.screens.agents import AgentsScreen
from console.screens.quarantine import QuarantineDialogue
from console.widgets.paint import Paint
from controlplane.answers.agentlevers import STILL_SERVES
from controlplane.questions import AgentRow, AgentTurn, AskAgent, AskAgents, At, Operate, Refusal, Told
from tests.console import frozen, story_agents
from tests.console.screens import PAST
from tests.console.story import S
from tests.console.tui.seat import Seat, seat

NOW = 1_763_781_164 * S


def orders(at: Seat) -> list[Operate]:
    return [question for question in at.link.asked if isinstance(question, Operate)]


async def test_agents_open_on_the_worst_with_its_states_and_its_cause() -> None:
    async with seat() as at:
        await at.press("8")
        assert isinstance(at.app.screen, AgentsScreen) and at.cursor == "agent/search-2"
        assert "3 out" in at.text and "silent for 19s" in at.text and "▲ suspected" in at.text
        await at.press("C")
        assert at.app.clipboard == "signalbox agent show search-2"
        await at.press("j", "C", "c")
        assert at.app.clipboard == "coder-3"


async def test_enter_opens_one_n_goes_on_and_a_state_opens_its_event() -> None:
    async with seat() as at:
        await at.press("8", "j", "enter")
        assert isinstance(at.app.screen, AgentScreen)
        assert "Agents › coder-3" in at.text and "2 of 11" in at.text and "capability.code" in at.text
        await at.press("n")
        assert "Agents › coder-4" in at.text
        await at.press("j", "j", "j", "j", "enter")
        assert "@801187" in at.text or "801,187" in at.text
        await at.press("escape", "escape")
        assert isinstance(at.app.screen, AgentsScreen)


async def test_b_goes_through_the_states_and_the_filter_asks_the_plane() -> None:
    async with seat() as at:
        await at.press("8", "b", "b")
        assert AskAgents("out") in at.link.asked
        assert "Agents out" in at.text and "planner" not in at.text.split("STATES")[0]
        await at.press("b", "slash")
        await at.type("cler")
        await at.press("enter")
        assert AskAgents("left", "cler") in at.link.asked and "clerk" in at.text
        await at.press("escape", "b", "b", "b", "slash")
        await at.type("nobody at all")
        await at.press("enter")
        assert "0 rows match nobody at all" in at.text


@pytest.mark.parametrize("typed", ["agent coder-3", "agent:coder-3", "agent show coder-3"])
async def test_colon_goes_to_an_agent(typed: str) -> None:
    async with seat() as at:
        await at.press("colon")
        await at.type(typed)
        await at.press("enter")
        assert "Agents › coder-3" in at.text and "quarantined" in at.text


async def test_q_shows_the_set_and_quarantines_exactly_that_with_a_reason() -> None:
    async with seat() as at:
        await at.press("8", "j", "j", "j", "space", "space", "Q")
        assert isinstance(at.app.screen, QuarantineDialogue)
        assert "QUARANTINE coder-1, coder-2" in at.text and "2 agents, exactly these" in at.text
        assert "nobody else has code" in at.text and "undone by" in at.text
        await at.press("enter")
        assert [order.dry_run for order in orders(at)] == [True]
        await at.type("SyntaxError")
        await at.press("enter")
        last = orders(at)[-1]
        assert (last.verb, last.targets, last.dry_run) == ("quarantine", ["agent/coder-1", "agent/coder-2"], False)
        assert (last.reason, last.expected) == ("SyntaxError", last.targets)
        assert "2 agents are quarantined, decided at position" in at.text
        await at.press("escape")
        assert isinstance(at.app.screen, AgentsScreen)


async def test_q_on_one_that_is_quarantined_releases_it_and_esc_changes_nothing() -> None:
    async with seat() as at:
        await at.press("8", "j", "enter", "Q")
        assert "RELEASE coder-3" in at.text
        await at.type("mended")
        await at.press("escape")
        assert [(order.verb, order.dry_run) for order in orders(at)] == [("release", True)]


async def test_the_footer_names_the_lever_that_applies() -> None:
    async with seat() as at:
        await at.press("8")
        assert "Q quarantine" in at.text.splitlines()[-1]
        await at.press("j")
        assert "Q release" in at.text.splitlines()[-1]
        await at.press("enter")
        assert "Q release" in at.text.splitlines()[-1]
        await at.press("escape", "space", "g", "space")
        assert "Q quarantine" in at.text.splitlines()[-1]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_what_a_quarantine_does_not_do_is_said_in_full(size: tuple[int, int]) -> None:
    async with seat(size=size) as at:
        await at.press("8", "j", "j", "j", "Q")
        dialogue = at.app.screen
        assert isinstance(dialogue, QuarantineDialogue)
        picture = dialogue.query_one(Paint)
        words = " ".join(dialogue.paint(picture.size.width, picture.size.height).text().split())
        assert "mind coder-1 is ready, 8 events under way" in words and STILL_SERVES in words
        assert "through all restarts" in words and "type a reason, then enter" in words
        assert "EXACT SET" in words and "agent/coder-1" in words and "--reason …" in words


async def test_before_the_first_agent_there_was_none() -> None:
    async with seat(frozen.empty()) as at:
        at.app.model.moment = at.app.model.aim = At(instant=NOW)
        model, ask = at.app.model, AskAgents()
        model.land(Landed("agents", ask, at.link.ask(ask), 1.0, moment=model.moment))
        screen = AgentsScreen()
        at.app.push_screen(screen)
        await at.app.workers.wait_for_complete()
        await at.press("j")
        assert screen.empty() == ("then there was no agent", "signalbox agent list")


def test_a_refusal_of_the_past_is_said_of_then() -> None:
    model, ask, then = Model(0.0), AskAgent("agent/x"), At(instant=NOW)
    told = Told(7, NOW, Refusal("not_found", "there is no agent x", "signalbox agent list"))
    model.land(Landed("agent", ask, told, 1.0))
    assert model.refusal("agent", ask) == told.body
    model.moment = model.aim = then
    model.land(Landed("agent", ask, told, 2.0, moment=then))
    refused = model.refusal("agent", ask)
    assert refused is not None and refused.message == "then there was no agent x"


async def test_in_the_past_the_lever_is_locked_and_the_agents_are_those_of_then() -> None:
    async with seat() as at:
        await at.press(*PAST.split(","), "8", "Q")
        assert "levers are locked in the past" in at.text and not orders(at)
        assert "0 out" in at.text and "quarantined" not in at.text
        await at.press("C")
        assert at.app.clipboard == "signalbox agent show search-2 --at 1118204" or "--at" in at.app.clipboard


async def test_without_agents_it_says_how_one_comes() -> None:
    async with seat(frozen.empty()) as at:
        await at.press("8")
        assert "no agent has joined yet" in at.text and "bus.Agent(" in at.text


async def test_the_tab_counts_who_is_out_and_the_narrow_board_says_it() -> None:
    async with seat() as at:
        assert "8 Agents ▲3" in at.text.splitlines()[0] and "Access" not in at.text
    async with seat(size=(80, 24)) as at:
        assert "agents 46 3 out" in at.text


@given(st.integers(60, 200), st.integers(5, 60), st.integers(0, 40), st.integers(0, 10))
def test_pictures_of_any_size_show_the_state_under_the_cursor(width: int, height: int, turns: int, which: int) -> None:
    rows = story_agents.rows(NOW)
    found = story_agents.shown(rows, rows[which].agent, NOW)
    assert found is not None
    found.turns = [AgentTurn("ready", NOW - n * S, n, "why " * n) for n in range(turns)]
    picture.preview(found, NOW, width, height)
    shown = one.turns_shown(width, height)
    at = max(0, turns - 1)
    top = max(0, at - shown + 1)
    text = one.picture(found, NOW, at, top, width, height).text()
    if turns and height >= 16:
        assert "▌" in text


def test_an_agent_whose_work_fails_is_not_called_well() -> None:
    told = story_agents.shown(story_agents.rows(NOW), "agent/planner", NOW)
    assert told is not None and "it is well" in picture.why(told, NOW, 80, 8).text()
    told.row.error_share = 0.9
    assert "it is well" not in picture.why(told, NOW, 80, 8).text()


def test_what_is_not_known_is_a_dash_and_long_names_lose_their_middle() -> None:
    row = msgspec.structs.replace(
        story_agents.rows(NOW)[5], agent="agent/" + "x" * 60, load=None, error_share=None, phi=None, behind_ns=None,
        version="", handles=[],
    )  # fmt: skip
    cells = [text for text, _ in picture.rows(story_agents.listed([row], AskAgents()), NOW)[0].cells]
    assert cells[3:9] == ["–", "–", "–", "–", "–", "–"]
    line = table(picture.COLUMNS, picture.rows(story_agents.listed([row], AskAgents()), NOW), 100, 2).text()
    assert "x" * 8 + "…" + "x" * 7 + "  " in line


def test_phi_is_loud_only_where_it_is_why_the_agent_is_out() -> None:
    inks = {row.state: cells[4][1] for row, cells in _with_cells()}
    assert inks["suspected"] == "warn" and inks["quarantined"] == "mut" and inks["ready"] == "mut"


def _with_cells() -> list[tuple[AgentRow, tuple[tuple[str, str], ...]]]:
    told = story_agents.listed(story_agents.rows(NOW), AskAgents())
    return [(row, shown.cells) for row, shown in zip(told.rows, picture.rows(told, NOW), strict=True)]


def test_how_late_a_group_is_stays_beside_a_long_name() -> None:
    told = story_agents.shown(story_agents.rows(NOW), "agent/coder-3", NOW)
    assert told is not None
    late = msgspec.structs.replace(told.groups[0], group="capability." + "x" * 40, waiting=1_204, behind_ns=93 * S)
    shown = "".join(text for text, _ in picture.group_line(late, 46))
    assert shown.endswith("  1,204 wait  1m33s behind") and len(shown) == 46 and "…" in shown


def test_the_places_of_its_states_have_their_heading() -> None:
    told = story_agents.shown(story_agents.rows(NOW), "agent/coder-3", NOW)
    assert told is not None
    head, first, *_ = picture.turns(told.turns, NOW, 70, 5).text().splitlines()
    assert head.endswith(" position") and len(head) == len(first) and first.endswith(",420")


@pytest.mark.parametrize("width", [160, 200])
def test_a_long_name_is_told_apart_where_there_is_room_for_it(width: int) -> None:
    names = ["agent/BaseballStatisticsLeague_Expert", "agent/BaseballStatisticsRecord_Expert"]
    rows = [msgspec.structs.replace(story_agents.rows(NOW)[5], agent=name) for name in names]
    shown = table(picture.COLUMNS, picture.rows(story_agents.listed(rows, AskAgents()), NOW), width, 3).text()
    assert all(picture.name(name) in shown for name in names)
