"""Sharing work in a group: deliveries and what became of them."""

import msgspec

from bus.wire.base import Message


class GroupSettings(msgspec.Struct, array_like=True, frozen=True):
    """What a group is; all members must agree. `start`: ns instant, or -1 for the earliest event kept.

    `order`: none, or strict: one event of a key is out at a time; with `park` a key stops at its first dead letter. Or
    timestamp, or causal: one member works, and holds events back until their turn; `lateness`, `late` (deliver,
    dead-letter) and `gap` (wait, skip, dead-letter) are for those. Durations in milliseconds. `governed`: the fields
    that an operator has set: a member may come with others, and these hold.
    """

    pattern: str
    start: int
    ack_wait_ms: int
    max_deliver: int
    order: str = "none"
    park: bool = False
    lateness_ms: int = 0
    late: str = ""
    gap: str = ""
    governed: tuple[str, ...] = ()


class Join(Message, frozen=True):
    """Become a member of a group at one partition's leader. `start` of the settings counts only for the first member.

    `holds`: offset -> attempt of what another leader delivered and this member still works on: a leader that is new
    takes its word for it, and does not deliver it to others. `since`: when the member came, ns; where one member works
    at a time it is the one that came first. Without `create` a group that is not there is not made: NoSuchGroup.
    `again`: it was a member here before; a group that is not there any more is not made anew for it: GroupRemoved. The
    same where the group was made anew since: `definition` is the one that it was told here, -1 if none.
    """

    subscription: int
    group: str
    partition: int
    member: str
    settings: GroupSettings
    credit: int
    holds: dict[int, int] = {}
    since: int = 0
    create: bool = True
    again: bool = False
    definition: int = -1


class Joined(Message, frozen=True):
    """`settings`: those that hold, where an operator has set some of them; else the member's own hold. `definition`:
    which group of that name it is, see `bus.companion`.
    """

    subscription: int
    group: str
    partition: int
    floor: int
    settings: GroupSettings | None = None
    definition: int = 0


class Governed(Message, frozen=True):
    """An operator has changed a group's settings: these hold for its member from now on."""

    subscription: int
    partition: int
    settings: GroupSettings


class Deliver(Message, frozen=True):
    """Events for a member: one record (blob 0), and the rows of it that are meant, as a little-endian bitmap.

    `attempts`: row -> attempt, of those whose attempt is not the first.
    """

    subscription: int
    partition: int
    rows: bytes
    attempts: dict[int, int] = {}


class Settlement(msgspec.Struct, array_like=True, frozen=True):
    """`verdict`: ack, nack, terminate. `delay_ms` and `error` for nack, `error` for terminate.

    Or late, or gap: as terminate, by a member that held the event back and gives it out to nobody. Or begin, which
    settles nothing: a member that held it back gives it out, and its `ack_wait` begins now.
    """

    offset: int
    attempt: int
    verdict: str
    delay_ms: int = 0
    error: str = ""


class Settle(Message, frozen=True):
    """What became of deliveries. `acks`: events whose first attempt is acked, as runs of offsets [first, length, first,
    length, ...], ascending; `items`: everything else, said after that, in order.
    """

    request: int
    subscription: int
    partition: int
    items: list[Settlement]
    acks: list[int] = []


class Settled(Message, frozen=True):
    """Offsets whose settlement was refused as stale, with why; the others are durable."""

    request: int
    stale: dict[int, str]


class Progress(Message, frozen=True):
    """How far a partition is, to each member of a group whose order spans partitions; sent when it has changed.

    Events below `floor` are settled, and that is committed. `open`: not all events there are settled. `active`: this
    member is the one that works; what one that is not has held back is taken from it. `coming`: there is more for it.
    """

    subscription: int
    partition: int
    floor: int
    open: bool
    active: bool
    coming: bool


class Leave(Message, frozen=True):
    subscription: int
