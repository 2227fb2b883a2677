"""Groups whose order spans partitions, through storms; and bugs that were planted are found."""

import logging
from collections.abc import Callable, Iterable
from typing import Any
from unittest.mock import patch

import pytest

from bus import groupactive
from bus.groupactive import Floors
from bus.groupholdback import CausalWork
from bus.groupodd import Odd
from bus.groupwork import Member

from .ordered import run_ordered

SHORT, LONG = 6, 300
real_hold = Odd.hold


@pytest.fixture(autouse=True)
def quiet() -> Iterable[None]:
    """Brokers of the simulation trim what nobody has read all the time, and say so."""
    logging.getLogger("bus.broker").setLevel(logging.ERROR)
    yield
    logging.getLogger("bus.broker").setLevel(logging.NOTSET)


@pytest.mark.parametrize("order", ["causal", "timestamp"])
@pytest.mark.parametrize("part", range(2))
def test_order_over_all_partitions_holds_in_any_weather(order: str, part: int, long: bool) -> None:
    delivered = prevented = 0
    for seed in range(part, LONG if long else SHORT, 2):
        violation, run = run_ordered(seed, order)
        assert not violation, f"{violation}\nagain: python -m tests.simulation.ordered {seed} {order}"
        assert all(len(crew.worker.hold) == 0 for crew in run.crews), "something is held though all is settled"
        delivered += run.delivered
        prevented += sum(crew.worker.hold.prevented for crew in run.crews) if order == "causal" else 0
    assert delivered > 100 and (prevented > 10 or order != "causal"), "the runs were too quiet to show anything"


def deps_ignored(self: CausalWork[Any], held: Any) -> None:
    return None


def delivered_is_enough(self: CausalWork[Any], partition: int) -> int:
    queue = self._queues.get(partition)
    return queue[0].offset if queue else self._received.get(partition, 0)


def floor_not_committed(self: Floors, open_from: int) -> int:
    return open_from


def nothing_is_awaited(self: CausalWork[Any]) -> set[int]:
    return set()


def held_back_has_a_deadline(self: Odd, *args: Any, begun: bool = True) -> None:
    real_hold(self, *args)


def newest_takes_over(members: Iterable[Member]) -> Member | None:
    return max(members, key=lambda member: (member.since, member.name), default=None)


def takes_nothing_back(self: groupactive.Active, member: Member) -> None:
    return None


@pytest.mark.parametrize(
    ("owner", "name", "bug", "order"),
    [
        (CausalWork, "_blocker", deps_ignored, "causal"),
        (CausalWork, "cursor", delivered_is_enough, "causal"),
        (CausalWork, "awaited", nothing_is_awaited, "causal"),
        (Floors, "floor", floor_not_committed, "causal"),
        (Odd, "hold", held_back_has_a_deadline, "causal"),
        (groupactive, "active_of", newest_takes_over, "timestamp"),
        (groupactive.Active, "give_back", takes_nothing_back, "timestamp"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_planted_bug_of_an_order_over_partitions_is_found(
    owner: Any, name: str, bug: Callable[..., Any], order: str
) -> None:
    with patch.object(owner, name, bug):
        assert any(run_ordered(seed, order)[0] for seed in range(40)), "no seed found it"
