"""Sagas: what belongs together, how far it is, and whether it has stopped moving.

A saga is keyed by `correlationid`, else `subject`. Each event is a step, named by its type; redriven and internal
events are none. An end type finishes it (its last token `failed`: it failed); it stays finished whatever comes later.

What is usual is learned for each step: the gaps until the next event, in the publisher's `time` for imported events
and in `appended` for live ones, in one sketch per (log, type). After `SAGA_SAMPLES_MIN` gaps an open saga that has
waited for more than 1 x their 95th percentile is stuck, warn; for more than 3 x, bad. A threshold set by
`sagas.stuck_after_ms` replaces the percentile (bad at three times it). A live saga is never called stuck within
`SAGA_FLOOR_MS`, unless a threshold is set, an imported one never within `SAGA_IMPORT_FLOOR_MS`. Time in which the
plane itself stood still is not counted.

A saga all of whose events are imported is judged at its own log's last instant and has no timer.

| table | key | value |
|---|---|---|
| saga | saga | Saga |
| gap | log NUL type | sketch of the gaps after it |
| log | log's name | its last instant |
| count | open finished failed warn bad forgotten skipped_ns | how many (live ones only for warn and bad) |
| setting | name | value |
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec

from bus.event import is_internal
from bus.topic import matches
from controlplane.facts import Fact, Intent, PlaneResumed, PlaneStarted, Rows, SagaStuck, SettingSet
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import (
    SAGA_FLOOR_MS,
    SAGA_IMPORT_FLOOR_MS,
    SAGA_REVIEW_MS,
    SAGA_SAMPLES_MIN,
    SAGA_STEPS_LEARNED_MAX,
    SAGAS_FORGOTTEN_AT_ONCE,
    SAGAS_MAX,
)
from controlplane.sketches import bucket_of, merged, quantile, samples
from controlplane.state import Key

END_TYPES = ("agent.termination", "saga.completed", "saga.failed", "workflow.*.completed", "workflow.*.failed")
STUCK_AFTER = "sagas.stuck_after_ms"
END_TYPES_SETTING = "sagas.end_types"
OPEN, FINISHED, FAILED = "open", "finished", "failed"
Standing = Literal["ok", "warn", "bad"]
RANK = {"ok": 0, "warn": 1, "bad": 2}
_MS = 1_000_000
_NO_STEP, _STEP, _END, _FAILURE = range(4)


class Saga(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One saga as of its last event. `started`, `last`: its own log's time; `due`: when it is judged next, 0 never.

    `importof` is "" as soon as one event was live. `partition`, `offset`, `position` are those of its last event.
    """

    importof: str
    state: str
    step: str
    source: str
    steps: int
    started: int
    last: int
    position: int
    partition: int
    offset: int
    skipped_ns: int = 0
    severity: str = "ok"
    since: int = 0
    due: int = 0


class Judgement(NamedTuple):
    """How long a saga has waited, and what is usual after its step; None while that is not known."""

    severity: Standing
    waiting_ns: int
    warn_ns: int | None
    bad_ns: int | None


class Sagas(Fold):
    """The fold. See the module."""

    name = "sagas"
    version = 1
    follows = (Rows, SettingSet, PlaneStarted, PlaneResumed)
    timed = ("saga",)
    tables = MappingProxyType({"saga": Saga, "gap": dict[int, int], "log": int, "count": int, "setting": str})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Rows move sagas; a pause moves all their clocks; settings change what ends them or counts as stuck."""
        fact = entry.fact
        if isinstance(fact, Rows):
            _Batch(state, entry, fact).run()
        elif isinstance(fact, PlaneStarted | PlaneResumed):
            if fact.gap_ns > 0:
                state.put("count", "skipped_ns", state.get("count", "skipped_ns", 0) + fact.gap_ns)
        elif isinstance(fact, SettingSet) and fact.name in (STUCK_AFTER, END_TYPES_SETTING):
            state.put("setting", fact.name, fact.value)
            _judge_all_again(state, entry.recorded)

    def due(self, table: str, value: Saga) -> int:
        """When it is judged next."""
        return value.due

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Judge one live saga; say so when it has become worse."""
        saga: Saga = state.get("saga", key)
        found = judge(state, saga, entry.recorded)
        due = max(_next_due(state, saga, found, entry.recorded), entry.recorded + 1)
        since = saga.since if found.severity == saga.severity else entry.recorded
        state.put("saga", key, msgspec.structs.replace(saga, severity=found.severity, since=since, due=due))
        if found.severity != saga.severity:
            _count(state, saga.severity, -1)
            _count(state, found.severity, 1)
        if RANK[found.severity] > RANK[saga.severity]:
            threshold = found.bad_ns if found.severity == "bad" else found.warn_ns
            yield SagaStuck(str(key), saga.step, saga.steps, found.severity, threshold or 0)


def usual(state: KeyedState, importof: str, step: str) -> tuple[int | None, int | None]:
    """Median and 95th percentile of the gap after a step, ns; None until enough samples."""
    sketch = state.get("gap", f"{importof}\0{step}", {})
    if samples(sketch) < SAGA_SAMPLES_MIN:
        return None, None
    return quantile(sketch, 500), quantile(sketch, 950)


def thresholds(state: KeyedState, importof: str, step: str) -> tuple[int | None, int | None]:
    """Beyond which wait a saga at this step is stuck: warn, bad, ns; None while that is not known."""
    sketch = state.get("gap", f"{importof}\0{step}", {})
    p95 = quantile(sketch, 950) if samples(sketch) >= SAGA_SAMPLES_MIN else None
    return thresholds_of(state, importof, p95)


def thresholds_of(state: KeyedState, importof: str, p95: int | None) -> tuple[int | None, int | None]:
    """The same when the step's 95th percentile is at hand."""
    chosen = state.get("setting", STUCK_AFTER)
    if chosen is not None and not importof:
        return int(chosen) * _MS, 3 * int(chosen) * _MS
    if p95 is None:
        return None, None
    floor = (SAGA_IMPORT_FLOOR_MS if importof else SAGA_FLOOR_MS) * _MS
    return max(p95, floor), max(3 * p95, floor)


def waited_ns(state: KeyedState, saga: Saga, now: int) -> int:
    """Since its last event: until its log's last instant, or until now without the plane's own pauses."""
    if saga.importof:
        return max(0, int(state.get("log", saga.importof, saga.last)) - saga.last)
    skipped = int(state.get("count", "skipped_ns", 0)) - saga.skipped_ns
    return max(0, now - saga.last - skipped)


def judge(state: KeyedState, saga: Saga, now: int) -> Judgement:
    """How an open saga stands; a finished one is well."""
    return judge_by(state, saga, now, *thresholds(state, saga.importof, saga.step))


def judge_by(state: KeyedState, saga: Saga, now: int, warn: int | None, bad: int | None) -> Judgement:
    """The same when its step's thresholds are at hand."""
    waiting = waited_ns(state, saga, now)
    if saga.state != OPEN:
        return Judgement("ok", 0, None, None)
    if warn is None or bad is None or waiting <= warn:
        return Judgement("ok", waiting, warn, bad)
    return Judgement("bad" if waiting > bad else "warn", waiting, warn, bad)


def valid_setting(name: str, value: str) -> str:
    """Why a setting of this fold is refused; "" when it is fine or not of this fold."""
    if name == STUCK_AFTER and not (value.isdecimal() and 0 < int(value) < 10**12):
        return "a whole number of milliseconds above 0"
    if name == END_TYPES_SETTING and not all(value.split(",")):
        return "patterns, separated by commas"
    return ""


def _next_due(state: KeyedState, saga: Saga, found: Judgement, now: int) -> int:
    review = now + SAGA_REVIEW_MS * _MS
    if found.severity == "bad" or found.warn_ns is None or found.bad_ns is None:
        return review
    wanted = found.bad_ns if found.severity == "warn" else found.warn_ns
    return now + wanted - found.waiting_ns + 1


def _count(state: KeyedState, name: str, change: int) -> None:
    if not change or name == "ok":
        return
    count = state.get("count", name, 0) + change
    if count:
        state.put("count", name, count)
    else:
        # Nothing is no value: whether a count was ever above 0 must not show how events came in batches.
        state.delete("count", name)


def _judge_all_again(state: KeyedState, now: int) -> None:
    for key, saga in list(state.items("saga")):
        if saga.state == OPEN and not saga.importof:
            state.put("saga", key, msgspec.structs.replace(saga, due=now + 1))


class _Batch:
    """One batch of rows on its way into the state: each saga it touches is loaded and put once."""

    def __init__(self, state: KeyedState, entry: Entry, rows: Rows) -> None:
        self.state = state
        self.entry = entry
        self.rows = rows
        self.moving: dict[str, list[Any]] = {}
        self.gaps: dict[tuple[str, str, int], int] = {}
        """How many gaps of so many ns came after a step of a log."""
        self.logs: dict[str, int] = {}
        self.fresh = 0
        chosen = state.get("setting", STUCK_AFTER)
        self.patience_ns = (SAGA_FLOOR_MS if chosen is None else int(chosen)) * _MS
        self.skipped_ns: int = state.get("count", "skipped_ns", 0)

    def run(self) -> None:
        """Each row in order, then one put for each thing touched."""
        kinds = {type: _kind(self.state, type) for type in dict.fromkeys(self.rows.types)}
        rows, moving, logs, gaps = self.rows, self.moving, self.logs, self.gaps
        columns = zip(
            rows.sagas, rows.types, rows.sources, rows.importofs, rows.times, rows.appended, rows.redriven, strict=True
        )
        for row, (key, type, source, log, time, appended, redriven) in enumerate(columns):
            kind = kinds[type]
            if not kind or not key or redriven:
                continue
            at = time if log and time is not None else appended
            if log and at > logs.get(log, 0):
                logs[log] = at
            saga = moving.get(key) or self._load(key)
            if saga[4]:
                if log == saga[0]:
                    gap = (log, saga[2], at - saga[6])
                    gaps[gap] = gaps.get(gap, 0) + 1
                else:
                    saga[0] = log if saga[0] else ""
            else:
                saga[0], saga[5], saga[6] = log, at, at
            saga[2], saga[3] = type, source
            saga[4] += 1
            if at > saga[6]:
                saga[6] = at
            saga[7] = row
            if kind != _STEP and saga[1] == OPEN:
                saga[1] = FINISHED if kind == _END else FAILED
        self._put()

    def _load(self, key: str) -> list[Any]:
        saga: Saga | None = self.state.get("saga", key)
        if saga is None:
            if len(self.state.table("saga")) + self.fresh >= SAGAS_MAX:
                self._put()
                _forget(self.state)
            self.fresh += 1
            fresh: list[Any] = ["", OPEN, "", "", 0, 0, 0, 0, None]
            self.moving[key] = fresh
            return fresh
        loaded = [saga.importof, saga.state, saga.step, saga.source, saga.steps, saga.started, saga.last, 0, saga]
        self.moving[key] = loaded
        return loaded

    def _put(self) -> None:
        state, rows, entry = self.state, self.rows, self.entry
        due = entry.recorded + self.patience_ns
        changes = {OPEN: 0, FINISHED: 0, FAILED: 0, "warn": 0, "bad": 0}
        for key, (log, standing, step, source, steps, started, last, row, before) in self.moving.items():
            live = standing == OPEN and not log
            saga = Saga(
                log,
                standing,
                step,
                source,
                steps,
                started,
                last,
                entry.position + row,
                rows.partition,
                rows.first_offset + row,
                self.skipped_ns,
                "ok",
                0,
                due if live else 0,
            )
            state.put("saga", key, saga)
            if before is not None:
                changes[before.state] -= 1
                if before.severity != "ok":
                    changes[before.severity] -= 1
            changes[standing] += 1
        for name, change in changes.items():
            _count(state, name, change)
        for name, at in self.logs.items():
            state.put("log", name, max(at, state.get("log", name, 0)))
        for kind, gaps in self._learned().items():
            known = state.get("gap", kind)
            if known is not None or len(state.table("gap")) < SAGA_STEPS_LEARNED_MAX:
                state.put("gap", kind, merged(known or {}, gaps))
        self.moving.clear()
        self.gaps.clear()
        self.logs.clear()
        self.fresh = 0

    def _learned(self) -> dict[str, dict[int, int]]:
        """A sketch of the gaps after each step: all rows of one instant come to one bucket, which is found once."""
        found: dict[str, dict[int, int]] = {}
        for (log, step, gap), count in self.gaps.items():
            sketch, bucket = found.setdefault(f"{log}\0{step}", {}), bucket_of(gap)
            sketch[bucket] = sketch.get(bucket, 0) + count
        return found


def _kind(state: KeyedState, type: str) -> int:
    if is_internal(type, {}):
        return _NO_STEP
    chosen = state.get("setting", END_TYPES_SETTING)
    ends = END_TYPES if chosen is None else tuple(chosen.split(","))
    if not any(matches(pattern, type) for pattern in ends):
        return _STEP
    return _FAILURE if type.rpartition(".")[2] == "failed" else _END


def _forget(state: KeyedState) -> None:
    table = state.table("saga")
    silent = sorted(table, key=lambda key: (table[key].state == OPEN, table[key].position))
    for key in silent[:SAGAS_FORGOTTEN_AT_ONCE]:
        saga = table[key]
        _count(state, saga.state, -1)
        _count(state, saga.severity, -1)
        state.delete("saga", key)
    _count(state, "forgotten", min(len(silent), SAGAS_FORGOTTEN_AT_ONCE))
