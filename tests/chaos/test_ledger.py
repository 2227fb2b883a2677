"""The checks of a storm find what they are for: each planted lie gives its own violation, and the truth none."""

from collections.abc import Callable
from typing import Any

import pytest

from bus.session import Session
from tests.chaos.ledger import Heard, Ledger, Place, Sent, violations
from tests.chaos.proxy import Greeting
from tests.chaos.schedule import schedule

Case = dict[str, Any]


def honest() -> Case:
    """Four events of two keys, all acked but one unknown that is in the log and one refused that is not."""
    ledger = Ledger()
    for number, key in enumerate(("a", "a", "b", "b", "b")):
        ledger.sent[f"e{number}"] = Sent(f"e{number}", key, number)
    log = {Place(0, 0): "e0", Place(0, 1): "e1", Place(1, 0): "e2", Place(1, 1): "e3"}
    ledger.acked = {"e0": Place(0, 0), "e1": Place(0, 1), "e2": Place(1, 0)}
    ledger.unknown = {"e3": "cut"}
    ledger.refused = {"e4": "no quorum"}
    ledger.heard = {"strict": [Heard(place, id, 1) for place, id in log.items()]}
    ledger.followed = list(log.items())
    return {"ledger": ledger, "log": log, "archive": list(log.values())}


def lost(case: Case) -> None:
    del case["log"][Place(0, 1)]


def moved(case: Case) -> None:
    case["ledger"].acked["e0"] = Place(0, 1)


def doubled(case: Case) -> None:
    case["log"][Place(1, 2)] = "e3"


def refused_and_there(case: Case) -> None:
    case["log"][Place(1, 2)] = "e4"


def unheard_of(case: Case) -> None:
    case["log"][Place(1, 2)] = "e9"


def never_ended(case: Case) -> None:
    case["ledger"].sent["e5"] = Sent("e5", "a", 5)


def changed_places(case: Case) -> None:
    case["ledger"].acked |= {"e0": Place(0, 1), "e1": Place(0, 0)}
    case["log"] |= {Place(0, 0): "e1", Place(0, 1): "e0"}


def archived_twice(case: Case) -> None:
    case["archive"].append("e1")


def not_archived(case: Case) -> None:
    case["archive"].remove("e1")


def read_twice(case: Case) -> None:
    case["ledger"].followed.append((Place(1, 1), "e3"))


def skipped(case: Case) -> None:
    del case["ledger"].followed[2]


def not_delivered(case: Case) -> None:
    del case["ledger"].heard["strict"][1]


def phantom(case: Case) -> None:
    case["ledger"].heard["strict"].append(Heard(Place(1, 2), "e4", 1))


def out_of_order(case: Case) -> None:
    case["ledger"].heard["strict"].reverse()


PLANTED: list[tuple[Callable[[Case], None], str]] = [
    (lost, "not where their receipt says"),
    (moved, "not where their receipt says"),
    (doubled, "stand in the log more than once"),
    (refused_and_there, "refused and stand in the log"),
    (unheard_of, "never published"),
    (never_ended, "never ended"),
    (changed_places, "changed places"),
    (archived_twice, "archived more than once"),
    (not_archived, "are not archived"),
    (read_twice, "read wrongly"),
    (skipped, "never read by the follower"),
    (not_delivered, "never delivered to strict"),
    (phantom, "not in the log"),
    (out_of_order, "delivered to strict out of order"),
]


def test_the_truth_has_no_violation_and_a_redelivery_is_none() -> None:
    case = honest()
    case["ledger"].heard["strict"].append(Heard(Place(0, 0), "e0", 2))
    assert violations(**case, strict=["strict"]) == []
    assert case["ledger"].redeliveries("strict") == 1


@pytest.mark.parametrize(("plant", "said"), PLANTED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_lie_is_found(plant: Callable[[Case], None], said: str) -> None:
    case = honest()
    plant(case)
    found = violations(**case, strict=["strict"])
    assert any(said in each for each in found), found


def test_a_seed_is_a_schedule() -> None:
    assert schedule(7, 60) == schedule(7, 60) != schedule(8, 60)
    kinds = {fault.kind for seed in range(5) for fault in schedule(seed, 60)}
    assert kinds == {"kill", "stop", "cut"}
    assert max(fault.lasts for fault in schedule(1, 300, sessions=True)) > 15 > max(f.lasts for f in schedule(1, 300))


@pytest.mark.parametrize(
    ("role", "name", "who"), [("client", "p1", "client"), ("broker", "b2", "b2"), ("plane", "x", "plane")]
)
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_whose_connection_it_is_is_read_from_its_first_message(role: str, name: str, who: str, chunk: int) -> None:
    (frame,) = Session(5).hello(role=role, name=name, fleet="f")
    ready = b"\x05READY"
    stream = bytes(64) + b"\x04" + bytes([len(ready)]) + ready
    stream += b"\x02" + len(frame).to_bytes(8, "big") + frame if chunk == 7 else b"\x00" + bytes([len(frame)]) + frame
    greeting = Greeting()
    for at in range(0, len(stream), chunk):
        assert greeting.who == ""
        greeting.feed(stream[at : at + chunk])
    assert greeting.who == who
