"""What a console may ask the control plane, and the answers: the only thing `console/` imports from here.

One question is one struct; its answer is one struct; both are in `Question` and `Body`, and travel as MessagePack.
Instants and durations are integer nanoseconds (instants since 1970, UTC); `0` and `None` say "not known", as a field's
comment has it. Rates are events per second. Each answer holds at one journal position, named in the `Told` around it.

On the socket: request `[MAGIC, request id, question]`, with `at` behind it for the answer as it was at a moment of the
past; reply `[MAGIC, request id, told]`. Long work replies `Progress` bodies under the same id before its answer.
"""

from typing import Annotated

import msgspec

from controlplane.questions import routing
from controlplane.questions.agents import Agent, AgentGroup, AgentRow, Agents, AgentTurn, AskAgent, AskAgents
from controlplane.questions.differing import Divergence, StateChange, TableChange
from controlplane.questions.listeners import AskGroups, GroupChanging, GroupPlace, GroupRow, Groups, GroupTerms, Holding
from controlplane.questions.operations import (
    AskBrokers,
    AskPartitions,
    BrokerRow,
    Brokers,
    Goal,
    Move,
    Operate,
    Operated,
    PartitionRow,
    Partitions,
    PlanStatus,
    RestartStatus,
    Verb,
)
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
from controlplane.questions.projections import (
    AskProjection,
    AskProjections,
    Project,
    Projected,
    ProjectionRow,
    ProjectionRows,
    Projections,
    ProjectionVerb,
)
from controlplane.questions.replaying import (
    REPLAY_RUN,
    AskDiff,
    AskSlice,
    AskSlicePage,
    AskWhatIf,
    Diff,
    FactChange,
    Horizon,
    KindChange,
    Recorded,
    Slice,
    Sliced,
    SlicePage,
    WhatIf,
)
from controlplane.questions.routing import *
from controlplane.questions.sql import (
    SQL_SCHEMA,
    AskSql,
    CancelSql,
    SqlAnswer,
    SqlCancelled,
    SqlColumn,
    SqlColumnDoc,
    SqlTableDoc,
)
from controlplane.questions.timebar import AskTimeline, Incident, Timeline

__all__ = [
    "MAGIC",
    "REPLAY_RUN",
    "SCHEMA",
    "SQL_SCHEMA",
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
    "AskBrokers",
    "AskDeadGroups",
    "AskDeadLetters",
    "AskDiff",
    "AskEvent",
    "AskEvents",
    "AskExport",
    "AskFlows",
    "AskGroups",
    "AskHealth",
    "AskPartitions",
    "AskProjection",
    "AskProjections",
    "AskSaga",
    "AskSagas",
    "AskSlice",
    "AskSlicePage",
    "AskSql",
    "AskStatus",
    "AskTimeline",
    "AskVerify",
    "AskWhatIf",
    "At",
    "Bar",
    "Board",
    "Body",
    "BrokerRow",
    "BrokerStatus",
    "Brokers",
    "CancelSql",
    "Counts",
    "DeadAttempt",
    "DeadGroup",
    "DeadGroups",
    "DeadLetter",
    "DeadLetters",
    "Diff",
    "Divergence",
    "Down",
    "EventDetail",
    "EventRow",
    "Events",
    "Exported",
    "FactChange",
    "FlowRow",
    "Flows",
    "Goal",
    "GroupChanging",
    "GroupPlace",
    "GroupRow",
    "GroupTerms",
    "Groups",
    "Happening",
    "Health",
    "HealthState",
    "Holding",
    "Horizon",
    "Incident",
    "KindChange",
    "Link",
    "Move",
    "Need",
    "Operate",
    "Operated",
    "PartitionRow",
    "PartitionStatus",
    "Partitioning",
    "Partitions",
    "Past",
    "PlanStatus",
    "PlaneStatus",
    "Progress",
    "Project",
    "Projected",
    "ProjectionRow",
    "ProjectionRows",
    "ProjectionVerb",
    "Projections",
    "Question",
    "Recorded",
    "Redrive",
    "Redriven",
    "Refusal",
    "ReplicaStatus",
    "Reply",
    "RestartStatus",
    "RuleRow",
    "Saga",
    "SagaRow",
    "SagaStep",
    "Sagas",
    "Severity",
    "Slice",
    "SlicePage",
    "Sliced",
    "SqlAnswer",
    "SqlCancelled",
    "SqlColumn",
    "SqlColumnDoc",
    "SqlTableDoc",
    "StateChange",
    "Status",
    "Stopping",
    "TableChange",
    "Timeline",
    "Told",
    "Trend",
    "Verb",
    "Verified",
    "Vital",
    "WhatIf",
    "decode_at",
    "decode_question",
    "decode_told",
    "encode",
]

__all__ += routing.__all__

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
