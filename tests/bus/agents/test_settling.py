"""What becomes of a delivery, for every way in which a handler may end."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.agents import desk, inbox, settling
from bus.agents.limits import RETRY_MS_MAX, RETRY_MS_MIN
from bus.agents.settling import ACK, DISPATCHED, FAILED, LEFT, NACK, NOTHING, OWN, SHARED, TERMINATE, UNFIT, WELL
from bus.event import Event, to_json

ends = st.sampled_from([WELL, FAILED, UNFIT, LEFT])
origins = st.sampled_from([OWN, SHARED, DISPATCHED])
counts = st.integers(1, 100)


@given(ends, origins, counts, counts)
def test_the_table_holds(ended: str, origin: str, attempt: int, most: int) -> None:
    found = settling.verdict(ended, origin, attempt, most)
    last = attempt >= most
    how = {
        WELL: ACK,
        LEFT: NOTHING,
        UNFIT: ACK if origin == DISPATCHED else TERMINATE,
        FAILED: NACK if origin == OWN or not last else ACK if origin == DISPATCHED else TERMINATE,
    }[ended]
    assert found.how == how
    told = {WELL: "handled", UNFIT: "refused", FAILED: "failed" if last else "", LEFT: ""}[ended]
    assert found.settled == (told if origin == DISPATCHED else ""), "the plane is told of what it dispatched, and ends"
    assert (found.delay > 0) == (found.how == NACK)


@given(origins, counts, counts)
def test_nothing_is_tried_again_for_ever(origin: str, attempt: int, most: int) -> None:
    """Either the broker counts, or an attempt beyond the last is not begun."""
    assert settling.is_spent(origin, attempt, most) == (origin != OWN and attempt > most)


@given(counts)
def test_rests_grow_within_their_bounds(attempt: int) -> None:
    now, then = settling.rest_seconds(attempt), settling.rest_seconds(attempt + 1)
    assert RETRY_MS_MIN / 1000 <= now <= then <= min(2 * now, RETRY_MS_MAX / 1000)


def test_an_error_is_told_with_its_kind() -> None:
    assert settling.told(ValueError("no such plan")) == "ValueError: no such plan"
    assert settling.told(asyncio.QueueEmpty()) == "QueueEmpty"
    assert len(settling.told(ValueError("\ud800" * 9_999)).encode()) <= 1_000


@given(ends, origins, counts, counts)
def test_what_the_plane_does_not_hear_of_any_more_is_a_dead_letter(
    ended: str, origin: str, attempt: int, most: int
) -> None:
    found = settling.verdict(ended, origin, attempt, most, heard=False)
    went_wrong = origin == DISPATCHED and ended in (FAILED, UNFIT)
    assert found == settling.verdict(ended, SHARED if went_wrong else origin, attempt, most)
    assert found.settled in ("", "handled")


@pytest.mark.parametrize(("settle_by", "heard"), [(None, True), (0, False), (1, False), (1 << 62, True)])
def test_mail_says_until_when_the_plane_listens(settle_by: int | None, heard: bool) -> None:
    event = msgspec.Raw(to_json(Event(id="1", type="t", source="s")))
    data = {"task": "1.0", "attempt": 1, "event": event, "decision": None}
    data |= {} if settle_by is None else {"settle_by": settle_by}
    order = inbox.order_of(
        Event(id="m", type="agent.inbox.a", source="signalbox/plane", extensions={"dispatched": True}, data=data)
    )
    assert order is not None and order.settle_by == settle_by
    assert desk._is_heard(cast(Any, SimpleNamespace(order=order))) is heard
