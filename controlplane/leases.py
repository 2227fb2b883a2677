"""Leases: who may use a resource, how much of it, and until when, as it follows from the order of the journal.

    lease.requested ─▶ queue ─▶ LeaseGranted ─▶ lease.granted        lease.renewed ─▶ lease.extended
                         ├────▶ LeaseQueued ──▶ lease.queued
                         ╰────▶ LeaseRefused ─▶ lease.refused        lease.released, time, its holder gone
                                                                       ╰─▶ LeaseEnded ─▶ lease.ended

A lease ends `LEASE_SLACK_MS` after its time to live since the last renewal that was recorded, in time in which the
plane was awake (`coordination`). A holder counts from before it sent that renewal, and stops earlier (`bus.lease`).
Renewing moves no timer: a timer that finds its lease renewed looks again at the new end, so each lease has one timer
for each time to live, however often it is renewed.

The leases of a holder that has failed, or came back as another incarnation, end after `LEASE_GRACE_MS`, those of one
that left at once: whether it did says the registry, when the grace is over. Until they learn of it such holders may go
on, so that a resource that matters looks at the token (`bus.Fence`).

| table | key | value |
|---|---|---|
| lease | id | Lease |
| resource | name | Resource |
| holder | source | Holder |
| held | source NUL i | id of the i-th lease of that holder |
| ended | id | 1: it was there |
| order | number | id, of the ended ones in order |
| count | epoch token slept newest forgotten malformed unsaid | how many; the greatest token |
| said | number | what this step says, see `coordination` |
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import msgspec

from bus import lease as rules
from bus.coordinationlimits import COORDINATION_ID_CHARS_MAX
from bus.lease import Release, Renewal, Request
from controlplane.coordination import INPUTS, MS, clear, count, extended, has_room, note, noted, sleep, slept
from controlplane.facts import (
    Fact,
    Intent,
    LeaseEnded,
    LeaseGranted,
    LeaseQueued,
    LeaseRefused,
    PlaneResumed,
    PlaneStarted,
    Rows,
)
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.leasebook import (
    Holder,
    Lease,
    Presence,
    Resource,
    ask_anew,
    dequeue,
    end,
    enqueue,
    held_by,
    place_of,
    serve,
    waiting,
)
from controlplane.leasewords import (
    JOINED,
    LEFT,
    Released,
    Renewed,
    Requested,
    answers,
    cuts,
    lease_words,
    read_word,
    tell,
)
from controlplane.limits import (
    LEASE_GRACE_MS,
    LEASE_QUEUE_MAX,
    LEASE_SLACK_MS,
    LEASES_MAX,
    LEASES_RELEASED_AT_ONCE,
)
from controlplane.saying import PLANE_SOURCE
from controlplane.state import Key

OUTCOMES = (LeaseGranted, LeaseQueued, LeaseRefused, LeaseEnded)


class Leases(Fold):
    """The fold. See the module."""

    name = "leases"
    version = 4
    follows = (*INPUTS, *OUTCOMES)
    reads = ("registry",)
    timed = ("lease", "resource", "holder")
    tables = MappingProxyType({
        "lease": Lease, "resource": Resource, "holder": Holder, "held": str, "ended": int, "order": str, "count": int,
        "said": LeaseGranted | LeaseQueued | LeaseRefused | LeaseEnded,
    })  # fmt: skip

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Requests, renewals and releases, row by row; who came and went; the plane's pauses."""
        fact = entry.fact
        if isinstance(fact, Rows):
            book = _Book(state, entry, world)
            for row, type, event in lease_words(fact):
                book.take(type, fact.sources[row], entry.position + row, event)
        elif isinstance(fact, PlaneStarted | PlaneResumed):
            sleep(state, fact)
            if isinstance(fact, PlaneStarted):
                state.put("count", "epoch", max(fact.epoch, state.get("count", "epoch", 0)))
        elif isinstance(fact, OUTCOMES):
            clear(state)

    def cuts(self, rows: Rows, world: World) -> Iterable[int]:
        """Where it depends on who is there then what comes of a word."""
        return cuts(rows, Presence(world.get("registry")))

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Say what came of it."""
        fact = entry.fact
        if isinstance(fact, OUTCOMES):
            return [tell(fact)]
        return [*noted(state), *(answers(state, entry, fact) if isinstance(fact, Rows) else ())]

    def due(self, table: str, value: Any) -> int:
        """When it is looked at."""
        found: int = value.due
        return found

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """A lease or a wait may be over, a queue goes on, the grace of a holder is over."""
        _Book(state, entry, world).look(table, str(key))
        if isinstance(entry.fact, INPUTS):
            return ()
        said = list(noted(state))
        clear(state)
        return said


class _Book:
    """One entry being taken down."""

    def __init__(self, state: KeyedState, entry: Entry, world: World) -> None:
        self.state = state
        self.entry = entry
        self.who = Presence(world.get("registry"))

    def take(self, type: str, source: str, position: int, event: bytes) -> None:
        """One event."""
        said = read_word(type, event)
        if said is None or len(source) > COORDINATION_ID_CHARS_MAX:
            count(self.state, "malformed")
            return
        if isinstance(said, Requested):
            self._request(said.id, said.data, source, position)
        elif isinstance(said, Renewed):
            self._renew(said.id, said.data, source)
        elif isinstance(said, Released):
            self._release(said.id, said.data, source, position)
        else:
            self._come_or_go(type, said.data.agent if source == PLANE_SOURCE and said.data else source)

    def look(self, table: str, key: str) -> None:
        """A deadline is over, unless the plane slept, or the lease was renewed."""
        if table == "resource":
            self.state.put(table, key, msgspec.structs.replace(self.state.get(table, key), due=0))
            self._serve(key, self.entry.position)
        elif table == "holder":
            self._holder(key, self.state.get(table, key))
        else:
            self._lease(key, self.state.get(table, key))

    # ------------------------------------------------------------------------------------------- what holders say

    def _request(self, event: str, request: Request, source: str, position: int) -> None:
        state, id = self.state, request.lease
        known: Lease | None = state.get("lease", id)
        own = known is not None and (known.holder, known.resource) == (source, request.resource)
        is_former = self.who.is_former(source, request.incarnation)
        if own and known is not None and request.asked <= known.asked and not is_former:
            return  # it comes again, and is answered again
        resource: Resource = state.get("resource", request.resource) or Resource(request.capacity)
        why = "holder_restarted" if is_former else self._why_not(request, known, own, resource)
        if why:
            self._refuse(id, request.resource, source, why, event, asked=request.asked)
            return
        if known is not None:
            ask_anew(state, self.entry, position, known, request, self.who)
        else:
            enqueue(state, self.entry, position, request, source)
            self._serve(request.resource, position, id)
        lease: Lease = state.get("lease", id)
        if lease.token:
            return
        if not request.wait_ms:
            dequeue(state, id, lease, "held", event[:COORDINATION_ID_CHARS_MAX])
            self._serve(request.resource, position)
            return
        if known is None:  # else it is answered as one that comes again
            place = place_of(state, state.get("resource", request.resource), id)
            note(state, LeaseQueued(id, request.resource, source, place, request.asked))

    def _why_not(self, request: Request, known: Lease | None, own: bool, resource: Resource) -> str:
        if rules.wrong_with(request):
            return "malformed"
        if known is not None:
            goes_on = own and (request.units, request.capacity) == (known.units, resource.capacity)
            return "" if goes_on else "taken"
        if self.state.get("ended", request.lease) is not None:
            return "ended"
        if resource.capacity != request.capacity:
            return "other_capacity"
        if waiting(resource) >= LEASE_QUEUE_MAX:
            return "queue_full"
        return "too_many_leases" if len(self.state.table("lease")) >= LEASES_MAX else ""

    def _renew(self, event: str, renewal: Renewal, source: str) -> None:
        lease = self._own(event, renewal.lease, renewal.resource, source, renewal.token)
        if lease is None or not lease.token:
            return
        until = self.entry.recorded + (lease.ttl_ms + LEASE_SLACK_MS) * MS
        self.state.put("lease", renewal.lease, msgspec.structs.replace(lease, until=until, slept=slept(self.state)))

    def _release(self, event: str, release: Release, source: str, position: int) -> None:
        if self.state.get("ended", release.lease) is not None:
            return  # it comes again
        lease = self._own(event, release.lease, release.resource, source, release.token, release.asked)
        if lease is None:
            return
        if lease.token:
            end(self.state, release.lease, lease, "released")
        else:
            dequeue(self.state, release.lease, lease, "cancelled", event[:COORDINATION_ID_CHARS_MAX])
        self._serve(lease.resource, position)

    def _own(self, event: str, id: str, name: str, source: str, token: int, asked: int = 0) -> Lease | None:
        """The lease, if it is this source's; a wrong word is refused, as is one of a process that was followed by
        another. Token 0: whoever asked does not know it."""
        lease: Lease | None = self.state.get("lease", id)
        is_latest = lease is not None and (token == lease.token if token else asked == lease.asked)
        if lease is not None and lease.holder == source and is_latest:
            return lease
        why = "stale_token" if lease is not None and lease.holder == source else "not_holder"
        if lease is None:
            why = "ended" if self.state.get("ended", id) is not None else "unknown_lease"
        self._refuse(id, name, source, why, event, token, asked)
        return None

    def _refuse(self, id: str, name: str, source: str, why: str, event: str, token: int = 0, asked: int = 0) -> None:
        chars = COORDINATION_ID_CHARS_MAX
        note(self.state, LeaseRefused(id[:chars], name[:chars], source, why, event[:chars], token, asked))

    def _come_or_go(self, type: str, source: str) -> None:
        """A holder is looked at, at once if it said itself that it leaves; it may come back until then."""
        holder: Holder | None = self.state.get("holder", source)
        if holder is None:
            return
        now, grace = self.entry.recorded, LEASE_GRACE_MS * MS
        lost, spared = type != JOINED, self.who.incarnation(source) if type == JOINED else ""
        early = "" if spared == holder.early else holder.early
        if type == LEFT or not holder.due:
            due = now + (1 if type == LEFT else grace)
            at = slept(self.state)
            self.state.put("holder", source, Holder(holder.leases, due, at, holder.leases, 0, spared, lost, early))
        elif not (lost and holder.lost):
            # A grace that has begun goes on: else one that crashes again and again would keep all that it ever had.
            again = now + grace - slept(self.state) + holder.slept
            spared = holder.spared or spared
            goes_on = msgspec.structs.replace(holder, again=again, spared=spared, lost=lost, early=early)
            self.state.put("holder", source, goes_on)

    # ------------------------------------------------------------------------------------------- what time does

    def _lease(self, id: str, lease: Lease) -> None:
        until = extended(self.state, lease.until, lease.slept)
        if until > self.entry.recorded:
            kept = msgspec.structs.replace(lease, due=until, until=until, slept=slept(self.state))
            self.state.put("lease", id, kept)
            return
        if not has_room(self.state):
            self.state.put("lease", id, msgspec.structs.replace(lease, due=self.entry.recorded + 1))
            return
        if lease.token:
            end(self.state, id, lease, "expired")
        else:
            dequeue(self.state, id, lease, "waited")
        self._serve(lease.resource, self.entry.position)

    def _holder(self, source: str, holder: Holder) -> None:
        """The leases of a holder that is gone, or of its former runs, end; from the last one down, some at a time."""
        due, now = extended(self.state, holder.due, holder.slept), slept(self.state)
        again = extended(self.state, holder.again, holder.slept) if holder.again else 0
        if due > self.entry.recorded or not has_room(self.state):
            due = max(due, self.entry.recorded + 1)
            self.state.put("holder", source, msgspec.structs.replace(holder, due=due, slept=now, again=again))
            return
        present = self.who.incarnation(source)
        gone = self.who.gone(source, present)
        why = "" if again else gone
        top = min(holder.left, holder.leases)
        first = max(0, top - LEASES_RELEASED_AT_ONCE)
        for seat in range(top - 1, first - 1, -1):
            id = held_by(self.state, source, seat)
            lease: Lease = self.state.get("lease", id)
            if lease.incarnation == holder.early and self.who.is_coming(source, lease.incarnation):
                continue
            if why or (lease.incarnation and present and lease.incarnation not in (present, holder.spared)):
                end(self.state, id, lease, why or "holder_restarted")
                self._serve(lease.resource, self.entry.position)
        known: Holder | None = self.state.get("holder", source)
        if known is None:
            return
        if first:
            rest = (self.entry.recorded + 1, now, first, again, holder.spared, holder.lost)
        elif again:
            rest = (again, now, known.leases, 0, "" if gone else present, holder.lost)
        else:
            rest = (0, now, 0, 0, "", False)
        self.state.put("holder", source, Holder(known.leases, *rest, known.early))

    def _serve(self, resource: str, position: int, fresh: str = "") -> None:
        serve(self.state, self.entry, position, resource, self.who, fresh)
