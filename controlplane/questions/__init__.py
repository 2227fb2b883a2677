"""What a console may ask the control plane, and the answers: the only thing `console/` imports from here.

One question is one struct; its answer is one struct; both are in `Question` and `Body`, and travel as MessagePack.
Instants and durations are integer nanoseconds (instants since 1970, UTC); `0` and `None` say "not known", as a field's
comment has it. Rates are events per second. Each answer holds at one journal position, named in the `Told` around it.

On the socket: request `[MAGIC, request id, question]`, with `at` behind it for the answer as it was at a moment of the
past; reply `[MAGIC, request id, told]`. Long work replies `Progress` bodies under the same id before its answer.
"""

from typing import Annotated

import msgspec

from controlplane.questions import operations, projections, replaying, routing, sql
from controlplane.questions.agents import Agent, AgentGroup, AgentRow, Agents, AgentTurn, AskAgent, AskAgents
from controlplane.questions.differing import Divergence, StateChange, TableChange
from controlplane.questions.listeners import AskGroups, GroupChanging, GroupPlace, GroupRow, Groups, GroupTerms, Holding
from controlplane.questions.operations import *
from controlplane.questions.pages import (
    Ask,
    AskAt,
    AskBoard,
    AskDeadGroups,
    AskDeadLetters,
    AskEvent,
    AskEvents,
    AskExport,
    AskFlows,
    AskHealth,
    AskSaga,
    AskSagas,
    AskStatus,
    AskVerify,
    Board,
    DeadGroups,
    DeadLetters,
    Down,
    EventDetail,
    Events,
    Exported,
    Flows,
    Health,
    Past,
    Progress,
    Redrive,
    Redriven,
    Refusal,
    Reply,
    Saga,
    Sagas,
    Status,
    Stopping,
    Verified,
    Vital,
)
from controlplane.questions.parts import (
    Bar,
    BrokerStatus,
    Counts,
    DeadAttempt,
    DeadGroup,
    DeadLetter,
    EventRow,
    FlowRow,
    Happening,
    HealthState,
    Link,
    Need,
    Partitioning,
    PartitionStatus,
    PlaneStatus,
    ReplicaStatus,
    RuleRow,
    SagaRow,
    SagaStep,
    Severity,
    Trend,
)
from controlplane.questions.projections import *
from controlplane.questions.replaying import *
from controlplane.questions.routing import *
from controlplane.questions.sql import *
from controlplane.questions.timebar import AskTimeline, Incident, Timeline

__all__ = [
    "MAGIC",
    "SCHEMA",
    "Agent",
    "AgentGroup",
    "AgentRow",
    "AgentTurn",
    "Agents",
    "Ask",
    "AskAgent",
    "AskAgents",
    "AskAt",
    "AskBoard",
    "AskDeadGroups",
    "AskDeadLetters",
    "AskEvent",
    "AskEvents",
    "AskExport",
    "AskFlows",
    "AskGroups",
    "AskHealth",
    "AskSaga",
    "AskSagas",
    "AskStatus",
    "AskTimeline",
    "AskVerify",
    "At",
    "Bar",
    "Board",
    "Body",
    "BrokerStatus",
    "Counts",
    "DeadAttempt",
    "DeadGroup",
    "DeadGroups",
    "DeadLetter",
    "DeadLetters",
    "Divergence",
    "Down",
    "EventDetail",
    "EventRow",
    "Events",
    "Exported",
    "FlowRow",
    "Flows",
    "GroupChanging",
    "GroupPlace",
    "GroupRow",
    "GroupTerms",
    "Groups",
    "Happening",
    "Health",
    "HealthState",
    "Holding",
    "Incident",
    "Link",
    "Need",
    "PartitionStatus",
    "Partitioning",
    "Past",
    "PlaneStatus",
    "Progress",
    "Question",
    "Redrive",
    "Redriven",
    "Refusal",
    "ReplicaStatus",
    "Reply",
    "RuleRow",
    "Saga",
    "SagaRow",
    "SagaStep",
    "Sagas",
    "Severity",
    "StateChange",
    "Status",
    "Stopping",
    "TableChange",
    "Timeline",
    "Told",
    "Trend",
    "Verified",
    "Vital",
    "decode_at",
    "decode_question",
    "decode_told",
    "encode",
]

__all__ += operations.__all__ + projections.__all__ + replaying.__all__ + routing.__all__ + sql.__all__

MAGIC = b"SQ1"
SCHEMA = 1
"""Version of every JSON shape, printed by the CLI as `schema`."""

Question = (
    AskStatus
    | AskBoard
    | AskFlows
    | AskSagas
    | AskSaga
    | AskDeadGroups
    | AskDeadLetters
    | Redrive
    | AskHealth
    | AskEvents
    | AskEvent
    | AskExport
    | AskVerify
    | AskAt
    | AskDiff
    | AskWhatIf
    | AskSlice
    | AskSlicePage
    | AskBrokers
    | AskPartitions
    | AskGroups
    | AskTimeline
    | AskAgents
    | AskAgent
    | Operate
    | AskSql
    | CancelSql
    | Down
    | AskProjections
    | AskProjection
    | Project
    | RoutingQuestion
)
Body = (
    Status
    | Board
    | Flows
    | Sagas
    | Saga
    | DeadGroups
    | DeadLetters
    | Redriven
    | Health
    | Events
    | EventDetail
    | Exported
    | Verified
    | Past
    | Diff
    | WhatIf
    | Sliced
    | SlicePage
    | Brokers
    | Partitions
    | Groups
    | Timeline
    | Agents
    | Agent
    | Operated
    | SqlAnswer
    | SqlCancelled
    | Projections
    | ProjectionRows
    | Projected
    | RoutingBody
    | Stopping
    | Progress
    | Refusal
)


Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class At(msgspec.Struct, frozen=True, omit_defaults=True):
    """A moment of the past: a journal position, or an instant in ns since 1970; exactly one, else ValueError.

    It means the state after the last whole step not beyond the position, nor recorded after the instant.
    """

    position: Natural | None = None
    instant: Natural | None = None

    def __post_init__(self) -> None:
        if (self.position is None) == (self.instant is None):
            raise ValueError("either a position or an instant")


class Told(msgspec.Struct):
    """An answer and where it holds. `recorded` is the plane's clock there: the *now* that ages are counted from.

    `rebuilding`: folds have changed and are folded again now; what is made of them is refused, or left out of a Status.
    `past`: it was asked as of a moment of the past, and holds there.
    """

    position: int
    recorded: int
    body: Body
    rebuilding: bool = False
    past: bool = False


_encoder = msgspec.msgpack.Encoder()
_question = msgspec.msgpack.Decoder(Question)
_at = msgspec.msgpack.Decoder(At)
_told = msgspec.msgpack.Decoder(Told)


def encode(message: Question | At | Told) -> bytes:
    """A question, its moment or an answer as MessagePack."""
    return _encoder.encode(message)


def decode_question(data: bytes) -> Question:
    """Raises `msgspec.DecodeError` (or its `ValidationError`) on anything else than a question."""
    question: Question = _question.decode(data)
    return question


def decode_at(data: bytes) -> At:
    """Raises `msgspec.DecodeError` (or its `ValidationError`) on anything else than a moment."""
    at: At = _at.decode(data)
    return at


def decode_told(data: bytes) -> Told:
    """Raises `msgspec.DecodeError` (or its `ValidationError`) on anything else than an answer."""
    told: Told = _told.decode(data)
    return told
