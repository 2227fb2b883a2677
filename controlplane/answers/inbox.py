"""AskSagas: the inbox, worst first; and how each saga is judged, imported ones at their log's last instant."""

from collections.abc import Callable
from typing import NamedTuple

from controlplane.answers.words import age
from controlplane.fold import Heart, KeyedState
from controlplane.limits import ORDERS_KEPT_MAX, PAGE_ROWS_MAX
from controlplane.questions import AskSagas, Counts, SagaRow, Sagas, Severity
from controlplane.sagas import FAILED, OPEN, STUCK_AFTER, Saga, judge_by, thresholds, thresholds_of, usual

_RANK = {"bad": 0, "warn": 1, "ok": 2, "unknown": 3}
_SCRATCH, _ORDERED = "stuck imported", "ordered sagas"


Usual = dict[tuple[str, str], tuple[int | None, int | None]]
"""(log, step) -> median and 95th percentile of the gap after it."""


class Stuck(NamedTuple):
    """An open imported saga that has waited for longer than usual."""

    saga: str
    severity: Severity


def stuck_imported(heart: Heart) -> list[Stuck]:
    """Imported sagas that stood still when their log ended. Worked out anew when sagas have moved."""
    state = heart.states["sagas"]
    if not state.table("log"):
        return []
    known = heart.scratch.get(_SCRATCH)
    if known is None or known[0] != state.digest:
        known = heart.scratch[_SCRATCH] = (state.digest, _stuck_imported(state))
    found: list[Stuck] = known[1]
    return found


def _stuck_imported(state: KeyedState) -> list[Stuck]:
    limits: dict[tuple[str, str], tuple[int | None, int | None]] = {}
    ends = {str(log): int(at) for log, at in state.items("log")}
    found = []
    for key, saga in state.items("saga"):
        if not saga.importof or saga.state != OPEN:
            continue
        kind = (saga.importof, saga.step)
        limit = limits.get(kind)
        if limit is None:
            limit = limits[kind] = thresholds(state, *kind)
        warn, bad = limit
        waiting = ends[saga.importof] - saga.last
        if warn is not None and bad is not None and waiting > warn:
            found.append(Stuck(str(key), "bad" if waiting > bad else "warn"))
    return found


def _severity(saga: Saga, judged: Severity) -> Severity:
    """As the fold judged for live sagas, as of the log's end for imported ones."""
    if saga.state != OPEN:
        return "bad" if saga.state == FAILED else "ok"
    return judged if saga.importof else _known(saga.severity)


def _known(severity: str) -> Severity:
    return "bad" if severity == "bad" else "warn" if severity == "warn" else "ok"


def row_of(state: KeyedState, key: str, saga: Saga, now: int, known: Usual | None = None) -> SagaRow:
    """One saga as a row. `known` keeps what is usual at each step, for many rows."""
    known = {} if known is None else known
    step = (saga.importof, saga.step)
    if step not in known:
        known[step] = usual(state, *step)
    median, p95 = known[step]
    found = judge_by(state, saga, now, *thresholds_of(state, saga.importof, p95))
    severity = _severity(saga, found.severity)
    limit = found.warn_ns if state.get("setting", STUCK_AFTER) and not saga.importof else p95
    ratio = found.waiting_ns / limit if limit and saga.state == OPEN else None
    return SagaRow(
        saga=key,
        state=saga.state,
        severity=severity,
        step=saga.step,
        steps=saga.steps,
        source=saga.source,
        started=saga.started,
        last=saga.last,
        waiting_ns=found.waiting_ns,
        typical_ns=median,
        p95_ns=p95,
        ratio=ratio,
        importof=saga.importof,
        why=_why(saga, severity, found.waiting_ns, limit, ratio, "its step's p95" if limit == p95 else "the limit set"),
        position=saga.position,
    )


def _why(saga: Saga, severity: Severity, waiting: int, limit: int | None, ratio: float | None, named: str) -> str:
    if saga.state == FAILED:
        return f"it ended with {saga.step}"
    if severity == "ok":
        return ""
    until = " at its log's end" if saga.importof else ""
    beyond = f", {ratio:.1f} × {named}, {age(limit)}" if limit and ratio else ""
    return f"nothing for {age(waiting)}{until}{beyond}"


def sagas(heart: Heart, question: AskSagas, now: int, header: Counts) -> Sagas:
    """The page that was asked for."""
    return Sagas(header, *rows(heart, question, now))


def rows(heart: Heart, question: AskSagas, now: int) -> tuple[int, list[SagaRow]]:
    """How many match, and the rows asked for: stuck first, who waits longest first; then who moved last."""
    state = heart.states["sagas"]
    keys = _ordered(heart, question.state, question.match.casefold(), now)
    stop = question.offset + min(question.limit, PAGE_ROWS_MAX)
    page = [(key, state.get("saga", key)) for key in keys[question.offset : stop]]
    known: Usual = {}
    return len(keys), [row_of(state, key, saga, now, known) for key, saga in page]


def _ordered(heart: Heart, chosen: str, match: str, now: int) -> list[str]:
    """Keys in order; kept until sagas have moved, for consoles ask again and again while nothing does."""
    state = heart.states["sagas"]
    kept: dict[tuple[str, str], tuple[int, list[str]]] = heart.scratch.setdefault(_ORDERED, {})
    known = kept.get((chosen, match))
    if known is not None and known[0] == state.digest:
        return known[1]
    if len(kept) >= ORDERS_KEPT_MAX:
        kept.clear()
    keys = _sorted(heart, chosen, match, now)
    kept[chosen, match] = (state.digest, keys)
    return keys


def _sorted(heart: Heart, chosen: str, match: str, now: int) -> list[str]:
    state = heart.states["sagas"]
    wanted = _wanted(heart, chosen)
    severity = {one.saga: one.severity for one in stuck_imported(heart)}
    ends = {str(log): int(at) for log, at in state.items("log")}
    ranked: list[tuple[int, int, str]] = []
    for name, saga in state.items("saga"):
        key = str(name)
        if not wanted(key, saga) or (match and match not in f"{key} {saga.step}".casefold()):
            continue
        rank = _RANK[severity.get(key, _known(saga.severity))] if saga.state == OPEN else 4
        end = ends[saga.importof] if saga.importof else now
        ranked.append((rank, saga.last - end if rank < 2 else -saga.last, key))
    ranked.sort()
    return [key for _, _, key in ranked]


def _wanted(heart: Heart, chosen: str) -> Callable[[str, Saga], bool]:
    if chosen == "all":
        return lambda key, saga: True
    if chosen == "stuck":
        imported = {one.saga for one in stuck_imported(heart)}
        return lambda key, saga: saga.state == OPEN and (saga.severity != "ok" or key in imported)
    return lambda key, saga: saga.state == chosen
