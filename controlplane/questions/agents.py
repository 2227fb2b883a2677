"""Agents as a noun: who is there, how each one fares, and what is known of one."""

import msgspec

from controlplane.questions.pages import Ask, Reply
from controlplane.questions.parts import Link, Severity
from controlplane.questions.routing import RouteTask


class AskAgents(Ask, frozen=True):
    """Agents, worst first, those that left last.

    `state`: all, live (joined or ready), out (suspected, failed or quarantined), left. `match`: a substring of name,
    version or a capability. `capability`: only who says it has that one. `sort`: worst, name, load, errors, behind,
    seen.
    """

    state: str = "all"
    match: str = ""
    capability: str = ""
    sort: str = "worst"
    offset: int = 0
    limit: int = 200


class AgentRow(msgspec.Struct):
    """One agent. `state`: joined, ready, suspected, failed, left, quarantined; since `since`.

    `agent` is its source. `load` is a share of `concurrency`, 1 is full; counts are as it said with its last heartbeat,
    None where it never said any, or is gone.
    """

    agent: str
    severity: Severity
    state: str
    since: int
    joined: int
    handles: list[str]
    """Its capabilities."""
    version: str
    locality: str
    load: float | None
    queue: int | None
    in_flight: int | None
    concurrency: int
    handled: int | None
    failed: int | None
    """Of this incarnation."""
    error_share: float | None
    """Failed of all in the last one to two minutes, 0 to 1; None when nothing was handled."""
    behind_ns: int | None
    """Of the group it serves that is furthest behind; None when it serves none that is known."""
    phi: float | None
    """How unlikely its silence is: 1 is one in ten, 2 one in a hundred. None for one that is not to be heard."""
    seen: int
    """When its last word was recorded."""
    quarantined: int = 0
    """Since when; 0: it is not."""
    by: str = ""
    reason: str = ""
    importof: str = ""
    """The log it was imported from; "" for one that lives."""
    why: str = ""
    mend: str = ""


class Agents(Reply):
    total: int
    matched: int
    live: int
    out: int
    left: int
    rows: list[AgentRow]
    notes: list[str] = []
    """What agents say that could not be taken, a line each."""


class AskAgent(Ask, frozen=True):
    """One agent, by its source or its name (`agent/` may be left out)."""

    agent: str


class AgentTurn(msgspec.Struct):
    """A state that it came into: when, at which journal position, and why where that is known."""

    state: str
    at: int
    position: int
    why: str = ""


class AgentGroup(msgspec.Struct):
    """A consumer group that it serves. `through`: its capability, its inbox, or a pattern of its own."""

    group: str
    through: str
    pattern: str
    severity: Severity
    members: int
    waiting: int
    in_flight: int
    behind_ns: int


class Agent(Reply):
    row: AgentRow
    incarnation: str
    address: str
    preferences: dict[str, str]
    heartbeat_ms: int
    """0: it is not to be heard, and is never suspected."""
    due: int
    """When its silence is judged next; 0 never."""
    not_taken: int
    """Capabilities that it said and that were not taken."""
    rival: str
    """Another incarnation that speaks under its name and is not listened to; "" for none."""
    rival_words: int
    rival_heard: int
    turns: list[AgentTurn]
    """Newest first."""
    groups: list[AgentGroup]
    alone_for: list[str]
    """Capabilities that no other agent has which may be given work."""
    why: list[Link]
    mend: list[str]
    tasks: list[RouteTask] = []
    """Work that was dispatched to it and that it has not settled, oldest first."""
