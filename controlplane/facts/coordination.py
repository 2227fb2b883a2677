"""Facts that follow from what agents say of ballots and leases, and that the plane then says on the bus.

Part of the union in `facts`. All are derived: the folds `ballots` and `leases` say them, each becomes one event.
"""

from controlplane.journaled import Fact


class BallotDecided(Fact, frozen=True):
    """A ballot is over; see `bus.ballot.Decision`. `at` is the position of the vote, or timer, that decided it."""

    ballot: str
    outcome: str
    choice: str | None
    tally: dict[str, int]
    abstained: int
    votes: int
    at: int


class BallotRefused(Fact, frozen=True):
    """A vote or proposal does not count, and why; `event` is its id."""

    ballot: str
    voter: str
    why: str
    event: str


class LeaseGranted(Fact, frozen=True):
    """`holder` has `units` of a resource; `token` is greater than that of any lease before; `asked`: of its request."""

    lease: str
    resource: str
    holder: str
    token: int
    ttl_ms: int
    units: int
    asked: int = 0


class LeaseQueued(Fact, frozen=True):
    """A request waits for its resource; `place` counts from 1; `asked`: its own."""

    lease: str
    resource: str
    holder: str
    place: int
    asked: int = 0


class LeaseRefused(Fact, frozen=True):
    """A request, renewal or release does not count, and why; `event` is its id, "" for a request that has waited;
    `token` and `asked` are its own."""

    lease: str
    resource: str
    holder: str
    why: str
    event: str = ""
    token: int = 0
    asked: int = 0


class LeaseEnded(Fact, frozen=True):
    """A lease that was granted under `token` is over, and why."""

    lease: str
    resource: str
    holder: str
    token: int
    why: str


CoordinationFact = BallotDecided | BallotRefused | LeaseGranted | LeaseQueued | LeaseRefused | LeaseEnded
