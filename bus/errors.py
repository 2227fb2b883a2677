"""The exception tree. Who is at fault decides the branch; each error names the thing and says what to do.

    BusError
    ├── ClientError                 yours: change the call
    │   ├── InvalidEvent            attributes break the rules (`errors`; of the first `attribute`, `why`)
    │   ├── InvalidPattern          not a pattern
    │   ├── InvalidRules            rules of a partitioning that make no sense, or are not the fleet's
    │   ├── InvalidRule             a content rule that cannot be kept (`field`, `why`)
    │   ├── AccessDenied            principal may not do this
    │   ├── EventTooLarge           over EVENT_BYTES_MAX
    │   ├── ClockFarOff             an event's time is far ahead of the leader's clock
    │   ├── DuplicateSequence       a producer's number for another batch than before
    │   ├── UnknownPartition        no such partition
    │   ├── GroupConflict           a member's settings differ from the group's (`field`)
    │   ├── GroupRemoved            an operator removed the group while this member was in it
    │   ├── NoSuchGroup             a group that was to be joined and not made is not there
    │   ├── StaleDelivery           an ack for an attempt that is over
    │   ├── NoFleet                 nothing to connect to
    │   ├── NoSuchAgent             nobody answers calls under this name
    │   ├── InvalidSchema           a payload schema that is none, or may not follow the one before
    │   ├── InvalidCall             a call's target, payload or time-out breaks the rules
    │   ├── InvalidBallot           a proposal breaks the rules
    │   ├── BallotRefused           a proposal that the control plane does not take (`why`)
    │   ├── InvalidLease            what is asked of a lease breaks the rules
    │   ├── LeaseRefused            others have it, or the request does not fit what is there (`why`)
    │   ├── StaleToken              a fencing token that is older than one seen before
    │   └── PublishError            of publish_many: one receipt or error per event (`results`)
    └── FleetError                  ours: wait, retry, or mend the fleet
        ├── NotLeader               asked the wrong broker; the client retries by itself
        ├── InsufficientReplicas    fewer than W replicas in sync: refused before appending
        ├── BrokerUnavailable       no broker answers
        ├── OutcomeUnknown          sent, and nobody can say whether it was appended
        ├── UnknownProducer         the producer's window has expired
        ├── OutOfSequence           a producer's sequence has a gap
        ├── StaleEpoch              a sender of an older epoch
        ├── StorageFull             disk reserve reached
        ├── CorruptRecord           a checksum or layout is wrong
        ├── AgentUnavailable        an agent could not be reached; the call was not begun
        ├── CircuitOpen             calls to the agent failed of late: this one was not made
        ├── Busy                    no place is free: as many calls, or agents, as are allowed are there
        ├── CallTimeout             no answer in time; whether the work was done is not known
        ├── CallLost                the agent went away during the call; whether the work was done is not known
        ├── CallFailed              the agent raised an exception (`kind`, `text`)
        ├── LeaseLost               a lease ended while it was held (`why`)
        ├── NotDecided              a ballot is open for longer than was waited
        ├── PlaneSilent             the control plane does not answer
        └── ProtocolError           a peer broke the protocol

On the wire an error is `(code, message)`; `code` is the class's name.
"""

from collections.abc import Sequence


class BusError(Exception):
    """Anything the bus says went wrong."""


class ClientError(BusError):
    """Yours: the call has to change before it can work."""


class FleetError(BusError):
    """Ours: the same call may work later, or after the fleet is mended."""


class InvalidEvent(ClientError):
    """Attributes of an event break the rules: `errors` has (attribute, why) of each, and the message names them all.

    `attribute` and `why` are those of the first.
    """

    def __init__(self, attribute: str, why: str = "", errors: Sequence[tuple[str, str]] = ()) -> None:
        self.errors = tuple(errors) or ((attribute, why),)
        super().__init__("; ".join(f"{name}: {how}" if how else name for name, how in self.errors))
        self.attribute, self.why = self.errors[0]


class InvalidPattern(ClientError):
    """The text is not a pattern: empty tokens, or `>` before the end."""


class InvalidRules(ClientError):
    """Rules of a partitioning make no sense, contradict each other, or are not those the fleet was born with."""


class InvalidRule(ClientError):
    """A content rule cannot be kept; `field` names what of it, `rule` which one where that is known, `why` says how."""

    def __init__(self, field: str, why: str = "", rule: str = "") -> None:
        of = f"rule {rule!r}: " if rule else ""
        super().__init__(f"{of}{field} {why}".rstrip())
        self.field = field
        self.why = why
        self.rule = rule


class AccessDenied(ClientError):
    """The principal may not do this."""


class EventTooLarge(ClientError):
    """An event is over `limits.EVENT_BYTES_MAX`."""


class ClockFarOff(ClientError):
    """An event's `time` is over `limits.EVENT_AHEAD_MS_MAX` ahead of the leader's clock: set the publisher's clock."""


class DuplicateSequence(ClientError):
    """A producer gave a number to two different batches: two clients share one producer id, or its count went back."""


class UnknownPartition(ClientError):
    """There is no such partition in this fleet."""


class GroupConflict(ClientError):
    """A member came with settings other than the group's; `field` names the first that differs."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class GroupRemoved(ClientError):
    """An operator removed the group while this member was in it. Subscribing again makes a new one of that name, or
    joins the one that others have made since."""


class NoSuchGroup(ClientError):
    """The group was to be joined, not made (`create=False`), and it is not there."""


class StaleDelivery(ClientError):
    """The attempt that is acked is over: it was redelivered, settled or moved."""


class NoFleet(ClientError):
    """There is nothing to connect to; the message says where was looked."""


class NoSuchAgent(ClientError):
    """No broker knows an agent that answers calls under this name or capability: start it, or mend the name."""


class InvalidSchema(ClientError):
    """A payload schema is none, is not there, or may not follow the version before; the message says where and why."""


class InvalidCall(ClientError):
    """The target, payload, time-out or trace of a call breaks the rules; the message names which."""


class InvalidBallot(ClientError):
    """A proposal breaks the rules; the message names the field."""


class InvalidLease(ClientError):
    """What is asked of a lease breaks the rules; the message names the field."""


class BallotRefused(ClientError):
    """The control plane does not take a proposal or a vote; `why` is one of `bus.ballot.WHY`."""

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class LeaseRefused(ClientError):
    """The control plane does not give a lease; `why` is one of `bus.lease.WHY`, such as held or waited."""

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class StaleToken(ClientError):
    """A fencing token is older than one seen before: the lease was lost, and somebody else had it since."""


class PublishError(ClientError):
    """Some events of one `publish_many` failed. `results` has a Receipt or a BusError for each event, in order."""

    def __init__(self, message: str, results: "list[object] | None" = None) -> None:
        super().__init__(message)
        self.results: list[object] = results or []


class NotLeader(FleetError):
    """The broker asked does not lead the partition."""


class InsufficientReplicas(FleetError):
    """Fewer than W replicas are in sync; nothing was appended."""


class BrokerUnavailable(FleetError):
    """No broker answers, or the partition has no leader."""


class OutcomeUnknown(FleetError):
    """It was sent, and nobody can say whether it was appended. Look before sending it again."""


class UnknownProducer(FleetError):
    """The fleet has forgotten this producer's window."""


class OutOfSequence(FleetError):
    """A producer's sequence skips; an earlier batch is missing."""


class StaleEpoch(FleetError):
    """The sender lives in an older epoch."""


class StorageFull(FleetError):
    """The disk reserve is reached; make room, then it goes on by itself."""


class CorruptRecord(FleetError):
    """A record's checksum or layout is wrong."""


class AgentUnavailable(FleetError):
    """The agent was announced and cannot be reached. The call was not begun: it may be made again."""


class CircuitOpen(FleetError):
    """Too many calls to the agent failed of late, or an operator closed the way: the call was not made. Try later."""


class Busy(FleetError):
    """No place is free: as many calls, or agents, as are allowed are there. Nothing was begun: try a little later."""


class CallTimeout(FleetError):
    """No answer came in time. The agent is told to stop; how far it came is not known."""


class CallLost(FleetError):
    """The agent went away during the call. How far it came is not known."""


class CallFailed(FleetError):
    """The agent that was called raised an exception: `kind` is the name of its type, `text` what it said."""

    def __init__(self, message: str, kind: str = "", text: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.text = text


class LeaseLost(FleetError):
    """A lease ended while it was held; `why` is one of `bus.lease.WHY`. What it guarded may be somebody else's now."""

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class NotDecided(FleetError):
    """A ballot is not decided within the time that was waited. It goes on: wait again."""


class PlaneSilent(FleetError):
    """The control plane does not answer: see `signalbox status`. What was asked may still be answered later."""


class ProtocolError(FleetError):
    """A peer broke the protocol: malformed frame, wrong fleet, unknown version."""


def _tree(base: type[BusError]) -> dict[str, type[BusError]]:
    found = {base.__name__: base}
    for child in base.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE = _tree(BusError)


def code_of(error: BusError) -> str:
    """The wire's name of an error."""
    return type(error).__name__


def from_code(code: str, message: str) -> BusError:
    """The exception for a `(code, message)` from the wire; an unknown code is a FleetError that quotes it."""
    kind = BY_CODE.get(code)
    if kind is None:
        return FleetError(f"{code}: {message}")
    return kind(message)
