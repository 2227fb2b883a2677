"""The closed union of what may be journaled, and of what may be wanted done.

A *fact* happened: it enters the journal at a position and is never changed. `Rows` is the fact "a partition
appended these events", as columns; its journal form is the archive itself (partition, first and last offset), so
it is rebuilt from there and not encoded here. An *intent* is what should be done after the step that says so is
committed: at least once, keyed `position:index`, which what is published has in its id (`controlplane.stamps`).

Facts travel as MessagePack maps tagged with their kind. Fields are added at the end, with a default. A fact whose
meaning changes gets a new struct with a new tag, and the old tag an entry in `UPCASTERS`.

| who journals it | facts |
|---|---|
| service | PlaneStarted, PlaneResumed, PlaneStopped, Tick, FoldVersions, FoldsRebuilt, SettingSet, RedriveDecided, |
| | RecorderLag, CopyFounded, CopyStands, CopyBeyond, JournalRebuilt |
| effects | OfferAnswered, GroupChanged, IntentFailed |
| supervisor | FleetFounded, BrokerStarted, BrokerLost, BrokerStopped, BrokerSampled |
| folds, derived | LeadershipProposed, OfferClosed, LeaderElected, PartitionWaits, RestartScheduled, BrokerSilent, |
| | BrokerHeard, BrokerLost (a start that timed out), SagaStuck, Carried; the heart: FoldQuarantined |
| operators; folds; effects | AgentQuarantined, AgentReleased; AgentSuspected, AgentFailed; GroupOpened: see `agents` |
| operators; folds | RoutesSet; what follows from rules and needs: see `dispatch` |
| operators, and the fleet that obeys | see `decisions` |
| operators | GroupsRemoved, GroupUpdated |
| operators; the projections' desk | ProjectionAdded, ProjectionRebuilt, ProjectionRemoved; ProjectionQuarantined |
| folds, derived | what follows of ballots and leases: see `coordination` |

The facts about the fleet stand in `fleet` and in `controlplane.decisions`, those about agents, groups and projections
in files named so, events in `rows`, intents in `intents`.
All instants and durations are integer nanoseconds.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from controlplane.decisions import BrokerAdded as BrokerAdded
from controlplane.decisions import Decision
from controlplane.decisions import HaltBroker as HaltBroker
from controlplane.decisions import ReleaseBroker as ReleaseBroker
from controlplane.errors import FactUnreadable
from controlplane.facts.agents import AgentFact
from controlplane.facts.agents import AgentFailed as AgentFailed
from controlplane.facts.agents import AgentQuarantined as AgentQuarantined
from controlplane.facts.agents import AgentReleased as AgentReleased
from controlplane.facts.agents import AgentSuspected as AgentSuspected
from controlplane.facts.agents import GroupOpened as GroupOpened
from controlplane.facts.agents import OpenGroup as OpenGroup
from controlplane.facts.coordination import BallotDecided as BallotDecided
from controlplane.facts.coordination import BallotRefused as BallotRefused
from controlplane.facts.coordination import CoordinationFact
from controlplane.facts.coordination import LeaseEnded as LeaseEnded
from controlplane.facts.coordination import LeaseGranted as LeaseGranted
from controlplane.facts.coordination import LeaseQueued as LeaseQueued
from controlplane.facts.coordination import LeaseRefused as LeaseRefused
from controlplane.facts.dispatch import DispatchFact as DispatchFact
from controlplane.facts.dispatch import EventRouted as EventRouted
from controlplane.facts.dispatch import RoutesSet as RoutesSet
from controlplane.facts.dispatch import RuleFailed as RuleFailed
from controlplane.facts.dispatch import TaskDispatched as TaskDispatched
from controlplane.facts.dispatch import TaskDropped as TaskDropped
from controlplane.facts.dispatch import TaskEscalated as TaskEscalated
from controlplane.facts.dispatch import TaskReady as TaskReady
from controlplane.facts.dispatch import TaskReturned as TaskReturned
from controlplane.facts.fleet import BrokerHeard as BrokerHeard
from controlplane.facts.fleet import BrokerLost as BrokerLost
from controlplane.facts.fleet import BrokerSampled as BrokerSampled
from controlplane.facts.fleet import BrokerSilent as BrokerSilent
from controlplane.facts.fleet import BrokerStarted as BrokerStarted
from controlplane.facts.fleet import BrokerStopped as BrokerStopped
from controlplane.facts.fleet import CopyFounded as CopyFounded
from controlplane.facts.fleet import FleetFounded as FleetFounded
from controlplane.facts.fleet import LeaderElected as LeaderElected
from controlplane.facts.fleet import LeadershipProposed as LeadershipProposed
from controlplane.facts.fleet import OfferAnswered as OfferAnswered
from controlplane.facts.fleet import OfferClosed as OfferClosed
from controlplane.facts.fleet import PartitionWaits as PartitionWaits
from controlplane.facts.fleet import RestartScheduled as RestartScheduled
from controlplane.facts.groups import GroupChanged as GroupChanged
from controlplane.facts.groups import GroupsRemoved as GroupsRemoved
from controlplane.facts.groups import GroupUpdated as GroupUpdated
from controlplane.facts.intents import ChangeGroup as ChangeGroup
from controlplane.facts.intents import OfferEpoch as OfferEpoch
from controlplane.facts.intents import PlaceSeat as PlaceSeat
from controlplane.facts.intents import PublishEvent as PublishEvent
from controlplane.facts.intents import SpreadTopology as SpreadTopology
from controlplane.facts.intents import StartBroker as StartBroker
from controlplane.facts.projections import ProjectionAdded as ProjectionAdded
from controlplane.facts.projections import ProjectionQuarantined as ProjectionQuarantined
from controlplane.facts.projections import ProjectionRebuilt as ProjectionRebuilt
from controlplane.facts.projections import ProjectionRemoved as ProjectionRemoved
from controlplane.facts.rows import ROW_COLUMNS as ROW_COLUMNS
from controlplane.facts.rows import Rows as Rows
from controlplane.journaled import Fact as Fact
from controlplane.journaled import Intent as Intent

# ------------------------------------------------------------------------------------------------- the plane


class PlaneStarted(Fact, frozen=True):
    """A plane took over under `(epoch, uuid)`. `gap_ns`: since the journal's last entry, 0 for a new journal.

    `over`: why it was told to take over although brokers, `journal.mark` or a living twin knew more than this journal.
    `rebuilding`: the folds that it lacks, as they have changed; it folds the journal again for them.
    `journal_why`: what folds that have changed cannot know any more, as retention let go of it; "" for nothing.
    `stamp`: what the ids that it gives have in them since a take-over (`controlplane.stamps`), "" while there was none.
    """

    epoch: int
    uuid: str
    version: str = ""
    plane_url: str = ""
    gap_ns: int = 0
    over: str = ""
    rebuilding: list[str] = []
    journal_why: str = ""
    stamp: str = ""


class PlaneResumed(Fact, frozen=True):
    """The plane itself stood still for `gap_ns`: silence in that time says nothing about anyone else."""

    gap_ns: int


class PlaneStopped(Fact, frozen=True):
    """The plane goes, on purpose, and its own brokers with it: their ends follow."""

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


class FoldsRebuilt(Fact, frozen=True):
    """Folds that were folded again are there, as the journal up to here makes them."""

    folds: list[str]


class SettingSet(Fact, frozen=True):
    """A setting of the folds changed, e.g. `sagas.stuck_after_ms`."""

    name: str
    value: str
    by: str = ""


class RecorderLag(Fact, frozen=True):
    """How far the recorder is behind the brokers: events, and the age of the oldest one."""

    events: int
    oldest_ns: int


class CopyStands(Fact, frozen=True):
    """How the journal's copy fares: `why` it stands still at `position`, or "" when it follows again."""

    position: int
    why: str


class JournalRebuilt(Fact, frozen=True):
    """A damaged segment was made again while the fleet was down: positions `first` to `last`.

    `events_missing` of them are placeholders, at `missing`: (partition, first offset, count, position), not all where
    there are many. `lost`: what had not been replicated, in words. The old file is at `aside`, in the journal's folder.
    """

    segment: int
    first: int
    last: int
    events_missing: int = 0
    missing: list[tuple[int, int, int, int]] = []
    lost: list[str] = []
    aside: str = ""
    by: str = ""
    reason: str = ""


class JournalTrimmed(Fact, frozen=True):
    """Retention lets go of the oldest segments, which end at position `up_to`; `by`: age or bytes."""

    up_to: int
    segments: int
    events: int
    bytes: int
    by: str


class CopyBeyond(Fact, frozen=True):
    """The copy had positions after `position`, up to `last`, that this journal has not: they were lost from it."""

    position: int
    last: int


# ------------------------------------------------------------------------------------------------- what agents do


class SagaStuck(Fact, frozen=True):
    """Derived: a live saga has waited past `threshold_ns` after `step`. `steps` tells its next event from this one."""

    saga: str
    step: str
    steps: int
    severity: str
    threshold_ns: int


class RedriveDecided(Fact, frozen=True):
    """An operator had dead letters published again; `targets` is the exact set of ids.

    `originals`: by id, the events of those letters that have not all of theirs, CloudEvents JSON out of the journal.
    """

    targets: list[str]
    by: str
    reason: str
    originals: dict[str, str] = {}


class Carried(Fact, frozen=True):
    """Derived: the event of intent `cause:index` came back through the recorder, at this offset."""

    cause: int
    index: int
    partition: int
    offset: int


class IntentFailed(Fact, frozen=True):
    """Intent `cause:index` was refused, or not answered, by a broker; `by` "": by the whole bus, for good.

    `kind` is the intent's; `partition` what it was about; `event` what could not be published, CloudEvents JSON.
    """

    cause: int
    index: int
    kind: str
    by: str
    why: str
    partition: int | None = None
    event: str = ""


AnyFact = (
    PlaneStarted
    | PlaneResumed
    | PlaneStopped
    | Tick
    | FoldVersions
    | FoldQuarantined
    | FoldsRebuilt
    | SettingSet
    | RecorderLag
    | CopyStands
    | CopyBeyond
    | JournalRebuilt
    | FleetFounded
    | CopyFounded
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
    | CoordinationFact
    | RedriveDecided
    | Carried
    | IntentFailed
    | Decision
    | ProjectionAdded
    | ProjectionRebuilt
    | ProjectionRemoved
    | ProjectionQuarantined
    | JournalTrimmed
    | DispatchFact
    | AgentFact
    | GroupsRemoved
    | GroupUpdated
    | GroupChanged
)
AnyIntent = (
    StartBroker
    | HaltBroker
    | ReleaseBroker
    | OfferEpoch
    | PlaceSeat
    | SpreadTopology
    | PublishEvent
    | OpenGroup
    | ChangeGroup
)

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


def encode_said(said: Fact | Intent) -> bytes:
    """The byte form of either. Raises OverflowError, UnicodeEncodeError or TypeError for what has none."""
    return _encoder.encode(said)


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
