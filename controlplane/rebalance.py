"""Where leaderships and replicas should be: a plan of few moves, out of where they are and what they carry. Pure.

| goal | kind | in a plan |
|---|---|---|
| replicas of a partition on distinct brokers, as many as before | hard | a replica is but replaced, one a partition |
| a broker that gets replicas has room for them | hard | what it was sampled to have, less what the plan sends it |
| replicas per broker | soft | evened once they differ by more than `REPLICAS_UNEVEN_MAX` |
| replicas over localities | soft | one is replaced where two share a locality and another has none |
| load of the brokers, and leaderships beside it | soft | the sum of squares of what brokers lead becomes less |
| leaders near | soft | a partition whose rules name a locality costs more where it is led from another |

A partition weighs its share of the load in thousandths of the mean (the leader takes every publish and serves every
read), and a little for itself, so that an idle fleet is balanced by number. No broker comes to lead more partitions
than any does, unless that takes load off the busiest one or brings a leader near. One leadership is given away, or two
are exchanged, as long as that takes enough off the sum; where it does not, a partition of a busy broker gets a new
replica that leads it, if that takes more off, as it costs a copy. So a plan is short, and a balanced fleet is left
alone. Moves that copy nothing come first.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import msgspec

from controlplane.decisions import PlannedMove
from controlplane.limits import EXCHANGED_PARTITIONS_MAX, PLANNED_MOVES_MAX
from controlplane.placing import ANYWHERE, Draft, Ground, Placed, Standing

_MEAN = 1_000
_ITSELF = 50
_WORTH, _WORTH_COPY = 2_000, 200
"""A step must take one part in so many off the squares: what is less is not worth an election, or a copy."""
_WORTH_CROWD = 200
"""The busiest broker must lose one part in so many of its load to make another one lead the most partitions."""
_AWAY = 3
"""Being led from another locality than the one it should be near costs so many times the square of its weight."""


def plan(
    standings: Sequence[Standing],
    brokers: Sequence[str],
    leaders: Sequence[str],
    ground: Ground = ANYWHERE,
    moves_max: int = PLANNED_MOVES_MAX,
    copies: bool = True,
) -> list[PlannedMove]:
    """The moves that bring balance, `moves_max` at most. `brokers` may hold replicas, `leaders` of them may lead.

    Without `copies` leaderships alone move.
    """
    draft = Draft(standings, brokers, ground, moves_max)
    if copies:
        draft.even_out()
        draft.spread_out()
    weights = _weights(standings)
    led = dict.fromkeys(leaders, 0)
    for number, leader in draft.leader.items():
        if leader in led:
            led[leader] += weights[number]
    for _ in range(PLANNED_MOVES_MAX):
        total = sum(weight * weight for weight in led.values())
        step = _best(_steps(draft, led, weights), total, _WORTH)
        if step is None and copies:
            step = _best(_copies(draft, led, weights), total, _WORTH_COPY)
        if step is None:
            break
        for one in step:
            led[draft.leader[one.partition]] -= weights[one.partition]
            led[one.leader] += weights[one.partition]
            draft.place(one)
    before = {one.partition: one.replicas for one in standings}
    moves = [PlannedMove(number, _led_by(draft.replicas[number], draft.leader[number])) for number in draft.replicas]
    return leads_first([move for move in moves if move.replicas != before[move.partition]], before)


def leads_first(moves: Sequence[PlannedMove], before: Mapping[int, list[str]]) -> list[PlannedMove]:
    """Moves that copy nothing before the others."""
    return sorted(moves, key=lambda move: (sorted(move.replicas) != sorted(before[move.partition]), move.partition))


def move_to(standing: Standing, broker: str) -> PlannedMove:
    """One partition to one broker: it leads; where it held nothing it takes the last other replica's place."""
    if broker in standing.replicas:
        return PlannedMove(standing.partition, _led_by(standing.replicas, broker))
    kept = [id for id in standing.replicas if id != standing.leader][: max(0, len(standing.replicas) - 2)]
    leader = [standing.leader] if standing.leader and len(standing.replicas) > 1 else []
    return PlannedMove(standing.partition, [broker, *leader, *kept])


def moved(standings: Sequence[Standing], moves: Sequence[PlannedMove]) -> list[Standing]:
    """As it would be after the moves, with every preferred leader leading that is named."""
    targets = {move.partition: move.replicas for move in moves}
    return [
        msgspec.structs.replace(one, replicas=targets[one.partition], leader=targets[one.partition][0])
        if one.partition in targets
        else one
        for one in standings
    ]


def busiest_share(standings: Sequence[Standing], leaders: Sequence[str]) -> tuple[int, int]:
    """The load that the busiest broker leads over the mean of all, as a fraction (numerator, denominator)."""
    led = dict.fromkeys(leaders, 0)
    for one in standings:
        if one.leader in led:
            led[one.leader] += one.load
    return max(led.values(), default=0) * len(led), sum(led.values())


def counts(standings: Sequence[Standing], brokers: Sequence[str]) -> tuple[list[int], list[int]]:
    """Leaderships and replicas per broker, in the order of `brokers`."""
    leads = [sum(one.leader == id for one in standings) for id in brokers]
    return leads, [sum(id in one.replicas for one in standings) for id in brokers]


def _weights(standings: Sequence[Standing]) -> dict[int, int]:
    total = sum(one.load for one in standings)
    count = len(standings)
    return {one.partition: (one.load * _MEAN * count // total if total else _MEAN) + _ITSELF for one in standings}


Step = tuple[int, list[Placed]]
"""What it adds to the sum, and where partitions would be."""


def _best(steps: Iterator[Step], total: int, worth: int) -> list[Placed] | None:
    best = min(steps, key=lambda step: (step[0], [(one.partition, one.leader) for one in step[1]]), default=None)
    return best[1] if best is not None and -best[0] * worth > total else None


class _Leads:
    """What each broker leads now: how many partitions, and their load in thousandths of a partition's mean."""

    def __init__(self, draft: Draft, led: Mapping[str, int]) -> None:
        leaders = list(draft.leader.values())
        self._counts = {id: leaders.count(id) for id in led}
        self._loads = {id: led[id] - _ITSELF * count for id, count in self._counts.items()}
        self._most, self._busiest = max(self._counts.values(), default=0), max(self._loads.values(), default=0)

    def may_go(self, weight: int, at: str, to: str) -> bool:
        """Whether `to` would not lead the most partitions by that, or takes load off the busiest."""
        load = weight - _ITSELF
        relieves = self._loads[at] == self._busiest > self._loads[to] + load and load * _WORTH_CROWD > self._busiest
        return self._counts[to] < self._most or relieves


def _steps(draft: Draft, led: Mapping[str, int], weights: Mapping[int, int]) -> Iterator[Step]:
    """Every leadership that could be given away, and every two that could be exchanged."""
    leads = _Leads(draft, led)
    movable = [number for number, leader in draft.leader.items() if leader in led]
    away = {number: _AWAY * weights[number] ** 2 for number in movable}
    for number in movable:
        weight, at = weights[number], draft.leader[number]
        for id in draft.replicas[number]:
            if id in led and id != at and draft.may_touch(number):
                nearer = away[number] * draft.nearer(number, at, id)
                if nearer > 0 or leads.may_go(weight, at, id):
                    adds = 2 * weight * (led[id] - led[at] + weight) - nearer
                    yield adds, [Placed(number, id, draft.replicas[number])]
    # Among many partitions single steps find their way, and there would be too many pairs to look at.
    for one, other in combinations(movable if len(movable) <= EXCHANGED_PARTITIONS_MAX else [], 2):
        at, to = draft.leader[one], draft.leader[other]
        if at != to and to in draft.replicas[one] and at in draft.replicas[other] and draft.may_touch(one, other):
            less = weights[one] - weights[other]
            nearer = away[one] * draft.nearer(one, at, to) + away[other] * draft.nearer(other, to, at)
            adds = 2 * less * (led[to] - led[at] + less) - nearer
            yield adds, [Placed(one, to, draft.replicas[one]), Placed(other, at, draft.replicas[other])]


def _copies(draft: Draft, led: Mapping[str, int], weights: Mapping[int, int]) -> Iterator[Step]:
    """Every partition that could get a new replica which leads it."""
    leads = _Leads(draft, led)
    for number, at in draft.leader.items():
        for id in led if at in led else []:
            weight, replicas = weights[number], draft.with_newcomer(number, id)
            nearer = _AWAY * weight**2 * draft.nearer(number, at, id)
            if replicas and (nearer > 0 or leads.may_go(weight, at, id)):
                yield 2 * weight * (led[id] - led[at] + weight) - nearer, [Placed(number, id, replicas)]


def _led_by(replicas: list[str], leader: str) -> list[str]:
    if leader not in replicas:
        return replicas
    return [leader, *(id for id in replicas if id != leader)]
