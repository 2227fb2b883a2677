"""Flows: who says what, how often. A flow is a source and a type; which groups listen to it is the groups' fold.

Per-second samples of the last `FLOW_SECONDS_MAX` seconds for each (second, partition): flow number -> events, by
`appended`; rates are computed from them when asked, never kept. Totals have no end. Internal and redriven events are
no flow.

| table | key | value |
|---|---|---|
| flow | source NUL type | Flow |
| second | second x PARTITIONS_MAX + partition | flow number -> events |
| edge | "second" | the oldest second that is kept |
"""

from collections import Counter
from itertools import compress
from types import MappingProxyType

import msgspec

from bus.event import is_internal
from bus.limits import PARTITIONS_MAX
from controlplane.facts import Rows, Tick
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import FLOW_SECONDS_MAX, FLOWS_MAX, LOAD_SECONDS

SECOND = 1_000_000_000
OTHERS = "others"


def loads(state: KeyedState, now: int) -> dict[int, int]:
    """Events of the last `LOAD_SECONDS`, by partition."""
    last = now // SECOND
    found: dict[int, int] = {}
    for key, counted in state.items("second"):
        second, partition = divmod(int(key), PARTITIONS_MAX)
        if last - LOAD_SECONDS < second <= last:
            found[partition] = found.get(partition, 0) + sum(counted.values())
    return found


class Flow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`number` is its name in the samples; `last` is the second in which its newest event was appended."""

    number: int
    total: int
    last: int


class Flows(Fold):
    """The fold. See the module."""

    name = "flows"
    version = 1
    follows = (Rows, Tick)
    tables = MappingProxyType({"flow": Flow, "second": dict[int, int], "edge": int})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Count rows into their flows and seconds; let old seconds go."""
        edge = _forget(state, entry.recorded // SECOND)
        rows = entry.fact
        if not isinstance(rows, Rows):
            return
        now = entry.recorded // SECOND
        for second, start, stop in _seconds(rows.appended):
            counted = _counted(rows, start, stop)
            if not counted:
                continue
            numbers = {_add(state, source, type, count, second): count for (source, type), count in counted.items()}
            place = min(second, now)
            if place >= edge:
                _sample(state, place * PARTITIONS_MAX + rows.partition, numbers, counted)


def _seconds(appended: list[int]) -> list[tuple[int, int, int]]:
    """Runs of rows of one second: (second, start, stop). `appended` never goes back within a partition."""
    if not appended:
        return []
    if appended[0] // SECOND == appended[-1] // SECOND:
        return [(appended[0] // SECOND, 0, len(appended))]
    runs: list[tuple[int, int, int]] = []
    start = 0
    for row in range(1, len(appended) + 1):
        if row == len(appended) or appended[row] // SECOND != appended[start] // SECOND:
            runs.append((appended[start] // SECOND, start, row))
            start = row
    return runs


def _counted(rows: Rows, start: int, stop: int) -> Counter[tuple[str, str]]:
    types = rows.types[start:stop]
    inside = {type: is_internal(type, {}) for type in dict.fromkeys(types)}
    pairs = zip(rows.sources[start:stop], types, strict=True)
    redriven = rows.redriven[start:stop]
    if True in redriven or True in inside.values():
        wanted = [not (again or inside[type]) for again, type in zip(redriven, types, strict=True)]
        return Counter(compress(pairs, wanted))
    return Counter(pairs)


def _add(state: KeyedState, source: str, type: str, count: int, second: int) -> int:
    key = f"{source}\0{type}"
    flow: Flow | None = state.get("flow", key)
    if flow is None and len(state.table("flow")) >= FLOWS_MAX:
        key = f"{OTHERS}\0{OTHERS}"
        flow = state.get("flow", key)
    if flow is None:
        flow = Flow(len(state.table("flow")), 0, 0)
    state.put("flow", key, Flow(flow.number, flow.total + count, max(flow.last, second)))
    return flow.number


def _sample(state: KeyedState, key: int, numbers: dict[int, int], counted: Counter[tuple[str, str]]) -> None:
    if len(numbers) != len(counted):
        # Several flows share the number of `others`.
        overflow = sum(counted.values()) - sum(numbers.values())
        others = state.get("flow", f"{OTHERS}\0{OTHERS}").number
        numbers[others] += overflow
    known = state.get("second", key)
    if known is None:
        state.put("second", key, numbers)
        return
    sums = dict(known)
    for number, count in numbers.items():
        sums[number] = sums.get(number, 0) + count
    state.put("second", key, sums)


def _forget(state: KeyedState, now: int) -> int:
    edge: int = state.get("edge", "second", 0)
    kept = now - FLOW_SECONDS_MAX
    if kept <= edge:
        return edge
    state.put("edge", "second", kept)
    for key in [key for key in state.table("second") if isinstance(key, int) and key < kept * PARTITIONS_MAX]:
        state.delete("second", key)
    return kept
