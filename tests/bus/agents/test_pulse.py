"""The ticker of a connection: beats of one interval leave together."""

import asyncio
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

import bus
from bus.agents.pulse import Pulse, next_beat
from tests.bus.agents.stage import until


class Heart:
    def __init__(self, name: str, every: float) -> None:
        self.name, self.every, self.due = name, every, 0.0

    def beat(self) -> bus.Event:
        return bus.Event(type="beat", source=self.name)


class Ears:
    """A fleet that notes what is published together; `refuses` so many times first."""

    def __init__(self, refuses: int = 0) -> None:
        self.heard: list[set[str]] = []
        self.refuses = refuses
        self.enough = asyncio.Event()

    async def publish_many(self, events: list[bus.Event], deadline: float) -> None:
        assert deadline >= 1
        if self.refuses:
            self.refuses -= 1
            raise bus.BrokerUnavailable("nobody is there")
        self.heard.append({event.source for event in events})
        if len(self.heard) == 4:
            self.enough.set()


async def test_a_thousand_hearts_are_one_publish() -> None:
    ears = Ears(refuses=1)
    pulse = Pulse(cast(Any, ears))
    hearts = [Heart(f"agent/{number}", 0.05) for number in range(1_000)]
    for heart in hearts:
        pulse.add(heart)
    pulse.add(Heart("slow", 3_600))
    async with asyncio.timeout(20):
        await ears.enough.wait()
    assert all(heard == {heart.name for heart in hearts} for heard in ears.heard), "the slow one has not beaten yet"
    assert pulse.missed == 1_000, "those that could not be said are counted"
    for heart in hearts[1:]:
        pulse.remove(heart)
    ears.enough.clear()
    ears.heard.clear()
    async with asyncio.timeout(20):
        await ears.enough.wait()
    assert ears.heard[-1] == {"agent/0"}
    await pulse.close()


class Stuck(Ears):
    """Where what `slow` says waits for a partition that nobody leads."""

    async def publish_many(self, events: list[bus.Event], deadline: float) -> None:
        if any(event.source == "slow" for event in events):
            await asyncio.Event().wait()
        await super().publish_many(events, deadline)


async def test_a_beat_that_waits_holds_up_no_other() -> None:
    ears = Stuck()
    pulse = Pulse(cast(Any, ears))
    pulse.add(Heart("slow", 0.05))
    pulse.add(Heart("other", 0.07))
    async with asyncio.timeout(20):
        await ears.enough.wait()
        await until("those that cannot even wait are counted", lambda: pulse.missed)
    await pulse.close()


@given(st.floats(0, 1e6), st.floats(0, 1e5), st.floats(0.1, 3_600))
def test_beats_of_one_interval_fall_together(began: float, after: float, every: float) -> None:
    now = began + after
    due = next_beat(now, began, every)
    assert now < due + 1e-6 and due <= now + every + 1e-6
    steps = (due - began) / every
    assert abs(steps - round(steps)) < 1e-6 * max(1.0, steps)
