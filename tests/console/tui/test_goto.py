"""Where what is typed after `:` leads, and what is copied where there is nothing."""

import pytest

from console.actions import command
from console.goto import place_of
from console.model import Landed, Model
from controlplane.questions import Agents, AskAgents, Told
from tests.console.story_agents import agent

NOW = 1_790_000_000_000_000_000


@pytest.mark.parametrize("typed", ["carrier", "agent/carrier", "agent:carrier", "agent carrier"])
def test_an_agent_is_found_by_its_name_and_by_its_source(typed: str) -> None:
    model, rows = Model(0.0), [agent("carrier", NOW, "carry", 0.5)]
    model.land(Landed("agents", AskAgents(), Told(1, 1, Agents(1, 1, 1, 0, 0, rows)), 1.0))
    assert (place_of(typed, model).kind, place_of(typed, model).key) == ("agent", "carrier")
    assert place_of("nobody", model).kind == "saga"


def test_of_an_empty_list_the_command_lists() -> None:
    copied = [command(kind, "") for kind in ("agent", "saga", "dead")]
    assert copied == ["signalbox agent list", "signalbox saga list", "signalbox dlq list"]
