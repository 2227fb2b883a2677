"""Leaders killed with SIGKILL, and how long until everything that they led takes acked writes again.

Before the first kill a prober stands at each partition: it publishes one small event after another, each when the last
is acked. After a kill, the time of a partition is that from SIGKILL to the first ack of an event that was published
after it; the kill's is that of the slowest of the partitions which the broker led. The next kill waits until all
brokers are up and all replicas in sync again.

Then the ledger: every partition is read from its beginning. An acked event that is not there was lost, one that is
there twice was doubled; either is a failure of the bus, whatever the times.
"""

import asyncio
import os
import signal
import time
from array import array
from typing import NamedTuple

import bus
from console.bench.figures import Measured
from console.bench.measures import Begin, together
from console.failures import Failure
from console.fleetdir import Fleet, brokers_of
from console.link import Link, NoAnswer
from controlplane.questions import AskStatus, Status

PROBE_S = 0.005
"""Between an ack and the prober's next event."""
WELL_S = 120.0
"""How long brokers may take to be all well again: restarts back off up to 30 s."""
LOOK_S = 0.1
DEADLINE_S = 60.0
KEYS_TRIED_MAX = 10_000
TYPE = "bench.failover"


class Ledger(NamedTuple):
    """What was acked against what was read back; counts of events. `unknown` were neither acked nor refused."""

    acked: int
    read: int
    unknown: int
    lost: int
    doubled: int


class Prober:
    """One partition's events: number `n` was acked if `acked[n]`; `done` is when the last ack came of which event."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.acked = array("B")
        self.unknown = 0
        self.last_ns = 0
        """When the event was published whose ack came last."""
        self.came = asyncio.Event()

    async def run(self, fleet: bus.Fleet, ended: asyncio.Event) -> None:
        """One event after another, until told to end."""
        while not ended.is_set():
            number = len(self.acked)
            self.acked.append(0)
            began = time.monotonic_ns()
            event = bus.Event(type=TYPE, source="bench/failover", subject=self.key, data=number)
            try:
                await fleet.publish(event, deadline=DEADLINE_S)
            except bus.OutcomeUnknown:
                self.unknown += 1
                continue
            self.acked[number] = 1
            self.last_ns = began
            self.came.set()
            await asyncio.sleep(PROBE_S)

    async def after(self, instant: int) -> int:
        """Nanoseconds from `instant` to the first ack of an event that was published after it."""
        while self.last_ns < instant:
            self.came.clear()
            await self.came.wait()
        return time.monotonic_ns() - instant


class Failover:
    """Kills on one fleet of our own, whose directory is `home`."""

    def __init__(self, home: Fleet, link: Link, kills: int, begin: Begin) -> None:
        self.home, self.link, self.kills = home, link, kills
        self.measured = Measured("failover", "leader SIGKILL to acked writes again", "kills/s")
        self.kills_ns: list[int] = []
        self.ledger: Ledger | None = None
        self._advance = begin(self.measured, kills)
        self._probers: dict[int, Prober] = {}

    async def run(self, fleet: bus.Fleet) -> None:
        """All kills, then the ledger. Raises Failure when the fleet does not get well."""
        ended = asyncio.Event()
        await self._stand(fleet)
        try:
            async with together() as group:
                for prober in self._probers.values():
                    group.create_task(prober.run(fleet, ended))
                try:
                    for number in range(self.kills):
                        await self._well()
                        self.kills_ns.append(await self._kill())
                        self.measured.one(self.kills_ns[-1])
                        self._advance(number + 1)
                finally:
                    ended.set()
        finally:
            self.measured.count = self.measured.took.count
        await self._well()
        self.ledger = await self._balance(fleet)
        self.measured.done = True

    async def _stand(self, fleet: bus.Fleet) -> None:
        """A key for each partition, found by publishing."""
        partitions = len(fleet.topology.seats)
        for number in range(KEYS_TRIED_MAX):
            if len(self._probers) == partitions:
                return
            key = f"key-{number}"
            receipt = await fleet.publish(bus.Event(type="bench.key", source="bench/failover", subject=key))
            self._probers.setdefault(receipt.partition, Prober(key))
        raise Failure(f"no key found for each of {partitions} partitions")

    async def _kill(self) -> int:
        """SIGKILL the broker that leads most; nanoseconds until all that it led takes acked writes."""
        status = await self._status()
        victim = max(status.brokers, key=lambda broker: len(broker.leads)) if status is not None else None
        pids = {str(record["id"]): int(record["pid"]) for record in brokers_of(self.home)}
        if victim is None or victim.id not in pids:
            raise Failure("the fleet that is measured ended by itself", "See the broker's log above.")
        instant = time.monotonic_ns()
        os.kill(pids[victim.id], signal.SIGKILL)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return max(
                    await asyncio.gather(*(self._probers[partition].after(instant) for partition in victim.leads))
                )
        except TimeoutError as error:
            raise Failure(f"{DEADLINE_S:g} s after {victim.id} was killed not all it led takes writes again") from error

    async def _status(self) -> Status | None:
        try:
            body = (await asyncio.to_thread(self.link.ask, AskStatus(), 2.0)).body
        except NoAnswer:
            return None
        return body if isinstance(body, Status) else None

    async def _well(self) -> None:
        """All brokers up, each partition led, each replica in sync."""
        due = time.monotonic() + WELL_S
        while not is_well(await self._status(), len(self._probers)):
            if time.monotonic() > due:
                raise Failure(f"the fleet was not well again within {WELL_S:g} s of a kill")
            await asyncio.sleep(LOOK_S)

    async def _balance(self, fleet: bus.Fleet) -> Ledger:
        """Read everything back and compare."""
        seen = {prober.key: array("B", bytes(len(prober.acked))) for prober in self._probers.values()}
        async for event in fleet.read(TYPE):
            counts = seen[str(event.subject)]
            counts[event.data] = min(255, counts[event.data] + 1)
        return balance({prober.key: prober.acked for prober in self._probers.values()}, seen, self._unknown())

    def _unknown(self) -> int:
        return sum(prober.unknown for prober in self._probers.values())


def is_well(status: Status | None, partitions: int) -> bool:
    """Whether everything is as it should be before something is killed."""
    return (
        status is not None
        and len(status.partitions) == partitions
        and all(broker.state in ("up", "slow") for broker in status.brokers)
        and all(
            partition.leader and all(replica.state in ("leader", "in_sync") for replica in partition.replicas)
            for partition in status.partitions
        )
        and sum(len(broker.leads) for broker in status.brokers) == partitions
    )


def balance(acked: "dict[str, array[int]]", seen: "dict[str, array[int]]", unknown: int) -> Ledger:
    """The ledger of events by key and number: whether each was acked, and how often it was read back."""
    pairs = [pair for key, flags in acked.items() for pair in zip(flags, seen[key], strict=True)]
    return Ledger(
        acked=sum(flag for flag, _ in pairs),
        read=sum(count for _, count in pairs),
        unknown=unknown,
        lost=sum(1 for flag, count in pairs if flag and not count),
        doubled=sum(1 for _, count in pairs if count > 1),
    )
