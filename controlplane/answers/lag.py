"""How consumer groups are doing: behind, waiting, trend, failures and latency, out of their samples."""

import msgspec

from bus.topic import Filter
from controlplane import groups
from controlplane.groups import GroupAt, GroupSlot
from controlplane.limits import FLOW_SECONDS_MAX, SLOT_MS
from controlplane.questions import Trend
from controlplane.state import KeyedState

_US = 1_000
_TREND_SLOTS = 4
_NOISE_EVENTS = 20


class GroupLag(msgspec.Struct):
    """One group over all partitions, at `now`. `error_share` and latencies are of the last five minutes."""

    group: str
    pattern: str
    members: int
    places: list[GroupAt]
    waiting: int
    in_flight: int
    behind_ns: int
    slowest: int
    trend: Trend
    eta_ns: int | None
    handled_per_s: float
    delivered: int
    acked: int
    failed: int
    dead: int
    p50_ns: int | None
    p99_ns: int | None

    @property
    def error_share(self) -> float | None:
        """Failed deliveries of all; None without any."""
        done = self.acked + self.failed
        return self.failed / done if done else None


class Listening:
    """All groups, and which of them listen to a type."""

    def __init__(self, state: KeyedState, now: int) -> None:
        by_group: dict[str, list[GroupAt]] = {}
        for _, at in state.items("at"):
            by_group.setdefault(at.group, []).append(at)
        self.groups = {name: _lag(state, name, by_group[name], now) for name in sorted(by_group)}
        self._filters = {name: Filter(lag.pattern) for name, lag in self.groups.items()}
        self._to: dict[str, list[GroupLag]] = {}

    def to(self, type: str) -> list[GroupLag]:
        """The groups that get events of a type, by name."""
        found = self._to.get(type)
        if found is None:
            found = self._to[type] = [self.groups[name] for name, f in self._filters.items() if f.accepts(type)]
        return found


def _lag(state: KeyedState, group: str, places: list[GroupAt], now: int) -> GroupLag:
    places.sort(key=lambda at: at.partition)
    slots = groups.slots(state, group, now)
    waiting = sum(at.waiting for at in places)
    in_flight = sum(at.in_flight for at in places)
    late = [at for at in places if at.oldest]
    slowest = min(late, key=lambda at: at.oldest, default=None)
    trend, eta = _trend([figures for _, figures in slots], waiting + in_flight)
    latency: dict[int, int] = {}
    for _, figures in slots:
        for bucket, count in figures.latency:
            latency[bucket] = latency.get(bucket, 0) + count
    return GroupLag(
        group=group,
        pattern=max(places, key=lambda at: at.at).pattern,
        members=max(at.members for at in places),
        places=places,
        waiting=waiting,
        in_flight=in_flight,
        behind_ns=max(0, now - slowest.oldest) if slowest else 0,
        slowest=slowest.partition if slowest else -1,
        trend=trend,
        eta_ns=eta,
        handled_per_s=sum(figures.acked for _, figures in slots) * 1_000 / (max(1, len(slots)) * SLOT_MS),
        delivered=sum(figures.delivered for _, figures in slots),
        acked=sum(figures.acked for _, figures in slots),
        failed=sum(figures.failed for _, figures in slots),
        dead=sum(figures.dead for _, figures in slots),
        p50_ns=_quantile(latency, 500),
        p99_ns=_quantile(latency, 990),
    )


def _trend(slots: list[GroupSlot], waiting: int) -> tuple[Trend, int | None]:
    """Where the backlog is going, and when it is gone: None when level, -1 when never."""
    if waiting <= _NOISE_EVENTS:
        return "steady", None
    before = slots[-1 - _TREND_SLOTS :][0].waiting if len(slots) > 1 else waiting
    change = waiting - before
    if abs(change) * 20 <= before:
        return "steady", -1
    if change > 0:
        return "growing", -1
    span_ms = SLOT_MS * min(_TREND_SLOTS, len(slots) - 1)
    return "draining", min(waiting * span_ms * 1_000_000 // -change, FLOW_SECONDS_MAX * 10**12)


def _quantile(latency: dict[int, int], permille: int) -> int | None:
    """Upper edge, ns, of the log2 bucket of microseconds that holds the quantile."""
    total = sum(latency.values())
    wanted = -(-total * permille // 1000)
    passed = 0
    for bucket in sorted(latency):
        passed += latency[bucket]
        if total and passed >= wanted:
            return (1 << bucket) * _US
    return None
