"""What is wrong with dispatch, as health tells it. Pure. The table of points stands in `health`."""

from collections.abc import Iterator

from bus.words import many
from controlplane.able import able_agents
from controlplane.agenthealth import held_back
from controlplane.dispatchsettings import policy_of
from controlplane.dispatchwords import AGENT, ESCALATE
from controlplane.inforce import Counted
from controlplane.inforce import of as in_force
from controlplane.limits import TASKS_NAMED_AGENT_MAX
from controlplane.questions import Need
from controlplane.state import KeyedState
from controlplane.tasks import Task, Work, is_named_full, needs_in, needs_waited_for, waiting_in, work_of

NAMED_MAX = 3
"""Kinds of work, or rules, that are named in one line; the others are counted."""


def needs(state: KeyedState, registry: KeyedState) -> Iterator[Need]:
    """Work that nobody can do, and rules that raise."""
    lacking: dict[str, Work] = {}
    escalated = False
    for kind in needs_waited_for(state):
        missing = [need for need in needs_in(kind) if not able_agents(registry, need)]
        if missing:
            work, known = work_of(state, kind), lacking.get(missing[0], Work())
            since = min(filter(None, (known.since, work.since)), default=0)
            lacking[missing[0]] = Work(known.waiting + work.waiting, since)
            escalated = escalated or _is_escalated(state, kind)
    if lacking:
        names = sorted(lacking, key=lambda name: (-lacking[name].waiting, name))
        waiting, held = lacking[names[0]].waiting, held_back(registry, names[0])
        others = [f"{lacking[name].waiting:,} for {name}" for name in names[1:NAMED_MAX]]
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        also = f"; beside them wait {', '.join(others)}{more}" if others else ""
        what = many(waiting, "task waits", "tasks wait")
        why = "no live agent has that capability: start one, or see who had it"
        if held:
            why = f"who can do it is quarantined: {', '.join(held[:NAMED_MAX])}"
        why, since = why + also, lacking[names[0]].since
        severity, points = ("bad", 8) if escalated else ("warn", 3)
        mend = f"agent release {held[0]}" if held else f"agent list --capability {names[0]}"
        yield Need(severity, f"{what} for {names[0]}", why, since, mend, points, "tasks")  # type: ignore[arg-type]
    yield from _rules(state)
    yield from _named(state)


def _named(state: KeyedState) -> Iterator[Need]:
    """Mail by name is at a bound: what comes now is sent, and not asked after."""
    most = min(((-count, str(agent)) for agent, count in state.items("named")), default=(0, ""))
    count, agent = -most[0], most[1]
    if not agent or not (count >= TASKS_NAMED_AGENT_MAX or is_named_full(state, "", 0)):
        return
    name, untracked = agent.removeprefix(AGENT), state.get("count", "untracked", 0)
    until_now = many(untracked, "mail was", "mails were")
    why = f"further mail to it is kept in its inbox, and not asked after, as {until_now} until now; start it"
    yield Need("warn", f"{many(count, 'mail waits', 'mails wait')} for {name}", why, 0, f"agent show {name}", 1, "mail")


def _is_escalated(state: KeyedState, kind: str) -> bool:
    for priority in range(3):
        first: tuple[str, Task] | None = next(waiting_in(state, kind, priority), None)
        if first is not None and policy_of(state, first[1]) == ESCALATE:
            return True
    return False


def _rules(state: KeyedState) -> Iterator[Need]:
    failing: list[tuple[str, Counted]] = sorted(
        (str(name), known) for name, known in state.items("rule") if known.failed_at
    )
    kept = [rule.name for rule in in_force(state).rules.rules]
    failing = [(name, known) for name, known in failing if name in kept]
    if failing:
        name, known = failing[0]
        what = f"rule {name} raises" if len(failing) == 1 else f"{len(failing)} rules raise"
        why = f"{known.why}, first at {known.failed_at:,}: an event that it raises on it does not match"
        since = min(known.failed for _, known in failing)
        yield Need("warn", what, why, since, f"route explain @{known.failed_at}", 1, "routes")
