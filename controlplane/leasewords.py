"""What is said about leases, as the fold `leases` reads it out of a batch, and what the plane says to it. Pure."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from bus import lease as rules
from bus.coordinationlimits import COORDINATION_ID_CHARS_MAX
from bus.lease import Release, Renewal, Request
from controlplane import agents
from controlplane.agents import LIFECYCLE
from controlplane.coordination import key_of, noted
from controlplane.facts import Intent, LeaseEnded, LeaseGranted, LeaseQueued, LeaseRefused, Rows
from controlplane.fold import Entry, KeyedState
from controlplane.leasebook import Lease, Presence, as_it_stands
from controlplane.limits import EXTENDED_AT_ONCE
from controlplane.saying import PLANE_SOURCE, say

JOINED, FAILED, LEFT = (f"{LIFECYCLE}{word}" for word in (agents.JOINED, agents.FAILED, agents.LEFT))
_SIGNS_OF_LIFE = (f"{LIFECYCLE}{agents.READY}", f"{LIFECYCLE}{agents.HEARTBEAT}")
_ASKING = (rules.REQUESTED, rules.RELEASED)
_TYPES = {LeaseGranted: rules.GRANTED, LeaseQueued: rules.QUEUED, LeaseRefused: rules.REFUSED, LeaseEnded: rules.ENDED}


class Requested(msgspec.Struct):
    """An event `lease.requested`."""

    id: str
    data: Request


class Renewed(msgspec.Struct):
    """An event `lease.renewed`."""

    id: str
    data: Renewal


class Released(msgspec.Struct):
    """An event `lease.released`."""

    id: str
    data: Release


class About(msgspec.Struct):
    """Of whom the plane says it."""

    agent: str = ""


class Lifecycle(msgspec.Struct):
    """An agent's word about itself, or the plane's about an agent."""

    data: About | None = None


Word = Requested | Renewed | Released | Lifecycle
_KINDS: dict[str, type[Word]] = {
    rules.REQUESTED: Requested, rules.RENEWED: Renewed, rules.RELEASED: Released,
    JOINED: Lifecycle, FAILED: Lifecycle, LEFT: Lifecycle,
}  # fmt: skip
_decoders: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()}


def lease_words(rows: Rows) -> Iterator[tuple[int, str, bytes]]:
    """The rows that are about leases and holders: neither history of elsewhere, nor said to one group again."""
    for row, event in sorted(rows.followed.items()):
        type = rows.types[row]
        if type in _decoders and not rows.importofs[row] and not rows.redriven[row]:
            yield row, type, event


def read_word(type: str, event: bytes) -> Word | None:
    """One of them; None: it is malformed."""
    try:
        found: Word = _decoders[type].decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found


def cuts(rows: Rows, who: Presence) -> Iterator[int]:
    """The rows before which the registry is to be as of there: where one who asks follows on words of who is there, or
    such words on one who asks; and where an agent joins that joined before. What shows that an agent lives which is
    taken for alive anyway, as heartbeats mostly do, changes nothing here."""
    asked: bool | None = None
    spoke, joined = set[str](), set[str]()
    for row in sorted(rows.followed):
        type, source = rows.types[row], rows.sources[row]
        asks = type in _ASKING
        if not asks:
            if not type.startswith(LIFECYCLE) or source == PLANE_SOURCE:
                continue
            if type in _SIGNS_OF_LIFE and source not in spoke and not who.is_gone(source):
                continue
            spoke.add(source)
        if asked not in (None, asks) or (type == JOINED and source in joined):
            yield row
            joined.clear()
        asked = asks
        if type == JOINED:
            joined.add(source)


def tell(fact: LeaseGranted | LeaseQueued | LeaseRefused | LeaseEnded, cause: str = "") -> Intent:
    """It is published; `cause`: the id of the event that it answers."""
    if isinstance(fact, LeaseRefused):
        cause = fact.event
    data = {name: getattr(fact, name) for name in fact.__struct_fields__}
    return say(_TYPES[type(fact)], data, key_of(fact.resource), causationid=cause)


def answers(state: KeyedState, entry: Entry, rows: Rows) -> Iterator[Intent]:
    """Renewals that were taken, together; and requests that came again, each as it stands."""
    taken: list[tuple[str, int]] = []
    refused = {(fact.holder, fact.event) for fact in noted(state) if isinstance(fact, LeaseRefused)}
    for row, type, event in lease_words(rows):
        if type not in (rules.REQUESTED, rules.RENEWED):
            continue
        word = read_word(type, event)
        if not isinstance(word, Requested | Renewed):
            continue  # counted in `evolve`
        lease: Lease | None = state.get("lease", word.data.lease)
        if lease is None or rows.sources[row] != lease.holder:
            continue
        if isinstance(word, Renewed):
            if lease.token and word.data.token == lease.token:
                taken.append((word.data.lease, word.data.renewal))
            continue
        cause = word.id[:COORDINATION_ID_CHARS_MAX]
        is_known = word.data.resource == lease.resource and word.data.asked <= lease.asked
        if is_known and lease.position < entry.position and (lease.holder, cause) not in refused:
            yield tell(as_it_stands(state, word.data.lease, lease), cause)
    rest = iter(taken)
    while some := list(islice(rest, EXTENDED_AT_ONCE)):
        # Of many resources, and so under the key of none. A holder renews after it heard of its grant, and what it
        # hears of too late it believes no longer, so that nothing depends on the order of this and the other words.
        yield say(rules.EXTENDED, {"leases": some}, rules.EXTENDED)
