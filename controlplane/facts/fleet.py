"""Facts about brokers' lives and who leads: what the fleet is, and how elections go. Part of the union in `facts`."""

from bus.semantic import Rule
from bus.wire import Sampled, Seat
from controlplane.journaled import Fact


class FleetFounded(Fact, frozen=True):
    """The fleet's birth: what never changes afterwards (but for StrategyChosen), and the brokers it is born with."""

    fleet: str
    partitions: int
    slots: int
    brokers: list[str]
    strategy: str = "hash"
    rules: list[Rule] = []


class CopyFounded(Fact, frozen=True):
    """From here on the journal's copy is kept in `partition`, behind those that hold events. Once in a fleet's life."""

    partition: int


class BrokerStarted(Fact, frozen=True):
    """A broker answers. `adopted`: it was running before this plane, or this session; then `began` is when its process
    began, 0 where that is not known. `seats` is what it says of itself (`Claimed`).
    """

    id: str
    pid: int
    store: str
    url: str
    adopted: bool = False
    seats: list[Seat] = []
    began: int = 0


class BrokerLost(Fact, frozen=True):
    """A broker's process is gone, or it never came up."""

    id: str
    why: str


class BrokerStopped(Fact, frozen=True):
    """A broker was ended on purpose; it is not restarted."""

    id: str


class BrokerSilent(Fact, frozen=True):
    """Derived: a broker that should be up has given no sample for too long; it leads nothing meanwhile."""

    id: str
    silent_ns: int


class BrokerHeard(Fact, frozen=True):
    """Derived: a silent broker answers again."""

    id: str


class BrokerSampled(Fact, frozen=True):
    """One broker's figures since its last sample. `skew_ns`: its clock less the plane's, 0 while they may agree."""

    sampled: Sampled
    skew_ns: int = 0


class RestartScheduled(Fact, frozen=True):
    """Derived: a lost broker will be started again at `at`; `attempt` counts from 1."""

    id: str
    at: int
    attempt: int
    why: str


# ------------------------------------------------------------------------------------------------- leadership


class LeadershipProposed(Fact, frozen=True):
    """Derived: a new epoch is offered, `prefer`: for whom. `replicas`: as they shall be, a newcomer learns first."""

    partition: int
    epoch: int
    replicas: list[str]
    why: str = ""
    prefer: str = ""


class OfferAnswered(Fact, frozen=True):
    """A replica's answer to an offer. `accepted` False: it has promised `promised` to someone else."""

    partition: int
    epoch: int
    broker: str
    store: str
    accepted: bool
    promised: int
    last_epoch: int
    end: int
    end_offset: int


class OfferClosed(Fact, frozen=True):
    """Derived: the time for answers to an offer is over."""

    partition: int
    epoch: int


class LeaderElected(Fact, frozen=True):
    """Derived: who leads, and the `replicas` from here on. `stores` are those that vote, broker to store uuid."""

    partition: int
    epoch: int
    leader: str
    replicas: list[str]
    write_quorum: int
    stores: dict[str, str]


class PartitionWaits(Fact, frozen=True):
    """Derived: a partition cannot be led. `why` says who is missing."""

    partition: int
    why: str
