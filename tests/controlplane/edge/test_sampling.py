"""Thinned samples: nothing that changed is left out, and an idle broker says little."""

import asyncio
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.wire import GroupSample, GroupSettings, ReplicaSample, Sampled
from controlplane import limits
from controlplane.facts import Fact
from controlplane.sampling import Sampling, Thinned
from controlplane.supervisor import Supervisor

SECOND = 1_000_000_000
replicas = st.builds(
    ReplicaSample,
    partition=st.integers(0, 2),
    epoch=st.just(1),
    leads=st.booleans(),
    end=st.integers(0, 2),
    high=st.just(0),
    end_offset=st.just(0),
    high_offset=st.just(0),
    follower_end=st.just({"b2": 1}),
    follower_lag_ns=st.dictionaries(st.just("b2"), st.sampled_from([1, 10**6, 10**10])),
    refused=st.sampled_from([0, 0, 5]),
)
groups = st.builds(
    GroupSample,
    group=st.just("billing"),
    partition=st.integers(0, 1),
    pattern=st.just(">"),
    members=st.integers(0, 1),
    floor=st.integers(0, 1),
    waiting=st.integers(0, 1),
    in_flight=st.just(0),
    delivered=st.sampled_from([0, 0, 3]),
    acked=st.just(0),
    failed=st.just(0),
    dead=st.just(0),
    oldest=st.just(0),
    latency=st.just({}),
)


def sampled(replica_samples: list[ReplicaSample], group_samples: list[GroupSample], events: int = 0) -> Sampled:
    return Sampled(
        request=0,
        broker="b1",
        at=0,
        replicas=list({each.partition: each for each in replica_samples}.values()),
        groups=list({each.partition: each for each in group_samples}.values()),
        events_in=events,
        events_out=0,
        commits=0,
        fsync_p99_ns=0,
        ack_p99_ns=0,
        memory_bytes=0,
        store_bytes=0,
        sessions=0,
        malformed=0,
        refused=0,
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.lists(replicas, max_size=3), st.lists(groups, max_size=2)), min_size=1, max_size=8))
def test_what_was_reported_adds_up_to_what_is(told: list[tuple[list[ReplicaSample], list[GroupSample]]]) -> None:
    thinned = Thinned()
    counters_told = counters_reported = 0
    levels: dict[tuple[str, int], tuple[object, ...]] = {}
    for second, (replica_samples, group_samples) in enumerate(told):
        full = sampled(replica_samples, group_samples)
        worth = thinned.thin(full, second * SECOND)
        counters_told += sum(each.refused for each in full.replicas) + sum(each.delivered for each in full.groups)
        for part in [worth] if worth is not None else []:
            counters_reported += sum(each.refused for each in part.replicas)
            counters_reported += sum(each.delivered for each in part.groups)
            levels |= {("replica", each.partition): (each.leads, each.end) for each in part.replicas}
            levels |= {("group", each.partition): (each.members, each.floor, each.waiting) for each in part.groups}
        for each in full.replicas:
            assert levels["replica", each.partition] == (each.leads, each.end)
        for each in full.groups:
            assert levels["group", each.partition] == (each.members, each.floor, each.waiting)
    assert counters_reported == counters_told


def test_an_idle_broker_only_gives_signs_of_life() -> None:
    thinned = Thinned()
    replica = ReplicaSample(0, 1, True, 5, 5, 5, 5, {"b2": 5}, {"b2": 1_000})
    reported = []
    for second in range(20):
        later = ReplicaSample(0, 1, True, 5, 5, 5, 5, {"b2": 5}, {"b2": 1_000 + second})
        reported.append(thinned.thin(sampled([replica if second == 0 else later], []), second * SECOND))
    signs = [part for part in reported if part is not None]
    assert [len(part.replicas) for part in signs] == [1, 0, 0, 0, 0]
    assert limits.SAMPLE_IDLE_MS < limits.BROKER_SILENT_MS_MAX
    lagging = ReplicaSample(0, 1, True, 5, 5, 5, 5, {"b2": 5}, {"b2": 3 * SECOND})
    told = thinned.thin(sampled([lagging], []), 20 * SECOND)
    assert told is not None and told.replicas == [lagging]


def test_a_groups_settings_are_told_once() -> None:
    thinned = Thinned()
    strict = GroupSample("g", 0, ">", 1, 0, 0, 0, 3, 0, 0, 0, 0, {}, settings=GroupSettings(">", -1, 30_000, 5))
    looser = msgspec.structs.replace(strict, settings=GroupSettings(">", -1, 60_000, 5))
    told = [thinned.thin(sampled([], [one]), second) for second, one in enumerate([strict, strict, looser, looser])]
    assert [part.groups[0].settings for part in told if part is not None] == [
        strict.settings, None, looser.settings, None
    ]  # fmt: skip


def test_traffic_is_told_at_once() -> None:
    thinned = Thinned()
    assert thinned.thin(sampled([], []), 0) is not None
    assert thinned.thin(sampled([], []), SECOND) is None
    assert thinned.thin(sampled([], [], events=3), 2 * SECOND) is not None
    assert thinned.thin(sampled([], []), 3 * SECOND) is not None, "the busy second is over"
    assert thinned.thin(sampled([], []), 4 * SECOND) is None


class Asked:
    """A broker's session that answers at once; `times` says how often it was asked."""

    id = "b1"  # who `sampled` is of

    def __init__(self) -> None:
        self.times = 0
        self.answered = asyncio.Event()

    async def sample(self) -> Sampled:
        self.times += 1
        self.answered.set()
        return sampled([], [])


class Sessions:
    def __init__(self) -> None:
        self.open: dict[str, Asked] = {}

    def sessions(self) -> dict[str, Asked]:
        return self.open


async def test_a_broker_that_comes_up_is_asked_at_once_and_the_others_in_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SAMPLE_MS", 3_600_000)
    fleet, reported = Sessions(), list[Fact]()
    sampling = Sampling(cast("Supervisor", fleet), reported.append, lambda: 0)
    fleet.open["b1"] = Asked()
    running = asyncio.create_task(sampling.run())
    try:
        async with asyncio.timeout(10):
            await fleet.open["b1"].answered.wait()
            fleet.open["b2"] = Asked()
            sampling.welcome()
            await fleet.open["b2"].answered.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [one.times for one in fleet.open.values()] == [1, 1]
    assert len(reported) == 2
