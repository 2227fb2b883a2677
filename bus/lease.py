"""Leases: what is said about them, and a holder's own view of one. Pure; the plane's fold and the clients share it.

A holder has no right to its lease but what it can prove by its own clock. `Claim` counts from the instant *before* a
request or a renewal was sent, to which the control plane's answer belongs; the plane counts from when it records it,
which is later, and a little longer. So when the holder stops, nobody else has been given the lease yet, whatever was
slow in between and wherever the holder was paused.

    asking ──granted──▶ held ──ended, refused, or not renewed in time──▶ lost
       │  ╲──queued──▶ asking                ╲──released──▶ over
       ╰── refused ──▶ refused

A lease that was granted out of a queue is held once a renewal is answered: how long the answer took to come is not
known, only when the request was sent.
"""

from typing import Annotated

import msgspec

from bus.attributes import is_legible
from bus.coordinationlimits import (
    COORDINATION_ID_CHARS_MAX,
    COORDINATION_NUMBER_MAX,
    LEASE_ASKED_ABOVE,
    LEASE_CAPACITY_MAX,
    LEASE_MARGIN_MS_MIN,
    LEASE_MARGIN_PERMILLE,
    LEASE_RENEWALS_OUT_MAX,
    LEASE_TTL_MS_MAX,
    LEASE_TTL_MS_MIN,
    LEASE_WAIT_MS_MAX,
)

PATTERN = "lease.>"
REQUESTED, RENEWED, RELEASED = "lease.requested", "lease.renewed", "lease.released"
GRANTED, QUEUED, REFUSED, ENDED, EXTENDED = (
    "lease.granted", "lease.queued", "lease.refused", "lease.ended", "lease.extended",
)  # fmt: skip
PRIORITIES = ("high", "medium", "low")
ASKING, HELD, NOT_GIVEN, LOST, OVER = "asking", "held", "refused", "lost", "over"
WHY = {
    "held": "others hold it, and the request does not wait",
    "waited": "others held it for as long as the request waited",
    "malformed": "the request breaks the rules of `bus.lease`",
    "taken": "another lease has this id",
    "ended": "this lease has ended: acquire one with another id",
    "other_capacity": "the resource is in use with another capacity",
    "too_many_units": "the resource has not so many units",
    "queue_full": "as many requests wait for it as the control plane keeps",
    "too_many_leases": "there are as many leases as the control plane keeps",
    "unknown_lease": "the control plane knows no such lease",
    "not_holder": "somebody else holds it",
    "stale_token": "its token is not the lease's",
    "released": "its holder gave it back",
    "cancelled": "whoever asked for it does not want it any more",
    "expired": "it was not renewed in time",
    "taken_over": "a later request under its id was taken: its holder was started again, or a clock was set back",
    "holder_failed": "its holder has failed",
    "holder_left": "its holder has left",
    "holder_restarted": "its holder came back as another incarnation",
}
"""Why a lease was refused, or ended, in words."""
_MS = 1_000_000


Number = Annotated[int, msgspec.Meta(ge=0, le=COORDINATION_NUMBER_MAX)]


class Request(msgspec.Struct, frozen=True):
    """The data of `lease.requested`. `wait_ms` 0: it is refused unless it is granted at once.

    `asked` tells requests under one id apart: a greater one, of a holder that was started again, is granted anew, with
    a greater token; the same one is the same request that comes again. `incarnation`: which run of the holder asks, ""
    where it is no agent that has joined.
    """

    lease: str
    resource: str
    ttl_ms: Number
    units: Number = 1
    capacity: Number = 1
    priority: str = "medium"
    wait_ms: Number = 0
    asked: Number = 0
    incarnation: str = ""


class Renewal(msgspec.Struct, frozen=True):
    """The data of `lease.renewed`; `renewal` is the holder's own count, and comes back in `lease.extended`."""

    lease: str
    resource: str
    token: Number
    renewal: Number = 0


class Release(msgspec.Struct, frozen=True):
    """The data of `lease.released`; token 0: the request, by its `asked`, is taken back, or its token is not known."""

    lease: str
    resource: str
    token: Number = 0
    asked: Number = 0


class Said(msgspec.Struct, frozen=True):
    """What the data of the plane's events may have: `token` of granted, `place` of queued, `why` of refused, ended;
    `leases` of extended: [lease, renewal] of each that was renewed. `asked`: of the request that was granted or waits;
    `token` and `asked` of refused: of what was said. Where a request is answered that did not change how it stands, the
    event's `causationid` is that request's id."""

    lease: str = ""
    resource: str = ""
    holder: str = ""
    token: int = 0
    place: int = 0
    why: str = ""
    leases: list[tuple[str, int]] = []
    asked: int = 0


def wrong_with(request: Request) -> str:
    """What is wrong with a request, naming the field, or ""."""
    for field, text in (("lease", request.lease), ("resource", request.resource)):
        if not 0 < len(text) <= COORDINATION_ID_CHARS_MAX or not is_legible(text):
            return f"{field}: a text of 1 to {COORDINATION_ID_CHARS_MAX} characters, no control characters"
    if not LEASE_TTL_MS_MIN <= request.ttl_ms <= LEASE_TTL_MS_MAX:
        return f"ttl_ms: {LEASE_TTL_MS_MIN} to {LEASE_TTL_MS_MAX}"
    if not 0 < request.capacity <= LEASE_CAPACITY_MAX:
        return f"capacity: 1 to {LEASE_CAPACITY_MAX}"
    if not 0 < request.units <= request.capacity:
        return f"units: 1 to the capacity, {request.capacity}"
    if request.priority not in PRIORITIES:
        return f"priority: one of {', '.join(PRIORITIES)}"
    if not 0 <= request.wait_ms <= LEASE_WAIT_MS_MAX:
        return f"wait_ms: 0 to {LEASE_WAIT_MS_MAX}"
    if len(request.incarnation) > COORDINATION_ID_CHARS_MAX or not is_legible(request.incarnation):
        return f"incarnation: at most {COORDINATION_ID_CHARS_MAX} characters, no control characters"
    return ""


def margin_ns(ttl_ms: int) -> int:
    """How long before its end a holder stops."""
    return max(LEASE_MARGIN_MS_MIN * _MS, ttl_ms * LEASE_MARGIN_PERMILLE * 1_000)


class Claim:
    """One lease as its holder sees it. Instants are ns of a clock of its own that never stands still or goes back."""

    def __init__(self, lease: str, ttl_ms: int, asked: int = 0) -> None:
        """`asked`: see `Request`; renewals count from there, so that after a restart it is greater than any of them."""
        self.lease = lease
        self.state = ASKING
        self.token = 0
        self.until = 0
        """Up to when it is surely held; 0: it never was."""
        self.place = 0
        """Its place in the queue when it came there, from 1; 0: it is in none."""
        self.why = ""
        """Why it is refused, lost or over."""
        self._lasts = ttl_ms * _MS - margin_ns(ttl_ms)
        self._sent: dict[int, int] = {}
        self._renewals = asked
        self._asked = asked

    def ask(self, now: int) -> None:
        """The request is about to be sent."""
        self._sent[self._asked] = now

    def renew(self, now: int) -> int:
        """A renewal is about to be sent; its number."""
        self._renewals += 1
        self._sent[self._renewals] = now
        if len(self._sent) > LEASE_RENEWALS_OUT_MAX:
            del self._sent[min(self._sent)]
        return self._renewals

    def granted(self, token: int, now: int, asked: int = 0) -> None:
        """The plane gave it: held up to what the request's own instant allows, which may be over already; if it was
        asked for later, to who goes on with it. What was given to an earlier request is not this one's."""
        if asked > self._asked:
            self.ended("taken_over")
        elif asked == self._asked and self.state == ASKING and not self.token:
            self.token = token
            self._extend(self._asked, now)

    def is_about(self, token: int, asked: int) -> bool:
        """Whether a refusal or an end is this one's, and not that of an earlier or later one under its id."""
        return token == self.token if token else asked == self._asked

    def extended(self, renewal: int, now: int) -> None:
        """The plane took a renewal. Too late: it stays lost, as whoever held it was told so."""
        if self.state in (ASKING, HELD) and self.token:
            self._extend(renewal, now)

    def queued(self, place: int, asked: int = 0) -> None:
        """It stands in the queue; if it was asked for later, for who goes on with it."""
        if asked > self._asked:
            self.ended("taken_over")
        else:
            self.place = place

    def above(self, asked: int) -> int:
        """This very request was answered with a greater `asked`: what to ask with instead, 0: not at all.

        What was granted since this one began to listen it has heard before that, and was taken over by. So it is an
        earlier process that asked with that, and the clock was set back in between.
        """
        above = asked + LEASE_ASKED_ABOVE
        return above if self.state == ASKING and asked > self._asked and above <= COORDINATION_NUMBER_MAX else 0

    def ended(self, why: str) -> None:
        """The plane ended or refused it."""
        if self.state in (ASKING, HELD):
            self.state, self.why = LOST if self.token else NOT_GIVEN, why

    def release(self) -> None:
        """Its holder gives it back."""
        if self.state in (ASKING, HELD):
            self.state, self.why = OVER, "released"

    def look(self, now: int) -> None:
        """Time has passed: what was not renewed in time is lost."""
        if self.state == HELD and now >= self.until:
            self.state, self.why = LOST, "expired"

    def is_valid(self, now: int) -> bool:
        """Whether nobody else can have it at this instant."""
        return self.state == HELD and now < self.until

    def _extend(self, renewal: int, now: int) -> None:
        sent = self._sent.get(renewal)
        self.look(now)
        if sent is None or self.state == LOST:
            return
        for number in [number for number in self._sent if number <= renewal]:
            del self._sent[number]
        self.until = max(self.until, sent + self._lasts)
        if self.until > now:
            self.state = HELD
