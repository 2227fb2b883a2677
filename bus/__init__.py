"""The event bus of a Signalbox fleet: publish, read, subscribe and call from asyncio.

    async with bus.connect() as fleet:
        receipt = await fleet.publish(bus.Event(type="order.created", source="agent/shop", data={"order": 42}))

`__all__` is the whole surface. Names are loaded when they are first used, so that importing `bus` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus.agents.agent import Agent as Agent
    from bus.agents.context import Context as Context
    from bus.ballot import Decision as Decision
    from bus.ballot import Refusal as Refusal
    from bus.client.answering import Answering as Answering
    from bus.client.answering import CallContext as CallContext
    from bus.client.ballots import Ballot as Ballot
    from bus.client.ballots import Ballots as Ballots
    from bus.client.deliveries import Delivery as Delivery
    from bus.client.deliveries import DeliveryBatch as DeliveryBatch
    from bus.client.deliveries import Settling as Settling
    from bus.client.discovery import Whereabouts as Whereabouts
    from bus.client.discovery import default_data_dir as default_data_dir
    from bus.client.fleet import Fleet as Fleet
    from bus.client.fleet import connect as connect
    from bus.client.handling import handling as handling
    from bus.client.leases import Lease as Lease
    from bus.client.leases import Leases as Leases
    from bus.client.ordering import Reading as Reading
    from bus.client.packing import Receipt as Receipt
    from bus.client.reading import Positioned as Positioned
    from bus.client.schemas import Schemas as Schemas
    from bus.client.subscribing import Subscription as Subscription
    from bus.errors import AccessDenied as AccessDenied
    from bus.errors import AgentUnavailable as AgentUnavailable
    from bus.errors import BallotRefused as BallotRefused
    from bus.errors import BrokerUnavailable as BrokerUnavailable
    from bus.errors import BusError as BusError
    from bus.errors import Busy as Busy
    from bus.errors import CallFailed as CallFailed
    from bus.errors import CallLost as CallLost
    from bus.errors import CallTimeout as CallTimeout
    from bus.errors import CircuitOpen as CircuitOpen
    from bus.errors import ClientError as ClientError
    from bus.errors import ClockFarOff as ClockFarOff
    from bus.errors import CorruptRecord as CorruptRecord
    from bus.errors import DuplicateSequence as DuplicateSequence
    from bus.errors import EventTooLarge as EventTooLarge
    from bus.errors import FleetError as FleetError
    from bus.errors import GroupConflict as GroupConflict
    from bus.errors import GroupRemoved as GroupRemoved
    from bus.errors import InsufficientReplicas as InsufficientReplicas
    from bus.errors import InvalidBallot as InvalidBallot
    from bus.errors import InvalidCall as InvalidCall
    from bus.errors import InvalidEvent as InvalidEvent
    from bus.errors import InvalidLease as InvalidLease
    from bus.errors import InvalidPattern as InvalidPattern
    from bus.errors import InvalidRules as InvalidRules
    from bus.errors import InvalidSchema as InvalidSchema
    from bus.errors import LeaseLost as LeaseLost
    from bus.errors import LeaseRefused as LeaseRefused
    from bus.errors import NoFleet as NoFleet
    from bus.errors import NoSuchAgent as NoSuchAgent
    from bus.errors import NoSuchGroup as NoSuchGroup
    from bus.errors import NotDecided as NotDecided
    from bus.errors import NotLeader as NotLeader
    from bus.errors import OutcomeUnknown as OutcomeUnknown
    from bus.errors import OutOfSequence as OutOfSequence
    from bus.errors import PlaneSilent as PlaneSilent
    from bus.errors import ProtocolError as ProtocolError
    from bus.errors import PublishError as PublishError
    from bus.errors import StaleDelivery as StaleDelivery
    from bus.errors import StaleEpoch as StaleEpoch
    from bus.errors import StaleToken as StaleToken
    from bus.errors import StorageFull as StorageFull
    from bus.errors import UnknownPartition as UnknownPartition
    from bus.errors import UnknownProducer as UnknownProducer
    from bus.event import Event as Event
    from bus.event import format_time as format_time
    from bus.event import from_json as from_json
    from bus.event import from_object as from_object
    from bus.event import is_internal as is_internal
    from bus.event import parse_time as parse_time
    from bus.event import to_json as to_json
    from bus.event import to_object as to_object
    from bus.fence import Fence as Fence
    from bus.schemas import Schema as Schema
    from bus.testing.fleet import DeadLetter as DeadLetter
    from bus.testing.fleet import NotSettled as NotSettled
    from bus.testing.fleet import TestFleet as TestFleet
    from bus.topic import is_pattern as is_pattern
    from bus.topic import is_type as is_type
    from bus.topic import matches as matches
    from bus.wire import Extent as Extent
    from bus.wire import Topology as Topology

_HOMES = {
    "bus.agents.agent": "Agent",
    "bus.agents.context": "Context",
    "bus.ballot": "Decision Refusal",
    "bus.client.answering": "Answering CallContext",
    "bus.client.ballots": "Ballot Ballots",
    "bus.client.deliveries": "Delivery DeliveryBatch Settling",
    "bus.client.discovery": "Whereabouts default_data_dir",
    "bus.client.fleet": "Fleet connect",
    "bus.client.leases": "Lease Leases",
    "bus.client.handling": "handling",
    "bus.client.ordering": "Reading",
    "bus.client.packing": "Receipt",
    "bus.client.reading": "Positioned",
    "bus.client.schemas": "Schemas",
    "bus.client.subscribing": "Subscription",
    "bus.errors": (
        "AccessDenied AgentUnavailable BallotRefused BrokerUnavailable BusError Busy CallFailed CallLost "
        "CallTimeout CircuitOpen ClientError ClockFarOff CorruptRecord DuplicateSequence EventTooLarge FleetError "
        "GroupConflict GroupRemoved InsufficientReplicas InvalidBallot InvalidCall InvalidEvent InvalidLease "
        "InvalidPattern InvalidRules InvalidSchema LeaseLost LeaseRefused NoFleet NoSuchAgent NoSuchGroup "
        "NotDecided NotLeader OutOfSequence OutcomeUnknown PlaneSilent ProtocolError PublishError StaleDelivery "
        "StaleEpoch StaleToken StorageFull UnknownPartition UnknownProducer"
    ),
    "bus.event": "Event format_time from_json from_object is_internal parse_time to_json to_object",
    "bus.fence": "Fence",
    "bus.schemas": "Schema",
    "bus.testing.fleet": "DeadLetter NotSettled TestFleet",
    "bus.topic": "is_pattern is_type matches",
    "bus.wire": "Extent Topology",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AccessDenied",
    "Agent",
    "AgentUnavailable",
    "Answering",
    "Ballot",
    "BallotRefused",
    "Ballots",
    "BrokerUnavailable",
    "BusError",
    "Busy",
    "CallContext",
    "CallFailed",
    "CallLost",
    "CallTimeout",
    "CircuitOpen",
    "ClientError",
    "ClockFarOff",
    "Context",
    "CorruptRecord",
    "DeadLetter",
    "Decision",
    "Delivery",
    "DeliveryBatch",
    "DuplicateSequence",
    "Event",
    "EventTooLarge",
    "Extent",
    "Fence",
    "Fleet",
    "FleetError",
    "GroupConflict",
    "GroupRemoved",
    "InsufficientReplicas",
    "InvalidBallot",
    "InvalidCall",
    "InvalidEvent",
    "InvalidLease",
    "InvalidPattern",
    "InvalidRules",
    "InvalidSchema",
    "Lease",
    "LeaseLost",
    "LeaseRefused",
    "Leases",
    "NoFleet",
    "NoSuchAgent",
    "NoSuchGroup",
    "NotDecided",
    "NotLeader",
    "NotSettled",
    "OutOfSequence",
    "OutcomeUnknown",
    "PlaneSilent",
    "Positioned",
    "ProtocolError",
    "PublishError",
    "Reading",
    "Receipt",
    "Refusal",
    "Schema",
    "Schemas",
    "Settling",
    "StaleDelivery",
    "StaleEpoch",
    "StaleToken",
    "StorageFull",
    "Subscription",
    "TestFleet",
    "Topology",
    "UnknownPartition",
    "UnknownProducer",
    "Whereabouts",
    "connect",
    "default_data_dir",
    "format_time",
    "from_json",
    "from_object",
    "handling",
    "is_internal",
    "is_pattern",
    "is_type",
    "matches",
    "parse_time",
    "to_json",
    "to_object",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'bus' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
