"""Adaptive: an adaptive fleet moves leaderships, then replicas, by itself to where there is room. Reads other folds.

Every `ADAPTIVE_LOOK_MS` the load of the last two minutes is summed by partition and by the broker that leads it. Where
the busiest broker leads `ADAPTIVE_SKEW` thousandths of the mean or more, the fleet is skewed, until it is below
`ADAPTIVE_EVEN` again. Once it has been skewed for `ADAPTIVE_SKEWED_MS_MIN`, a plan of at most `ADAPTIVE_MOVES_MAX`
moves is decided as an operator decides one, and `operations` makes its moves one after the other; afterwards nothing is
planned for `ADAPTIVE_REST_MS`. So load that comes and goes moves nothing twice, and what no move mends is left alone.

| nothing is planned while | |
|---|---|
| it is paused | `AdaptivePaused`, until `AdaptiveResumed` |
| a plan or a rolling restart is under way, or a broker is drained | operators go first |
| anything is not well, or was until `CALM_MS_MIN` ago | see `operations` |
| a leadership is on its way to its preferred leader | it is moving already |
| it rests | after a plan that ended or was stopped, or that was not worth it (`RebalanceForgone`) |

| table | key | value |
|---|---|---|
| watch | "watch" | Watch |
| paused | "paused" | Paused |
"""

from collections.abc import Iterable, Iterator
from types import MappingProxyType

import msgspec

from bus.semantic import ADAPTIVE
from bus.words import many
from controlplane import flows, operations, rebalance
from controlplane.brokers import MS
from controlplane.decisions import (
    AdaptivePaused,
    AdaptiveResumed,
    PlannedMove,
    RebalanceDecided,
    RebalanceEnded,
    RebalanceForgone,
    RebalanceStopped,
    StrategyChosen,
)
from controlplane.facts import Fact, Intent, Tick
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import (
    ADAPTIVE_EVEN,
    ADAPTIVE_EVENTS_MIN,
    ADAPTIVE_GAIN_MIN,
    ADAPTIVE_LOOK_MS,
    ADAPTIVE_MOVES_MAX,
    ADAPTIVE_PLAN_MS_MAX,
    ADAPTIVE_REST_MS,
    ADAPTIVE_SKEW,
    ADAPTIVE_SKEWED_MS_MIN,
    CALM_MS_MIN,
)
from controlplane.placing import Standing
from controlplane.roster import partitions_of, plane_of, sorted_ids
from controlplane.standing import ground_of, standings_of

_WHOLE = 1_000
_SECOND = 1_000 * MS


class Watch(msgspec.Struct, frozen=True, array_like=True):
    """The newest look. `share`: of the busiest broker in thousandths of the mean, 0 without load.

    `skewed`: since when, or 0. `rest`: nothing is planned before; `forgone`: because no move was worth it.
    """

    looked: int = 0
    busiest: str = ""
    share: int = 0
    events: int = 0
    skewed: int = 0
    rest: int = 0
    forgone: bool = False


class Paused(msgspec.Struct, frozen=True, array_like=True):
    """Since when nothing moves by itself, and who said so."""

    since: int
    by: str
    reason: str


class Adaptive(Fold):
    """The fold. See the module."""

    name = "adaptive"
    version = 1
    follows = (
        Tick, StrategyChosen, AdaptivePaused, AdaptiveResumed, RebalanceEnded, RebalanceForgone, RebalanceStopped,
    )  # fmt: skip
    reads = ("fleet", "flows")
    tables = MappingProxyType({"watch": Watch, "paused": Paused})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Look, if it is time to; rest after a plan."""
        fact, now = entry.fact, entry.recorded
        watch = watch_of(state)
        if isinstance(fact, AdaptivePaused):
            state.put("paused", "paused", Paused(now, fact.by, fact.reason))
        elif isinstance(fact, AdaptiveResumed):
            state.delete("paused", "paused")
        elif isinstance(fact, StrategyChosen):
            state.delete("watch", "watch")
        elif not isinstance(fact, Tick):
            rest, forgone = now + ADAPTIVE_REST_MS * MS, isinstance(fact, RebalanceForgone)
            state.put("watch", "watch", msgspec.structs.replace(watch, rest=rest, forgone=forgone))
        elif plane_of(world["fleet"]).strategy == ADAPTIVE and now - watch.looked >= ADAPTIVE_LOOK_MS * MS:
            state.put("watch", "watch", _look(watch, world, now))

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """A plan, when it looked and is skewed and nothing keeps it from moving."""
        fresh = isinstance(entry.fact, Tick) and watch_of(state).looked == entry.recorded
        return list(_plan(world, entry.recorded)) if fresh else []


def watch_of(state: KeyedState) -> Watch:
    """The newest look; an empty one before any."""
    found: Watch = state.get("watch", "watch") or Watch()
    return found


def paused_of(state: KeyedState) -> Paused | None:
    """Whether and by whom it is paused."""
    found: Paused | None = state.get("paused", "paused")
    return found


def held_by(world: World, now: int) -> str:
    """What keeps partitions from moving by themselves now, in words; "" when a plan is due."""
    fleet, watch, paused = world["fleet"], watch_of(world["adaptive"]), paused_of(world["adaptive"])
    plan = operations.plan_of(fleet)
    if plane_of(fleet).strategy != ADAPTIVE:
        return f"partitioning is {plane_of(fleet).strategy}: nothing moves by itself"
    if paused is not None:
        return ": ".join(filter(None, (f"paused by {paused.by}" if paused.by else "paused", paused.reason)))
    if plan is not None and not plan.ended:
        return f"a plan is under way{f', by {plan.by}' if plan.by else ''}"
    if watch.events < ADAPTIVE_EVENTS_MIN:
        seen = many(watch.events, "event")
        return f"too little load to judge: {seen} in two minutes, {ADAPTIVE_EVENTS_MIN:,} are enough"
    if not watch.skewed:
        return f"even enough: it moves from {times(ADAPTIVE_SKEW)} × the mean on"
    if now - watch.skewed < ADAPTIVE_SKEWED_MS_MIN * MS:
        return f"skewed for {(now - watch.skewed) // _SECOND} s; it moves after {ADAPTIVE_SKEWED_MS_MIN // 1_000} s"
    if now < watch.rest:
        why = "no move is worth it" if watch.forgone else "cool-down after a plan"
        return f"{why}: it looks again in {-(-(watch.rest - now) // _SECOND)} s"
    return _in_the_way(fleet, now)


def _in_the_way(fleet: KeyedState, now: int) -> str:
    restart, pace = operations.restart_of(fleet), fleet.get("pace", "pace")
    if restart is not None and restart.head:
        return "a rolling restart is under way"
    drained = list(operations.drained_of(fleet))
    if drained:
        return f"{', '.join(drained)} {'is' if len(drained) == 1 else 'are'} drained"
    ailment = operations.ailment(fleet)
    if ailment or plane_of(fleet).stopping:
        return f"not all is well: {ailment or 'the fleet is ending'}"
    if pace is not None and now - pace.trouble < CALM_MS_MIN * MS:
        return f"all has been well for less than {CALM_MS_MIN // 1_000} s"
    going = [p.partition for p in partitions_of(fleet) if operations.home_of(fleet, p) not in ("", p.leader)]
    return f"p{going[0]:02d} is on its way to its preferred leader" if going else ""


def times(thousandths: int) -> str:
    """1.25 for 1,250."""
    return f"{thousandths // _WHOLE}.{thousandths % _WHOLE // 10:02d}"


def share_of(standings: list[Standing], brokers: list[str]) -> int:
    """What the busiest broker leads, in thousandths of the mean; 0 without load."""
    busiest, total = rebalance.busiest_share(standings, brokers)
    return busiest * _WHOLE // total if total else 0


def _look(watch: Watch, world: World, now: int) -> Watch:
    fleet = world["fleet"]
    brokers, loads = sorted_ids(fleet), flows.loads(world["flows"], now)
    led = dict.fromkeys(brokers, 0)
    for p in partitions_of(fleet):
        if p.leader in led:
            led[p.leader] += loads.get(p.partition, 0)
    events, busiest = sum(led.values()), max(led, key=lambda id: led[id], default="")
    share = led[busiest] * len(led) * _WHOLE // events if events else 0
    skewed = watch.skewed
    if events < ADAPTIVE_EVENTS_MIN or share < ADAPTIVE_EVEN:
        skewed = 0
    elif share >= ADAPTIVE_SKEW:
        skewed = skewed or now
    return msgspec.structs.replace(watch, looked=now, busiest=busiest, share=share, events=events, skewed=skewed)


def _plan(world: World, now: int) -> Iterator[Fact]:
    fleet, watch = world["fleet"], watch_of(world["adaptive"])
    running = operations.plan_of(fleet)
    if running is not None and not running.ended and running.by == ADAPTIVE:
        if now - running.since > ADAPTIVE_PLAN_MS_MAX * MS:
            yield RebalanceStopped(ADAPTIVE, f"it came to no end within {ADAPTIVE_PLAN_MS_MAX // 1_000} s")
        return
    if held_by(world, now):
        return
    brokers = sorted_ids(fleet)
    standings = standings_of(fleet, flows.loads(world["flows"], now))
    moves = _moves(fleet, standings, brokers)
    after = share_of(rebalance.moved(standings, moves), brokers)
    if watch.share - after < ADAPTIVE_GAIN_MIN:
        yield RebalanceForgone(watch.share, after)
    else:
        why = f"{watch.busiest} led {times(watch.share)} × the mean; {times(after)} after that"
        yield RebalanceDecided(moves, ADAPTIVE, why)


def _moves(fleet: KeyedState, standings: list[Standing], brokers: list[str]) -> list[PlannedMove]:
    """Leaderships alone, where that does; else replicas as well."""
    ground = ground_of(fleet)
    leads = rebalance.plan(standings, brokers, brokers, ground, ADAPTIVE_MOVES_MAX, copies=False)
    reached = share_of(rebalance.moved(standings, leads), brokers)
    if reached < ADAPTIVE_EVEN:
        return leads
    copies = rebalance.plan(standings, brokers, brokers, ground, ADAPTIVE_MOVES_MAX)
    gained = reached - share_of(rebalance.moved(standings, copies), brokers)
    return copies if gained >= ADAPTIVE_GAIN_MIN else leads
