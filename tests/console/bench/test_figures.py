"""The arithmetic of measurements, against sorting."""

from array import array
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.bench.failover import balance
from console.bench.figures import QUANTILE_ERROR, Histogram, Measured, median
from console.bench.plan import BENCHES, CALL_TASKS, Plan

durations = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 10**13)), max_size=200)
shares = st.sampled_from([0.001, 0.5, 0.9, 0.99, 0.999, 1.0])


@given(durations, shares)
def test_a_quantile_is_the_exact_one_or_a_little_above(values: list[int], share: float) -> None:
    found = Histogram(values).quantile(share)
    if not values:
        assert found is None
        return
    exact = sorted(values)[max(1, ceil(share * len(values))) - 1]
    assert found is not None and exact <= found <= exact * (1 + QUANTILE_ERROR)
    assert found <= max(values)


@given(durations)
def test_count_least_greatest_and_total_are_exact(values: list[int]) -> None:
    made = Histogram(values)
    assert (made.count, made.total) == (len(values), sum(values))
    assert (made.least, made.greatest) == (min(values, default=0), max(values, default=0))


@given(durations, durations, shares)
def test_merging_is_recording_both(one: list[int], other: list[int], share: float) -> None:
    merged, whole = Histogram(one), Histogram(one + other)
    merged.merge(Histogram(other))
    assert merged.quantile(share) == whole.quantile(share)
    assert (merged.count, merged.least, merged.greatest) == (whole.count, whole.least, whole.greatest)


@given(durations.filter(bool))
def test_quantiles_never_go_back(values: list[int]) -> None:
    made = Histogram(values)
    found = [made.quantile(share / 100) or 0 for share in range(1, 101)]
    assert found == sorted(found)
    assert made.quantile(1.0) == max(values)


def test_a_clock_that_went_back_counts_as_nothing() -> None:
    assert Histogram([-5]).quantile(1.0) == 0


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_the_median_has_as_many_below_as_above(values: list[float]) -> None:
    found = median(values)
    assert found is not None
    assert sum(value < found for value in values) <= len(values) / 2
    assert sum(value > found for value in values) <= len(values) / 2


def test_what_was_stopped_says_so_and_has_its_figures() -> None:
    measured = Measured("publish", "x")
    measured.run(500, 2.0)
    measured.run(0, 1.0)
    measured.one(7)
    row = measured.row()
    assert (row.count, row.runs, row.rate, row.partial, row.p50_ns, row.max_ns) == (500, 1, 250.0, True, 7, 7)
    measured.done = True
    assert not measured.row().partial


def test_a_measurement_without_a_figure_has_none() -> None:
    row = Measured("publish", "x").row()
    assert (row.rate, row.rate_min, row.p50_ns, row.max_ns, row.count) == (None, None, None, None, 0)


@given(st.dictionaries(st.text(max_size=3), st.lists(st.tuples(st.booleans(), st.integers(0, 3))), max_size=4))
def test_the_ledger_finds_each_loss_and_each_double(events: dict[str, list[tuple[bool, int]]]) -> None:
    acked = {key: array("B", [flag for flag, _ in pairs]) for key, pairs in events.items()}
    seen = {key: array("B", [count for _, count in pairs]) for key, pairs in events.items()}
    told = balance(acked, seen, 0)
    everything = [pair for pairs in events.values() for pair in pairs]
    assert told.lost == sum(flag and count == 0 for flag, count in everything)
    assert told.doubled == sum(count > 1 for _, count in everything)
    assert told.acked == sum(flag for flag, _ in everything)
    assert told.read == sum(count for _, count in everything)


@pytest.mark.parametrize("bench", BENCHES)
def test_a_plan_says_what_it_leaves(bench: str) -> None:
    plan = Plan((bench,), events=1_000, runs=2, calls=CALL_TASKS, seconds=2.0, rate=50)
    leaves = plan.leaves()
    assert set(leaves) == ({bench} - {"failover"})
    assert plan.groups == {"consume": 2, "latency": 1}.get(bench, 0)
