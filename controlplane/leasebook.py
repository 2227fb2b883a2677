"""What is kept of leases, and how it moves: who has what, who waits, in which order. Pure; part of the fold `leases`.

    asked ─▶ queue of its resource ──there is room──▶ granted ──expired, released, its holder gone──▶ ended
                ╰── it does not wait, has waited, is taken back ──▶ gone

A resource exists while somebody has it or waits for it; its capacity is the first request's. Priority is a head start
in its queue: each step counts as `LEASE_OVERTAKES_MS` of waiting, by the instants at which requests are recorded, so
that urgent ones overtake and nobody is overtaken for ever. Whoever stands first is served first: a large request is not
passed by smaller ones.

Each grant has a token greater than any before, in whatever journal: see `roster.numbered`.

Who holds what is also kept by holder, densely, so that all leases of one that has failed are found without looking
through the others: `held` has key `holder NUL i` for 0 <= i < `Holder.leases`; the last one moves into a hole.
"""

from bisect import bisect_left, bisect_right

import msgspec

from bus import lease as rules
from bus.lease import Request
from controlplane.agents import FAILED, LEFT, Agent
from controlplane.coordination import MS, extended, forget_oldest, has_room, note, remember, remembered, slept
from controlplane.facts import LeaseEnded, LeaseGranted, LeaseQueued, LeaseRefused
from controlplane.fold import Entry, KeyedState
from controlplane.limits import LEASE_GRANTS_AT_ONCE, LEASE_OVERTAKES_MS, LEASE_SLACK_MS, LEASES_ENDED_MAX
from controlplane.roster import numbered

Queue = tuple[tuple[str, ...], ...]
NOBODY: Queue = ((), (), ())
"""Leases that wait, by priority."""


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """One that is held (`token` > 0) or waits. Instants are ns.

    `due`: when it is looked at. `until`: when it ends, as far as the plane had `slept`. `seat`: its place among the
    holder's. `incarnation`: which run of the holder asked for it; where that was not said, the one that there was when
    it was granted, "" where that is not known. `position`: of the request, then of what granted it. `asked`: see
    `bus.lease.Request`. `turn`: whose is the least is served first.
    """

    resource: str
    holder: str
    ttl_ms: int
    units: int
    rank: int
    due: int
    until: int
    slept: int
    position: int
    token: int = 0
    seat: int = 0
    incarnation: str = ""
    asked: int = 0
    turn: int = 0


class Resource(msgspec.Struct, frozen=True, array_like=True):
    """What is leased: `used` of its `capacity` units, `queue` by priority. `due`: its queue is served again then."""

    capacity: int
    used: int = 0
    queue: Queue = NOBODY
    due: int = 0


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """Who has leases, and how many. `due`: when it is looked at, as far as the plane had `slept`; 0: it need not be.
    Its leases below `left` still are to be.

    `due` is a grace after the first that was heard, however much is heard meanwhile; `again`, 0: never, one after the
    last of what was. `spared` is the incarnation that came meanwhile, if any, whose own grace that is; `lost`: the last
    that was heard is that it is gone. `early`: an incarnation to which a lease was granted before its `joined` was
    recorded, as partitions come in any order: it asked after it had joined, so that it follows all that are known.
    """

    leases: int
    due: int = 0
    slept: int = 0
    left: int = 0
    again: int = 0
    spared: str = ""
    lost: bool = False
    early: str = ""


# ------------------------------------------------------------------------------------------------- coming


def enqueue(state: KeyedState, entry: Entry, position: int, request: Request, holder: str) -> None:
    """A request takes its place in the queue."""
    until = entry.recorded + request.wait_ms * MS
    rank = rules.PRIORITIES.index(request.priority)
    asked = (request.resource, holder, request.ttl_ms, request.units, rank)
    turn = entry.recorded + rank * LEASE_OVERTAKES_MS * MS
    run = request.incarnation
    lease = Lease(*asked, until, until, slept(state), position, incarnation=run, asked=request.asked, turn=turn)
    resource: Resource = state.get("resource", request.resource) or Resource(request.capacity)
    state.put("lease", request.lease, lease)
    _put_queue(state, request.resource, resource, rank, (*resource.queue[rank], request.lease))


def place_of(state: KeyedState, resource: Resource, lease: str) -> int:
    """Its place in the queue, from 1."""
    own: Lease = state.get("lease", lease)
    before = resource.queue[own.rank].index(lease)
    for rank, queue in enumerate(resource.queue):
        if rank != own.rank:
            # In each of them turns only grow.
            cut = bisect_right if rank < own.rank else bisect_left
            before += cut(queue, own.turn, key=lambda id: _turn(state, id))
    return before + 1


def as_it_stands(state: KeyedState, id: str, lease: Lease) -> LeaseGranted | LeaseQueued:
    """What is said again to a request that comes again."""
    if lease.token:
        return LeaseGranted(id, lease.resource, lease.holder, lease.token, lease.ttl_ms, lease.units, lease.asked)
    place = place_of(state, state.get("resource", lease.resource), id)
    return LeaseQueued(id, lease.resource, lease.holder, place, lease.asked)


def _turn(state: KeyedState, lease: str) -> int:
    found: Lease = state.get("lease", lease)
    return found.turn


def waiting(resource: Resource) -> int:
    """How many stand in the queue."""
    return sum(map(len, resource.queue))


def serve(state: KeyedState, entry: Entry, position: int, name: str, who: "Presence", fresh: str = "") -> None:
    """Grant what there is room for, in order, `LEASE_GRANTS_AT_ONCE` at most; forget a resource that nobody wants.

    Whoever is gone when its turn comes, or has waited for long enough, gets nothing; the `fresh` request came just now.
    """
    resource: Resource | None = state.get("resource", name)
    if resource is None:
        return
    used, due, queue = resource.used, 0, [list(rank) for rank in resource.queue]
    for served in range(waiting(resource)):
        rank = min(filter(None, queue), key=lambda rank: _turn(state, rank[0]))
        lease: Lease = state.get("lease", rank[0])
        if used + lease.units > resource.capacity:
            break
        id = rank[0]
        if served == LEASE_GRANTS_AT_ONCE or not (id == fresh or has_room(state)):
            due = entry.recorded + 1
            break
        del rank[0]
        is_over = extended(state, lease.until, lease.slept) <= entry.recorded
        why = "" if id == fresh else "waited" if is_over else who.gone(lease.holder, lease.incarnation)
        if why:
            _forget(state, id)
            note(state, LeaseRefused(id, name, lease.holder, why, asked=lease.asked))
        else:
            used += lease.units
            _grant(state, entry, position, id, lease, who)
    if used or any(queue):
        state.put("resource", name, Resource(resource.capacity, used, tuple(map(tuple, queue)), due))
    else:
        state.delete("resource", name)


def ask_anew(state: KeyedState, entry: Entry, position: int, lease: Lease, request: Request, who: "Presence") -> None:
    """Its holder asks again, started anew: what is held is granted anew, who waits keeps the place."""
    run = request.incarnation
    anew = msgspec.structs.replace(lease, ttl_ms=request.ttl_ms, asked=request.asked, incarnation=run)
    if lease.token:
        _hold(state, entry, position, request.lease, anew, who)
    else:
        until = entry.recorded + request.wait_ms * MS
        state.put("lease", request.lease, msgspec.structs.replace(anew, due=until, until=until, slept=slept(state)))


def _grant(state: KeyedState, entry: Entry, position: int, id: str, lease: Lease, who: "Presence") -> None:
    holder: Holder = state.get("holder", lease.holder) or Holder(0)
    state.put("held", _seat(lease.holder, holder.leases), id)
    state.put("holder", lease.holder, msgspec.structs.replace(holder, leases=holder.leases + 1))
    _hold(state, entry, position, id, msgspec.structs.replace(lease, seat=holder.leases), who)


def _hold(state: KeyedState, entry: Entry, position: int, id: str, lease: Lease, who: "Presence") -> None:
    incarnation = lease.incarnation or who.incarnation(lease.holder)
    if who.is_coming(lease.holder, incarnation):
        holder: Holder = state.get("holder", lease.holder)
        state.put("holder", lease.holder, msgspec.structs.replace(holder, early=incarnation))
    greatest = state.get("count", "token", 0)
    token = max(numbered(state.get("count", "epoch", 0), position), greatest + 1)
    state.put("count", "token", token)
    until = entry.recorded + (lease.ttl_ms + LEASE_SLACK_MS) * MS
    held = msgspec.structs.replace(
        lease, due=until, until=until, slept=slept(state), position=position, token=token, incarnation=incarnation
    )
    state.put("lease", id, held)
    note(state, LeaseGranted(id, lease.resource, lease.holder, token, lease.ttl_ms, lease.units, lease.asked))


class Presence:
    """What the registry knows of holders."""

    def __init__(self, registry: KeyedState | None) -> None:
        self._registry = registry

    def incarnation(self, holder: str) -> str:
        """Which run of it there is now; "" where that is not known."""
        agent = self._agent(holder)
        return agent.incarnation if agent is not None else ""

    def is_gone(self, holder: str) -> bool:
        """Whether it has failed or left."""
        agent = self._agent(holder)
        return agent is not None and agent.state in _GONE

    def is_former(self, holder: str, incarnation: str) -> bool:
        """Whether another one has followed it."""
        agent = self._agent(holder)
        return agent is not None and incarnation in agent.former

    def is_coming(self, holder: str, incarnation: str) -> bool:
        """Whether its `joined` is not recorded yet."""
        return incarnation not in ("", self.incarnation(holder)) and not self.is_former(holder, incarnation)

    def gone(self, holder: str, incarnation: str) -> str:
        """Why the leases of that run of it end, "" for one that is not known, or ""."""
        agent = self._agent(holder)
        if agent is None or self.is_coming(holder, incarnation):
            return ""
        return "holder_restarted" if incarnation in agent.former else _GONE.get(agent.state, "")

    def _agent(self, holder: str) -> Agent | None:
        return self._registry.get("agent", holder) if self._registry is not None else None


_GONE = {FAILED: "holder_failed", LEFT: "holder_left"}


# ------------------------------------------------------------------------------------------------- going


def end(state: KeyedState, id: str, lease: Lease, why: str) -> None:
    """A lease that was held is over; its resource is to be served next."""
    resource: Resource = state.get("resource", lease.resource)
    state.put("resource", lease.resource, msgspec.structs.replace(resource, used=resource.used - lease.units))
    _unseat(state, lease)
    _forget(state, id)
    note(state, LeaseEnded(id, lease.resource, lease.holder, lease.token, why))


def dequeue(state: KeyedState, id: str, lease: Lease, why: str, event: str = "") -> None:
    """A request that waited is gone; its resource is to be served next, as it may have stood before smaller ones."""
    resource: Resource = state.get("resource", lease.resource)
    rest = tuple(each for each in resource.queue[lease.rank] if each != id)
    _put_queue(state, lease.resource, resource, lease.rank, rest)
    _forget(state, id)
    note(state, LeaseRefused(id, lease.resource, lease.holder, why, event, asked=lease.asked))


def held_by(state: KeyedState, holder: str, seat: int) -> str:
    """The lease at a place among a holder's."""
    found: str = state.get("held", _seat(holder, seat))
    return found


def _unseat(state: KeyedState, lease: Lease) -> None:
    holder: Holder = state.get("holder", lease.holder)
    last = holder.leases - 1
    moved = held_by(state, lease.holder, last)
    state.delete("held", _seat(lease.holder, last))
    if lease.seat != last:
        state.put("held", _seat(lease.holder, lease.seat), moved)
        state.put("lease", moved, msgspec.structs.replace(state.get("lease", moved), seat=lease.seat))
    if last:
        state.put("holder", lease.holder, msgspec.structs.replace(holder, leases=last))
    else:
        state.delete("holder", lease.holder)


def _seat(holder: str, seat: int) -> str:
    return f"{holder}\0{seat}"


def _put_queue(state: KeyedState, name: str, resource: Resource, rank: int, ids: tuple[str, ...]) -> None:
    queue = (*resource.queue[:rank], ids, *resource.queue[rank + 1 :])
    state.put("resource", name, msgspec.structs.replace(resource, queue=queue))


def _forget(state: KeyedState, id: str) -> None:
    state.delete("lease", id)
    remember(state, "ended", id, 1)
    if remembered(state) > LEASES_ENDED_MAX:
        forget_oldest(state, "ended")
