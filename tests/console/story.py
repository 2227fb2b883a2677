"""The shape of a frozen story, and short ways to write its structs."""

# ruff: noqa: E501 - a row of a table stays a line here

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.questions import (
    AgentRow,
    AskEvents,
    Bar,
    Board,
    BrokerStatus,
    Counts,
    DeadGroup,
    DeadLetters,
    EventDetail,
    EventRow,
    Events,
    FlowRow,
    GroupPlace,
    GroupRow,
    GroupTerms,
    HealthState,
    Holding,
    PartitionStatus,
    PlaneStatus,
    ReplicaStatus,
    Saga,
    SagaRow,
    Severity,
    Status,
    Trend,
)

S = 1_000_000_000
DAY_START = 1_763_769_600 * S
"""2025-11-22, midnight UTC."""


def at(clock: str, decimals: int = 0) -> int:
    """`03:12:44` of the story's day, in nanoseconds; `decimals` milliseconds."""
    h, m, s = (int(part) for part in clock.split(":"))
    return DAY_START + (h * 3600 + m * 60 + s) * S + decimals * 1_000_000


@dataclass
class Story:
    """Everything that a console may see of one fleet at one position."""

    now: int
    position: int
    board: Board
    flows: list[FlowRow]
    sagas: list[SagaRow]
    details: dict[str, Saga]
    dead: list[DeadGroup]
    dead_letters: dict[str, DeadLetters]
    events: list[EventRow]
    texts: dict[str, str] = field(default_factory=dict)
    causes: list[EventRow] = field(default_factory=list)
    volume: list[Bar] = field(default_factory=list)
    agents: list[AgentRow] = field(default_factory=list)

    def saga(self, name: str) -> Saga | None:
        """A saga whose steps the story tells; of the others only the row."""
        row = next((row for row in self.sagas if row.saga == name), None)
        return self.details.get(name) or (Saga(row, [], [], []) if row is not None else None)

    def groups(self) -> list[GroupRow]:
        """The groups that the flows tell of, each at its first flow; the first of them lost events to retention."""
        found: dict[str, GroupRow] = {}
        for flow in self.flows:
            if flow.group and flow.group not in found:
                trimmed = 0 if found else 1_204
                found[flow.group] = GroupRow(
                    group=flow.group,
                    pattern=flow.type,
                    severity=flow.severity,
                    members=2,
                    waiting=flow.waiting,
                    in_flight=3,
                    behind_ns=flow.behind_ns or 0,
                    trend=flow.trend,
                    eta_ns=flow.eta_ns,
                    handled_per_s=flow.rate,
                    delivered=900,
                    acked=880,
                    failed=20,
                    p50_ns=flow.p50_ns,
                    p99_ns=flow.p99_ns,
                    dead_letters=2,
                    trimmed=trimmed,
                    trimmed_at=self.now - 90_000_000_000 if trimmed else 0,
                    endangered=40,
                    types=1,
                    why=flow.why,
                    mend=flow.mend,
                    places=[GroupPlace(7, 2, flow.waiting, 3, 40, flow.behind_ns or 0, [Holding("coder/1", 3)])],
                    settings=GroupTerms(-1, 30_000, 5, "strict", False, 0, "", ""),
                )
        return list(found.values())

    def letters(self, target: str) -> DeadLetters | None:
        """A group's letters."""
        group = next((row for row in self.dead if row.id == target), None)
        return self.dead_letters.get(target) or (DeadLetters(group, [], []) if group is not None else None)

    def tail(self, question: AskEvents) -> Events:
        """The newest events, all of them whatever was asked but `text`."""
        rows = [
            row for row in self.events if question.text.casefold() in f"{row.id}{row.subject}{row.source}".casefold()
        ]
        rate = self.board.published.value or 0.0
        return Events(rows, self.volume if question.bars else [], self.board.status.counts.events, rate)

    def event(self, id_: str) -> EventDetail | None:
        """One event with its causes."""
        row = next((row for row in (*self.events, *self.causes) if row.id == id_ or f"@{row.position}" == id_), None)
        if row is None:
            return None
        text = self.texts.get(row.id) or json.dumps(
            {
                "specversion": "1.0",
                "id": row.id,
                "type": row.type,
                "source": row.source,
                "subject": row.subject,
                "data": {},
            }
        )
        near = [cause for cause in self.causes if cause.subject == row.subject] or [row]
        return EventDetail(row, text, near)


def counts(score: int | None, health: HealthState, events: int, **more: int) -> Counts:
    """Counts of which most are 0."""
    known = {
        "internal": 0, "flows": 0, "sagas_open": 0, "sagas_stuck": 0, "sagas_stuck_bad": 0, "sagas_finished": 0,
        "sagas_failed": 0, "dead_letters": 0, "dead_letters_new": 0, "agents": 0, "brokers_up": 3, "brokers": 3,
    }  # fmt: skip
    return Counts(score=score, health=health, events=events, **{**known, **more})


def plane(position: int, started: int) -> PlaneStatus:
    """A plane that runs."""
    return PlaneStatus(
        4711, "running", position, 3, "f3a1", "tcp://127.0.0.1:7070", "/var/lib/signalbox", started, 2_100_000
    )


def broker(
    name: str, leads: list[int], share: float, state: str = "up", why: str = "", mend: str = "", *, rate: float = 0.0,
    since: int = 0, restarts: int = 0, fsync_ms: float = 3.1, joined: bool = False,
) -> BrokerStatus:  # fmt: skip
    """One broker of a fleet that takes `rate` events a second; three replicas each, and two groups read."""
    number = int(name[1:])
    runs = state != "down"
    return BrokerStatus(
        name, 5000 + number if runs else 0, state, leads, f"tcp://127.0.0.1:71{number:02d}", f"brokers/{name}", since, restarts,
        why=why, mend=mend, share=share, in_rate=rate * (0.3 + share) if runs else 0, out_rate=rate * share * 1.9 if runs else 0,
        memory_bytes=(310 + 97 * number) * 1_000_000 if runs else 0, store_bytes=(2_100 + 310 * number) * 1_000_000 if runs else 0,
        fsync_p99_ns=int(fsync_ms * 1_000_000) if runs else 0, joined=joined, heard=since,
    )  # fmt: skip


def replicas(text: str, end: int) -> list[ReplicaStatus]:
    """`b1* b2 b3~4100 b5-`: leader, in sync, lagging by milliseconds, off."""
    out = []
    for word in text.split():
        name, lag_ms = word[:2], word[3:]
        state = {"*": "leader", "~": "lagging", "-": "off"}.get(word[2:3], "in_sync")
        lag = int(lag_ms) * 1_000_000 if lag_ms else 0
        out.append(ReplicaStatus(name, state, end - (lag // 100_000_000 if lag else 312 if state == "off" else 0), lag))
    return out


def partition(
    number: int, severity: Severity, where: str, rate: float, busiest: tuple[str, float], slow: tuple[str, float | None, Trend],
    recent: Sequence[int] = (), refused: float = 0.0, why: str = "", mend: str = "",
) -> PartitionStatus:  # fmt: skip
    """One partition; `slow` is group, seconds behind, trend."""
    high = 61_000 + number * 1_311
    shown = replicas(where, high)
    leader = next((r.broker for r in shown if r.state == "leader"), None)
    behind = None if slow[1] is None else int(slow[1] * S)
    return PartitionStatus(
        number,
        severity,
        leader,
        4,
        shown,
        high,
        high,
        rate,
        refused,
        list(recent),
        *busiest,
        slow[0],
        behind,
        slow[2],
        why,
        mend,
    )


def status(
    position: int, now: int, n: Counts, brokers: list[BrokerStatus], partitions: list[PartitionStatus]
) -> Status:
    """The fleet."""
    return Status(plane(position, now - 3 * 86_400 * S), brokers, partitions, n)


def bars(now: int, events: Sequence[int], every_s: float, marks: dict[int, tuple[Severity, str]]) -> list[Bar]:
    """Bars that end now; `marks` by place."""
    first = now - int(len(events) * every_s * S)
    out = []
    for i, number in enumerate(events):
        severity, incident = marks.get(i, ("ok", ""))
        out.append(Bar(first + int(i * every_s * S), number, severity, incident))
    return out
