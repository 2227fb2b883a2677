"""Brokers' samples, thinned: an idle fleet hardly grows the journal, and nothing that changed is missed.

Each broker is asked every `SAMPLE_MS`. Of an answer only those partitions and groups are reported that differ from what
was last reported; an answer in which nothing happened is reported only every `SAMPLE_IDLE_MS`, as a sign of life.
How long ago a follower acked always differs: it counts as the same while it stays on one side of being in sync. The
first answer in which nothing happens any more is reported, so that nobody takes the last busy second for the present.
A broker that has just come up is asked at once: until then nothing is known of it.

A broker's clock was read between question and answer. What it says outside of that span is its skew, told once it is
over `CLOCK_SKEW_MS_MAX`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

import msgspec

from bus.client.operator import Controls
from bus.errors import BusError
from bus.limits import REPLICA_LAG_MS_MAX
from bus.wire import GroupSample, ReplicaSample, Sampled
from controlplane import limits
from controlplane.facts import BrokerSampled, Fact
from controlplane.supervisor import Supervisor

log = logging.getLogger("signalbox.sampling")

_LAG_NS = REPLICA_LAG_MS_MAX * 1_000_000
_IDLE_NS = limits.SAMPLE_IDLE_MS * 1_000_000


class Thinned:
    """What was last reported of one broker."""

    def __init__(self, reserved: int = -1) -> None:
        """`reserved`: the partition of the journal's copy, which always grows; that alone is no news."""
        self._reserved = reserved
        self._replicas: dict[int, ReplicaSample] = {}
        self._groups: dict[tuple[str, int], GroupSample] = {}
        self._reported: int | None = None
        self._was_busy = False
        self._standing = (False, False)

    def thin(self, sampled: Sampled, now: int, skewed: bool = False) -> Sampled | None:
        """The part worth a fact, or None. `now` in ns, of any clock that never goes back; `skewed`: its own is off."""
        replicas = [
            each
            for each in sampled.replicas
            if each.refused or self._replica(each) != self._replicas.get(each.partition)
        ]
        if len(self._groups) > len(
            sampled.groups
        ):  # one that is gone and comes again is news, though it looks the same
            there = {(each.group, each.partition) for each in sampled.groups}
            self._groups = {place: each for place, each in self._groups.items() if place in there}
        groups = [
            each for each in sampled.groups if _is_busy(each) or each != self._groups.get((each.group, each.partition))
        ]
        was_busy, self._was_busy = self._was_busy, bool(sampled.events_in or sampled.events_out or sampled.refused)
        before, self._standing = self._standing, (sampled.refuses, skewed)
        happened = bool(replicas or groups or self._was_busy or was_busy or before != self._standing)
        if not happened and self._reported is not None and now - self._reported < _IDLE_NS:
            return None
        self._reported = now
        self._replicas |= {each.partition: self._replica(each) for each in replicas}
        told = [self._told(each) for each in groups]
        self._groups |= {(each.group, each.partition): each for each in groups}
        return msgspec.structs.replace(sampled, replicas=replicas, groups=told)

    def _replica(self, sample: ReplicaSample) -> ReplicaSample:
        """As it is compared: a follower's lag counts as in sync or not."""
        lags = {broker: int(lag > _LAG_NS) for broker, lag in sample.follower_lag_ns.items()}
        compared = msgspec.structs.replace(sample, follower_lag_ns=lags)
        if sample.partition != self._reserved:
            return compared
        return msgspec.structs.replace(
            compared,
            end=0,
            high=0,
            end_offset=0,
            high_offset=0,
            follower_end=dict.fromkeys(sample.follower_end, 0),
            bytes=0,
        )

    def _told(self, sample: GroupSample) -> GroupSample:
        """A group's sample without its settings where they were reported already: they hardly ever change."""
        before = self._groups.get((sample.group, sample.partition))
        if before is None or before.settings != sample.settings:
            return sample
        return msgspec.structs.replace(sample, settings=None)


def _is_busy(sample: GroupSample) -> bool:
    return bool(sample.delivered or sample.acked or sample.failed or sample.dead or sample.latency or sample.trimmed)


class Sampling:
    """Asks every broker with a session, again and again, until cancelled."""

    def __init__(
        self, supervisor: Supervisor, report: Callable[[Fact], None], now: Callable[[], int], reserved: int = -1
    ) -> None:
        self._supervisor = supervisor
        self._reserved = reserved
        self._report = report
        self._now = now
        self._of: dict[Controls, Thinned] = {}
        self._asked: dict[Controls, asyncio.Task[None]] = {}
        self._came = asyncio.Event()

    def welcome(self) -> None:
        """A broker has just come up: ask it now."""
        self._came.set()

    async def run(self) -> None:
        """One round each `SAMPLE_MS`; a broker that does not answer holds nobody up."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                self._came.clear()
                sessions = self._supervisor.sessions().values()
                is_round = loop.time() >= due
                asked = [controls for controls in sessions if is_round or controls not in self._of]
                self._of = {controls: self._of.get(controls, Thinned(self._reserved)) for controls in sessions}
                self._begin(asked)
                if is_round:
                    due = loop.time() + limits.SAMPLE_MS / 1000
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._came.wait()
        finally:
            for task in self._asked.values():
                task.cancel()

    def _begin(self, asked: Iterable[Controls]) -> None:
        """Ask those that have not been asked, or have answered since."""
        self._asked = {controls: task for controls, task in self._asked.items() if not task.done()}
        for controls in asked:
            if controls not in self._asked:
                self._asked[controls] = asyncio.create_task(self._ask(controls))

    async def _ask(self, controls: Controls) -> None:
        asked = self._now()
        try:
            sampled = await controls.sample()
        except BusError as error:
            log.debug("no sample: %s", error)
            return
        if sampled.broker != controls.id:
            log.warning("broker %s speaks for %s; its sample counts for nothing", controls.id, sampled.broker[:200])
            return
        now = self._now()
        skew = skew_of(sampled.at, asked, now)
        worth = self._of[controls].thin(sampled, now, skew != 0) if controls in self._of else None
        if worth is not None:
            self._report(BrokerSampled(worth, skew))


def skew_of(at: int, asked: int, answered: int) -> int:
    """How far a clock that said `at` between two readings of ours is ahead (behind: negative); 0 within bounds."""
    skew = max(at - answered, 0) or min(at - asked, 0)
    return skew if abs(skew) > limits.CLOCK_SKEW_MS_MAX * 1_000_000 else 0
