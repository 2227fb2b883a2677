"""Answers out of the folds' states, pure: what a console asks, told as of one position.

`answer` takes the question, a heart (the live one, or one that was evolved to a moment of the past), the instant that
ages are counted from, and what only the edge knows (`Extras`). Questions about archived events, exports, verifying and
ending are the edge's own; they are refused here.

| question | file |
|---|---|
| AskStatus, and the counts of every header | fleet |
| AskBoard, AskHealth | board |
| AskFlows | flows (rates and lag beside it) |
| AskSagas; AskSaga | inbox; saga |
| AskDeadGroups, AskDeadLetters, Redrive as a dry run | dead |
| AskTimeline | timebar |
| AskGroups | listeners |
| AskAgents, AskAgent | agents (levers on them: agentlevers) |
| AskBrokers, AskPartitions; Operate as a dry run | operations; levers |
| AskProjections | projections |
| AskRoutes (AskRoute and levers on rules: `routedesk`) | routing |
"""

import msgspec

from bus.rfc3339 import format_time
from controlplane.answers import (
    agents,
    board,
    dead,
    fleet,
    flows,
    inbox,
    listeners,
    operations,
    projections,
    routing,
    timebar,
)
from controlplane.answers import saga as one_saga
from controlplane.answers.dead import plan_redrive
from controlplane.answers.lag import Listening
from controlplane.answers.levers import plan_operation
from controlplane.answers.projections import Running
from controlplane.answers.rates import Rates
from controlplane.answers.words import age
from controlplane.elections import LED
from controlplane.fold import Heart, KeyedState, World
from controlplane.health import penalties
from controlplane.limits import CLOCK_SKEW_MS_MAX
from controlplane.questions import (
    AskAgent,
    AskAgents,
    AskAt,
    AskBoard,
    AskBrokers,
    AskDeadGroups,
    AskDeadLetters,
    AskFlows,
    AskGroups,
    AskHealth,
    AskPartitions,
    AskProjections,
    AskRoutes,
    AskSaga,
    AskSagas,
    AskStatus,
    AskTimeline,
    At,
    Body,
    EventDetail,
    Events,
    Operate,
    Past,
    PlaneStatus,
    Question,
    Redrive,
    Refusal,
    SagaStep,
)
from controlplane.roster import partitions_of, plane_of

__all__ = [
    "Extras",
    "addressed",
    "answer",
    "condition",
    "extras_of_then",
    "not_there",
    "not_there_then",
    "not_yet",
    "past",
    "plan_operation",
    "plan_redrive",
]


class Extras(msgspec.Struct):
    """What only the edge knows. `steps` are wanted for AskSaga: the saga's events out of the archive, journal order;
    `projections` for AskProjections, by name.

    `refolded`: how far it is with the folds that are folded again, as a position, or what that failed of.
    """

    pid: int = 0
    state: str = "running"
    url: str = ""
    data_dir: str = ""
    started: int = 0
    journal_bytes: int = 0
    journal_from: int = 0
    journal_why: str = ""
    journal_keeps: tuple[int, int] = (0, 0)
    brokers_keep: tuple[int, int] = (0, 0)
    copied: int = 0
    copy_behind: int = 0
    copy_why: str = ""
    steps: list[SagaStep] = []
    projections: dict[str, Running] = {}
    refolded: int = 0
    refold_failed: str = ""


def answer(question: Question, heart: Heart, now: int, extras: Extras) -> Body:
    """The answer as of the heart's position; `now` in ns is what ages are counted from, usually `heart.recorded`.

    Raises FoldRebuilding where it needs a fold that is folded again; only AskStatus leaves out what is not known.
    """
    world = heart.states
    if isinstance(question, AskStatus):
        rates, listening = Rates(_known(world, "flows"), now), Listening(_known(world, "groups"), now)
        return fleet.status(heart, now, _plane(heart, extras), rates, listening)
    if isinstance(question, AskBoard):
        return board.board(heart, question, now, _plane(heart, extras))
    if isinstance(question, AskFlows):
        return flows.flows(world, question, now)
    if isinstance(question, AskSagas):
        return inbox.sagas(heart, question, now, fleet.counts(heart, now))
    if isinstance(question, AskSaga):
        return one_saga.saga(heart, question, now, extras.steps, Listening(world["groups"], now))
    if isinstance(question, AskHealth):
        return board.health(world, now)
    if isinstance(question, AskDeadGroups):
        return dead.dead_groups(world, question, now)
    if isinstance(question, AskDeadLetters):
        return dead.dead_letters(world, question, now)
    if isinstance(question, Redrive) and question.dry_run:
        return plan_redrive(world, question)[1]
    if isinstance(question, AskTimeline):
        return timebar.timeline(world, question, now)
    if isinstance(question, AskGroups):
        return listeners.groups(world, question, now)
    if isinstance(question, AskAgents):
        return agents.agents(world, question, now)
    if isinstance(question, AskAgent):
        return agents.agent(world, question, now)
    if isinstance(question, AskBrokers):
        return operations.brokers(world, question, now)
    if isinstance(question, AskPartitions):
        return operations.partitions(heart, question, now, _plane(heart, extras))
    if isinstance(question, AskProjections):
        return projections.projections(world, question, extras.projections)
    if isinstance(question, AskRoutes):
        return routing.routes(world, now)
    if isinstance(question, Operate) and question.dry_run:
        return plan_operation(world, question, now)[1]
    return Refusal("usage", f"{type(question).__name__} is not answered from the state", "ask the plane for it")


def rebuilding_why(heart: Heart, extras: Extras) -> str:
    """`sagas, health are folded again: 3,400 of 10,000 entries`, or what that failed of."""
    names = ", ".join(heart.rebuilding)
    if extras.refold_failed:
        return f"{names} cannot be folded again: {extras.refold_failed}"
    verb = "is" if len(heart.rebuilding) == 1 else "are"
    if not extras.pid:
        return f"{names} {'was' if verb == 'is' else 'were'} being folded again then"
    return f"{names} {verb} folded again: {extras.refolded:,} of {heart.position:,} entries"


def not_there(heart: Heart, fold: str, extras: Extras) -> Refusal:
    """The refusal of what needs a fold that is folded again."""
    hint = "See plane.log." if extras.refold_failed else "Ask again in a moment; `signalbox status` says how far it is."
    return Refusal("unavailable", f"this needs the fold {fold}, and {rebuilding_why(heart, extras)}", hint)


def not_there_then(fold: str) -> Refusal:
    """The same for a moment of the past: an answer of then is the one that was given then."""
    what = f"this needs the fold {fold}, which was being folded again then"
    return Refusal("unavailable", what, "Ask as of a moment before the plane started, or after it had it again.")


def addressed(body: Events | EventDetail, heart: Heart, now: int) -> Body:
    """Events of the archive, with the groups that listen to them at `now`: the archive itself does not know them."""
    listening = Listening(_known(heart.states, "groups"), now)
    for row in body.rows if isinstance(body, Events) else [body.row]:
        row.to = ", ".join(lag.group for lag in listening.to(row.type))
    return body


def condition(heart: Heart) -> str:
    """What the plane is doing, as far as its state says: starting, electing, running or stopping."""
    fleet_state = heart.states["fleet"]
    partitions = partitions_of(fleet_state)
    if plane_of(fleet_state).stopping:
        return "stopping"
    led = all(partition.phase == LED for partition in partitions)
    return "starting" if not partitions else "running" if led else "electing"


def extras_of_then(heart: Heart) -> Extras:
    """For a heart of the past: what only the present knows is absent, the plane's state is the one of then."""
    return Extras(state=condition(heart))


def past(heart: Heart) -> Past:
    """The state of a heart that was evolved to a moment."""
    now, world = heart.recorded, heart.states
    brokers = fleet.brokers(world, now, Rates(_known(world, "flows"), now))
    counted = fleet.counts(heart, now)
    needs = penalties(world, now) if "health" in world else []
    return Past(heart.position, now, heart.digest().hex(), counted, brokers, needs)


def not_yet(moment: At | AskAt, position: int, now: int) -> Refusal | None:
    """Why a moment cannot be shown in a journal that ends at `position`; `now` in ns. None: it has been."""
    if moment.position is not None and moment.position > position:
        message = f"position {moment.position:,} does not exist yet: the journal ends at {position:,}"
        return Refusal("not_found", message, f"Name {position}, one before it, or a time.")
    ahead = (moment.instant or 0) - now
    if ahead > CLOCK_SKEW_MS_MAX * 1_000_000:  # what a console calls now may be ahead of the plane's clock
        message = f"that instant is {age(ahead)} in the future, by the control plane's clock"
        message += f": the journal ends at {position:,}"
        return Refusal("usage", message, "Name now, -5m, or an instant that is over.")
    return None


def not_any_more(position: int, recorded: int) -> Refusal:
    """What was at or before the position that the journal begins after, `recorded` ns, cannot be shown."""
    message = f"the journal begins after position {position:,} ({format_time(recorded)}): retention let go of"
    return Refusal("not_found", f"{message} what was before", f"Name {position + 1}, one after it, or a later time.")


def _known(world: World, fold: str) -> KeyedState:
    return world[fold] if fold in world else KeyedState(fold)


def _plane(heart: Heart, extras: Extras) -> PlaneStatus:
    plane = plane_of(heart.states["fleet"])
    return PlaneStatus(
        pid=extras.pid,
        state=extras.state,
        position=heart.position,
        epoch=plane.epoch,
        uuid=plane.uuid,
        url=extras.url or plane.url,
        data_dir=extras.data_dir,
        started=extras.started or plane.started,
        journal_bytes=extras.journal_bytes,
        journal_from=extras.journal_from,
        journal_why=extras.journal_why,
        journal_retention_seconds=extras.journal_keeps[0],
        journal_retention_bytes=extras.journal_keeps[1],
        retention_seconds=extras.brokers_keep[0],
        retention_bytes=extras.brokers_keep[1],
        copied=extras.copied,
        copy_behind=extras.copy_behind,
        copy_why=extras.copy_why,
        rebuilding=heart.rebuilding,
        refolded=extras.refolded,
        why=rebuilding_why(heart, extras) if heart.rebuilding else "",
    )
