"""AskSaga: one saga, its steps, and why it stands where it stands: a chain of facts, each with its age and place."""

from controlplane.answers.flows import severity_of
from controlplane.answers.inbox import row_of
from controlplane.answers.lag import Listening
from controlplane.answers.words import age
from controlplane.deadletters import WAITING, Letter
from controlplane.elections import LED, Partition
from controlplane.fold import Heart
from controlplane.questions import AskSaga, Link, Refusal, Saga, SagaRow, SagaStep
from controlplane.roster import in_sync
from controlplane.sagas import FAILED, OPEN
from controlplane.sagas import Saga as Known

MENDS_MAX = 5


def saga(heart: Heart, question: AskSaga, now: int, steps: list[SagaStep], listening: Listening) -> Saga | Refusal:
    """One saga. `steps` are its events, out of the archive, in journal order; which of them died is marked here."""
    state = heart.states["sagas"]
    known: Known | None = state.get("saga", question.saga)
    if known is None:
        hint = "signalbox saga list --state all; its key is the correlationid of its events, else their subject"
        return Refusal("not_found", f"there is no saga {question.saga!r}", hint)
    row = row_of(state, question.saga, known, now)
    dead = {(x.partition, x.offset): x for _, x in heart.states["deadletters"].items("letter")}
    for step in steps:
        step.failed = (step.partition, step.offset) in dead
    if steps and row.state == OPEN and steps[-1].position == known.position:
        steps[-1].took_ns = row.waiting_ns  # by its own log's clock, which may have stopped
    elif steps and row.state == OPEN:
        steps[-1].took_ns = max(0, now - steps[-1].time)
    elif steps:
        steps[-1].took_ns = 0  # nothing came after what ended it
    mine = [dead[step.partition, step.offset] for step in steps if step.failed]
    last = dead.get((known.partition, known.offset))
    if last is not None and last not in mine:
        mine.append(last)
    why, mend = _why(heart, known, row, mine, now, listening)
    return Saga(row, steps, why, mend)


def _why(
    heart: Heart, known: Known, row: SagaRow, dead: list[Letter], now: int, listening: Listening
) -> tuple[list[Link], list[str]]:
    if row.state == FAILED:
        links = [Link(f"it failed: {known.step} by {known.source}", 0, known.last, known.position)]
        return links + _deaths(dead, 1), _redrives(dead)
    if row.state != OPEN:
        return [Link(f"it is finished: {known.step}", 0, known.last, known.position)], _redrives(dead)
    links = [Link(f"nothing since {known.step} by {known.source}", 0, known.last, known.position)]
    if row.p95_ns is None:
        links.append(Link("what is usual here is not known yet: too few have passed this step", 1))
    elif row.ratio is not None:
        usual = f"usual here {age(row.typical_ns or 0)}, p95 {age(row.p95_ns)}: it has waited {row.ratio:.1f} × as long"
        links.append(Link(usual, 1))
    mend = _redrives(dead)
    links += _deaths(dead, 1)
    more, mends = _surroundings(heart, known, listening, known.importof != "")
    if not dead:
        more.append(Link("no event of it is a dead letter", 1, ruled_out=True))
    if row.severity != "ok" and not mend and not mends:
        mends = _looks(known, listening) if not known.importof else []
    return links + more, mend + mends


def _looks(known: Known, listening: Listening) -> list[str]:
    """Nothing is known to be wrong: those who should have gone on, or that nobody listens."""
    groups = [f"group show {lag.group}" for lag in listening.to(known.step)]
    return groups[:MENDS_MAX] or [f"flow list --match {known.step}"]


def _deaths(dead: list[Letter], depth: int) -> list[Link]:
    died = "could not handle one of its events"
    return [Link(f"{one.group} {died}: {_line(one.error)}", depth, one.died, one.position) for one in dead]


def _line(error: str) -> str:
    lines = [line for line in error.splitlines() if line.strip()]
    return (lines[-1] if "Traceback" in error else lines[0])[:120] if lines else "no reason given"


def _redrives(dead: list[Letter]) -> list[str]:
    return [f"dlq redrive {letter.id}" for letter in dead if letter.state == WAITING][:MENDS_MAX]


def _surroundings(heart: Heart, known: Known, listening: Listening, imported: bool) -> tuple[list[Link], list[str]]:
    """Whether its partition and those who should go on are well; an imported log's time is not ours."""
    if imported:
        return [Link("its log was imported: judged at the log's last instant", 1)], []
    links: list[Link] = []
    mends: list[str] = []
    fleet = heart.states["fleet"]
    p: Partition | None = fleet.get("partition", known.partition)
    if p is not None and (p.phase != LED or in_sync(fleet, p) < p.write_quorum):
        why = p.why or "too few replicas in sync"
        links.append(Link(f"p{p.partition:02d} refuses publishes: {why}", 1, p.since, p.position))
        mends.append("doctor")
    elif p is not None:
        links.append(Link(f"p{p.partition:02d} takes publishes", 1, ruled_out=True))
    for lag in listening.to(known.step):
        severity, why, _ = severity_of(lag)
        if severity == "ok":
            links.append(Link(f"{lag.group}, which listens to it, is level", 1, ruled_out=True))
        else:
            links.append(Link(f"{lag.group}, which listens to it: {why}", 1))
            mends.append(f"group show {lag.group}")
    if not listening.to(known.step):
        links.append(Link(f"no group listens to {known.step}", 1))
    return links, mends
