"""What the screens promise of their keys, and the commands that they copy, without the application."""

import pytest

from console.actions import ACTIONS, FOOTERS, command, of_screen
from console.screens.agent import AgentScreen
from console.screens.agents import AgentsScreen
from console.screens.board import BoardScreen
from console.screens.box import Box
from console.screens.dead import DeadScreen, LettersScreen
from console.screens.events import EventScreen, EventsScreen
from console.screens.fleet import FleetScreen
from console.screens.flows import FlowsScreen
from console.screens.health import HealthScreen
from console.screens.partition import PartitionScreen
from console.screens.saga import SagaScreen
from console.screens.sagas import SagasScreen


@pytest.mark.parametrize(
    ("key", "line"), [("report-1", "saga show report-1"), ("a b", "saga show 'a b'"), ("it's", "saga show 'it'\\''s'")]
)
def test_copied_commands_are_safe_to_paste(key: str, line: str) -> None:
    assert command("saga", key) == f"signalbox {line}"


SCREENS = (
    BoardScreen,
    FlowsScreen,
    SagasScreen,
    SagaScreen,
    DeadScreen,
    LettersScreen,
    HealthScreen,
    EventsScreen,
    EventScreen,
    FleetScreen,
    PartitionScreen,
    AgentsScreen,
    AgentScreen,
)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.KIND)
def test_a_screen_does_all_that_its_last_line_and_its_help_promise(screen: type[Box]) -> None:
    promised = {action.name for action in of_screen(screen.KIND) if action.keys}
    moves = {"down", "up", "first", "last", "page_down", "page_up", "open", "back"}
    missing = {name for name in promised if not hasattr(screen, f"do_{name}")}
    assert not missing - moves if screen is EventScreen else not missing - {"page_down", "page_up"}


def test_every_screen_has_its_keys() -> None:
    assert {screen.KIND for screen in SCREENS} == set(FOOTERS)
    assert all(name in ACTIONS for names in FOOTERS.values() for name in names)
