"""Time by hand: order, chains, cancelling."""

from hypothesis import given
from hypothesis import strategies as st

from bus.testing.clock import HandClock


def walk(clock: HandClock, ns: int) -> None:
    """As `TestFleet.advance` does."""
    while (due := clock.next_due()) is not None and due <= ns:
        clock.move(due)
        ns -= due
    clock.move(ns)


@given(st.lists(st.integers(0, 100_000)), st.integers(0, 120_000))
def test_timers_fire_in_order_at_their_moments(delays_ms: list[int], ms: int) -> None:
    clock, fired = HandClock(5), list[tuple[float, int]]()
    for delay in delays_ms:
        clock.call_later(delay / 1000, lambda delay=delay: fired.append((clock.time(), delay)))
    begin = clock.time()
    walk(clock, ms * 1_000_000 + 1)
    assert [delay for _, delay in fired] == sorted(delay for delay in delays_ms if delay <= ms)
    assert all(abs(at - begin - delay / 1000) < 1e-6 for at, delay in fired)


def test_a_timer_that_sets_another_sees_that_fire() -> None:
    clock, fired = HandClock(0), list[float]()

    def again() -> None:
        fired.append(clock.time())
        clock.call_later(1, again)

    first = clock.time()
    clock.call_later(1, again)
    walk(clock, 3_500_000_000)
    assert fired == [first + 1, first + 2, first + 3]


def test_a_cancelled_timer_is_none() -> None:
    clock, fired = HandClock(7), list[int]()
    clock.call_later(1, fired.append, 1).cancel()
    clock.call_at(clock.time() + 2, fired.append, 2)
    assert clock.next_due() == 2_000_000_000
    walk(clock, 2_000_000_000)
    assert fired == [2] and clock.next_due() is None and clock.time_ns() == 7 + 2_000_000_000


def test_cancelled_timers_do_not_gather_while_time_stands_still() -> None:
    clock, rang = HandClock(0), list[int]()
    for number in range(300):
        clock.call_later(number, rang.append, number)
    for _ in range(10_000):
        clock.call_later(30, rang.append, -1).cancel()
    assert len(clock._timers) < 1_000
    clock.move(300 * 10**9)
    assert rang == list(range(300))
