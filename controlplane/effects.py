"""Intents, carried out once the step that said so is on disk; their answers come back as facts.

| intent | what is done | answer |
|---|---|---|
| StartBroker | `Supervisor.ensure` | BrokerStarted, BrokerLost |
| ReleaseBroker | `Supervisor.release`: the plane's own is ended, another let go of | none: it is no member any more |
| HaltBroker | that very process is told to end | BrokerLost |
| OfferEpoch | each broker is offered the epoch | OfferAnswered, IntentFailed |
| PlaceSeat | each broker is told, again until it answers or a newer epoch came for that partition | IntentFailed; a |
| | | seat that was taken shows in the broker's samples |
| SpreadTopology | the newest one is sent to all | none: whoever missed it hears it in its next greeting |
| ChangeGroup | each partition's leader is told, again until it has committed it | GroupChanged |
| PublishEvent | published as the plane, again until it is acked | its echo (Carried), IntentFailed |
| OpenGroup | made at every partition, again until all leaders have it | GroupOpened, IntentFailed |

An intent is carried out at least once. All but PublishEvent and OpenGroup name the plane epoch that they were decided
in, which goes with them: brokers refuse any but the greatest they know, and what is carried out here is refused here.
A plane that starts decides them anew. Publishing is what `outbox` brings back after a restart, groups what `registry`
does.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from bus import cloudevents
from bus.client.fleet import Fleet
from bus.client.opening import open_group
from bus.errors import BusError, ClientError, GroupConflict
from bus.event import make
from bus.wire import Seat, Topology
from controlplane import limits
from controlplane.facts import (
    ChangeGroup,
    Fact,
    GroupChanged,
    GroupOpened,
    HaltBroker,
    Intent,
    IntentFailed,
    OfferAnswered,
    OfferEpoch,
    OpenGroup,
    PlaceSeat,
    PublishEvent,
    ReleaseBroker,
    SpreadTopology,
    StartBroker,
    kind_of,
)
from controlplane.supervisor import Supervisor

log = logging.getLogger("signalbox.effects")

Said = tuple[int, int, Intent]


class Effects:
    """Carries intents out. `carry` never blocks; each intent is a task of its own. `fleet` publishes as the plane."""

    def __init__(
        self, supervisor: Supervisor, report: Callable[[Fact], None], told: Callable[[Topology], None]
    ) -> None:
        """`told` hears of each topology that is spread."""
        self._supervisor = supervisor
        self._claim = (0, "")
        self._report = report
        self._told = told
        self._tasks: set[asyncio.Task[None]] = set()
        self._seats: dict[int, Seat] = {}
        self._failed: dict[tuple[str, str, int], tuple[int, str]] = {}
        """The newest failure of a kind, by broker and partition: epoch and why. It is told once."""
        self._groups: dict[str, ChangeGroup] = {}
        """The newest decision on each group, while it is carried out."""
        self._publishing = asyncio.Semaphore(limits.PUBLISHING_AT_ONCE_MAX)
        self._fleet: asyncio.Future[Fleet] = asyncio.get_running_loop().create_future()
        self.first_topology: asyncio.Future[Topology] = asyncio.get_running_loop().create_future()
        self.topology: Topology | None = None

    def claim_as(self, plane_epoch: int, uuid: str) -> None:
        """Under which name brokers are told."""
        self._claim = (plane_epoch, uuid)

    def publish_through(self, fleet: Fleet) -> None:
        """The plane's own fleet is there: publishing begins."""
        self._fleet.set_result(fleet)

    def carry(self, said: Sequence[Said]) -> None:
        """Carry out a committed turn's intents."""
        spread: SpreadTopology | None = None
        released: list[ReleaseBroker] = []
        for cause, index, intent in said:
            if self._is_void(intent):
                log.warning("intent %d:%d is of another plane epoch and is not carried out: %s", cause, index, intent)
            elif isinstance(intent, StartBroker):
                self._supervisor.ensure(intent.id, intent.url)
            elif isinstance(intent, ReleaseBroker):
                released.append(intent)
            elif isinstance(intent, HaltBroker):
                self._supervisor.halt(intent.id, intent.pid, intent.reason)
            elif isinstance(intent, OfferEpoch):
                self._begin(self._offer(cause, index, intent, broker) for broker in intent.brokers)
            elif isinstance(intent, PlaceSeat):
                self._seats[intent.seat.partition] = intent.seat
                self._begin(self._place(cause, index, intent, broker) for broker in intent.brokers)
            elif isinstance(intent, SpreadTopology):
                spread = intent
            elif isinstance(intent, ChangeGroup):
                self._groups[intent.group] = intent
                self._begin([self._change(intent)])
            elif isinstance(intent, PublishEvent):
                self._begin([self._publish(cause, index, intent)])
            elif isinstance(intent, OpenGroup):
                self._begin([self._open(cause, index, intent)])
        if spread is not None:
            self._spread(spread)
        # Only now: the topology that a former member is not in is the last thing that it hears.
        self._begin(self._supervisor.release(one.id, one.reason) for one in released)

    def _is_void(self, intent: Intent) -> bool:
        """What this plane carries out itself it refuses as a broker would: one that another plane decided on."""
        if not isinstance(intent, StartBroker | HaltBroker | ReleaseBroker):
            return False
        return intent.plane_epoch not in (0, self._claim[0])

    def _fail(self, cause: int, index: int, intent: OfferEpoch | PlaceSeat, broker: str, why: str) -> None:
        """Journal that a broker refused, or did not answer; the same again and again is told once."""
        about = intent.seat if isinstance(intent, PlaceSeat) else intent
        kind, failure = kind_of(intent), (about.epoch, why)
        log.warning("%s failed at broker %s, partition %d, epoch %d: %s", kind, broker, about.partition, *failure)
        if self._failed.get((kind, broker, about.partition)) != failure:
            self._failed[kind, broker, about.partition] = failure
            self._report(IntentFailed(cause, index, kind, broker, why, about.partition))

    def _begin(self, works: Iterable[Coroutine[Any, Any, None]]) -> None:
        for work in works:
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("an intent was not carried out: %s", task.get_coro(), exc_info=task.exception())

    async def _offer(self, cause: int, index: int, intent: OfferEpoch, broker: str) -> None:
        controls = self._supervisor.controls(broker)
        if controls is None:
            self._fail(cause, index, intent, broker, "there is no session with it")
            return
        try:
            answer = await controls.offer(intent.plane_epoch, self._claim[1], intent.partition, intent.epoch)
        except BusError as error:
            self._fail(cause, index, intent, broker, str(error))
            return
        self._report(
            OfferAnswered(
                partition=answer.partition,
                epoch=answer.epoch,
                broker=broker,
                store=controls.store,
                accepted=answer.accepted,
                promised=answer.promised,
                last_epoch=answer.last_epoch,
                end=answer.end,
                end_offset=answer.end_offset,
            )
        )

    async def _place(self, cause: int, index: int, intent: PlaceSeat, broker: str) -> None:
        seat, wait_ms = intent.seat, limits.EFFECT_RETRY_MS_MIN
        while self._seats.get(seat.partition) is seat:
            controls = self._supervisor.controls(broker)
            if controls is None:
                # When it comes back the fold places it again.
                return
            try:
                placed = await controls.place(intent.plane_epoch, self._claim[1], seat)
            except BusError as error:
                self._fail(cause, index, intent, broker, str(error))
                wait_ms = await _rest(wait_ms)
                continue
            if not placed.accepted:
                self._fail(cause, index, intent, broker, placed.why)
            return

    def _spread(self, intent: SpreadTopology) -> None:
        topology = self.topology = intent.topology
        self._told(topology)
        if not self.first_topology.done():
            self.first_topology.set_result(topology)
        if self._fleet.done():
            self._fleet.result().learn(topology)
        for controls in self._supervisor.sessions().values():
            controls.spread(intent.plane_epoch, self._claim[1], topology)

    async def _change(self, intent: ChangeGroup) -> None:
        """Have a decision on a group committed at every partition, unless a newer one comes; then say so."""
        topology = await asyncio.shield(self.first_topology)
        await asyncio.gather(*(self._change_at(seat.partition, intent) for seat in topology.seats))
        if self._groups.get(intent.group) is intent:
            del self._groups[intent.group]
            self._report(GroupChanged(intent.group, intent.cause))

    async def _change_at(self, partition: int, intent: ChangeGroup) -> None:
        wait_ms = limits.EFFECT_RETRY_MS_MIN
        while self._groups.get(intent.group) is intent:
            leader = next((one.leader for one in self._seats_now() if one.partition == partition), "")
            controls = self._supervisor.controls(leader)
            try:
                if controls is not None:
                    claim = intent.plane_epoch, self._claim[1]
                    await controls.change_group(*claim, partition, intent.group, intent.changes, intent.decision)
                    return
            except BusError as error:
                log.warning("group %s at partition %d, led by %s: %s", intent.group, partition, leader, error)
            wait_ms = await _rest(wait_ms)

    def _seats_now(self) -> list[Seat]:
        return self.topology.seats if self.topology is not None else []

    async def _publish(self, cause: int, index: int, intent: PublishEvent) -> None:
        fleet = await self._fleet
        wait_ms = limits.EFFECT_RETRY_MS_MIN
        while True:
            try:
                async with self._publishing:
                    # What it comes to in columns is looked at there; JSON that the plane made itself has no bound.
                    await fleet.publish(make(*cloudevents.read(intent.event, bytes_max=len(intent.event))))
                return
            except ClientError as error:
                log.error("intent %d:%d cannot be published: %s", cause, index, error)
                self._report(IntentFailed(cause, index, kind_of(intent), "", str(error), event=intent.event.decode()))
                return
            except BusError as error:
                log.warning("intent %d:%d is published again: %s", cause, index, error)
                wait_ms = await _rest(wait_ms)

    async def _open(self, cause: int, index: int, intent: OpenGroup) -> None:
        fleet = await self._fleet
        wait_ms = limits.EFFECT_RETRY_MS_MIN
        while True:
            try:
                async with self._publishing:
                    await open_group(fleet.cluster, intent.group, intent.pattern, intent.start)
                break
            except GroupConflict as error:
                log.info("group %s is there, with settings of its own: %s", intent.group, error)
                break
            except ClientError as error:
                log.error("intent %d:%d: group %s cannot be made: %s", cause, index, intent.group, error)
                self._report(IntentFailed(cause, index, kind_of(intent), "", str(error)))
                return
            except BusError as error:
                log.warning("intent %d:%d: group %s is asked for again: %s", cause, index, intent.group, error)
                wait_ms = await _rest(wait_ms)
        self._report(GroupOpened(intent.group))

    async def close(self) -> None:
        """Give up what is under way; what was not carried is carried again after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fleet.cancel()


async def _rest(wait_ms: int) -> int:
    """Wait, and say how long to wait the next time."""
    await asyncio.sleep(wait_ms / 1000)
    return min(2 * wait_ms, limits.EFFECT_RETRY_MS_MAX)
