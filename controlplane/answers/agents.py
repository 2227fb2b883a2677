"""AskAgents, AskAgent: who is there, how each one fares, and why it is out."""

from collections.abc import Callable
from typing import Any

from bus.words import many
from controlplane import registry
from controlplane.able import able_agents, is_able
from controlplane.agents import (
    FAILED,
    GONE,
    JOINED,
    LEFT,
    LIVE,
    QUARANTINED,
    SOURCE,
    SUSPECTED,
    Agent,
    Amiss,
    Turn,
    has_inbox,
    is_doubled,
)
from controlplane.answers.flows import RANK, severity_of
from controlplane.answers.lag import GroupLag, Listening
from controlplane.answers.routing import task_row
from controlplane.answers.words import SECOND, age, said_by
from controlplane.fold import KeyedState, World
from controlplane.limits import (
    AGENT_FAILING_SHARE,
    AGENT_FAILING_TRIES_MIN,
    FAIL_BEATS,
    PAGE_ROWS_MAX,
    SUSPECT_BEATS,
)
from controlplane.questions import Agent as AgentDetail
from controlplane.questions import (
    AgentGroup,
    AgentRow,
    Agents,
    AgentTurn,
    AskAgent,
    AskAgents,
    Link,
    Refusal,
    RouteTask,
    Severity,
)
from controlplane.roll import OUT
from controlplane.tasks import held_by, task_of

_MS = 1_000_000
_LN10 = 2.302585
STATES: dict[str, tuple[str, ...]] = {"live": LIVE, "out": OUT, "left": (LEFT,)}
_WORST = {FAILED: 0, SUSPECTED: 1, QUARANTINED: 2, JOINED: 3, LEFT: 5}
Known = tuple[str, Agent]
"""A source and its agent."""
_SORTS: dict[str, Callable[[Known], Any]] = {
    "worst": lambda known: (_WORST.get(known[1].shown, 4), -known[1].load, known[0]),
    "name": lambda known: known[0],
    "load": lambda known: (-known[1].load, known[0]),
    "errors": lambda known: (-(error_share(known[1]) or 0.0), known[0]),
    "seen": lambda known: (known[1].heard, known[0]),
}


def agents(world: World, question: AskAgents, now: int) -> Agents | Refusal:
    """A window of the agents that match."""
    if question.sort not in (*_SORTS, "behind") or (question.state != "all" and question.state not in STATES):
        named = f"states are all, {', '.join(STATES)}; sorts are {', '.join(_SORTS)}, behind"
        return Refusal("usage", f"state {question.state!r}, sort {question.sort!r}: there is no such one", named)
    state = world["registry"]
    behind = _Behind(world, now)
    chosen = [known for known in _known(state) if _matches(known, question)]
    if question.sort == "behind":
        chosen.sort(key=lambda known: (-(behind.ns(*known) or 0), known[0]))
    else:
        chosen.sort(key=_SORTS[question.sort])
    limit = max(0, min(question.limit, PAGE_ROWS_MAX))
    rows = [
        _row(*known, _since(state, *known), behind, now) for known in chosen[question.offset : question.offset + limit]
    ]
    counted = dict(state.items("count"))
    return Agents(
        total=len(state.table("agent")),
        matched=len(chosen),
        live=sum(counted.get(name, 0) for name in LIVE),
        out=registry.out_of(state),
        left=counted.get(LEFT, 0),
        rows=rows,
        notes=notes(state, now),
    )


def agent(world: World, question: AskAgent, now: int) -> AgentDetail | Refusal:
    """All that is known of one."""
    state = world["registry"]
    source = source_of(state, question.agent)
    if source is None:
        return unknown(question.agent)
    found: Agent = state.get("agent", source)
    behind = _Behind(world, now)
    row = _row(source, found, _since(state, source, found), behind, now)
    turns: list[Turn] = state.get("turns", source, [])
    alone = [name for name in found.capabilities if is_able(state, source, name) and able_agents(state, name) == 1]
    rival = found.rival if found.rival is not None and found.rival.words else None
    lags = Listening(world["groups"], now).groups
    groups = [_group(through, lags[group]) for through, group in behind.groups(source, found)]
    return AgentDetail(
        row=row,
        incarnation=found.incarnation,
        address=found.address,
        preferences=found.preferences,
        heartbeat_ms=found.heartbeat_ms,
        due=found.due,
        not_taken=found.cut,
        rival="" if rival is None else rival.incarnation,
        rival_words=0 if rival is None else rival.words,
        rival_heard=0 if rival is None else rival.heard,
        turns=[AgentTurn(turn.state, turn.at, turn.position, turn.why) for turn in reversed(turns)],
        groups=groups,
        alone_for=alone,
        why=[*_why(found, row, turns, groups, now), *_without_inbox(source, found)],
        mend=[row.mend] if row.mend and not row.mend.startswith("agent show") else [],
        tasks=_tasks(world["dispatch"], source),
    )


def _tasks(state: KeyedState, source: str) -> list[RouteTask]:
    """What it was given and has not settled."""
    found = ((id, task_of(state, id)) for id in held_by(state, source))
    return [task_row(id, task) for id, task in found if task is not None]


def source_of(state: KeyedState, name: str) -> str | None:
    """The source of the agent that is meant by a source or a name; None if there is none."""
    return next((source for source in (name, SOURCE + name) if state.get("agent", source) is not None), None)


def unknown(name: str) -> Refusal:
    """There is no such agent."""
    return Refusal("not_found", f"there is no agent {name!r}", "signalbox agent list")


def name_of(source: str) -> str:
    """What an agent is called: its source without `agent/`."""
    return source.removeprefix(SOURCE)


def error_share(agent: Agent) -> float | None:
    """Failed of all that it handled since the older of its marks; None without any."""
    failed, tries = _lately(agent)
    return failed / tries if tries else None


def _lately(agent: Agent) -> tuple[int, int]:
    """Failed attempts since the older of its marks, and all."""
    if not agent.marks:
        return 0, 0
    since = agent.marks[0]
    failed, handled = max(0, agent.failed - since.failed), max(0, agent.handled - since.handled)
    return failed, failed + handled


def notes(state: KeyedState, now: int) -> list[str]:
    """What agents say that could not be taken."""
    words = {
        "malformed": "{} of agents {} malformed",
        "unknown": "{} {} of agents that are not known",
        "refused": "{} {} of agents that there was no room for",
    }
    found = []
    for kind, text in words.items():
        amiss: Amiss | None = state.get("amiss", kind)
        if amiss is not None:
            told = text.format(many(amiss.count, "word"), "was" if amiss.count == 1 else "were")
            found.append(f"{told}, the last {age(now - amiss.at)} ago by {amiss.source}: {amiss.why}")
    lost: Amiss | None = state.get("amiss", "capabilities")
    if lost is not None:
        found.append(f"{lost.source} has more capabilities than are taken: {lost.why} were not")
    boxes: Amiss | None = state.get("amiss", "inboxes")
    if boxes is not None:
        found.append(f"mail to {boxes.source or 'some agents'} is not kept while they are away: {boxes.why}")
    return found


# ------------------------------------------------------------------------------------------------- rows


class _Behind:
    """How far behind consumer groups are, and which of them an agent serves: by name, as `bus.Agent` calls them."""

    def __init__(self, world: World, now: int) -> None:
        self._by_group: dict[str, int] = {}
        for _, at in world["groups"].items("at"):
            behind = max(0, now - at.oldest) if at.oldest else 0
            self._by_group[at.group] = max(behind, self._by_group.get(at.group, 0))
        self._able, self._inbox = self._called("capability."), self._called("inbox.")
        self._own: dict[str, list[str]] = {}
        for group in sorted(self._by_group):
            if group.startswith(SOURCE):
                self._own.setdefault(group.partition(":")[0], []).append(group)

    def _called(self, prefix: str) -> dict[str, int]:
        """What comes after a prefix in groups' names, and how far behind each is."""
        return {name[len(prefix) :]: ns for name, ns in self._by_group.items() if name.startswith(prefix)}

    def groups(self, source: str, agent: Agent) -> list[tuple[str, str]]:
        """Through what it serves which group, of those that are known."""
        found = [(f"capability {name}", f"capability.{name}") for name in agent.capabilities if name in self._able]
        name = name_of(source)
        found += [("its inbox", f"inbox.{name}")] if name in self._inbox else []
        return [*found, *(("a pattern of its own", group) for group in self._own.get(source, ()))]

    def ns(self, source: str, agent: Agent) -> int | None:
        """Of the one that is furthest behind; None where it serves none."""
        # All agents are asked when they are put in order of it, so nothing is gathered on the way.
        most = self._inbox.get(name_of(source), -1)
        for name in agent.capabilities:
            most = max(most, self._able.get(name, -1))
        for group in self._own.get(source, ()):
            most = max(most, self._by_group[group])
        return None if most < 0 else most


def _known(state: KeyedState) -> list[Known]:
    return [(str(source), agent) for source, agent in state.items("agent")]


def _matches(known: Known, question: AskAgents) -> bool:
    source, agent = known
    if question.state != "all" and agent.shown not in STATES[question.state]:
        return False
    if question.capability and question.capability not in agent.capabilities:
        return False
    match = question.match.casefold()
    return not match or match in f"{source} {agent.version} {' '.join(agent.capabilities)}".casefold()


def _since(state: KeyedState, source: str, agent: Agent) -> int:
    """Since when it is in the state that is shown: a quarantine is one, and its end begins another."""
    if agent.shown == QUARANTINED:
        return agent.quarantined
    turns: list[Turn] = state.get("turns", source, [])
    released = turns and turns[-1].why.startswith("released") and turns[-1].state == agent.shown
    return max(agent.since, turns[-1].at) if released else agent.since


def _row(source: str, agent: Agent, since: int, behind: _Behind, now: int) -> AgentRow:
    severity, why, mend = _standing(source, agent, now)
    told = bool(agent.marks)
    works = told and agent.state not in GONE
    return AgentRow(
        agent=source,
        severity=severity,
        state=agent.shown,
        since=since,
        joined=agent.joined,
        handles=agent.capabilities,
        version=agent.version,
        locality=agent.locality,
        load=agent.load / 1_000 if works else None,
        queue=agent.queue if works else None,
        in_flight=agent.in_flight if works else None,
        concurrency=agent.concurrency,
        handled=agent.handled if told else None,
        failed=agent.failed if told else None,
        error_share=error_share(agent),
        behind_ns=behind.ns(source, agent) if agent.state not in GONE else None,
        phi=_phi(agent, now),
        seen=agent.heard,
        quarantined=agent.quarantined,
        by=agent.by,
        reason=agent.reason,
        importof=agent.importof,
        why=why,
        mend=mend,
    )


def _phi(agent: Agent, now: int) -> float | None:
    """-log10 of the chance to be silent for so long, were words to come by chance once in a heartbeat."""
    if not agent.heartbeat_ms or agent.state == LEFT:
        return None
    return round(max(0, now - agent.heard) / (agent.heartbeat_ms * _MS * _LN10), 1)


def _standing(source: str, agent: Agent, now: int) -> tuple[Severity, str, str]:
    name, shown = name_of(source), agent.shown
    silent = age(now - agent.heard)
    if shown == FAILED:
        why = f"silent for {silent}, {FAIL_BEATS} heartbeats were missed: start it again" if agent.heartbeat_ms else ""
        return "bad", why or "it said so itself: start it again", f"agent show {name}"
    if shown == SUSPECTED:
        why = f"silent for {silent}: it hangs, or cannot reach the fleet" if agent.heartbeat_ms else ""
        return "warn", why or "it said so itself", f"agent show {name}"
    if shown == QUARANTINED:
        return "warn", said_by("quarantined", agent.by, agent.reason), f"agent release {name}"
    if is_doubled(agent, now):
        return (
            "warn",
            "another one speaks under its name, and is not listened to: end one of them",
            f"agent show {name}",
        )
    failed, tries = _lately(agent)
    if shown in LIVE and tries >= AGENT_FAILING_TRIES_MIN and failed >= AGENT_FAILING_SHARE * tries:
        return "warn", f"{failed:,} of its last {tries:,} attempts failed: see what killed them", "dlq list"
    return "ok", "", ""


# ------------------------------------------------------------------------------------------------- one agent


def _group(through: str, lag: GroupLag) -> AgentGroup:
    severity = severity_of(lag)[0]
    return AgentGroup(lag.group, through, lag.pattern, severity, lag.members, lag.waiting, lag.in_flight, lag.behind_ns)


def _without_inbox(source: str, agent: Agent) -> list[Link]:
    if has_inbox(source) or not agent.is_able:
        return []
    return [Link("it is given no work: its source is not agent/NAME, with a NAME that agent.inbox.NAME can be sent to")]


def _why(agent: Agent, row: AgentRow, turns: list[Turn], groups: list[AgentGroup], now: int) -> list[Link]:
    """What it is in, and the facts that led there; what it is not."""
    stands = f"it has left: {agent.why or 'it gave no reason'}" if row.state == LEFT else f"it is {row.state}"
    links = [Link(row.why or stands, at=row.since, position=turns[-1].position if turns else None)]
    if agent.heartbeat_ms and agent.state not in (LEFT, *LIVE):
        beat = age(agent.heartbeat_ms * _MS)
        told = f"its last word; it beats every {beat}, suspected after {SUSPECT_BEATS}, failed after {FAIL_BEATS}"
        links.append(Link(told, 1, agent.heard))
    if agent.rival is not None and agent.rival.words:
        told = f"{many(agent.rival.words, 'word')} of another incarnation, {agent.rival.incarnation}, were not taken"
        links.append(Link(told, 1, agent.rival.heard))
    late = [group for group in groups if RANK[group.severity] < RANK["ok"]]
    links += [Link(f"{group.group} is {age(group.behind_ns)} behind", 1) for group in late if group.behind_ns >= SECOND]
    share = error_share(agent)
    if share:
        links.append(Link(f"{share * 100:.1f}% of what it handled lately failed", 1))
    elif row.severity != "ok" and share is not None:
        links.append(Link("failures of its own (none lately)", ruled_out=True))
    if agent.state in LIVE and agent.heartbeat_ms and now - agent.heard < 2 * agent.heartbeat_ms * _MS:
        links.append(Link("silence (it beats in time)", ruled_out=True))
    if groups and not late:
        links.append(Link("a backlog (no group that it serves is behind)", ruled_out=True))
    return links
