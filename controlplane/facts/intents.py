"""What may be wanted done, beside what `decisions` wants: carried out once the step that says so is committed.

At least once, keyed `position:index`; part of the union in `facts`. All but PublishEvent name the plane epoch that
they were decided in: who carries them out refuses another one. (0: decided before they named it.)
"""

import msgspec

from bus.wire import Seat, Topology
from controlplane.journaled import Intent


class StartBroker(Intent, frozen=True):
    """See that this broker runs: adopt the one that lives, else start it. Answer: BrokerStarted or BrokerLost.

    With `url` somebody else runs it: it is dialled there until it answers, and again whenever it went away.
    """

    id: str
    attempt: int
    url: str = ""
    plane_epoch: int = 0


class OfferEpoch(Intent, frozen=True):
    """Offer an epoch to brokers. Answers, one a broker: OfferAnswered, or IntentFailed."""

    partition: int
    epoch: int
    brokers: list[str]
    plane_epoch: int


class PlaceSeat(Intent, frozen=True):
    """Send the decided seat to these brokers. One that refuses it: IntentFailed; else its samples tell of it."""

    seat: Seat
    brokers: list[str]
    plane_epoch: int


class SpreadTopology(Intent, frozen=True):
    """Send the topology to all brokers that are up; of several in one step only the last one matters."""

    topology: Topology
    plane_epoch: int


class ChangeGroup(Intent, frozen=True):
    """Tell every partition's leader what was decided of a group at position `cause`. Answer: GroupChanged.

    `changes`: new values of its settings; None removes it. `decision`: what brokers know the decision by, see
    `bus.wire.ChangeGroup`.
    """

    group: str
    changes: dict[str, int] | None
    cause: int
    plane_epoch: int
    decision: int = 0


class PublishEvent(Intent, frozen=True):
    """Publish one event, CloudEvents JSON whose `id` is the intent's own (`controlplane.stamps`), as principal `plane`.

    A fold, which knows neither its index nor the plane, leaves `id` empty: the step names it, and the event.
    Answers: its echo in a batch, which is Carried; or IntentFailed, when no broker will ever take it.
    """

    id: str
    event: bytes

    def named(self, id: str) -> "PublishEvent":
        """The same with this id, unless it has one: in place of the one that its event has, else before all else."""
        if self.id:
            return self
        event = msgspec.json.decode(self.event, type=dict[str, msgspec.Raw])
        own = {"id": msgspec.Raw(msgspec.json.encode(id))}
        return PublishEvent(id, msgspec.json.encode(event | own if "id" in event else own | event))
