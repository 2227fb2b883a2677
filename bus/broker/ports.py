"""The seam between the loop and what consumes a partition's log at its leader: groups (`bus.broker.delivering`).

The loop owns sockets, replicas and the store; a `Consumers` owns groups. One turn of the loop calls, in this order:

1. `on_message(session, message, now)` for each Join, Settle, Leave, Credit (of a subscription it `knows`) and
   ChangeGroup that came in; `on_session_end(session)` for each session that is over.
2. `apply(partition, index, entry)` for each GROUP record and each record with a companion that has become committed
   here, on leaders and followers alike, in index order, exactly once since the last `restore`: they take effect here
   and only here.
3. `on_lead(partition, now)` once a leader's epoch start is committed (everything before it has been applied), and
   `on_lost(partition, why)` as soon as leadership is gone: forget members, answer nothing more for it.
4. `pump(now)`, once, before the turn's commit: deadlines, reading, what to append (`Ground.append_*`). Messages that
   it sends may leave before the commit: so a settlement is answered (`Settled`) only once `apply` has seen its record.
5. After the commit: `apply` again for what became committed by it, then `deliver(now)`: send what is due.

`next_due(now)` tells the loop how long it may sleep.

State: `snapshot(partition)` gives everything applied so far as bytes; the loop keeps it beside the index it holds at,
and after a restart calls `restore(partition, blob)` and then `apply` for the records since. A partition without a
snapshot is restored from b"".

Errors: raise nothing for a peer's nonsense; answer it with `Ground.fault`. `Ground.append_*` raises NotLeader,
InsufficientReplicas or StorageFull: keep the state as it was and try at a later pump.
"""

from typing import Any, Protocol

from bus import wire
from bus.event import Event
from bus.session import Session
from bus.store import Entry


class Ground(Protocol):
    """What the loop offers to a `Consumers`. Offsets count events, indexes count records."""

    broker: str
    partitions: int

    def leads(self, partition: int) -> bool:
        """Whether this broker leads the partition, and its epoch start is committed. False for nonsense, too."""

    def high_offset(self, partition: int) -> int:
        """Events below it are committed: nothing at or above it may be delivered."""

    def first_offset(self, partition: int) -> int:
        """Events below it were trimmed: they cannot be read any more."""

    def soon_trimmed(self, partition: int) -> int:
        """Events below it will be trimmed before long."""

    def clock_ns(self) -> int:
        """Wall-clock now, ns since 1970, as `appended` is stamped."""

    def read(self, partition: int, offset: int, bytes_max: int) -> list[Entry]:
        """Committed records from the one that holds `offset` on, at least one if any; GROUP and EPOCH_START ones too.

        `header.base_offset + header.count` of the last one is where to go on.
        """

    def offset_since(self, partition: int, instant: int) -> int:
        """The offset of the first event appended at or after `instant`, ns; the end offset when there is none."""

    def append_group(self, partition: int, delta: bytes) -> int:
        """Append a GROUP record whose body is `delta`; returns its index. It has effect when `apply` sees it."""

    def append_event(self, partition: int, event: Event, companion: bytes) -> int:
        """Append one event of this broker's own (a dead letter) with a companion in its header; returns the index."""

    def send(self, session: Session, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> bool:
        """Send to a peer. False: it could not take it and its session has ended (`on_session_end` follows)."""

    def fault(self, session: Session, request: int, code: str, message: str, detail: str = "") -> None:
        """Answer a request with a Fault; `code` is the name of a class in `bus.errors`."""


class Consumers(Protocol):
    """What the loop calls; see the module's docstring for when."""

    def on_message(self, session: Session, message: Any, now: int) -> None:
        """Join, Settle, Credit, Leave or ChangeGroup, as its sender wrote it: any field may be nonsense."""

    def knows(self, session: Session, subscription: int) -> bool:
        """Whether a Credit for this subscription is for a group member (else it is a watch's)."""

    def on_session_end(self, session: Session) -> None:
        """A session is over: its members are gone, what they held is redelivered."""

    def on_lead(self, partition: int, now: int) -> None:
        """This broker leads the partition from now on; all committed records have been applied."""

    def on_lost(self, partition: int, why: str) -> None:
        """This broker does not lead the partition any more."""

    def apply(self, partition: int, index: int, entry: Entry) -> None:
        """A record is committed. Look at `entry.header.kind` and `.companion`; the body is cut by `batch.unseal`."""

    def snapshot(self, partition: int) -> bytes:
        """Everything applied so far to one partition."""

    def restore(self, partition: int, blob: bytes) -> None:
        """Go back to a snapshot; b"" for none."""

    def pump(self, now: int) -> None:
        """Once a turn, before the commit."""

    def deliver(self, now: int) -> None:
        """Once a turn, after the commit."""

    def next_due(self, now: int) -> int | None:
        """When something is due next, ns of `now`'s clock; None for never. At or before `now` means at once."""

    def samples(self, now: int) -> list[wire.GroupSample]:
        """Figures of every group led here since the last call."""

    def members(self) -> int:
        """How many members there are, of all groups."""
