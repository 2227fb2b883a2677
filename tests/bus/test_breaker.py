"""The breaker against a plain model of it; and the table itself."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import breaker, limits
from bus.breaker import CLOSED, DISABLED, FORCED_OPEN, HALF_OPEN, OPEN, STATES, TRANSITIONS, Breaker

MS = 1_000_000
REST = limits.BREAKER_REST_MS_MIN


def fails(made: Breaker, times: int, now: int = 0) -> None:
    for _ in range(times):
        turn = made.admit(now)
        assert turn
        made.ended(turn, False, now)


def opened(now: int = 0) -> Breaker:
    made = Breaker()
    fails(made, limits.BREAKER_CALLS_MIN, now)
    assert made.state == OPEN
    return made


def test_the_table_has_a_row_for_all_that_can_happen_and_no_state_is_a_dead_end() -> None:
    assert {state for state, _ in TRANSITIONS} == set(STATES) == set(TRANSITIONS.values())
    for state in STATES:
        assert {TRANSITIONS[state, what] for what in (breaker.FORCE, breaker.DISABLE, breaker.RESET)} == {
            FORCED_OPEN,
            DISABLED,
            CLOSED,
        }


def test_too_many_failures_open_it_and_fewer_do_not() -> None:
    made = Breaker()
    fails(made, limits.BREAKER_CALLS_MIN - 1)
    assert made.state == CLOSED and made.admit(0)
    made.ended(made.turn, False, 0)
    assert made.state == OPEN and not made.admit(REST * MS - 1) and made.rests_ms(0) == REST
    calm = Breaker()
    for number in range(500):
        calm.ended(calm.admit(0), number % 5 != 4, 0)
    assert calm.state == CLOSED and calm.failed == (limits.BREAKER_CALLS // 5, limits.BREAKER_CALLS)


def test_one_probe_at_a_time_and_its_outcome_decides() -> None:
    made = opened()
    turn = made.admit(REST * MS)
    assert turn and made.state == HALF_OPEN and not made.admit(REST * MS), "one probe at a time"
    made.ended(turn, None, REST * MS)
    again = made.admit(REST * MS)
    assert again == turn, "a probe that says nothing is made again"
    made.ended(again, True, REST * MS)
    assert made.state == CLOSED and made.failed == (0, 0)


def test_each_failed_probe_doubles_the_rest_up_to_a_bound() -> None:
    made, now, rests = opened(), 0, []
    for _ in range(8):
        rests.append(made.rests_ms(now))
        assert not made.admit(now + rests[-1] * MS - 1)
        now += rests[-1] * MS
        made.ended(made.admit(now), False, now)
        assert made.state == OPEN
    assert rests == [min(REST << n, limits.BREAKER_REST_MS_MAX) for n in range(8)]
    now += made.rests_ms(now) * MS
    made.ended(made.admit(now), True, now)
    fails(made, limits.BREAKER_CALLS_MIN, now)
    assert made.rests_ms(now) == REST, "it begins anew"


def test_calls_that_began_before_say_nothing_afterwards() -> None:
    made = Breaker()
    old = made.admit(0)
    fails(made, limits.BREAKER_CALLS_MIN)
    probe = made.admit(REST * MS)
    made.ended(old, True, REST * MS)
    assert made.state == HALF_OPEN
    made.ended(probe, False, REST * MS)
    made.ended(probe, True, REST * MS)
    assert made.state == OPEN


def test_the_hand_goes_before_what_is_counted() -> None:
    made = Breaker()
    made.force_open(0)
    assert not made.admit(10**18) and made.state == FORCED_OPEN and made.rests_ms(0) == 0
    made.disable(0)
    fails(made, 100)
    assert made.state == DISABLED
    made.reset(0)
    assert made.state == CLOSED and made.failed == (0, 0)


def test_a_probe_that_is_answered_in_parts_closes_with_the_first_of_them() -> None:
    made = opened()
    probe = made.admit(REST * MS)
    made.answering(probe, REST * MS)
    assert made.state == CLOSED and made.admit(REST * MS)
    made.ended(probe, False, REST * MS)
    assert made.failed == (0, 0), "how it goes on says nothing: it is of an older turn"


def test_what_is_answered_in_parts_counts_at_its_end_while_closed() -> None:
    made = Breaker()
    turn = made.admit(0)
    made.answering(turn, 0)
    assert made.failed == (0, 0)
    made.ended(turn, False, 0)
    assert made.failed == (1, 1)


def test_a_probe_that_does_not_end_lets_others_through_each_rest() -> None:
    made, now = opened(), REST * MS
    hangs = made.admit(now)
    assert hangs and not made.admit(now + REST * MS - 1)
    other = made.admit(now + REST * MS)
    assert other == hangs and not made.admit(now + REST * MS)
    made.ended(other, True, now + REST * MS)
    assert made.state == CLOSED
    made.ended(hangs, False, now + REST * MS)
    assert made.failed == (0, 0)


class Model:
    """The same in the plainest way: outcomes in a list, one fact at a time."""

    def __init__(self) -> None:
        self.state = CLOSED
        self.turn = 1
        self.outcomes: deque[bool] = deque(maxlen=limits.BREAKER_CALLS)
        self.until = 0
        self.rest = REST
        self.probing = False
        self.probed = 0

    def go(self, state: str, now: int) -> None:
        if state == OPEN:
            self.rest = min(2 * self.rest, limits.BREAKER_REST_MS_MAX) if self.state == HALF_OPEN else REST
            self.until = now + self.rest * MS
        if state == CLOSED:
            self.outcomes.clear()
        self.state, self.turn, self.probing = state, self.turn + 1, False

    def admit(self, now: int) -> bool:
        if self.state == OPEN and now >= self.until:
            self.go(HALF_OPEN, now)
        if self.state == HALF_OPEN and (not self.probing or now >= self.probed + self.rest * MS):
            self.probing, self.probed = True, now
            return True
        return self.state in (CLOSED, DISABLED)

    def ended(self, turn: int, ok: bool | None, now: int) -> None:
        if turn != self.turn:
            return
        if self.state == HALF_OPEN:
            self.probing = False
            if ok is not None:
                self.go(CLOSED if ok else OPEN, now)
        elif self.state == CLOSED and ok is not None:
            self.outcomes.append(not ok)
            many = len(self.outcomes) >= limits.BREAKER_CALLS_MIN
            share = sum(self.outcomes) * 1_000 >= limits.BREAKER_FAILED_PERMILLE * len(self.outcomes)
            if not ok and many and share:
                self.go(OPEN, now)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "ok", "fail", "fail", "fail", "none", "force", "disable", "reset"]),
        st.integers(0, 5),
        st.sampled_from([0, 0, 1, 400, 1_000, 2_000, 40_000]),
    ),
    max_size=200,
)


@given(STEPS)
def test_it_does_what_the_model_does(steps: list[tuple[str, int, int]]) -> None:
    made, model, now = Breaker(), Model(), 0
    out: list[int] = []
    for step, which, ms in steps:
        now += ms * MS
        if step == "admit":
            turn = made.admit(now)
            assert bool(turn) == model.admit(now)
            if turn:
                out.append(turn)
        elif step in ("ok", "fail", "none") and out:
            turn = out.pop(which % len(out))
            ok = {"ok": True, "fail": False, "none": None}[step]
            made.ended(turn, ok, now)
            model.ended(turn, ok, now)
        elif step == "force":
            made.force_open(now)
            model.go(FORCED_OPEN, now)
        elif step == "disable":
            made.disable(now)
            model.go(DISABLED, now)
        elif step == "reset":
            made.reset(now)
            model.go(CLOSED, now)
        assert (made.state, made.turn) == (model.state, model.turn)
        if made.state == CLOSED:
            assert made.failed == (sum(model.outcomes), len(model.outcomes))


@pytest.mark.parametrize("share", [499, 500])
def test_the_share_is_of_what_is_known(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BREAKER_FAILED_PERMILLE", 1_000 - share)
    made = Breaker()
    for ok in (True, False) * (limits.BREAKER_CALLS // 2):
        made.ended(made.admit(0), ok, 0)
    assert made.state == (OPEN if share == 500 else CLOSED)
