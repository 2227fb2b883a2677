"""What a broker's loop calls for each kind of message that a peer may send.

Who takes a message raises what is wrong with it, as a BusError; the loop answers with a Fault. A kind that is not in
the table is nothing that a broker is told.
"""

import logging
from collections.abc import Callable
from typing import Any

from bus import limits, wire
from bus.broker.access import PLANE, unknown
from bus.broker.control import Control
from bus.broker.peers import Peers
from bus.broker.ports import Consumers
from bus.broker.presence import Presence
from bus.broker.publishing import Publishing
from bus.broker.reading import Reading
from bus.broker.replication import Replication
from bus.errors import AccessDenied, ProtocolError
from bus.session import Session

log = logging.getLogger("bus.broker")
Dispatch = dict[type[wire.Message], Callable[[Session, Any, list[bytes]], None]]


class Verbs:
    """The parts of one broker, as its peers reach them."""

    def __init__(
        self,
        peers: Peers,
        replication: Replication,
        publishing: Publishing,
        reading: Reading,
        presence: Presence,
        control: Control,
        consumers: Consumers,
    ) -> None:
        self._peers = peers
        self._replication = replication
        self._publishing = publishing
        self._reading = reading
        self._presence = presence
        self._control = control
        self._consumers = consumers

    def table(self) -> Dispatch:
        """Kind of message -> who takes (session, message, blobs)."""
        control, reading, presence = self._control, self._reading, self._presence
        return {
            wire.Ping: lambda session, ping, _: self._pong(session, ping),
            wire.Pong: lambda session, pong, _: self._read(session, pong),
            wire.Fault: lambda session, fault, _: log.debug("%s says: %s", session, fault.message[:200]),
            wire.Publish: self._publishing.on_publish,
            wire.Describe: lambda session, asked, _: self._describe(session, asked),
            wire.Watch: lambda session, watch, _: reading.on_watch(session, watch),
            wire.Unwatch: lambda session, unwatch, _: reading.on_unwatch(session, unwatch.subscription),
            wire.Credit: self._credit,
            wire.Join: self._consume,
            wire.Settle: self._consume,
            wire.Leave: self._consume,
            wire.ChangeGroup: lambda session, change, _: self._consume(session, control.vetted(session, change)),
            wire.Present: lambda session, present, _: presence.on_present(session, present),
            wire.Absent: lambda session, absent, _: presence.on_absent(session, absent),
            wire.Whereis: lambda session, whereis, _: presence.on_whereis(session, whereis),
            wire.Claim: lambda session, claim, _: control.on_claim(session, claim),
            wire.Offer: lambda session, offer, _: control.on_offer(session, offer),
            wire.Place: lambda session, place, _: control.on_place(session, place),
            wire.Spread: lambda session, spread, _: control.on_spread(session, spread),
            wire.Sample: lambda session, sample, _: control.on_sample(session, sample),
            wire.Keep: lambda session, keep, _: control.on_keep(session, keep),
            wire.Halt: lambda session, halt, _: control.on_halt(session, halt),
            wire.Ship: self._ship,
            wire.Begin: self._begin,
            wire.EpochEnd: lambda session, told, _: self._epoch_end(session, told),
        }

    def _pong(self, session: Session, ping: wire.Ping) -> None:
        self._peers.send(session, wire.Pong(ping.token))

    def _read(self, session: Session, pong: wire.Pong) -> None:
        if self._peers.read(session, pong.token):
            self._reading.on_room(session)

    def _describe(self, session: Session, asked: wire.Describe) -> None:
        if len(asked.partitions) > limits.PARTITIONS_MAX:
            raise ProtocolError(f"a Describe of {len(asked.partitions)} partitions; {limits.PARTITIONS_MAX} are legal")
        extents = self._reading.extents(asked.partitions, session.principal)
        self._peers.send(session, wire.Described(asked.request, extents))

    def _credit(self, session: Session, credit: wire.Credit, _blobs: list[bytes]) -> None:
        if self._consumers.knows(session, credit.subscription):
            self._consume(session, credit)
        else:
            self._reading.on_credit(session, credit)

    def _consume(self, session: Session, message: wire.Message, _blobs: object = None) -> None:
        self._consumers.on_message(session, message, self._replication.now)

    def _ship(self, session: Session, ship: wire.Ship, blobs: list[bytes]) -> None:
        self._from_leader(session, ship.partition)
        if ship.leader != session.name:
            raise AccessDenied(f"{session.name} may not ship as {ship.leader}")
        self._replication.on_ship(session, ship, blobs)

    def _begin(self, session: Session, begin: wire.Begin, blobs: list[bytes]) -> None:
        self._from_leader(session, begin.partition)
        if begin.leader != session.name:
            raise AccessDenied(f"{session.name} may not speak as {begin.leader}")
        self._replication.on_begin(begin, blobs)

    def _epoch_end(self, session: Session, told: wire.EpochEnd) -> None:
        self._from_leader(session, told.partition)
        self._replication.on_epoch_end(told)

    def _from_leader(self, session: Session, partition: int) -> None:
        if not session.principal.startswith("broker/"):
            raise AccessDenied("only brokers replicate")
        if not self._replication.knows(partition, PLANE):
            raise unknown(partition, self._replication.public)
