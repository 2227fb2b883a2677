"""The closed union of what may be journaled, and of what may be wanted done.

A *fact* happened: it enters the journal at a position and is never changed. `Rows` is the fact "a partition
appended these events", as columns; its journal form is the archive itself (partition, first and last offset), so
it is rebuilt from there and not encoded here. An *intent* is what should be done after the step that says so is
committed: at least once, keyed `position:index`.

Facts travel as MessagePack maps tagged with their kind. Fields are added at the end, with a default. A fact whose
meaning changes gets a new struct with a new tag, and the old tag an entry in `UPCASTERS`.

| who journals it | facts |
|---|---|
| service | PlaneStarted, PlaneResumed, PlaneStopped, Tick, FoldVersions, SettingSet, RedriveDecided, RecorderLag |
| supervisor | FleetFounded, BrokerStarted, BrokerLost, BrokerStopped, BrokerSampled, OfferAnswered |
| folds, derived | LeadershipProposed, OfferClosed, LeaderElected, PartitionWaits, RestartScheduled, BrokerSilent, |
| | BrokerHeard, BrokerLost (a start that timed out), SagaStuck, Carried; the heart: FoldQuarantined |
| operators, and the fleet that obeys | see `decisions` |
All instants and durations are integer nanoseconds.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from bus.semantic import Rule
from bus.wire import Sampled, Seat, Topology
from controlplane.decisions import BrokerAdded as BrokerAdded
from controlplane.decisions import Decision
from controlplane.decisions import HaltBroker as HaltBroker
from controlplane.decisions import ReleaseBroker as ReleaseBroker
from controlplane.errors import FactUnreadable
from controlplane.journaled import Fact as Fact
from controlplane.journaled import Intent as Intent


class Rows(msgspec.Struct, gc=False):
    """Events that one partition appended, as columns of equal length; row i has offset `first_offset + i`.

    In the journal row i stands at the entry's position + i. `sagas` is correlationid else subject, or "";
    `importofs` is the name of the log an event was imported from, or "". `sizes` are payload bytes. `followed` holds
    the whole event, CloudEvents JSON, of those rows whose type a fold follows (`plane.FOLLOWED_TYPES`).
    """

    partition: int
    first_offset: int
    appended: list[int]
    types: list[str]
    sources: list[str]
    ids: list[str]
    times: list[int | None]
    sagas: list[str]
    importofs: list[str]
    redriven: list[bool]
    sizes: list[int]
    followed: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.types)

    def part(self, start: int, stop: int) -> "Rows":
        """Rows `start` <= i < `stop` as Rows of their own."""
        cut: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in ROW_COLUMNS}
        followed = {row - start: event for row, event in self.followed.items() if start <= row < stop}
        return Rows(self.partition, self.first_offset + start, **cut, followed=followed)


ROW_COLUMNS = ("appended", "types", "sources", "ids", "times", "sagas", "importofs", "redriven", "sizes")
"""The columns of `Rows`."""


# ------------------------------------------------------------------------------------------------- the plane


class PlaneStarted(Fact, frozen=True):
    """A plane took over under `(epoch, uuid)`. `gap_ns`: since the journal's last entry, 0 for a new journal."""

    epoch: int
    uuid: str
    version: str = ""
    plane_url: str = ""
    gap_ns: int = 0


class PlaneResumed(Fact, frozen=True):
    """The plane itself stood still for `gap_ns`: silence in that time says nothing about anyone else."""

    gap_ns: int


class PlaneStopped(Fact, frozen=True):
    """The plane went, on purpose."""

    reason: str


class Tick(Fact, frozen=True):
    """Time passed: journaled when a deadline is due and at least each second."""


class FoldVersions(Fact, frozen=True):
    """The folds that make the facts from here on, name to version. Journaled after each PlaneStarted."""

    versions: dict[str, int]


class FoldQuarantined(Fact, frozen=True):
    """A fold raised: it stands still as it was before this step, until a plane with another version of it starts."""

    fold: str
    version: int
    error: str


class SettingSet(Fact, frozen=True):
    """A setting of the folds changed, e.g. `sagas.stuck_after_ms`."""

    name: str
    value: str
    by: str = ""


class RecorderLag(Fact, frozen=True):
    """How far the recorder is behind the brokers: events, and the age of the oldest one."""

    events: int
    oldest_ns: int


# ------------------------------------------------------------------------------------------------- the fleet


class FleetFounded(Fact, frozen=True):
    """The fleet's birth: what never changes afterwards (but for StrategyChosen), and the brokers it is born with."""

    fleet: str
    partitions: int
    slots: int
    brokers: list[str]
    strategy: str = "hash"
    rules: list[Rule] = []


class BrokerStarted(Fact, frozen=True):
    """A broker answers. `adopted`: it was running before this plane; `seats` is what it says of itself (`Claimed`)."""

    id: str
    pid: int
    store: str
    url: str
    adopted: bool = False
    seats: list[Seat] = []


class BrokerLost(Fact, frozen=True):
    """A broker's process is gone, or it never came up."""

    id: str
    why: str


class BrokerStopped(Fact, frozen=True):
    """A broker was ended on purpose; it is not restarted."""

    id: str


class BrokerSilent(Fact, frozen=True):
    """Derived: a broker that should be up has given no sample for too long; it leads nothing meanwhile."""

    id: str
    silent_ns: int


class BrokerHeard(Fact, frozen=True):
    """Derived: a silent broker answers again."""

    id: str


class BrokerSampled(Fact, frozen=True):
    """One broker's figures since its last sample. `skew_ns`: its clock less the plane's, 0 while they may agree."""

    sampled: Sampled
    skew_ns: int = 0


class RestartScheduled(Fact, frozen=True):
    """Derived: a lost broker will be started again at `at`; `attempt` counts from 1."""

    id: str
    at: int
    attempt: int
    why: str


# ------------------------------------------------------------------------------------------------- leadership


class LeadershipProposed(Fact, frozen=True):
    """Derived: a new epoch for a partition, offered to `replicas`. `why`: what asks for it, `prefer`: for whom."""

    partition: int
    epoch: int
    replicas: list[str]
    why: str = ""
    prefer: str = ""


class OfferAnswered(Fact, frozen=True):
    """A replica's answer to an offer. `accepted` False: it has promised `promised` to someone else."""

    partition: int
    epoch: int
    broker: str
    store: str
    accepted: bool
    promised: int
    last_epoch: int
    end: int
    end_offset: int


class OfferClosed(Fact, frozen=True):
    """Derived: the time for answers to an offer is over."""

    partition: int
    epoch: int


class LeaderElected(Fact, frozen=True):
    """Derived: who leads. `stores` are the voting replicas from here on, broker to store uuid."""

    partition: int
    epoch: int
    leader: str
    replicas: list[str]
    write_quorum: int
    stores: dict[str, str]


class PartitionWaits(Fact, frozen=True):
    """Derived: a partition cannot be led. `why` says who is missing."""

    partition: int
    why: str


# ------------------------------------------------------------------------------------------------- what agents do


class SagaStuck(Fact, frozen=True):
    """Derived: a live saga has waited past `threshold_ns` after `step`. `steps` tells its next event from this one."""

    saga: str
    step: str
    steps: int
    severity: str
    threshold_ns: int


class RedriveDecided(Fact, frozen=True):
    """An operator had dead letters published again; `targets` is the exact set of ids."""

    targets: list[str]
    by: str
    reason: str


class Carried(Fact, frozen=True):
    """Derived: the event of intent `cause:index` came back through the recorder, at this offset."""

    cause: int
    index: int
    partition: int
    offset: int


# ------------------------------------------------------------------------------------------------- intents


class StartBroker(Intent, frozen=True):
    """See that this broker runs: adopt the one that lives, else start it. Answer: BrokerStarted or BrokerLost.

    With `url` somebody else runs it: it is dialled there until it answers, and again whenever it went away.
    """

    id: str
    attempt: int
    url: str = ""


class OfferEpoch(Intent, frozen=True):
    """Offer an epoch to brokers. Answers: OfferAnswered, one a broker; silence is no answer."""

    partition: int
    epoch: int
    brokers: list[str]
    plane_epoch: int


class PlaceSeat(Intent, frozen=True):
    """Send the decided seat to these brokers; a broker that holds a newer epoch ignores it."""

    seat: Seat
    brokers: list[str]
    plane_epoch: int


class SpreadTopology(Intent, frozen=True):
    """Send the topology to all brokers that are up; of several in one step only the last one matters."""

    topology: Topology
    plane_epoch: int


class PublishEvent(Intent, frozen=True):
    """Publish one event, CloudEvents JSON whose `id` is the intent's own `position:index`, as principal `plane`."""

    id: str
    event: bytes


AnyFact = (
    PlaneStarted
    | PlaneResumed
    | PlaneStopped
    | Tick
    | FoldVersions
    | FoldQuarantined
    | SettingSet
    | RecorderLag
    | FleetFounded
    | BrokerStarted
    | BrokerLost
    | BrokerStopped
    | BrokerSilent
    | BrokerHeard
    | BrokerSampled
    | RestartScheduled
    | LeadershipProposed
    | OfferAnswered
    | OfferClosed
    | LeaderElected
    | PartitionWaits
    | SagaStuck
    | RedriveDecided
    | Carried
    | Decision
)
AnyIntent = StartBroker | HaltBroker | ReleaseBroker | OfferEpoch | PlaceSeat | SpreadTopology | PublishEvent

UPCASTERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Old tag -> old map to the present map (which has the present `type`). Old facts are read through it, forever."""

_encoder = msgspec.msgpack.Encoder()
_fact = msgspec.msgpack.Decoder(AnyFact)
_intent = msgspec.msgpack.Decoder(AnyIntent)


def kind_of(fact: Fact | Intent) -> str:
    """The tag under which it is journaled."""
    return type(fact).__name__


def encode_fact(fact: Fact) -> bytes:
    """A fact's byte form. What was decoded from it gives the same bytes again, maps in their order included."""
    return _encoder.encode(fact)


def decode_fact(data: bytes) -> Fact:
    """A journaled fact, through its upcaster if its form is old; raises `FactUnreadable`."""
    try:
        fact: Fact = _fact.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _upcast(data, error)
    return fact


def encode_intent(intent: Intent) -> bytes:
    """The one byte form of an intent."""
    return _encoder.encode(intent)


def decode_intent(data: bytes) -> Intent:
    """Raises `msgspec.DecodeError` on anything else than an intent."""
    intent: Intent = _intent.decode(data)
    return intent


def _upcast(data: bytes, error: Exception) -> Fact:
    try:
        old = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise FactUnreadable("?", str(error)) from error
    kind = str(old.get("type")) if isinstance(old, dict) else "?"
    upcaster = UPCASTERS.get(kind)
    if upcaster is None:
        raise FactUnreadable(kind, str(error)) from error
    return decode_fact(_encoder.encode(upcaster(old)))
