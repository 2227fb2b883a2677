"""Where leaderships and replicas should be: a plan of few moves, out of where they are and what they carry. Pure.

Hard goals hold in every plan: a partition's replicas are on distinct brokers, as many as before, and at most one of
them is new. Soft goals are weighed: replicas per broker first, as they need room; then, over the brokers that may lead,
the load each one leads (the leader takes every publish and serves every read) with the number of leaderships beside it.

A partition weighs its share of the load in thousandths of the mean, and a little for itself, so that an idle fleet is
balanced by number. One leadership is given away, or two are exchanged, as long as that takes enough off the sum of
squares of what brokers lead; so a plan is short, and a balanced fleet is left alone.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import msgspec

from controlplane.decisions import PlannedMove
from controlplane.limits import EXCHANGED_PARTITIONS_MAX, PLANNED_MOVES_MAX

_MEAN = 1_000
_ITSELF = 50
_WORTH = 2_000
"""A step must take one part in this off the squares: what is less is not worth an election."""


class Standing(msgspec.Struct, frozen=True):
    """A partition as it is: `replicas` with the preferred leader first, `leader` (or ""), and its events of late."""

    partition: int
    replicas: list[str]
    leader: str
    load: int


def plan(standings: Sequence[Standing], brokers: Sequence[str], leaders: Sequence[str]) -> list[PlannedMove]:
    """The moves that bring balance. `brokers` may hold replicas, `leaders` of them may lead."""
    after = _with_even_replicas(standings, brokers)
    weights = _weights(after)
    led = dict.fromkeys(leaders, 0)
    holder = {}
    for one in after:
        holder[one.partition] = one.leader
        if one.leader in led:
            led[one.leader] += weights[one.partition]
    for _ in range(PLANNED_MOVES_MAX):
        step = min(_steps(after, holder, led, weights), default=None)
        total = sum(weight * weight for weight in led.values())
        if step is None or -step[0] * _WORTH <= total:
            break
        for partition, id in step[1]:
            led[holder[partition]] -= weights[partition]
            led[id] += weights[partition]
            holder[partition] = id
    before = {one.partition: one for one in standings}
    targets = [(one, _led_by(one.replicas, holder[one.partition])) for one in after]
    return [PlannedMove(one.partition, target) for one, target in targets if target != before[one.partition].replicas][
        :PLANNED_MOVES_MAX
    ]


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
        Standing(one.partition, targets[one.partition], targets[one.partition][0], one.load)
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


def _steps(
    standings: Sequence[Standing], holder: dict[int, str], led: dict[str, int], weights: dict[int, int]
) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """Every single step with what it adds to the sum of squares."""
    movable = [one for one in standings if holder[one.partition] in led]
    for one in movable:
        weight, at = weights[one.partition], holder[one.partition]
        for id in one.replicas:
            if id in led and id != at:
                yield 2 * weight * (led[id] - led[at] + weight), [(one.partition, id)]
    # Among many partitions single steps find their way, and there would be too many pairs to look at.
    for one, other in combinations(movable if len(movable) <= EXCHANGED_PARTITIONS_MAX else [], 2):
        at, to = holder[one.partition], holder[other.partition]
        if at != to and to in one.replicas and at in other.replicas:
            less = weights[one.partition] - weights[other.partition]
            yield 2 * less * (led[to] - led[at] + less), [(one.partition, to), (other.partition, at)]


def _with_even_replicas(standings: Sequence[Standing], brokers: Sequence[str]) -> list[Standing]:
    """One replica after the other from the fullest broker to the emptiest, never a leader's, and one a partition."""
    found = {one.partition: one for one in standings}
    held = dict(zip(brokers, counts(standings, brokers)[1], strict=True))
    touched: list[int] = []
    while held:
        empty = min(held, key=lambda id: (held[id], len(id), id))
        options = [
            (-held[id], one.load, one.partition, id)
            for one in found.values()
            if one.partition not in touched and empty not in one.replicas
            for id in one.replicas
            if id != one.leader and id in held and held[id] - held[empty] > 1
        ]
        if not options:
            break
        _, _, partition, full = min(options)
        one = found[partition]
        replicas = [empty if id == full else id for id in one.replicas]
        found[partition] = msgspec.structs.replace(one, replicas=replicas)
        held[full] -= 1
        held[empty] += 1
        touched.append(partition)
    return list(found.values())


def _led_by(replicas: list[str], leader: str) -> list[str]:
    if leader not in replicas:
        return replicas
    return [leader, *(id for id in replicas if id != leader)]
