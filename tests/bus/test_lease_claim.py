"""A holder's own view of a lease: from before it asked, to a margin before the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.coordinationlimits import COORDINATION_NUMBER_MAX, LEASE_ASKED_ABOVE, LEASE_RENEWALS_OUT_MAX
from bus.lease import ASKING, HELD, LOST, NOT_GIVEN, OVER, Claim, Request, margin_ns, wrong_with

SECOND = 1_000_000_000
TTL = 10


def claim(now: int = 0, **more: object) -> Claim:
    made = Claim("l", TTL * 1_000, **more)  # type: ignore[arg-type]
    made.ask(now)
    return made


def test_it_counts_from_before_the_request_and_stops_before_the_end() -> None:
    held = claim(now=5 * SECOND)
    assert not held.is_valid(6 * SECOND) and held.token == 0
    held.granted(77, 8 * SECOND)
    end = (5 + TTL) * SECOND - margin_ns(TTL * 1_000)
    assert (held.state, held.token, held.until) == (HELD, 77, end)
    assert held.is_valid(end - 1) and not held.is_valid(end)


def test_an_answer_that_comes_too_late_is_held_once_a_renewal_is_answered() -> None:
    queued = claim()
    queued.queued(3)
    queued.granted(77, 60 * SECOND)
    assert (queued.state, queued.token, queued.place) == (ASKING, 77, 3)
    number = queued.renew(61 * SECOND)
    queued.extended(number, 62 * SECOND)
    assert queued.is_valid(70 * SECOND) and not queued.is_valid(71 * SECOND)


def test_what_was_given_to_an_earlier_process_is_not_this_ones() -> None:
    again = claim(asked=1_000)
    again.granted(77, 1, asked=900)
    again.extended(901, 1)
    assert (again.state, again.token) == (ASKING, 0)
    assert not again.is_about(77, 0) and not again.is_about(0, 900) and again.is_about(0, 1_000)
    again.granted(78, 2, asked=1_000)
    assert (again.state, again.token) == (HELD, 78) and again.is_about(78, 0) and not again.is_about(77, 0)


def test_who_is_followed_by_a_later_process_hears_that() -> None:
    held, asking = claim(asked=1_000), claim(asked=1_000)
    held.granted(77, 1, asked=1_000)
    for former in (held, asking):
        former.granted(78, 2, asked=2_000)
    assert (held.state, held.token, held.why) == (LOST, 77, "taken_over")
    assert (asking.state, asking.why) == (NOT_GIVEN, "taken_over")


def test_one_whose_clock_was_set_back_asks_above_the_earlier_process() -> None:
    asking = claim(asked=1_000_000)
    assert asking.above(1_500_000) == 1_500_000 + LEASE_ASKED_ABOVE
    assert asking.above(1_000_000) == 0 and asking.above(COORDINATION_NUMBER_MAX) == 0
    asking.queued(2, asked=1_000_000)
    assert (asking.state, asking.place) == (ASKING, 2)
    asking.queued(1, asked=1_500_000)
    assert (asking.state, asking.why) == (NOT_GIVEN, "taken_over") and asking.above(9_000_000) == 0


def test_renewals_extend_whichever_is_answered_and_never_shorten() -> None:
    held = claim()
    held.granted(1, 1)
    first, second = held.renew(3 * SECOND), held.renew(6 * SECOND)
    held.extended(second, 7 * SECOND)
    until = held.until
    held.extended(first, 8 * SECOND)
    assert held.until == until == (6 + TTL) * SECOND - margin_ns(TTL * 1_000)


def test_what_was_not_renewed_in_time_stays_lost() -> None:
    held = claim()
    held.granted(1, 1)
    number = held.renew(9 * SECOND)
    held.look(10 * SECOND)
    assert (held.state, held.why) == (LOST, "expired")
    held.extended(number, 11 * SECOND)
    assert held.state == LOST and not held.is_valid(11 * SECOND)


def test_it_ends_by_the_planes_word_or_its_own() -> None:
    refused, ended, over = claim(), claim(), claim()
    refused.ended("held")
    assert (refused.state, refused.why) == (NOT_GIVEN, "held")
    refused.granted(1, 1)
    assert refused.state == NOT_GIVEN, "what ended stays so, in whatever order it is heard"
    ended.granted(1, 1)
    ended.ended("holder_failed")
    assert (ended.state, ended.why) == (LOST, "holder_failed")
    over.granted(1, 1)
    over.release()
    over.extended(over.renew(2), 3)
    assert over.state == OVER and not over.is_valid(3)


@given(
    st.lists(st.tuples(st.sampled_from(["renew", "extend", "look", "grant"]), st.integers(0, 4 * SECOND)), max_size=60)
)
def test_it_is_never_valid_beyond_a_renewal_that_was_answered(happens: list[tuple[str, int]]) -> None:
    held, now, sent, answered = claim(), 0, [0], list[int]()
    for what, after in happens:
        now += after
        if what == "renew":
            held.renew(now)
            sent.append(now)
        elif what == "grant":
            held.granted(1, now)
            answered.append(0)
        elif what == "extend" and held.token:
            held.extended(len(sent) - 1, now)
            answered.append(sent[-1])
        else:
            held.look(now)
        newest = max(answered, default=-(10**12))
        assert held.until <= max(0, newest + TTL * SECOND - margin_ns(TTL * 1_000))
        assert len(held._sent) <= LEASE_RENEWALS_OUT_MAX


@pytest.mark.parametrize(
    ("change", "field"),
    [({"lease": ""}, "lease"), ({"resource": "x" * 300}, "resource"), ({"lease": "l\n"}, "lease"),
     ({"resource": "gpu\x85"}, "resource"), ({"ttl_ms": 10}, "ttl_ms"),
     ({"units": 2}, "units"), ({"capacity": 0}, "capacity"), ({"priority": "top"}, "priority"),
     ({"wait_ms": -1}, "wait_ms")],
)  # fmt: skip
def test_what_is_wrong_names_the_field(change: dict, field: str) -> None:
    assert wrong_with(Request(**{"lease": "l", "resource": "r", "ttl_ms": 10_000} | change)).startswith(field)
    assert wrong_with(Request("l", "r", 10_000)) == ""
