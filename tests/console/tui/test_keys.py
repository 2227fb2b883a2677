"""Keys, as an operator presses them, on the application with frozen answers."""

import re
from collections.abc import Callable

import msgspec
import pytest

from console.actions import ACTIONS, FOOTERS
from console.model import Landed
from console.palette import THEME_NAMES
from console.screens.board import BoardScreen
from console.screens.events import EventScreen, EventsScreen
from console.screens.flows import FlowsScreen
from console.screens.prompt import Prompt
from console.screens.reader import LEGEND
from console.screens.redrive import RedriveDialogue
from console.screens.saga import SagaScreen
from console.screens.sagas import SagasScreen
from controlplane.questions import AskFlows, Redrive
from tests.console import frozen
from tests.console.screens import settle
from tests.console.tui.seat import seat


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("1", "TRACKS"),
        ("2", "MAP"),
        ("3", "inbox"),
        ("4", "ATTEMPTS"),
        ("5", "RECOMMENDED"),
        ("6", "VOLUME"),
        ("7", "PARTITIONS"),
        ("8", "STATES"),
    ],
)
async def test_a_digit_opens_its_tab(key: str, shown: str) -> None:
    async with seat() as at:
        await at.press(key)
        assert shown in at.text


async def test_a_digit_without_a_tab_does_nothing() -> None:
    async with seat() as at:
        await at.press("2", "9")
        assert isinstance(at.app.screen, FlowsScreen) and "9 " not in at.text.splitlines()[0]


async def test_the_cursor_moves_by_key_and_stays_on_its_row_when_others_come() -> None:
    async with seat() as at:
        await at.press("2", "j", "j")
        held = at.cursor
        assert held is not None and held.startswith("coder\x1f")
        at.link.story.flows.insert(0, msgspec.structs.replace(at.link.story.flows[-1], source="newcomer"))
        line = [i for i, text in enumerate(at.text.splitlines()) if text.strip().startswith("▌")]
        await at.beat()
        assert at.cursor == held
        assert line == [i for i, text in enumerate(at.text.splitlines()) if text.strip().startswith("▌")]
        await at.press("G")
        assert at.cursor != held
        await at.press("g", "space", "space")
        assert "2 marked" in at.text


async def test_a_filter_narrows_while_it_is_typed_and_esc_clears_it() -> None:
    async with seat() as at:
        await at.press("2", "slash")
        await at.type("tool")
        await at.press("enter")
        assert AskFlows("tool") in at.link.asked
        assert "2 of 13 flows" in at.text and "planner" not in at.text.split("MAP")[0]
        await at.press("escape")
        assert "13 flows" in at.text and "reviewer" in at.text
        await at.press("slash")
        await at.type("!planner")
        await at.press("enter")
        assert " planner  " not in at.text.split("MAP")[0].split("ledger")[1].replace("ranked           planner", "")
        await at.press("escape", "slash")
        await at.type("nothing at all")
        await at.press("enter")
        assert "0 rows match nothing at all" in at.text and "esc clears" in at.text


def test_the_legend_says_what_amber_and_red_mean() -> None:
    told = "".join(text for text, _ in LEGEND)
    assert "▲ in part, or late" in told and "■ stands still, or lost" in told


async def test_one_esc_clears_a_filter_that_is_still_being_typed() -> None:
    async with seat() as at:
        await at.press("2", "slash")
        await at.type("zzz")
        assert "0 rows match zzz; esc clears the filter" in at.text
        await at.press("escape")
        assert not isinstance(at.app.screen, Prompt) and "13 flows" in at.text and "zzz" not in at.text


async def test_enter_opens_n_goes_on_and_esc_comes_back() -> None:
    async with seat() as at:
        await at.press("3", "enter")
        assert isinstance(at.app.screen, SagaScreen) and "TIMELINE" in at.text and "STUCK 6m41s" in at.text
        await at.press("n")
        assert "report-4702" in at.text and "2 of 16" in at.text
        await at.press("escape")
        assert "inbox" in at.text


async def test_colon_goes_to_a_screen_an_id_and_a_setting() -> None:
    async with seat() as at:
        await at.press("colon")
        await at.type("flows")
        await at.press("enter")
        assert isinstance(at.app.screen, FlowsScreen)
        await at.press("colon")
        await at.type("report-4711")
        await at.press("enter")
        assert isinstance(at.app.screen, SagaScreen)
        await at.press("colon")
        await at.type("@1204331")
        await at.press("enter")
        assert isinstance(at.app.screen, EventScreen)
        await at.press("colon")
        await at.type("every 2s")
        await at.press("enter")
        assert at.app.every_s == 2
        await at.press("colon")
        await at.type("nosuch")
        await at.press("enter")
        assert "there is no saga nosuch" in at.text


async def test_the_board_opens_what_its_cursor_is_on() -> None:
    async with seat() as at:
        await at.press("tab", "tab", "enter")
        assert isinstance(at.app.screen, FlowsScreen)
        assert at.cursor == "planner\x1ftask.code.requested\x1fcoder"
        await at.press("1", "tab", "enter")
        assert isinstance(at.app.screen, SagaScreen)
        await at.press("1", "escape", "C")
        assert at.app.clipboard == "signalbox partition rebalance p07 --to b1"


async def test_the_lever_shows_the_exact_set_and_sends_nothing_until_it_has_a_reason() -> None:
    async with seat() as at:
        await at.press("4", "r")
        assert isinstance(at.app.screen, RedriveDialogue)
        assert "5 dead letters, exactly these" in at.text and "g-07-004" in at.text
        await at.press("enter")
        assert [order.dry_run for order in at.redrives()] == [True]
        await at.type("mended")
        await at.press("enter")
        await settle(at.pilot, at.app)
        last = at.redrives()[-1]
        assert (last.dry_run, last.reason, last.targets) == (False, "mended", ["g-07"])
        assert last.expected == [f"g-07-{i:03d}" for i in range(5)]
        assert "are on their way again" in at.text


async def test_in_production_the_number_must_be_typed_and_esc_changes_nothing() -> None:
    async with seat(context="prod-eu") as at:
        await at.press("4", "r")
        await at.type("mended")
        await at.press("enter")
        await at.type("4")
        await at.press("enter")
        assert all(order.dry_run for order in at.redrives())
        await at.press("backspace", "5", "enter")
        assert not at.redrives()[-1].dry_run
    async with seat() as at:
        await at.press("4", "r")
        await at.type("no")
        await at.press("escape")
        assert all(order.dry_run for order in at.redrives())
        assert "g-07" in at.text


async def test_an_answer_that_comes_after_the_dialogue_was_left_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async with seat() as at:
        await at.press("4")
        waiting: list[Callable[[Landed], None]] = []
        monkeypatch.setattr(at.app, "errand", lambda _, landed: waiting.append(landed))
        await at.press("r", "escape")
        order = Redrive(["g-07"], dry_run=True)
        waiting[0](Landed("errand", order, at.link.ask(order), 0.0))
        await at.press("j")
        assert at.cursor == "g-11"


async def test_an_answer_that_comes_while_its_screen_is_taken_away_paints_nothing() -> None:
    async with seat() as at:
        screen = BoardScreen()
        await at.app.push_screen(screen)
        assert screen.query("#crumb")
        await at.app.pop_screen()
        assert screen.is_mounted and not screen.query("#crumb")
        screen.repaint()


async def test_a_tab_is_left_as_it_was_and_pressed_again_begins_anew() -> None:
    async with seat() as at:
        await at.press("3", "enter", "2", "3")
        assert isinstance(at.app.screen, SagaScreen)
        await at.press("3")
        assert isinstance(at.app.screen, SagasScreen)


async def test_a_set_that_has_changed_is_refused_in_the_planes_words() -> None:
    async with seat() as at:
        await at.press("4", "space", "space", "r")
        assert at.redrives()[0].targets == ["g-07", "g-11"]
        await at.type("mended")
        answer = at.link.redrive
        at.link.redrive = lambda question: answer(Redrive(["g-99"], expected=question.expected))  # type: ignore[method-assign]
        await at.press("enter")
        assert "the set has changed since the dry run" in at.text


async def test_silence_fades_the_picture_locks_levers_and_ends_with_one_repaint() -> None:
    async with seat() as at:
        await at.press("4")
        at.link.silent = "the line is cut"
        at.app.model.heard = (at.app.model.heard or 0) - 12
        at.app.ask_now()
        while not at.app.model.tries:
            await at.pilot.pause()
        assert at.app.faded
        await at.pilot.pause()
        assert re.search(r"control plane silent for 1\ds", at.text) and "levers locked" in at.text
        await at.press("r")
        assert "levers are locked" in at.text and not at.redrives()
        at.link.silent = ""
        await at.press("ctrl+r")
        while at.app.model.tries:
            await at.pilot.pause()
        await at.pilot.pause()
        assert "LIVE" in at.text and "silent" not in at.text


async def test_a_fleet_that_never_answered_says_why() -> None:
    async with seat(frozen.silent()) as at:
        assert "no answer yet" in at.text
        assert "signalbox up" in at.text


async def test_freezing_holds_the_picture() -> None:
    async with seat() as at:
        await at.press("u")
        at.link.story.board = msgspec.structs.replace(at.link.story.board, lost=3)
        await at.beat()
        assert "0 lost" in at.text and "FROZEN" in at.text
        await at.press("u")
        assert "3 lost" in at.text and "LIVE" in at.text


async def test_the_tail_follows_until_the_cursor_moves() -> None:
    async with seat() as at:
        await at.press("6")
        assert isinstance(at.app.screen, EventsScreen) and "following" in at.text
        first = at.link.story.events[0]
        newer = msgspec.structs.replace(first, id="newer", position=first.position + 1)
        at.link.story.events.insert(0, newer)
        await at.beat()
        assert at.cursor == "newer"
        await at.press("j", "k", "j")
        at.link.story.events.insert(0, msgspec.structs.replace(first, id="newest", position=first.position + 2))
        await at.beat()
        assert at.cursor == first.id and "held" in at.text
        await at.press("g")
        assert at.cursor == "newest" and "following" in at.text


@pytest.mark.parametrize("key", ["question_mark", "y", "ctrl+p", "slash", "colon"])
async def test_a_page_over_the_screen_opens_and_esc_closes_it(key: str) -> None:
    async with seat() as at:
        await at.press("2", key)
        assert at.app.screen is not at.app.box
        await at.press("escape")
        assert at.app.screen is at.app.box


async def test_the_help_names_every_key_of_the_screen() -> None:
    async with seat(size=(120, 45)) as at:
        await at.press("4", "question_mark")
        text = at.text
        assert all(ACTIONS[name].help in text for name in FOOTERS["dead"] if ACTIONS[name].keys)
        assert "lever" in text


async def test_a_window_too_small_has_one_line_and_recovers() -> None:
    async with seat(size=(50, 10)) as at:
        assert "■ 61 p07 refuses publishes" in at.text
        await at.pilot.resize_terminal(120, 36)
        await settle(at.pilot, at.app)
        assert "TRACKS" in at.text


async def test_themes_change_colours_and_not_one_cell() -> None:
    async with seat() as at:
        text = at.text
        for name in THEME_NAMES[:-1]:
            at.app.go(f"theme {name}")
            await settle(at.pilot, at.app)
            assert at.text == text


async def test_sorting_goes_round_and_the_clipboard_gets_the_row() -> None:
    async with seat() as at:
        await at.press("2", "O")
        assert "sorted by rate" in at.text
        assert at.app.screen.query_one("Grid").rows[0].key.endswith("coder-fast")  # type: ignore[attr-defined]
        await at.press("c")
        assert at.app.clipboard.startswith("planner ▸ task.code.requested")


async def test_q_leaves() -> None:
    async with seat() as at:
        await at.pilot.press("q")
        await at.pilot.pause()
        assert not at.app.is_running or at.app._exit
