"""The score: 100 less what is wrong. Reads other folds; penalties are whole points and add up exactly.

| what is wrong | severity | points |
|---|---|---|
| a fold stands still after an error | bad | 31 each |
| events are missing in the journal | bad | 31 |
| partitions that refuse: no leader, or fewer than W replicas in sync | bad | 18, and 4 more for each further one |
| a broker has no room and refuses events with StorageFull | bad | 18 each |
| a broker is down, or stopped while the plane runs | warn | 9 each |
| a broker is silent | warn | 6 each |
| a broker is fenced: it came with another one's store | bad | 9 each |
| a broker lags: replicas on it are not in sync | warn | 4 each |
| a group's oldest waiting event is older than 10 s; than 2 min | warn; bad | 5; 10 each |
| a group lost events to retention in the last ten minutes | bad | 10 each |
| the journal's copy stands still; in the last day it had positions that the journal lost | warn; bad | 2; 5 |
| retention is about to take events that a group has not read | warn | 5 each |
| live sagas are stuck; some past 3 x | warn; bad | 4; 8 |
| the journal is far behind the brokers | warn | 3 |
| dead letters came in the last ten minutes | warn | 2 |
| dead letters wait, none of them new | warn | 1 |
| a broker's clock is far from the plane's; the plane's from all of theirs | warn | 4 each; 4 |
| a broker's fsync is slow | warn | 1 each |
| a broker is drained | warn | 1 each |
| an adaptive fleet has been skewed for five minutes | warn | 1 |
| agents failed in the last hour, and not by leaving | warn | 3 |
| agents are suspected | warn | 1 |
| agents are quarantined | warn | 1 |
| an agent's name is used by two at once | warn | 2 each |
| tasks wait that nobody can do; some of them are to be escalated | warn; bad | 3; 8 |
| conditions of content rules raise | warn | 1 |
| more mail by name waits than is asked after | warn | 1 |
| agents say what cannot be read, or more of them come than can be known | warn | 1; 2 |
| a projection stands still | warn | 2 each |
| folds have changed, and what they would be folded from is gone | warn | 1 |

OK from 90, WARNING from 70, CRITICAL below, UNKNOWN before any broker has been sampled. The score does not go below 0.
Imported sagas cost nothing: they are history. Each penalty says why, since when, and what mends or explains it.

| table | key | value |
|---|---|---|
| since | need's key | when it began |
| quarantined | fold | its FoldQuarantined, and when |
| base | "why" | what changed folds cannot know of the time before the journal begins, and since when |
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from bus.words import lasting, many
from controlplane import adaptive, agenthealth, deadletters, dispatchhealth, ledger
from controlplane import sagas as saga_fold
from controlplane.brokers import DOWN, FENCED, MS, SILENT, STARTING, STOPPED, UP, Broker
from controlplane.elections import LED, Partition
from controlplane.facts import FoldQuarantined, FoldVersions, JournalTrimmed, PlaneStarted, Tick
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import (
    ADAPTIVE_TOLD_MS_MIN,
    BEHIND_BAD_MS,
    BEHIND_WARN_MS,
    BEYOND_TOLD_MS,
    BROKER_START_MS_MAX,
    FSYNC_SLOW_MS,
    NEW_DEATH_MS,
    RECORDER_BEHIND_EVENTS,
)
from controlplane.questions import HealthState, Need
from controlplane.roster import Figures, brokers_of, in_sync, lagging, partitions_of, plane_of, replica_of

OK_FROM, WARNING_FROM = 90, 70
_ORDER = {"bad": 0, "warn": 1}
MB = 1024 * 1024


class Health(Fold):
    """The fold: it remembers since when each thing has been wrong. See the module."""

    name = "health"
    version = 6
    follows = (Tick, FoldQuarantined, FoldVersions, PlaneStarted, JournalTrimmed)
    reads = ("fleet", "groups", "sagas", "deadletters", "registry", "dispatch", "ledger", "adaptive", "projections")
    tables = MappingProxyType({"since": int, "quarantined": list[Any], "base": list[Any]})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Once a tick, what is new begins and what is mended ends."""
        fact = entry.fact
        if isinstance(fact, FoldQuarantined):
            state.put("quarantined", fact.fold, [fact.version, fact.error, entry.recorded])
        elif isinstance(fact, FoldVersions):
            for fold, (version, _, _) in list(state.items("quarantined")):
                if fact.versions.get(str(fold)) != version:
                    state.delete("quarantined", fold)
        elif isinstance(fact, PlaneStarted | JournalTrimmed):
            _began(state, fact.journal_why if isinstance(fact, PlaneStarted) else "", entry.recorded)
        else:
            wrong = {need.key for need in penalties(world, entry.recorded)}
            for key in sorted(wrong):
                if state.get("since", key) is None:
                    state.put("since", key, entry.recorded)
            for known in [known for known in state.table("since") if known not in wrong]:
                state.delete("since", known)


def _began(state: KeyedState, why: str, now: int) -> None:
    """What a journal that is trimmed begins with is made by the present folds."""
    known, _ = state.get("base", "why", ["", 0])
    if why and why != known:
        state.put("base", "why", [why, now])
    elif known and not why:
        state.delete("base", "why")


def penalties(world: World, now: int) -> list[Need]:
    """All that is wrong, worst first: bad before warn, then by points, then by key."""
    state = world["health"]
    found: list[Need] = []
    for need in _all(world, now):
        need.since = need.since or state.get("since", need.key, now)
        found.append(need)
    return sorted(found, key=lambda need: (_ORDER[need.severity], -need.points, need.key))


def score_of(world: World, needs: list[Need]) -> int | None:
    """100 less the points, at least 0; None before any broker has been sampled."""
    if not world["fleet"].table("figures"):
        return None
    return max(0, 100 - sum(need.points for need in needs))


def state_of(score: int | None) -> HealthState:
    """The word for a score."""
    if score is None:
        return "UNKNOWN"
    return "OK" if score >= OK_FROM else "WARNING" if score >= WARNING_FROM else "CRITICAL"


# ------------------------------------------------------------------------------------------- what others read


def is_beginning(p: Partition, now: int) -> bool:
    """Whether nobody leads it because the fleet is just starting."""
    return p.phase != LED and not p.led_before and now - p.since <= BROKER_START_MS_MAX * MS


# ------------------------------------------------------------------------------------------- what is wrong


def _all(world: World, now: int) -> Iterator[Need]:
    for fold, (_, error, at) in world["health"].items("quarantined"):
        why = f"it raised: {error}"
        yield Need("bad", f"fold {fold} stands still", why, at, "replay verify", 31, f"fold {fold}")
    missing = ledger.lost(world["ledger"])
    if missing:
        yield Need(
            "bad", f"{many(missing, 'event')} missing", "offsets skip in the journal", 0, "replay verify", 31, "ledger"
        )
    plane = plane_of(world["fleet"])
    if world["fleet"].table("figures") and not plane.stopping:
        yield from _partitions(world["fleet"], now)
        yield from _brokers(world["fleet"], now)
        yield from _skew(world, now)
        yield from _rooms(world["fleet"])
        yield from _clocks(world["fleet"])
    yield from _groups(world["groups"], now)
    yield from _trimmed(world, now)
    yield from _sagas(world["sagas"])
    yield from _dead(world["deadletters"], now)
    yield from agenthealth.needs(world["registry"], now)
    yield from dispatchhealth.needs(world["dispatch"], world["registry"])
    behind = ledger.behind(world["ledger"])
    if behind > RECORDER_BEHIND_EVENTS:
        why = "the recorder takes less than publishers send"
        yield Need("warn", f"journal {behind:,} behind", why, 0, "status", 3, "recorder")
    yield from _copy(world["ledger"], now)
    yield from _projections(world["projections"])
    why, since = world["health"].get("base", "why", ["", 0])
    if why:
        yield Need("warn", "changed folds do not know all of what was", why, since, "doctor", 1, "base")


def _projections(state: KeyedState) -> Iterator[Need]:
    for name, each in state.items("projection"):
        if each.error:
            mend = f"projection rebuild {name}"
            yield Need("warn", f"projection {name} stands still", each.error, 0, mend, 2, f"projection {name}")


def _copy(state: KeyedState, now: int) -> Iterator[Need]:
    stands, since = state.get("copy", "stands", ["", 0])
    if stands:
        yield Need("warn", "the journal's copy stands still", stands, since, "status", 2, "copy")
    position, last, at = state.get("copy", "beyond", (0, 0, 0))
    if at and now - at <= BEYOND_TOLD_MS * MS:
        why = f"{position + 1:,} to {last:,} are in its copy alone: a backup was put back, or a file cut short"
        yield Need("bad", f"the journal lost {many(last - position, 'position')}", why, at, "doctor", 5, "beyond")


def _partitions(state: KeyedState, now: int) -> Iterator[Need]:
    refusing = [(p, in_sync(state, p)) for p in partitions_of(state) if not is_beginning(p, now)]
    refusing = [(p, count) for p, count in refusing if count < p.write_quorum]
    if not refusing:
        return
    p, count = refusing[0]
    since = min(p.since for p, _ in refusing if p.phase != LED) if any(p.phase != LED for p, _ in refusing) else 0
    what = f"p{p.partition:02d} refuses publishes" if len(refusing) == 1 else f"{len(refusing)} partitions refuse"
    led = replica_of(state, p.partition, p.leader)
    led_why = f"{count} of {len(p.replicas)} in sync, needs {p.write_quorum}"
    if led is not None and led.sample.refused:
        led_why += f"; {led.sample.refused:,} refused in its last sample"
    why = led_why if p.phase == LED else f"no leader: {p.why or 'the election is under way'}"
    yield Need("bad", what, why, since, "partition list", 18 + 4 * (len(refusing) - 1), "partitions")


def _brokers(state: KeyedState, now: int) -> Iterator[Need]:
    late: dict[str, int] = {}
    for p in partitions_of(state):
        for id in lagging(state, p):
            late[id] = late.get(id, 0) + 1
    for broker in brokers_of(state).values():
        key = f"broker {broker.id}"
        if broker.state in (DOWN, STOPPED) or (broker.state == STARTING and broker.attempt):
            yield Need("warn", f"{broker.id} is down", why_down(broker, now), broker.since, "doctor", 9, key)
        elif broker.state == SILENT:
            yield Need("warn", f"{broker.id} is silent", broker.why, broker.since, "doctor", 6, key)
        elif broker.state == FENCED:
            yield Need("bad", f"{broker.id} is fenced", broker.why, broker.since, f"broker show {broker.id}", 9, key)
        elif broker.id in late:
            why = f"{many(late[broker.id], 'of its replicas is', 'of its replicas are')} not in sync"
            yield Need("warn", f"{broker.id} lags", why, 0, f"broker show {broker.id}", 4, key)
        elif state.get("drained", broker.id) is not None:
            drained = state.get("drained", broker.id)
            why = "it leads nothing" + (f": {drained.reason}" if drained.reason else "")
            yield Need(
                "warn",
                f"{broker.id} is drained",
                why,
                drained.since,
                f"broker revive {broker.id}",
                1,
                f"drain {broker.id}",
            )
        figures: Figures | None = state.get("figures", broker.id)
        if broker.state == UP and figures is not None and figures.fsync_p99_ns > FSYNC_SLOW_MS * MS:
            why = f"p99 {figures.fsync_p99_ns // MS} ms, over {FSYNC_SLOW_MS} ms: its disk is slow or shared"
            yield Need("warn", f"fsync on {broker.id} is slow", why, 0, "doctor", 1, f"fsync {broker.id}")


def _skew(world: World, now: int) -> Iterator[Need]:
    watch = adaptive.watch_of(world["adaptive"])
    if watch.skewed and now - watch.skewed > ADAPTIVE_TOLD_MS_MIN * MS:
        what = f"{watch.busiest} leads {adaptive.times(watch.share)} × the mean load"
        why = adaptive.held_by(world, now) or "a plan is due"
        yield Need("warn", what, why, watch.skewed, "partition list", 1, "skew")


def _figures_up(state: KeyedState) -> Iterator[tuple[str, Figures]]:
    for broker in brokers_of(state).values():
        figures: Figures | None = state.get("figures", broker.id)
        if broker.state == UP and figures is not None:
            yield broker.id, figures


def _rooms(state: KeyedState) -> Iterator[Need]:
    for id, figures in _figures_up(state):
        if figures.refuses:
            why = why_refuses(figures)
            yield Need("bad", f"{id} has no room", why, 0, f"broker show {id}", 18, f"storage {id}")


def why_refuses(figures: Figures) -> str:
    """Why a broker refuses new events; in words."""
    free, reserve = max(0, figures.free_bytes) // MB, figures.reserve_bytes // MB
    return f"{free:,} MB are left for its store, its reserve is {reserve:,} MB: publishers get StorageFull; make room"


def _clocks(state: KeyedState) -> Iterator[Need]:
    skews = {id: figures.skew_ns for id, figures in _figures_up(state)}
    off = {id: skew for id, skew in skews.items() if skew}
    one_way = all(skew > 0 for skew in off.values()) or all(skew < 0 for skew in off.values())
    if len(off) == len(skews) > 1 and one_way:
        least = min(off.values(), key=abs)
        what = f"the plane's clock is {_age(abs(least))} {'behind' if least > 0 else 'ahead'}"
        yield Need("warn", what, "all of its brokers say another time: set its clock", 0, "doctor", 4, "clock")
        return
    for id, skew in off.items():
        what = f"the clock of {id} is {_age(abs(skew))} {'ahead' if skew > 0 else 'behind'}"
        why = "its times mislead retention, start= and lag; once it has led, a partition's times stay ahead"
        if skew < 0:
            why = "what it leads is stamped too early: retention by age, start= and lag mislead"
        yield Need("warn", what, f"{why}: set its clock", 0, "doctor", 4, f"clock {id}")


def why_down(broker: Broker, now: int) -> str:
    """Why a broker is not up, and when it is tried again; in words."""
    if broker.state == STOPPED:
        return "it was stopped"
    if broker.state == STARTING:
        return f"restart {broker.attempt} under way after: {broker.why}"
    seconds = -(-max(0, broker.retry_at - now) // (1_000 * MS))
    return f"{broker.why}; restart {broker.attempt} in {seconds} s" if broker.retry_at else broker.why


def oldest_of(places: list[Any]) -> int:
    """When the oldest event that a group has not settled was appended; 0 for none."""
    return min((at.oldest for at in places if at.oldest), default=0)


def _groups(state: KeyedState, now: int) -> Iterator[Need]:
    by_group: dict[str, list[Any]] = {}
    for _, at in state.items("at"):
        by_group.setdefault(at.group, []).append(at)
    for group in sorted(by_group):
        places = by_group[group]
        oldest = oldest_of(places)
        behind = max(0, now - oldest) if oldest else 0
        if behind <= BEHIND_WARN_MS * MS:
            continue
        bad = behind > BEHIND_BAD_MS * MS
        members = max(at.members for at in places)
        waiting = sum(at.waiting + at.in_flight for at in places)
        wait = many(waiting, "event waits", "events wait")
        why = f"{wait}, {many(members, 'member handles', 'members handle')} {'it' if waiting == 1 else 'them'}"
        if not members:
            why = f"{wait} and it has no member: start its consumers"
        what = f"{group} {_age(behind)} behind"
        yield Need("bad" if bad else "warn", what, why, oldest, "flow list", 10 if bad else 5, f"group {group}")


def _trimmed(world: World, now: int) -> Iterator[Need]:
    for group, trimmed in sorted(world["ledger"].items("trimmed")):
        if now - trimmed.last <= NEW_DEATH_MS * MS:
            what = f"{group} lost {trimmed.events:,} to retention"
            why = "they were trimmed before it had read or settled them; the journal has them: event export"
            yield Need("bad", what, why, 0, f"group show {group}", 10, f"trimmed {group}")
    endangered: dict[str, int] = {}
    for _, at in world["groups"].items("at"):
        if at.endangered:
            endangered[at.group] = endangered.get(at.group, 0) + at.endangered
    for group, events in sorted(endangered.items()):
        why = "retention trims them before long: start more of its consumers, or keep more"
        what = f"{group} is about to lose {events:,}"
        yield Need("warn", what, why, 0, f"group show {group}", 5, f"endangered {group}")


def _sagas(state: KeyedState) -> Iterator[Need]:
    warn, bad = state.get("count", "warn", 0), state.get("count", "bad", 0)
    if not warn + bad:
        return
    what = many(warn + bad, "saga is stuck", "sagas are stuck")
    rule = state.get("setting", saga_fold.STUCK_AFTER)
    usual = f"the {lasting(int(rule) * MS)} that are set" if rule else "their step's p95"
    why = f"{bad:,} past 3 × {usual}" if bad else f"past {usual}"
    yield Need("bad" if bad else "warn", what, why, 0, "saga list --stuck", 8 if bad else 4, "sagas")


def _dead(state: KeyedState, now: int) -> Iterator[Need]:
    waiting = state.get("count", "waiting", 0)
    if not waiting:
        return
    kinds = [kind for kind in deadletters.kinds_of(state) if kind.waiting]
    fresh = [kind for kind in kinds if now - kind.newest <= NEW_DEATH_MS * MS]
    most = max(fresh or kinds, key=lambda kind: (kind.waiting, -kind.number))
    why = f"{most.what} in {most.group}"
    what = many(waiting, "dead letter waits", "dead letters wait")
    since = min(kind.first for kind in fresh or kinds)
    yield Need("warn", what, why, since, f"dlq show {most.id}", 2 if fresh else 1, "deadletters")


def _age(ns: int) -> str:
    seconds = ns // (1_000 * MS)
    if seconds < 60:
        return f"{seconds}s"
    minutes = seconds // 60
    return f"{minutes}m{seconds % 60:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"
