"""Both ends of an answer in parts, against each other and against nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import limits, wire
from bus.errors import ProtocolError
from bus.streams import Inflow, Outflow

AHEAD = limits.CALL_PARTS_AHEAD_MAX


@given(st.lists(st.sampled_from(["send", "send", "deliver", "take", "grant"]), max_size=400))
def test_no_part_is_lost_and_never_more_are_ahead_than_granted(steps: list[str]) -> None:
    inflow, outflow = Inflow(), Outflow(AHEAD)
    wired: list[wire.Part] = []
    grants: list[int] = []
    taken: list[bytes] = []
    for step in steps:
        if step == "send" and outflow.may_send:
            number = outflow.sent()
            wired.append(wire.Part(1, number, b"%d" % number))
        elif step == "deliver" and wired:
            inflow.arrived(wired.pop(0))
        elif step == "take" and len(inflow):
            taken.append(inflow.take())
            if more := inflow.grant():
                grants.append(more)
        elif step == "grant" and grants:
            outflow.granted(grants.pop(0))
        assert len(wired) + len(inflow) <= AHEAD
    for part in wired:
        inflow.arrived(part)
    inflow.ended(outflow.parts)
    while len(inflow):
        taken.append(inflow.take())
    assert taken == [b"%d" % number for number in range(outflow.parts)] and inflow.parts == len(taken)


def test_a_slow_caller_is_never_starved_of_grants() -> None:
    inflow, outflow = Inflow(), Outflow(AHEAD)
    for _ in range(10 * AHEAD):
        while outflow.may_send:
            inflow.arrived(wire.Part(1, outflow.sent(), b""))
        inflow.take()
        outflow.granted(inflow.grant())
    assert outflow.parts > 9 * AHEAD


@pytest.mark.parametrize("number", [-1, 1, 2**62])
def test_a_part_out_of_turn_is_refused(number: int) -> None:
    with pytest.raises(ProtocolError, match="came when 0 was due"):
        Inflow().arrived(wire.Part(1, number, b""))


def test_parts_beyond_the_grant_are_refused() -> None:
    inflow = Inflow()
    for number in range(AHEAD):
        inflow.arrived(wire.Part(1, number, b""))
    with pytest.raises(ProtocolError, match=f"part {AHEAD} of an answer came before it was granted"):
        inflow.arrived(wire.Part(1, AHEAD, b""))
    inflow.take()
    with pytest.raises(ProtocolError, match="before it was granted"):
        inflow.arrived(wire.Part(1, AHEAD, b"")), "taken, and not granted yet"


def test_an_end_that_counts_otherwise_is_refused() -> None:
    inflow = Inflow()
    inflow.arrived(wire.Part(1, 0, b""))
    with pytest.raises(ProtocolError, match="an answer of 2 parts is over, and 1 came"):
        inflow.ended(2)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10))
def test_grants_of_nonsense_give_no_more_than_may_be_ahead(grants: list[int]) -> None:
    outflow = Outflow(grants[0] if grants else 0)
    for parts in grants[1:]:
        outflow.granted(parts)
    sent = 0
    while outflow.may_send and sent <= AHEAD:
        sent = outflow.sent() + 1
    assert sent <= AHEAD
