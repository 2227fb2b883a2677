"""The beat of open-loop load: what was due is due, however late the loop gets to it."""

import asyncio
import time
from contextlib import aclosing

import pytest

from console.bench.made import due, instant_of, made
from console.bench.pace import BEAT_NS, Beat


@pytest.mark.parametrize(("rate", "total"), [(5_000, 250), (37, 3), (1_000_000, 20_000)])
async def test_each_event_is_due_once_and_never_before_its_instant(rate: int, total: int) -> None:
    instants: list[int] = []
    async with aclosing(Beat(rate, total).beats()) as beats:
        async for instant, count in beats:
            assert time.monotonic_ns() >= instant
            instants += [instant] * count
    assert len(instants) == total
    span = instants[-1] - instants[0]
    assert span == pytest.approx((total - 1) * 1e9 / rate, abs=2 * BEAT_NS)


async def test_a_loop_that_was_busy_is_charged_for_it() -> None:
    """Coordinated omission: what was due meanwhile keeps its instant, and none is left out."""
    beat, before, late = Beat(1_000, 200), 0, 0
    async with aclosing(beat.beats()) as beats:
        async for instant, _count in beats:
            assert instant == before + BEAT_NS or not before
            before = instant
            late = max(late, time.monotonic_ns() - instant)
            if instant and late < 50 * BEAT_NS:
                _busy(60 * BEAT_NS)
    assert beat.late_ns >= 50 * BEAT_NS


def _busy(nanoseconds: int) -> None:
    until = time.monotonic_ns() + nanoseconds
    while time.monotonic_ns() < until:
        pass


async def test_leaving_early_ends_its_thread() -> None:
    async with aclosing(Beat(1_000, 1_000_000).beats()) as beats:
        async for _ in beats:
            break
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


def test_events_have_the_size_that_was_asked_and_say_when_they_were_due() -> None:
    for size in (32, 128, 1024):
        assert {len(event.payload) for event in made("bench.x", 3, size, 1)} == {size}
        event = due("bench.x", 5, size, 123_456_789, 1)
        assert (len(event.payload), instant_of(event)) == (size, 123_456_789)
