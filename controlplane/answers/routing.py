"""AskRoutes, AskRoute, and what a change of rules comes to. Pure."""

import re
from collections import Counter
from collections.abc import Iterable

from bus.choice import Candidate, expected_us
from bus.errors import InvalidRule
from bus.router import AGENT, Router, Routing, Rule, Rules, capability, needs_of, normalised, router_of
from bus.topic import NEVER_ROUTED
from bus.words import many
from controlplane import dispatchwords as words
from controlplane.able import able_agents
from controlplane.agenthealth import held_back
from controlplane.answers.words import age
from controlplane.assigning import Plan, agents_able, state_of_agent
from controlplane.dispatch import recipients_of
from controlplane.dispatchsettings import policy_of
from controlplane.facts import (
    EventRouted,
    Fact,
    TaskDispatched,
    TaskDropped,
    TaskEscalated,
    TaskReady,
    TaskReturned,
)
from controlplane.fold import KeyedState, World
from controlplane.inforce import InForce, counted_of
from controlplane.inforce import of as in_force
from controlplane.limits import ROUTE_EXAMPLES_MAX
from controlplane.questions import (
    Refusal,
    RouteCandidate,
    RouteExample,
    RouteExplained,
    RouteRow,
    Routes,
    RouteStep,
    RoutesTried,
    RouteTask,
    RouteTo,
    RuleText,
    RuleTrial,
    RuleVerdict,
    SetRoutes,
    WorkRow,
)
from controlplane.tasks import OUT, PRIORITIES, US, WAITING, Task, needs_in, waiting_in, work_of

_LIST = "signalbox route list"
RECIPIENTS_MAX = 64
"""Tasks of one event that are told of."""


def routes(world: World, now: int) -> Routes:
    """The rules in force, and the work that waits."""
    state, registry = world["dispatch"], world["registry"]
    force = in_force(state)
    counts = {name: state.get("count", name, 0) for name in
              ("waiting", "out", "opened", "handled", "failed", "refused", "returned", "dropped", "unfit",
               "named", "untracked")}  # fmt: skip
    kinds = sorted(map(str, state.table("work")))
    work = sorted((_work(state, registry, needs, now) for needs in kinds), key=lambda row: (-row.waiting, row.needs))
    return Routes(
        version=force.version,
        since=force.since,
        by=force.by,
        reason=force.reason,
        rows=[_rule(state, rule) for rule in force.rules.rules],
        default=list(force.rules.default),
        no_capable=force.rules.no_capable or words.WAIT,
        work=work,
        **counts,
    )


def _rule(state: KeyedState, rule: Rule) -> RouteRow:
    known = counted_of(state, rule.name)
    return RouteRow(
        name=rule.name,
        types=rule.types,
        when=rule.when,
        to=list(rule.to),
        stop=rule.stop,
        severity="warn" if known.failed_at else "ok",
        matched=known.matched,
        last=known.last,
        failed_at=known.failed_at,
        why=known.why,
    )


def _work(state: KeyedState, registry: KeyedState, needs: str, now: int) -> WorkRow:
    work, agents = work_of(state, needs), agents_able(registry, needs_in(needs))
    row = WorkRow(needs, "ok", agents, work.waiting, work.since if work.waiting else 0,
                  work.latency_us * US if work.settled else None, work.settled)  # fmt: skip
    if work.waiting and not agents:
        held, missing = held_back(registry, lacking(registry, needs)), lacking(registry, needs)
        row.severity, row.mend = "warn", f"agent release {held[0]}" if held else f"agent list --capability {missing}"
        does = f"{held[0]} could, and is quarantined" if held else "start an agent that can"
        row.why = f"nobody can do {missing}: {does}; {age(now - work.since)}"
    elif work.waiting:
        row.why = _held_up(state, Plan(state, registry, now), needs, agents, now)
    return row


def _held_up(state: KeyedState, plan: Plan, needs: str, agents: int, now: int) -> str:
    """Why the first task that waits for work of one kind waits, though `agents` can do it."""
    first = next((one for i in range(len(PRIORITIES)) for one in waiting_in(state, needs, i)), None)
    if first is None:
        return ""
    found = plan.choose(*first)
    if found.choice.agent:
        return f"the first of it is about to go to {found.choice.agent}"
    if not found.choice.able and found.resting:
        return f"the first of it came back, and rests: who had it may have it again in {age(first[1].again - now)}"
    if not found.choice.able and found.refused:
        return "all that can do it refuse the first of it"
    return f"{many(agents, 'agent')} that can do it {'is' if agents == 1 else 'are'} busy"


def lacking(registry: KeyedState, needs: str) -> str:
    """Of capabilities the one that nobody has, or the rarest."""
    return min(needs_in(needs), key=lambda need: (able_agents(registry, need), need), default="")


# ------------------------------------------------------------------------------------------------- one event


def explained(world: World, event: str, position: int, steps: list[RouteStep], now: int) -> RouteExplained | Refusal:
    """Where an event goes, or went. `position` 0 for one that is not recorded."""
    asked = words.asked(event)
    if asked is None or not asked.type:
        return Refusal("usage", "that is no event: CloudEvents JSON with a type", "signalbox route explain EVENT")
    state, registry = world["dispatch"], world["registry"]
    force = in_force(state)
    router = router_of(force.rules)
    routing = router.route(asked.type, event)
    never = asked.type.startswith(NEVER_ROUTED) or asked.source.startswith("signalbox/")
    recipients = [] if never else recipients_of(registry, routing, asked.needs)
    why = ""
    if never:
        why = f"{asked.type} is addressed already, or nobody's work"
    elif not recipients:
        why = "it requires nothing, and no rule that names its type matches"
    own = capability(asked.needs) if asked.needs else ""
    plan = Plan(state, registry, now)
    open = _tasks(state, position) if position else []
    return RouteExplained(
        event=event,
        event_type=asked.type,
        position=position,
        version=force.version,
        verdicts=[RuleVerdict(one.rule, one.outcome, one.why) for one in routing.verdicts],
        recipients=[_to(state, registry, plan, routing, to, to == own, asked, now, open) for to in recipients],
        tasks=open,
        steps=steps,
        why=why,
    )


def _to(
    state: KeyedState, registry: KeyedState, plan: Plan, routing: Routing, recipient: str, own: bool,
    asked: words.Asked, now: int, open: list[RouteTask],
) -> RouteTo:  # fmt: skip
    rules = {rule.name: rule for rule in in_force(state).rules.rules}
    through = [name for name in routing.matched if recipient in rules[name].to]
    through += ["requires"] if own else []
    through = through or [""]
    if recipient.startswith(AGENT):
        known = state_of_agent(registry, recipient)
        why = "" if known else "it never joined; its mail waits in its inbox"
        why = f"it is {known}; its mail waits in its inbox" if known not in ("", "joined", "ready") else why
        return RouteTo(recipient, through, recipient, "warn" if why else "ok", 1, [], why=why)
    task = Task(WAITING, " ".join(needs_of(recipient)), "", 0, 0, 0, 0, asked.type, asked.id, 0, asked.stuck_to,
                asked.expires, str(asked.nocapable), now, 0, [])  # fmt: skip
    found = plan.choose("explain", task).choice
    row = RouteTo(recipient, through, found.agent, "ok", found.among, [_candidate(one) for one in found.looked])
    winner = found.winner
    if winner is not None:
        row.expected_ns = expected_us(winner.latency_us, winner.load) * US
        row.reliability = winner.reliability / 1_000
        return row
    row.severity = "warn"
    if found.able:
        row.why = f"all that can do it are busy: it waits, {many(work_of(state, task.needs).waiting, 'task')} before it"
    else:
        missing = lacking(registry, task.needs)
        held = held_back(registry, missing)
        waits = any(one.needs == task.needs for one in open)  # whatever the policy says of those to come
        row.why = f"nobody can do {missing}: {'it waits' if waits else _policy(policy_of(state, task))}"
        row.why += words.unheeded(task.policy)
        row.mend = f"agent release {held[0]}" if held else f"agent list --capability {missing}"
    return row


def _policy(policy: str) -> str:
    return {words.DEAD: "it becomes a dead letter", words.ESCALATE: "it waits, and is escalated"}.get(
        policy, "it waits"
    )


def _candidate(one: Candidate) -> RouteCandidate:
    return RouteCandidate(one.agent, one.score, one.load / 1_000, one.latency_us * US, one.reliability / 1_000, one.why)


def _tasks(state: KeyedState, position: int) -> list[RouteTask]:
    found = [(str(id), task) for id, task in state.items("task") if task.position == position]
    found.sort(key=lambda one: (len(one[0]), one[0]))
    return [task_row(id, task) for id, task in found[:RECIPIENTS_MAX]]


def task_row(id: str, task: Task) -> RouteTask:
    """A task as it is shown."""
    last, shown = task.tries[-1].why if task.tries else "", OUT if task.state == OUT else WAITING
    of = (task.event_id, task.position, task.deadline)
    return RouteTask(id, shown, task.needs or task.named, task.agent, task.attempt, task.since, last, *of)


# ------------------------------------------------------------------------------------------------- changes


def rules_of(rules: Iterable[RuleText], default: Iterable[str], no_capable: str = "") -> Rules:
    """Rules as a person gave them, made ready to be kept. Raises InvalidRule."""
    given = tuple(Rule(one.name, one.types, tuple(one.to), one.when, one.stop) for one in rules)
    kept = normalised(Rules(given, tuple(default), no_capable))
    try:
        Router(kept)
    except InvalidRule as error:
        raise _plainly(error, kept) from error
    for rule in kept.rules:
        _check_useful(rule)
    return kept


def _plainly(error: InvalidRule, rules: Rules) -> InvalidRule:
    """The grammar's list of all that could follow is no help where a condition just ends."""
    ends = re.search(r"1:(\d+): .*'<EOF>'", str(error))
    return InvalidRule("when", f"cannot be kept: it ends too early, at column {ends[1]}", error.rule) if ends else error


def _check_useful(rule: Rule) -> None:
    """Refuse what can be kept, and never matches. Raises InvalidRule."""
    if rule.types.startswith(NEVER_ROUTED):
        raise InvalidRule("types", f"{rule.types}: such events are never routed", rule.name)
    if rule.when and not re.search(r"\b(event|data)\b", re.sub(r"\"[^\"]*\"|'[^']*'", "", rule.when)):
        constant = Router(Rules((Rule(rule.name, ">", rule.to, rule.when),))).route("any", "{}").verdicts[0]
        if constant.outcome == "error":
            raise InvalidRule("when", f"never matches, whatever the event: {constant.why}", rule.name)


def changed_rules(force: InForce, ask: SetRoutes) -> tuple[Rules, list[str]] | Refusal:
    """What the rules come to, and what of them is touched, a line each."""
    known = {rule.name: rule for rule in force.rules.rules}
    if ask.verb == "remove":
        unknown = [name for name in ask.names if name not in known]
        if unknown or not ask.names:
            return Refusal("not_found", f"there is no rule {', '.join(map(repr, unknown)) or 'without a name'}", _LIST)
        kept = tuple(rule for rule in force.rules.rules if rule.name not in ask.names)
        after = Rules(kept, force.rules.default, force.rules.no_capable)
        return after, _touched(force.rules, after)
    default = force.rules.default if ask.default is None else ask.default
    no_capable = force.rules.no_capable if ask.no_capable is None else ask.no_capable
    try:
        after = rules_of(ask.rules, default, no_capable)
        if not ask.whole:
            after = _added(known, after, ask.before)
            Router(after)
    except InvalidRule as error:
        return Refusal("usage", str(error), "signalbox route add --help")
    return after, _touched(force.rules, after)


def _added(known: dict[str, Rule], given: Rules, before: str) -> Rules:
    fresh = [rule for rule in given.rules if rule.name not in known]
    replaced = {rule.name: rule for rule in given.rules}
    kept = [replaced.get(name, rule) for name, rule in known.items()]
    names = [rule.name for rule in kept]
    if before and before not in names:
        raise InvalidRule("before", f"names {before!r}, and there is no such rule")
    place = names.index(before) if before else len(kept)
    return Rules((*kept[:place], *fresh, *kept[place:]), given.default, given.no_capable)


def _touched(was: Rules, now: Rules) -> list[str]:
    old, new = ({rule.name: rule for rule in rules.rules} for rules in (was, now))
    found = [f"- {name}" for name in old if name not in new]
    for name, rule in new.items():
        if name not in old:
            found.append(f"+ {text_of(rule)}")
        elif old[name] != rule:
            found.append(f"~ {text_of(rule)}")
    stays = [name for name in old if name in new]
    if stays != [name for name in new if name in old]:
        found.append(f"  in this order: {', '.join(new)}")
    if was.default != now.default:
        found.append(f"~ default: {', '.join(now.default) or 'nobody'}")
    if (was.no_capable or words.WAIT) != (now.no_capable or words.WAIT):
        found.append(f"~ work that nobody can do: {now.no_capable or words.WAIT}")
    return found


def text_of(rule: Rule) -> str:
    """A rule in one line."""
    when = f" when {rule.when}" if rule.when else ""
    return f"{rule.name}: {rule.types}{when} to {', '.join(rule.to)}{', then stop' if rule.stop else ''}"


class Trial:
    """Two sets of rules, tried on the same events."""

    def __init__(self, was: Rules, now: Rules) -> None:
        self._was, self._now = router_of(was), router_of(now)
        self._counts: dict[str, Counter[str]] = {"was": Counter(), "matched": Counter(), "failed": Counter()}
        self._why: dict[str, str] = {}
        self._names = list(dict.fromkeys(rule.name for rules in (now, was) for rule in rules.rules))
        self.events = self.changed = 0
        self.examples: list[RouteExample] = []

    def names(self, type: str) -> bool:
        """Whether any of them is for events of this type."""
        return self._was.names(type) or self._now.names(type)

    def take(self, position: int, id: str, type: str, event: bytes) -> None:
        """One event more."""
        was, now = self._was.route(type, event), self._now.route(type, event)
        self.events += 1
        self._counts["was"].update(was.matched or ([""] if was.defaulted else []))
        self._counts["matched"].update(now.matched or ([""] if now.defaulted else []))
        for one in now.verdicts:
            if one.outcome == "error":
                self._counts["failed"][one.rule] += 1
                self._why.setdefault(one.rule, one.why)
        if was.recipients != now.recipients:
            self.changed += 1
            if len(self.examples) < ROUTE_EXAMPLES_MAX:
                self.examples.append(RouteExample(position, id, type, list(was.recipients), list(now.recipients)))

    def told(self, recorded: int, since: int, cut: bool, version: int) -> RoutesTried:
        """What came of it."""
        rows = [self._row(name) for name in [*self._names, ""]]
        if not (self._was.rules.default or self._now.rules.default):
            rows.pop()
        return RoutesTried(self.events, recorded, since, cut, self.changed, rows, self.examples, version)

    def _row(self, name: str) -> RuleTrial:
        was, matched, failed = (self._counts[what][name] for what in ("was", "matched", "failed"))
        return RuleTrial(name, was, matched, failed, self._why.get(name, ""))


def step_text(fact: Fact) -> str:
    """What was decided about an event, in words; "" for any other fact."""
    if isinstance(fact, EventRouted):
        rules = ", ".join(rule or "the default" for rule in fact.rules)
        asked = words.asked(fact.event) or words.Asked()
        by = f" by {rules}" if rules else ""
        return f"to {', '.join(fact.recipients) or 'nobody'}{by}{words.unheeded(str(asked.nocapable))}"
    if isinstance(fact, TaskDispatched):
        others = ", ".join(f"{one.agent} {one.score}" for one in fact.losers)
        among = f", of {fact.among}" if fact.among > 1 else ""
        over = f" before {others}" if others else ""
        return f"{fact.task} to {fact.agent}, attempt {fact.attempt}{among}, score {fact.score}{over}"
    if isinstance(fact, TaskReturned):
        return f"{fact.task} back from {fact.agent}: {fact.why}"
    if isinstance(fact, TaskDropped):
        return f"{fact.task} given up, {fact.reason}: {fact.error}"
    if isinstance(fact, TaskEscalated):
        return f"{fact.task} escalated: {fact.why}"
    return f"{fact.task} may go to anyone again" if isinstance(fact, TaskReady) else ""
