"""Dispatch: events that need capabilities, and events that content rules name, become tasks; each goes to an agent.

    event with `requires` ──┐                         ╭─ a capable, live agent with room: mail to its inbox ─▶ settled
    event that a rule names ┴▶ EventRouted ─▶ tasks ──┤     ╰─ failed, refused, gone, stuck: the next one ╮
                                                      ├─ nobody has room: it waits in line ◀──────────────╯
                                                      ╰─ nobody can do it: it waits, is a dead letter, or is escalated

Rules are facts (`RoutesSet`). Conditions are evaluated when an event comes, in `react`, and what they come to is
journaled: who reads the journal again evaluates none. Who gets a task is decided with what is known at the end of the
batch that its event came in.

A task is settled when the agent that has it says so of its present attempt. It goes to another one when that agent is
suspected, failed, left, quarantined or not able any more, when it says that it failed or cannot do it, when its inbox
gave it up, or when it has had it for far longer than was expected: then two may be at it, and the first is not listened
to any more. After `dispatch.attempts` it is a dead letter of the group `dispatch`.

A rule that names an agent sends it mail, whether it is there or not: the mail waits in its inbox. So much of it is
remembered as tasks that are out; what is beyond that is mail like any other.

| table | key | value |
|---|---|---|
| setting | name | value |
| rules, rule | | see `inforce` |
| the others | | see `tasks` |
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from types import MappingProxyType

from bus.choice import Choice
from bus.router import AGENT, Routing, capability, needs_of, router_of
from bus.topic import NEVER_ROUTED
from controlplane import dispatchwords as words
from controlplane import inforce
from controlplane import taskfates as fates
from controlplane.able import able_agents
from controlplane.agents import LIFECYCLE, Agent
from controlplane.assigning import Plan, agents_able
from controlplane.dispatchsettings import SETTINGS, policy_of
from controlplane.facts import (
    AgentFailed,
    AgentQuarantined,
    AgentReleased,
    AgentSuspected,
    EventRouted,
    Fact,
    Intent,
    IntentFailed,
    PlaneResumed,
    PlaneStarted,
    PublishEvent,
    RoutesSet,
    Rows,
    RuleFailed,
    SettingSet,
    TaskDispatched,
    TaskDropped,
    TaskEscalated,
    TaskReady,
    TaskReturned,
)
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.hopeless import looked_through
from controlplane.limits import (
    DISPATCHED_DEPTH_MAX,
    DISPATCHES_AT_ONCE_MAX,
    TASK_EVENT_BYTES_MAX,
    TASK_NAMED_MS_MAX,
)
from controlplane.state import Key
from controlplane.tasks import (
    MS,
    OUT,
    PRIORITIES,
    TABLES,
    WAITING,
    Line,
    Task,
    closed,
    counted,
    held_by,
    needs_in,
    needs_waited_for,
    task_of,
    waiting_in,
)

Said = Iterator[Fact | Intent]


class Dispatch(Fold):
    """The fold. See the module."""

    name = "dispatch"
    version = 3
    follows = (
        Rows, RoutesSet, EventRouted, RuleFailed, TaskDispatched, TaskReturned, TaskReady, TaskEscalated, TaskDropped,
        AgentSuspected, AgentFailed, AgentQuarantined, AgentReleased, SettingSet, PlaneStarted, PlaneResumed,
        PublishEvent, IntentFailed,
    )  # fmt: skip
    reads = ("registry",)
    timed = ("task", "line")
    tables = MappingProxyType(TABLES | inforce.TABLES | {"setting": str})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Rules change; tasks come, go out, come back, and end."""
        fact = entry.fact
        if isinstance(fact, Rows):
            for agent, said in fates.words_of(fact):
                fates.settle(state, entry, agent, said)
        elif isinstance(fact, EventRouted):
            if not fact.recipients:
                counted(state, "unfit", 1)
            fates.open_tasks(state, entry, fact)
            inforce.count(state, entry, fact)
        elif isinstance(fact, TaskDispatched):
            fates.send(state, entry, fact)
        elif isinstance(fact, TaskReturned):
            fates.took_back(state, entry, fact)
        elif isinstance(fact, TaskEscalated):
            fates.escalate(state, fact.task)
        elif isinstance(fact, TaskDropped):
            counted(state, "dropped", 1)
            closed(state, fact.task)
        elif isinstance(fact, RoutesSet):
            inforce.put(state, entry, fact)
        elif isinstance(fact, RuleFailed):
            inforce.failed(state, entry, fact)
        elif isinstance(fact, SettingSet) and fact.name in SETTINGS:
            state.put("setting", fact.name, fact.value)
        elif isinstance(fact, PlaneStarted | PlaneResumed):
            if isinstance(fact, PlaneStarted):
                fates.began(state, fact)
            if fact.gap_ns > 0:
                counted(state, "skipped_ns", fact.gap_ns)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Events are routed, tasks are given out, and what came back goes on."""
        fact, registry = entry.fact, world.get("registry")
        if registry is None:
            return ()
        plan = Plan(state, registry, entry.recorded)
        if isinstance(fact, Rows):
            return _rows(state, registry, plan, entry, fact)
        if isinstance(fact, EventRouted):
            return _routed(state, registry, plan, entry, fact)
        if isinstance(fact, TaskReturned | TaskReady):
            return place(state, registry, plan, fact.task, entry.recorded)
        if isinstance(fact, AgentSuspected):
            return _gone(state, registry, plan, fact.agent, "suspected", entry.recorded)
        if isinstance(fact, AgentFailed):
            return _gone(state, registry, plan, fact.agent, "failed", entry.recorded)
        if isinstance(fact, AgentQuarantined):
            gone = (_gone(state, registry, plan, agent, "quarantined", entry.recorded) for agent in fact.agents)
            return chain.from_iterable(gone)
        if isinstance(fact, IntentFailed):
            return fates.unsent(state, fact)
        if isinstance(fact, AgentReleased):
            return _fetched(state, plan, fact.agents)
        return ()

    def intended(self, state: KeyedState, cause: int, index: int, intent: Intent) -> None:
        """A task's mail is to be published."""
        if isinstance(intent, PublishEvent):
            fates.posted(state, f"{cause}:{index}", intent)

    def due(self, table: str, value: Task | Line) -> int:
        """When something is over for a task, or a line is looked through."""
        return value.due if isinstance(value, Line) else fates.due(value)

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """It is."""
        if table == "line":
            return looked_through(state, world.get("registry"), str(key), entry.recorded)
        return fates.time_is_up(state, str(key), entry)


# ------------------------------------------------------------------------------------------------- events


def _rows(state: KeyedState, registry: KeyedState, plan: Plan, entry: Entry, rows: Rows) -> Said:
    """First what waits, then what came back, then what is lost, then what is new: so what is planned here is as it will
    be, and each fact that others follow from sees what was before it."""
    if not rows.followed and not rows.deep:
        return
    spoke = _spoke(rows)
    yield from _fetched(state, plan, spoke)
    for id in _came_back(state, rows):
        yield from place(state, registry, plan, id, entry.recorded)
    for agent, type in spoke.items():
        if type:
            why = "left" if type == LIFECYCLE + "left" else "unable"
            yield from _gone(state, registry, plan, agent, why, entry.recorded)
    failing: dict[str, None] = {}
    for row, event in sorted((rows.followed | rows.deep).items()):
        if not _is_never_routed(rows, row):
            yield from _route(state, registry, entry, rows, row, event, failing)


def _is_never_routed(rows: Rows, row: int) -> bool:
    type, source = rows.types[row], rows.sources[row]
    return bool(rows.importofs[row]) or type.startswith(NEVER_ROUTED) or source.startswith("signalbox/")


def _route(
    state: KeyedState, registry: KeyedState, entry: Entry, rows: Rows, row: int, event: bytes, failing: dict[str, None]
) -> Said:
    asked, force = words.asked(event), inforce.of(state)
    if asked is None or (rows.redriven[row] and asked.redriveto != words.GROUP):
        return
    router, deep = router_of(force.rules), row in rows.deep
    routing = router.route(rows.types[row], event, deep) if router.names(rows.types[row]) else Routing((), ())
    for one in routing.verdicts:
        if one.outcome == "error" and one.rule not in failing and not inforce.counted_of(state, one.rule).failed_at:
            failing[one.rule] = None
            yield RuleFailed(one.rule, entry.position + row, one.why)
    recipients = recipients_of(registry, routing, asked.needs)
    if not recipients and not rows.redriven[row]:
        return
    matched = [*routing.matched, *([""] if routing.defaulted else [])]
    yield EventRouted(
        position=entry.position + row,
        partition=rows.partition,
        offset=rows.first_offset + row,
        appended=rows.appended[row],
        event=event.decode("utf-8", "replace"),
        recipients=recipients if len(event) <= TASK_EVENT_BYTES_MAX and not deep else [],
        rules=matched,
        version=force.version if matched else 0,
        deep=deep,
    )


def recipients_of(registry: KeyedState, routing: Routing, needs: Iterable[str]) -> list[str]:
    """By rules and by what the event itself needs, each once: an agent that is named and able needs no second copy."""
    wanted = tuple(needs)
    found = dict.fromkeys((*((capability(wanted),) if wanted else ()), *routing.recipients))
    plan = Plan(registry, registry, 0)
    named = [recipient for recipient in found if recipient.startswith(AGENT)]
    return [
        recipient
        for recipient in found
        if recipient.startswith(AGENT) or not any(plan.is_able(agent, needs_of(recipient)) for agent in named)
    ]


def _routed(state: KeyedState, registry: KeyedState, plan: Plan, entry: Entry, fact: EventRouted) -> Said:
    if not fact.recipients:
        yield words.letter(fact, *_unfit(fact))
    for number, recipient in enumerate(fact.recipients):
        id = fates.id_of(state, fact.position, number)
        task = task_of(state, id)
        if task is None and recipient.startswith(AGENT):
            # It is not asked after; its inbox keeps it, and gives it up, as any mail. `unsent`: if no broker takes it.
            untracked = fates.task_for(fact, recipient, entry.recorded)
            yield words.mail(untracked, fact.event, TaskDispatched(id, recipient, 1))
        elif task is None:
            yield words.letter(fact, "full", f"no room for one more task; it was for {recipient}")
        elif task.named or not plan.is_awaited(id, task) or not agents_able(registry, needs_in(task.needs)):
            yield from place(state, registry, plan, id, entry.recorded)


def _unfit(fact: EventRouted) -> tuple[str, str]:
    """Why an event goes to nobody: the reason in a word, and more of it."""
    size = len(fact.event)
    if fact.deep:
        why = f"nested more than {DISPATCHED_DEPTH_MAX} deep; its data is here as bytes, and goes out so if redriven"
        return "too_deep", why
    if size > TASK_EVENT_BYTES_MAX:
        return "too_large", f"{size} bytes; {TASK_EVENT_BYTES_MAX} are possible"
    return "no_rule", "no rule names it any more"


# ------------------------------------------------------------------------------------------------- tasks


def place(state: KeyedState, registry: KeyedState, plan: Plan, id: str, now: int) -> Said:
    """Give a task that waits to somebody, if there is one; else it waits on, or ends."""
    task = task_of(state, id)
    if task is None or task.state != WAITING or plan.is_taken(id):
        return
    if task.expires and task.expires <= now:
        return  # its own timer ends it
    if task.again > now and not task.tried:
        return  # it is one of so many that its turn comes later
    last = task.tries[-1].why if task.tries else ""
    if fates.is_worn_out(state, task):
        yield from _drop(state, plan, id, "attempts", f"{words.tried(task)}; {last}")
    elif task.named:
        if task.refused:
            yield from _drop(state, plan, id, "refused", last)
        elif not task.again:
            yield from _give(state, plan, id, task, Choice(task.named, 1))
    else:
        yield from _place_by_needs(state, registry, plan, id, task, last)


def _place_by_needs(state: KeyedState, registry: KeyedState, plan: Plan, id: str, task: Task, last: str) -> Said:
    found = plan.choose(id, task)
    if found.choice.agent:
        yield from _give(state, plan, id, task, found.choice)
    elif found.choice.able or found.resting or not found.choice.whole:
        return  # somebody can do it, later
    elif found.refused:
        yield from _drop(state, plan, id, "refused", f"all that can do {task.needs} refuse it; {last}")
    else:
        policy = policy_of(state, task)
        why = f"nobody can do {' and '.join(needs_in(task.needs))}{words.unheeded(task.policy)}"
        if policy == words.DEAD:
            yield from _drop(state, plan, id, "no_capable", why)
        elif policy == words.ESCALATE and not task.escalated:
            plan.leave_out(id)
            yield TaskEscalated(id, why)
            yield words.escalation(id, task, why)


def _drop(state: KeyedState, plan: Plan, id: str, reason: str, error: str) -> Said:
    plan.leave_out(id)
    yield from fates.dropped(state, id, reason, error)


def _give(state: KeyedState, plan: Plan, id: str, task: Task, choice: Choice) -> Said:
    fact = plan.give(id, task, choice)
    yield fact
    yield words.mail(task, state.get("event", id), fact, plan.now + TASK_NAMED_MS_MAX * MS // 2)


def _fetched(state: KeyedState, plan: Plan, agents: Iterable[str]) -> Said:
    """Agents that may have room come for what waits."""
    if not state.table("line"):
        return
    for agent in agents:
        for id, task, choice in plan.fetch(agent):
            yield from _give(state, plan, id, task, choice)


def _spoke(rows: Rows) -> dict[str, str]:
    """Agents that may have room now, or lack what they could: by the type of their last word about themselves, "" for
    one that only settled something."""
    spoke: dict[str, str] = {}
    for row in sorted(rows.followed):
        type = rows.types[row]
        if type == words.SETTLED:
            spoke.setdefault(rows.sources[row], "")
        elif type.startswith(LIFECYCLE) and not rows.importofs[row]:
            spoke[rows.sources[row]] = type
    return spoke


def _came_back(state: KeyedState, rows: Rows) -> list[str]:
    """The tasks that a batch brought back, each once."""
    found: dict[str, None] = {}
    for _, said in fates.words_of(rows):
        task = None if said is None else task_of(state, said.task)
        if said is not None and task is not None and task.state == WAITING and task.attempt == said.attempt:
            found[said.task] = None
    return list(found)


def _gone(state: KeyedState, registry: KeyedState, plan: Plan, agent: str, why: str, now: int) -> Said:
    """What an agent has and is not able to do any more comes back; and what only it could do nobody can."""
    for id in held_by(state, agent):
        task = task_of(state, id)
        if task is not None and task.state == OUT and not plan.is_able(agent, needs_in(task.needs)):
            yield TaskReturned(id, agent, why)
    known: Agent | None = registry.get("agent", agent)
    if known is None or known.is_able or not state.table("line"):
        return
    for needs in needs_waited_for(state):
        mine = [need for need in needs_in(needs) if need in known.capabilities]
        if any(not able_agents(registry, need) for need in mine):
            for priority in range(len(PRIORITIES)):
                for id, task in islice(waiting_in(state, needs, priority), DISPATCHES_AT_ONCE_MAX):
                    if policy_of(state, task) != words.WAIT:
                        yield from place(state, registry, plan, id, now)
