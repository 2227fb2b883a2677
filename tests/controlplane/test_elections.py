"""Whatever crashes, is wiped, is lost on the way or comes late: who is elected holds everything that was committed."""

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bus.wire import ReplicaSample, Sampled, Seat
from controlplane import facts
from controlplane.decisions import (
    BrokerAdded,
    BrokerDrained,
    BrokerRevived,
    PlannedMove,
    RebalanceDecided,
    RebalanceStopped,
)
from controlplane.elections import LED, choose, next_epoch, spread
from controlplane.facts import Fact, LeaderElected, Tick
from controlplane.fleet import Fleet
from controlplane.fold import Heart
from tests.controlplane.logs import NOW
from tests.controlplane.made import BROKERS, MS

WRITE_QUORUM = 2
EVERYONE = (*BROKERS, "b4")
"""Three of them have a replica at a time."""


class Replica:
    """One broker's replica of the one partition: a log of (epoch, number), a promise, a seat. Wiped with its store.

    As `bus.replica` has it: a sign of a greater epoch ends a leadership, and only what was promised since the process
    started is led.
    """

    def __init__(self, broker: str, generation: int) -> None:
        self.broker = broker
        self.store = f"{broker}.{generation}"
        self.log: list[tuple[int, int]] = []
        self.promised = 0
        self.promised_before = 0
        self.seat: Seat | None = None
        self.leads = False

    def start(self) -> None:
        self.promised_before, self.leads = self.promised, False

    def answer(self, offer: facts.OfferEpoch) -> facts.OfferAnswered:
        accepted = offer.epoch > self.promised
        if accepted:
            self.promised, self.leads = offer.epoch, False
        last = self.log[-1][0] if self.log else 0
        return facts.OfferAnswered(
            0, offer.epoch, self.broker, self.store, accepted, self.promised, last, len(self.log), 0
        )

    def place(self, seat: Seat) -> None:
        if seat.epoch < self.promised or (self.seat is not None and seat.epoch <= self.seat.epoch):
            return
        own = seat.leader == self.broker
        if own and (not self.promised_before < seat.epoch == self.promised or not seat.votes(self.broker, self.store)):
            return
        self.promised, self.seat, self.leads = seat.epoch, seat, own
        if self.leads:
            self.log.append((seat.epoch, -1))

    def store_all(self, epoch: int, log: list[tuple[int, int]]) -> bool:
        """What a leader ships; False if a greater epoch is promised."""
        if epoch < self.promised:
            return False
        if epoch > self.promised:
            self.promised, self.leads = epoch, False
        self.log = list(log)
        return True


class Town:
    """Three brokers and the fold that elects among them; messages wait until they are delivered or lost."""

    def __init__(self) -> None:
        self.heart = Heart([Fleet()])
        self.now = NOW
        self.live: dict[str, Replica] = {}
        self.disks = {broker: Replica(broker, 0) for broker in EVERYONE}
        self.generation = 0
        self.planes = 1
        self.mail: list[facts.OfferEpoch | facts.PlaceSeat] = []
        self.seated: list[str] = []
        self.committed: list[tuple[int, int]] = []
        self.elections = self.written = self.admitted = 0

    def tell(self, fact: Fact) -> None:
        step = self.heart.step(fact, self.now)
        assert not self.heart.quarantined
        for entry in step.derived:
            if isinstance(entry.fact, LeaderElected):
                self.elections += 1
                before, self.seated = self.seated, entry.fact.replicas
                self.admitted += bool(before) and sorted(before) != sorted(self.seated)
                assert entry.fact.leader in entry.fact.replicas and set(entry.fact.stores) <= set(entry.fact.replicas)
                log = self.disks[entry.fact.leader].log
                assert log[: len(self.committed)] == self.committed, "an elected leader lacks what was committed"
        self.mail += [i for _, _, i in step.intents if isinstance(i, facts.OfferEpoch | facts.PlaceSeat)]

    def start(self, broker: str, wiped: bool) -> None:
        if broker in self.live:
            return
        if wiped:
            self.generation += 1
            self.disks[broker] = Replica(broker, self.generation)
        replica = self.live[broker] = self.disks[broker]
        replica.start()
        self.tell(facts.BrokerStarted(broker, 1, replica.store, "tcp://x"))

    def crash(self, broker: str) -> None:
        if self.live.pop(broker, None) is not None:
            self.tell(facts.BrokerLost(broker, "killed"))

    def deliver(self, place: int, lost: bool) -> None:
        if not self.mail:
            return
        letter = self.mail.pop(place % len(self.mail))
        for broker in letter.brokers:
            replica = self.live.get(broker)
            if replica is None or lost:
                continue
            if isinstance(letter, facts.PlaceSeat):
                replica.place(letter.seat)
            else:
                self.tell(replica.answer(letter))

    def deliver_all(self) -> None:
        while self.mail:
            self.deliver(0, lost=False)

    def write(self, reached: int) -> None:
        """The leader appends one record and ships its log to some; it commits when W voters hold it."""
        for leader in [replica for replica in self.live.values() if replica.leads]:
            seat = leader.seat
            if seat is None:
                continue
            self.written += 1
            leader.log.append((seat.epoch, self.written))
            holding = 1
            for bit, broker in enumerate(EVERYONE):
                follower = self.live.get(broker)
                if follower is None or broker not in seat.followers or not reached >> bit & 1:
                    continue
                if follower.store_all(seat.epoch, leader.log):
                    holding += seat.votes(broker, follower.store)
            if holding >= WRITE_QUORUM and len(leader.log) > len(self.committed):
                self.committed = list(leader.log)

    def sample(self, broker: str) -> None:
        replica = self.live.get(broker)
        if replica is None:
            return
        epoch = replica.seat.epoch if replica.seat else 0
        new: dict[str, str] = {}
        if replica.leads and replica.seat is not None:
            for other in self.live.values():
                holds = other.log[: len(self.committed)] == self.committed
                near = other.broker in replica.seat.followers
                if near and holds and not replica.seat.votes(other.broker, other.store):
                    new[other.broker] = other.store
        high = len(self.committed) if replica.leads else 0
        sample = ReplicaSample(0, epoch, replica.leads, len(replica.log), high, 0, 0, {}, {}, 0, new)
        self.tell(facts.BrokerSampled(Sampled(1, broker, self.now, [sample], [], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))

    def replace_plane(self) -> None:
        """Another plane adopts what lives; what the old one had sent may still come."""
        self.planes += 1
        self.tell(facts.PlaneStarted(self.planes, "u"))
        for broker, replica in sorted(self.live.items()):
            held = [] if replica.seat is None else [replica.seat]
            self.tell(facts.BrokerStarted(broker, 1, replica.store, "tcp://x", True, held))

    def move(self, broker: str, argument: int) -> None:
        """A leadership is moved on purpose, in whatever condition the fleet is."""
        p = self.heart.states["fleet"].get("partition", 0)
        if p.phase == LED:
            replicas = [*p.replicas[argument % 3 :], *p.replicas[: argument % 3]]
            self.tell(facts.LeadershipProposed(0, next_epoch(p), replicas, "moved", broker))

    def replace(self, argument: int) -> None:
        """A replica is to go to the broker that has none, in whatever condition the fleet is; or no longer."""
        p = self.heart.states["fleet"].get("partition", 0)
        if argument > 15:
            self.tell(RebalanceStopped())
        elif p.phase == LED:
            new = next(id for id in EVERYONE if id not in p.replicas)
            old = p.replicas[argument % 3]
            target = [new if id == old else id for id in p.replicas]
            self.tell(RebalanceDecided([PlannedMove(0, target)]))
            self.tell(facts.LeadershipProposed(0, next_epoch(p), target, "moved", p.leader))

    def act(self, code: int, argument: int) -> None:
        broker = EVERYONE[argument % 4]
        if code == 0:
            self.crash(broker)
        elif code == 1:
            self.start(broker, wiped=argument >= 12)
        elif code <= 5:
            self.deliver(argument, lost=argument == 19)
        elif code <= 8:
            self.write(argument)
        elif code == 9:
            self.now += argument * 300 * MS
            self.tell(Tick())
        elif code == 10 and argument > 15:
            self.replace_plane()
        elif code == 13:
            self.move(broker, argument)
        elif code >= 15:
            self.replace(argument)
        elif code == 14:
            self.tell(BrokerDrained(broker) if argument % 2 else BrokerRevived(broker))
        else:
            self.sample(broker)


things = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 19)), min_size=20, max_size=150)


def begun() -> Town:
    town = Town()
    town.tell(facts.PlaneStarted(1, "u"))
    town.tell(facts.FleetFounded("f", 1, 4096, list(BROKERS)))
    for broker in BROKERS:
        town.start(broker, wiped=False)
    town.deliver_all()
    town.write(7)
    town.tell(BrokerAdded("b4"))
    town.start("b4", wiped=False)
    return town


# Both voters answer, and one is wiped before the offer is closed: what its old store said is void.
@example([(0, 0), (10, 16), (4, 0), (0, 1), (1, 13), (1, 12), (9, 14)])
@example([(8, 4), (0, 0), (10, 16), (5, 0), (0, 2), (1, 12), (1, 14), (9, 14)])
# Six offers in a row find nobody; then all are well.
@example(
    [(9, 12), (9, 15), (12, 0), (11, 1), (9, 10), (12, 2), (9, 17), (4, 0), (12, 0), (4, 0), (2, 0), (9, 10), (11, 2),
     (2, 0), (0, 1), (9, 14), (11, 0), (1, 1), (9, 13), (11, 2), (4, 0), (3, 19)]
)  # fmt: skip
@settings(max_examples=200, deadline=None)
@given(things)
def test_who_is_elected_holds_all_that_was_committed(things: list[tuple[int, int]]) -> None:
    town = begun()
    for code, argument in things:
        town.act(code, argument)
    # When all are back and nothing is lost, somebody leads, and all vote, unless two stores of three were lost at once.
    for _ in range(8):
        town.now += 4_000 * MS
        town.tell(Tick())
        for broker in EVERYONE:
            town.start(broker, wiped=False)
        town.deliver_all()
        town.write(15)
        for broker in EVERYONE:
            town.sample(broker)
        town.deliver_all()
    p = town.heart.states["fleet"].get("partition", 0)
    voters = [id for id, store in p.stores.items() if town.disks[id].store == store]
    assert len(voters) == 3 if p.phase == "led" else len(voters) < p.needed


def test_a_move_is_made_to_whoever_holds_enough_and_to_nobody_else() -> None:
    for held, drained, leader in (
        ({"b1": 9, "b2": 8, "b3": 7}, [], "b2"),
        ({"b1": 9, "b2": 7, "b3": 8}, [], "b1"),
        ({"b1": 9, "b2": 8, "b3": 8}, [], "b2"),
        ({"b1": 9, "b2": 7, "b3": 8}, ["b1"], "b3"),
        ({"b1": 9, "b2": 8}, [], "b1"),
        ({"b1": 9, "b2": 9}, ["b1"], "b2"),
        ({"b1": 9, "b2": 8, "b3": 9}, ["b1"], "b3"),
        ({"b1": 9, "b2": 7, "b3": 7}, ["b1", "b2"], "b2"),
    ):
        p = msgspec.structs.replace(begun().heart.states["fleet"].get("partition", 0), prefer="b2", epoch=2)
        answers = [facts.OfferAnswered(0, 2, id, f"{id}.0", True, 2, 1, end, 0) for id, end in held.items()]
        found = choose(msgspec.structs.replace(p, answers=answers), drained)
        assert found is not None and found.leader == leader, (held, drained)


def test_the_town_elects_commits_and_admits() -> None:
    town = begun()
    assert (town.elections, len(town.committed)) == (1, 2)
    town.crash("b3")
    town.start("b3", wiped=True)
    town.deliver_all()
    town.now += 4_000 * MS
    town.write(7)
    town.sample("b1")
    town.deliver_all()
    assert town.heart.states["fleet"].get("partition", 0).stores["b3"] == "b3.1"
    assert town.elections == 2


def test_a_newcomer_that_holds_what_is_committed_takes_a_place_and_one_that_may_lack_some_does_not() -> None:
    for answers, replicas in (
        # Two voters hold 8, so that 8 may be committed; the learner need not have what the leader alone holds.
        ({"b1": 9, "b2": 8, "b3": 7, "b4": 8}, ["b1", "b2", "b4"]),
        ({"b1": 9, "b2": 8, "b3": 7, "b4": 7}, ["b1", "b2", "b3"]),
        ({"b1": 9, "b2": 9, "b4": 9}, ["b1", "b2", "b4"]),
        # Who did not answer may hold what only one of these has.
        ({"b1": 9, "b2": 8, "b4": 8}, ["b1", "b2", "b3"]),
        # The winner is the one that is to go.
        ({"b1": 7, "b2": 7, "b3": 9, "b4": 9}, ["b1", "b2", "b4"]),
        ({"b1": 7, "b3": 9, "b4": 9}, ["b1", "b2", "b3"]),
        # It is no vote.
        ({"b1": 9, "b4": 9}, []),
        ({"b1": 9}, []),
    ):
        p = begun().heart.states["fleet"].get("partition", 0)
        given = [facts.OfferAnswered(0, 2, id, f"{id}.0", True, 2, 1, end, 0) for id, end in answers.items()]
        found = choose(msgspec.structs.replace(p, epoch=2, target=["b1", "b2", "b4"], prefer="b1", answers=given))
        assert (found.replicas if found is not None else []) == replicas, answers
        if found is not None:
            assert sorted(found.stores) == sorted(replicas) and found.leader in replicas


def test_a_learner_is_shipped_to_and_counts_for_nothing_before_it_is_in() -> None:
    town = begun()
    town.replace(2)
    town.deliver_all()
    p = town.heart.states["fleet"].get("partition", 0)
    assert (p.replicas, p.seat.learners, sorted(p.stores)) == (list(BROKERS), ["b4"], list(BROKERS))
    before = len(town.committed)
    town.write(8)
    assert len(town.committed) == before and town.disks["b4"].log == town.disks["b1"].log
    town.write(10)
    assert len(town.committed) > before
    town.now += 4_000 * MS
    town.sample("b1")
    town.deliver_all()
    p = town.heart.states["fleet"].get("partition", 0)
    assert (sorted(p.stores), p.target, town.admitted) == (["b1", "b2", "b4"], [], 1)


@given(st.integers(1, 9), st.integers(1, 40))
def test_leaderships_are_spread_evenly_over_brokers(count: int, partitions: int) -> None:
    brokers = [f"b{n}" for n in range(count)]
    placed = [spread(p, brokers, min(3, count)) for p in range(partitions)]
    assert all(len(set(replicas)) == len(replicas) == min(3, count) for replicas in placed)
    leads = [sum(replicas[0] == broker for replicas in placed) for broker in brokers]
    assert max(leads) - min(leads) <= 1
