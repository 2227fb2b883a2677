"""AskBoard and AskHealth: all that the Board draws, in one answer; the score and what it is made of."""

from controlplane import history, lately
from controlplane.answers import dead, fleet, flows, inbox
from controlplane.answers.lag import Listening
from controlplane.answers.rates import Rates
from controlplane.answers.timebar import bars
from controlplane.answers.words import ms
from controlplane.errors import FoldRebuilding
from controlplane.fold import Heart, World
from controlplane.groups import SLOT_NS
from controlplane.health import penalties, score_of, state_of
from controlplane.history import Slot
from controlplane.ledger import lost
from controlplane.limits import NEEDS_MAX, RATE_SECONDS
from controlplane.questions import (
    AskBoard,
    AskSagas,
    Board,
    Happening,
    Health,
    PlaneStatus,
    SagaRow,
    Severity,
    Vital,
)
from controlplane.roster import Figures

SAMPLES = 8
"""Samples of a vital, a slot each."""
FLOWS_SHOWN, SAGAS_SHOWN, DEAD_SHOWN, LATELY_SHOWN = 40, 20, 20, 40
SINCE_SLOTS = 20
"""Five minutes: what the score is compared with."""
HEALTH_BARS, HEALTH_SPAN = 48, 30
"""The score's picture in AskHealth: six hours in 48 bars."""
_SLOT_S = SLOT_NS / 1_000_000_000
_BAD_AGE_NS, _WARN_AGE_NS = 120_000_000_000, 10_000_000_000


def board(heart: Heart, question: AskBoard, now: int, plane: PlaneStatus) -> Board:
    """The Board as of now; it needs all folds."""
    world = heart.states
    for fold in heart.rebuilding:
        raise FoldRebuilding(fold)
    rates, listening = Rates(world["flows"], now), Listening(world["groups"], now)
    told = fleet.status(heart, now, plane, rates, listening)
    recent = [run[0] for run in history.slots(world["history"], now, SAMPLES)]
    needs = penalties(world, now)
    return Board(
        status=told,
        since_score=_score_then(world, now),
        score_recent=_scores(world, now, SINCE_SLOTS, 1),
        needs=needs[:NEEDS_MAX],
        published=Vital(rates.total() / RATE_SECONDS, [slot.events / _SLOT_S if slot else 0.0 for slot in recent]),
        delivered=_delivered(recent, now),
        ack_p99_ms=_ack(world, recent),
        worst_lag_s=_lag(listening, recent),
        open_sagas=Vital(
            told.counts.sagas_open,
            [float(slot.open_sagas) if slot else 0.0 for slot in recent],
            "bad" if told.counts.sagas_stuck_bad else "warn" if told.counts.sagas_stuck else "ok",
        ),
        lost=lost(world["ledger"]),
        flows=flows.rows_of(world, rates, listening)[:FLOWS_SHOWN],
        sagas=_stuck(heart, now),
        dead=dead.groups_of(world, now)[:DEAD_SHOWN],
        lately=happenings(world, LATELY_SHOWN),
        timeline=bars(world, now, question.bars),
    )


def health(world: World, now: int) -> Health:
    """The score and its penalties; they and the score add up to 100, unless the floor cuts them."""
    needs = penalties(world, now)
    score = score_of(world, needs)
    recent = _scores(world, now, HEALTH_BARS, HEALTH_SPAN)
    return Health(score, state_of(score), _score_then(world, now), recent, needs)


def happenings(world: World, limit: int) -> list[Happening]:
    """What happened of late, newest first."""
    return [
        Happening(line.at, line.position, _severity(line.severity), lately.text_of(line))
        for line in lately.lines_of(world["lately"], limit)
    ]


def _severity(text: str) -> Severity:
    return "bad" if text == "bad" else "warn" if text == "warn" else "ok"


def _scores(world: World, now: int, count: int, span: int) -> list[int]:
    """Known scores, oldest first, one for each run of slots: the lowest in it."""
    runs = history.slots(world["history"], now, count, span)
    lows = [min((slot.score for slot in run if slot and slot.score >= 0), default=-1) for run in runs]
    return [low for low in lows if low >= 0]


def _score_then(world: World, now: int) -> int | None:
    then: Slot | None = world["history"].get("slot", now // SLOT_NS - SINCE_SLOTS)
    return then.score if then is not None and then.score >= 0 else None


def _delivered(recent: list[Slot | None], now: int) -> Vital:
    """Deliveries per second over the present slot and the one before."""
    seconds = (now % SLOT_NS) / 1_000_000_000 + (_SLOT_S if recent[-2] else 0.0)
    count = sum(slot.delivered for slot in recent[-2:] if slot)
    value = count / max(seconds, 1.0)
    return Vital(value, [slot.delivered / _SLOT_S if slot else 0.0 for slot in recent])


def _ack(world: World, recent: list[Slot | None]) -> Vital:
    newest: list[Figures] = [figures for _, figures in world["fleet"].items("figures")]
    value = max((figures.ack_p99_ns for figures in newest), default=0)
    return Vital(ms(value) if value else None, [ms(slot.ack_p99_ns) if slot else 0.0 for slot in recent])


def _lag(listening: Listening, recent: list[Slot | None]) -> Vital:
    worst = max((lag.behind_ns for lag in listening.groups.values()), default=None)
    seconds = [slot.lag_ns / 1_000_000_000 if slot else 0.0 for slot in recent]
    if worst is None:
        return Vital(None, seconds)
    severity: Severity = "bad" if worst > _BAD_AGE_NS else "warn" if worst > _WARN_AGE_NS else "ok"
    return Vital(worst / 1_000_000_000, seconds, severity)


def _stuck(heart: Heart, now: int) -> list[SagaRow]:
    question = AskSagas(state="stuck", limit=SAGAS_SHOWN)
    return inbox.rows(heart, question, now)[1]
