"""The plane's election, as small as it can be: propose, offer, take RF-W+1 answers, seat the greatest, until it holds.

What it decides is in its journal before anyone hears of it; a crash keeps the journal and loses the rest. A replica
that is to move learns at its new broker first, by a seat of its own epoch; a later epoch's answers let it in.
"""

from typing import Any

from bus.wire import Answered, Offer, Place, Placed, Seat

from .messages import Status
from .world import MS, Network, World

TICK = 100 * MS
ELECTION = 1_000 * MS
GATHER = 200 * MS


class Plane:
    """The one plane. Planted bugs override `choose` and `enough`."""

    def __init__(
        self,
        world: World,
        network: Network,
        brokers: list[str],
        write_quorum: int,
        suspect_ms: int,
        spares: int = 0,
    ) -> None:
        """The last `spares` of the brokers have no replica at first."""
        self.world, self.network, self.brokers, self.write_quorum = world, network, brokers, write_quorum
        self.suspect_after = suspect_ms * MS
        self.epoch = 0  # journal: the greatest epoch proposed
        self.seat: Seat | None = None  # journal: the last decision
        self.target: list[str] = []  # journal: where the replicas shall be, while one of them is to move
        self.born = brokers[: len(brokers) - spares]
        self.elections = self.replaced = self.moved = self.given_up = 0
        self.life = 0
        self.up = False
        network.nodes["plane"] = self.deliver

    def start(self) -> None:
        self.up = True
        self.life += 1
        self.seen: dict[str, tuple[int, Status]] = {}
        self.promised = 0
        self.proposed: int | None = None
        self.since = self.world.now
        self.answers: list[tuple[str, Answered]] = []
        self.learned: tuple[str, Answered] | None = None  # the learner's store, and what it answered
        self.stores: dict[str, str] = {}
        self.placed: list[str] = []
        self.lost_hold = False
        self._tick(self.life)

    def crash(self) -> None:
        self.world.say("plane", "crashes")
        self.up = False

    @property
    def replicas(self) -> list[str]:
        return self.born if self.seat is None else self.seat.replicas

    @property
    def learners(self) -> list[str]:
        return [name for name in self.target if name not in self.replicas]

    def move(self, old: str) -> None:
        """This broker's replica is to go to one that has none; or, if one is on its way, that is given up."""
        if not self.up or self.seat is None or self.proposed is not None:
            return
        if self.learners:
            self.target = []
            self.given_up += 1
        else:
            new = self.world.dice.choice([name for name in self.brokers if name not in self.replicas])
            self.target = [new if name == old else name for name in self.replicas]
        self._propose(f"a replica is to move: {self.target}")

    # -------------------------------------------------------------------------------------------------- election

    def _propose(self, why: str) -> None:
        self.epoch = self.proposed = max(self.epoch, self.promised) + 1
        self.since = self.world.now
        self.answers = []
        self.learned = None
        self.elections += 1
        # Replica sets change by one: at most one store is replaced, and only after its replica holds what is committed.
        self.stores = {} if self.seat is None else dict(zip(self.seat.replicas, self.seat.stores, strict=True))
        newcomer = self._newcomer()
        if newcomer and newcomer[0] in self.replicas:
            self.stores[newcomer[0]] = newcomer[1]
        self.world.say("plane", "proposes", self.proposed, why)
        self._offer()

    def _newcomer(self) -> tuple[str, str] | None:
        if self.seat is None or self.seat.leader not in self.seen:
            return None
        status = self.seen[self.seat.leader][1]
        if status.leads != self.seat.epoch:
            return None
        return next(iter(status.newcomers.items()), None)

    def _offer(self) -> None:
        for broker in (*self.replicas, *self.learners):
            if broker not in [name for name, _ in self.answers] and self.proposed is not None:
                self.network.send("plane", broker, Offer(0, 1, "", 0, self.proposed))

    def enough(self) -> bool:
        return len(dict(self.answers)) >= len(self.replicas) - self.write_quorum + 1

    def admits(self, leader: str) -> bool:
        """Whether the learner takes its place: it holds all that the least of those does that may lead."""
        if self.learned is None or leader not in self.target:
            return False
        answer = self.learned[1]
        held = sorted(((one.last_epoch, one.end) for one in dict(self.answers).values()), reverse=True)
        least = held[len(held) - (len(self.replicas) - self.write_quorum + 1)]
        return (answer.last_epoch, answer.end) >= least

    def choose(self) -> str:
        """The greatest (last epoch, end); of equals the one that the epoch's number prefers."""
        turn = self.epoch % len(self.replicas)
        order = self.replicas[turn:] + self.replicas[:turn]
        best = max((answer.last_epoch, answer.end) for _, answer in self.answers)
        able = [name for name, answer in self.answers if (answer.last_epoch, answer.end) == best]
        return min(able, key=order.index)

    def _decide(self) -> None:
        if self.proposed is None or not self.enough():
            return
        expected = {*self.replicas, *self.learners}
        if len(self._heard()) < len(expected) and self.world.now - self.since < GATHER:
            return
        stores = self.stores or {name: status.store for name, (_, status) in self.seen.items()}
        leader, replicas = self.choose(), self.replicas
        if self.seat is not None and stores != dict(zip(self.seat.replicas, self.seat.stores, strict=True)):
            self.replaced += 1
        elif self.admits(leader) and self.learned is not None:
            stores[self.learners[0]] = self.learned[0]
            replicas, self.target = self.target, []
            self.moved += 1
        learners = [name for name in self.target if name not in replicas]
        voting = [stores[name] for name in replicas]
        seat = Seat(0, self.proposed, leader, replicas, self.write_quorum, voting, learners)
        self.world.say("plane", "seats", seat)
        self.seat, self.proposed, self.placed, self.since = seat, None, [], self.world.now
        self.lost_hold = False
        self._place()

    def _heard(self) -> set[str]:
        return {*dict(self.answers), *(self.learners if self.learned is not None else [])}

    def _place(self) -> None:
        for broker in (*self.replicas, *self.learners):
            if self.seat is not None and broker not in self.placed:
                self.network.send("plane", broker, Place(0, 1, "", self.seat))

    # --------------------------------------------------------------------------------------------------- watching

    def deliver(self, source: str, message: Any) -> None:
        if not self.up:
            return
        match message:
            case Status():
                self.promised = max(self.promised, message.promised)
                known = self.seen.get(source)
                if known is None or message.life >= known[1].life:
                    self.seen[source] = (self.world.now, message)
            case (str(broker), str(store), Answered() as answered):
                self._answered(broker, store, answered)
            case (str(broker), _, Placed() as placed) if self.seat is not None and placed.epoch == self.seat.epoch:
                if placed.accepted:
                    self.placed.append(broker)
                elif broker == self.seat.leader:
                    self.lost_hold = True

    def _answered(self, broker: str, store: str, answered: Answered) -> None:
        self.promised = max(self.promised, answered.promised)
        if self.proposed is None or answered.epoch != self.proposed:
            return
        if broker in self.learners and answered.accepted:
            self.learned = (store, answered)
            self._decide()
            return
        if self.seat is not None and not self.seat.votes(broker, store):
            return
        if answered.accepted:
            self.answers.append((broker, answered))
            self._decide()

    def _tick(self, life: int) -> None:
        if not self.up or life != self.life:
            return
        now = self.world.now
        if self.proposed is not None:
            self._decide()
        if self.proposed is not None:
            if now - self.since > ELECTION or self.promised > self.proposed:
                self._propose("the last election came to nothing")
            else:
                self._offer()
        elif self.seat is None:
            if len(self.seen) == len(self.brokers):
                self._propose("birth")
        else:
            why = self._suspicion(self.seat)
            if why:
                self._propose(why)
            else:
                self._place()
        self.world.after(TICK, self._tick, self.life)

    def _suspicion(self, seat: Seat) -> str:
        now = self.world.now
        if self.epoch > seat.epoch:
            return "an epoch was proposed before a crash"
        if self.lost_hold:
            return "the leader refused its place"
        if now - self.since < self.suspect_after:
            return ""
        heard, status = self.seen.get(seat.leader, (0, None))
        if status is None or now - heard > self.suspect_after:
            return f"{seat.leader} is silent"
        if status.leads != seat.epoch and seat.leader in self.placed:
            return f"{seat.leader} does not lead"
        return "a replica is to be replaced" if self._newcomer() else ""
