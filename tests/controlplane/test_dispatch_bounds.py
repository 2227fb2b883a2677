"""Dispatch under what agents and publishers say that is out of all proportion: nothing breaks, nothing is lost."""

import pytest

from bus.choice import FIGURE_MAX, standing
from controlplane.facts import encode_fact
from controlplane.limits import AGENT_QUEUE_MAX
from tests.controlplane.dispatching import Agents


def test_no_figure_is_larger_than_can_be_written() -> None:
    found = standing(1 << 60, 1, 1 << 60, 0)
    assert found.score == found.load == found.expected_us == FIGURE_MAX


@pytest.mark.parametrize("figure", ["queue", "in_flight"])
def test_an_agent_that_says_a_huge_figure_is_only_busy(figure: str) -> None:
    fleet = Agents()
    fleet.joins("a", places=1)
    fleet.beats("a", **{figure: 1 << 53})
    fleet.asks("work")
    (fact,) = fleet.dispatched()
    assert fact.load == AGENT_QUEUE_MAX * 1_000
    assert encode_fact(fact)
