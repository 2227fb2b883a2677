"""Levers on who belongs to the fleet: what `add` and `remove` would touch, and what is in their way.

`add` needs what only the edge can find out, a `Newcomer`: who answers at an address, or under which id another broker
of the plane's own would be started.
"""

import msgspec

from bus.limits import PEER_NAME_CHARS_MAX, TOPOLOGY_NODES_MAX
from bus.words import many
from controlplane.answers.operations import move_of, unknown_broker
from controlplane.brokers import UP, Broker
from controlplane.decisions import BrokerAdded, BrokerRemoved, PlannedMove, RemovalDecided
from controlplane.elections import Partition
from controlplane.facts import Fact
from controlplane.fold import KeyedState, World
from controlplane.limits import LOST_NAMED_MAX
from controlplane.membership import fresh_id, held_by, leaving_of, twin_of, used_ids
from controlplane.operations import ailment, held_up_by
from controlplane.questions import Move, Operate, Operated, Refusal
from controlplane.roster import brokers_of, every_partition_of, name_of, partitions_of, plane_of

_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Newcomer(msgspec.Struct, frozen=True):
    """Who wants to join: what it said of itself at `url`. Without a url the plane starts one; `folders` are taken."""

    url: str = ""
    id: str = ""
    store: str = ""
    fleet: str = ""
    partitions: int = 0
    plane_epoch: int = 0
    folders: list[str] = []


def plan_add(world: World, ask: Operate, newcomer: Newcomer) -> tuple[Fact | None, Operated | Refusal]:
    """The decision to add a broker, and what it touches."""
    state = world["fleet"]
    known = brokers_of(state)
    if len(known) >= TOPOLOGY_NODES_MAX and newcomer.id not in known:
        return None, Refusal("failed", f"a fleet has at most {TOPOLOGY_NODES_MAX} brokers", "signalbox broker list")
    if not newcomer.url:
        id = fresh_id(used_ids(state, newcomer.folders))
        told = Operated(ask.verb, [f"{id} is started here"], ask.dry_run, 0, notes=[_EMPTY])
        return BrokerAdded(id, by=ask.by, reason=ask.reason), told
    refusal = _stranger(state, newcomer) or _taken(state, newcomer)
    if refusal is not None:
        return None, refusal
    id = newcomer.id
    notes = [_EMPTY] if not held_by(state, id) else []
    before: Broker | None = known.get(id)
    if before is not None and before.store not in ("", newcomer.store):
        notes.append(f"its store is another than before, {before.store}: its replicas vote again once they caught up")
    notes.append(f"its process stays its owner's: it is drained and revived here, and restarted where {id} was started")
    line = f"{id} at {newcomer.url}, store {newcomer.store}"
    decision = BrokerAdded(id, newcomer.url, newcomer.store, ask.by, ask.reason)
    return decision, Operated(ask.verb, [line], ask.dry_run, 0, notes=notes)


_EMPTY = "it holds nothing yet: `signalbox partition rebalance` gives it its share"


def _stranger(state: KeyedState, newcomer: Newcomer) -> Refusal | None:
    """It is not of this fleet, or not of this make."""
    fleet, count = plane_of(state).fleet, len(partitions_of(state))
    if newcomer.fleet != fleet:
        message = f"the broker at {newcomer.url} is of fleet {newcomer.fleet[:80]}, this is fleet {fleet}"
        return Refusal("failed", message, f"start it with an empty folder and --fleet {fleet}")
    if not 0 < len(newcomer.id) <= PEER_NAME_CHARS_MAX or not _ID.issuperset(newcomer.id) or newcomer.id[0] == ".":
        message = f"the broker at {newcomer.url} calls itself {newcomer.id[:80]!r}"
        return Refusal("failed", message, "an id is letters, digits, '-', '_' and '.'; start it with another --id")
    if not 0 < len(newcomer.store) <= PEER_NAME_CHARS_MAX:
        message = f"{newcomer.id} at {newcomer.url} names no store, or one of {len(newcomer.store)} characters"
        return Refusal("failed", message, "start a broker of this version there")
    if newcomer.partitions not in (0, count):
        message = f"{newcomer.id} at {newcomer.url} has {newcomer.partitions} partitions, this fleet has {count}"
        return Refusal("failed", message, f"start it with an empty folder and --partitions {count}")
    if newcomer.plane_epoch > plane_of(state).epoch:
        message = f"{newcomer.id} at {newcomer.url} obeys another plane, of epoch {newcomer.plane_epoch}"
        return Refusal("failed", message, "end that plane, or start the broker with an empty folder")
    return None


def _taken(state: KeyedState, newcomer: Newcomer) -> Refusal | None:
    """Its id, or its store, is another member's."""
    id, url = newcomer.id, newcomer.url
    twin = twin_of(state, id, newcomer.store)
    if twin:
        message = f"{id} at {url} has the store of {twin}, {newcomer.store}: it is a copy"
        return Refusal("failed", message, "start it with an empty folder")
    known: Broker | None = state.get("broker", id)
    if known is None:
        return None
    if known.dial == url:
        return Refusal("usage", f"{id} at {url} is a member already", f"signalbox broker show {id}")
    if known.joined and known.state != UP:
        return None
    same = known.store == newcomer.store
    message = f"{id} is a member already, {'joined' if known.joined else 'started here'} at {known.url or known.dial}"
    message += f"; the one at {url} has {'a copy of its store' if same else f'another store, {newcomer.store}'}"
    return Refusal("failed", message, "start it with an empty folder and another --id")


def plan_remove(world: World, ask: Operate, now: int) -> tuple[Fact | None, Operated | Refusal]:
    """The decision to remove a broker, and what has to move before."""
    state = world["fleet"]
    id = ask.targets[0] if ask.targets else ""
    known, leaving = brokers_of(state), leaving_of(state)
    if id not in known:
        return None, unknown_broker(id, state)
    end = (
        f"{id} at {known[id].dial} lives on, no member" if known[id].joined else f"{id} is ended, and its folder stays"
    )
    held = [p for p in every_partition_of(state) if id in p.replicas]
    under_way = removal_under_way(state, besides=id)
    if held and under_way is not None:
        return None, under_way
    if not held and not held_by(state, id):
        told = Operated(ask.verb, [f"{id} is removed"], ask.dry_run, 0, notes=[end])
        return BrokerRemoved(id, ask.by, ask.reason), told
    short = held_up_by(state, id)
    if short:
        message = f"without {id} {_names(short)} would lose the quorum"
        return None, Refusal("failed", message, "signalbox partition list; bring the other replicas back first")
    moves = _moves(state, held, id, [one.id for one in known.values() if one.state == UP and one.id not in leaving])
    if moves is None:
        message = f"{id} holds {many(len(held), 'replica')}, and no other broker that is up has room for all of them"
        return None, Refusal("failed", message, "signalbox broker add first: the replication factor would be lost")
    shown = [_shown(state, move) for move in moves]
    lines = [f"{name_of(state, move.partition)} on {', '.join(move.target)}" for move in shown]
    learns = [name_of(state, p.partition) for p in every_partition_of(state) if id in p.learners]
    lines += [f"{name} gets no replica on {id}" for name in learns]
    notes = [f"{id} is drained, its replicas move one after the other, then it is removed: {end}"]
    why = ailment(state)
    notes += [f"waits until all is well: {why}"] if why and known[id].state == UP else []
    told = Operated(ask.verb, lines, ask.dry_run, 0, shown, notes=notes)
    return RemovalDecided(id, moves, ask.by, ask.reason), told


def removal_under_way(state: KeyedState, besides: str = "") -> Refusal | None:
    """A broker other than `besides` is leaving and holds replicas: another plan would take the place of its own."""
    for id in leaving_of(state):
        count = len(held_by(state, id))
        if id != besides and count:
            message = f"{id} is being removed, and still holds {many(count, 'replica')}"
            hint = f"wait, signalbox broker show {id} says how far it is; signalbox broker revive {id} keeps it"
            return Refusal("failed", message, hint)
    return None


def _moves(state: KeyedState, held: list[Partition], id: str, there: list[str]) -> list[PlannedMove] | None:
    """Each replica to the broker with the fewest that has none of that partition; None where there is no such one."""
    count = {one: sum(one in p.replicas for p in every_partition_of(state)) for one in there if one != id}
    moves = []
    for p in held:
        free = [one for one in count if one not in p.replicas]
        if not free:
            return None
        new = min(free, key=lambda one: (count[one], len(one), one))
        count[new] += 1
        moves.append(PlannedMove(p.partition, [new if one == id else one for one in p.replicas]))
    return moves


def _shown(state: KeyedState, move: PlannedMove) -> Move:
    return move_of(state.get("partition", move.partition), move, 0)


def _names(partitions: list[int]) -> str:
    more = len(partitions) - LOST_NAMED_MAX
    shown = ", ".join(f"p{number:02d}" for number in partitions[:LOST_NAMED_MAX])
    return f"{shown} and {more} more" if more > 0 else shown
