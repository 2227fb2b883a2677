"""Who leads a partition: the plane's half of an election. Pure; the fleet fold keeps the records and does the talking.

    waiting ──enough voters──▶ electing (epoch e offered) ──enough answers──▶ led ──leader lost──▶ waiting
                                   │ too few, or someone promised more: a greater epoch is offered

RF replicas, W of them make a write. A record that was committed is on W replicas; RF - W + 1 answers therefore meet
it, and the answer with the greatest (last epoch, end) holds it. A vote is a replica's: a broker *and* the store that
was there when the replica was admitted. A broker that comes back with another store has forgotten what it said; its
answer is no vote. It follows, and once its leader says that it holds everything below the high watermark
(`ReplicaSample.newcomers`) a new epoch admits it.

A replica's place changes hands in two epochs. In the first the newcomer learns: it is shipped to and has no vote, and
all old replicas keep theirs (`Partition.target` says how they shall be). Once its leader says that it holds all that is
committed, a second epoch is offered to it as well; if its answer proves it, and the winner is one that stays, it comes
in and the old one goes out, in one fact. Whoever is elected meanwhile goes on with the same target, until the move is
given up.

Leaderships move on purpose, too: an epoch is proposed for the sake of one replica (`prefer`), and brokers that are
drained are passed over. With more answers than needed others than the greatest will do: a committed record is on W
replicas, and whoever lacks it is less than each of them, so of V answers the V - (RF - W + 1) next to the greatest
hold all that is committed as well, and so does whoever equals the least of these: the same last epoch and end are the
same log. What only the old leader held was acked by no quorum.

An operator may accept a loss (`lossy`): then the greatest of any answers leads. Replicas that answered vote from here
on; those that did not are taken back with whatever store they bring, and bound to it once they hold what is committed.

At a birth, and when a fleet starts again, a partition waits for replicas that are still starting (ELECTION_GRACE_MS),
so that ties go to the preferred leaders and the load is spread. When a leader is lost among others that live it does
not wait.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from bus.wire import Seat
from controlplane.brokers import MS, STARTING, UP, Broker
from controlplane.decisions import PlannedMove
from controlplane.facts import OfferAnswered
from controlplane.limits import ELECTION_GRACE_MS, ELECTION_RETRY_MS_MAX, OFFER_FIRST_MS_MAX, OFFER_MS_MAX

WAITING, ELECTING, LED = "waiting", "electing", "led"
NO_STORE = "-"
ANY_STORE = ""
_RETRY_MS_MIN = 1_000


class Partition(msgspec.Struct, frozen=True, array_like=True):
    """A partition's leadership. `replicas`: preferred leader first; `stores`: the voting replicas' stores.

    `answers` are those to `epoch`. `patient`: it may wait for replicas that are starting. `promised` is the greatest
    epoch that anyone named. `high` counts the records known to be committed. `led_before`: somebody led under this
    plane. `since`, `position`: when and where it came into its phase. `prefer`: for whose sake the epoch is offered, or
    "". `lossy`: a loss was accepted. `target`: its replicas as they shall be when its learner holds all, or [].
    """

    partition: int
    replicas: list[str]
    write_quorum: int
    epoch: int = 0
    leader: str = ""
    phase: str = WAITING
    stores: dict[str, str] = {}
    asked: list[str] = []
    answers: list[OfferAnswered] = []
    closed: bool = False
    patient: bool = True
    promised: int = 0
    high: int = 0
    tries: int = 0
    led_before: bool = False
    since: int = 0
    position: int = 0
    due: int = 0
    why: str = ""
    prefer: str = ""
    lossy: bool = False
    target: list[str] = []

    @property
    def shall(self) -> list[str]:
        """Its replicas as they are wanted."""
        return self.target or self.replicas

    @property
    def learners(self) -> list[str]:
        """Brokers that are to get a replica, and have no vote before they hold everything."""
        return [id for id in self.target if id not in self.replicas]

    @property
    def members(self) -> list[str]:
        """Everyone who is shipped to, and the leader."""
        return [*self.replicas, *self.learners]

    @property
    def needed(self) -> int:
        """Answers that make an election: RF - W + 1; one will do when a loss was accepted."""
        return 1 if self.lossy else len(self.replicas) - self.write_quorum + 1

    @property
    def seat(self) -> Seat:
        """As the bus knows it; a replica that was not admitted yet has a store that nobody has."""
        stores = [self.stores.get(id, NO_STORE) for id in self.replicas] if self.stores else []
        return Seat(self.partition, self.epoch, self.leader, self.replicas, self.write_quorum, stores, self.learners)


class Choice(msgspec.Struct, frozen=True):
    """The outcome of an election: the leader, and the replicas and their stores that vote from here on."""

    leader: str
    replicas: list[str]
    stores: dict[str, str]


def spread(partition: int, brokers: list[str], replication: int) -> list[str]:
    """Where a new partition's replicas stand, preferred leader first.

    Leaders go round; of the others each comes first in turn, so that the partitions of a lost leader fall to all.
    """
    start = partition % len(brokers)
    others = brokers[start + 1 :] + brokers[:start]
    turn = (partition // len(brokers)) % max(1, len(others))
    return [brokers[start], *(others[turn:] + others[:turn])[: replication - 1]]


def found(partition: int, brokers: list[str], replication: int, now: int) -> Partition:
    """A partition at its birth."""
    due = now + ELECTION_GRACE_MS * MS
    replicas = spread(partition, brokers, replication)
    return Partition(partition, replicas, replication // 2 + 1, since=now, due=due, why="nobody has led it yet")


def patience(p: Partition, now: int) -> Partition:
    """It may wait for replicas that are starting, from now on."""
    return msgspec.structs.replace(p, due=now + ELECTION_GRACE_MS * MS)


def unled(p: Partition, why: str, now: int, position: int) -> Partition:
    """Nobody leads it any more. It waits for replicas that are starting only if nobody led under this plane."""
    due = 0 if p.led_before else now + ELECTION_GRACE_MS * MS
    return msgspec.structs.replace(
        p, leader="", phase=WAITING, asked=[], answers=[], closed=False, patient=not p.led_before, tries=0, since=now,
        position=position, due=due, why=why,
    )  # fmt: skip


def proposed(p: Partition, epoch: int, asked: list[str], now: int, position: int, prefer: str = "") -> Partition:
    """A new epoch is offered."""
    window = OFFER_MS_MAX if p.led_before and not p.lossy else OFFER_FIRST_MS_MAX
    return msgspec.structs.replace(
        p, epoch=epoch, leader="", phase=ELECTING, asked=asked, answers=[], closed=False, prefer=prefer,
        since=p.since if p.phase == WAITING else now, position=position, due=now + window * MS,
    )  # fmt: skip


def rearranged(p: Partition, replicas: list[str]) -> Partition:
    """Its replicas in another order, at once; or with a newcomer, which learns before anyone goes."""
    if sorted(replicas) == sorted(p.replicas):
        return msgspec.structs.replace(p, replicas=replicas, target=[])
    return msgspec.structs.replace(p, target=replicas)


def answered(p: Partition, answer: OfferAnswered, stands: bool) -> Partition:
    """An answer to an offer. One of an older epoch, or one that does not stand, only tells what was promised.

    `stands`: its broker is up with the store that answered. A store that is gone holds nothing of what it had; a broker
    that is silent cannot be told to lead.
    """
    promised = max(p.promised, answer.promised)
    if not stands or p.phase == LED or answer.epoch != p.epoch or answer.broker not in p.members:
        return msgspec.structs.replace(p, promised=promised)
    others = [other for other in p.answers if other.broker != answer.broker]
    return msgspec.structs.replace(p, promised=promised, answers=[*others, answer])


def unsaid(p: Partition, broker: str) -> Partition:
    """What a broker answered is void: it is gone, silent, or began anew."""
    return msgspec.structs.replace(p, answers=[answer for answer in p.answers if answer.broker != broker])


def closed(p: Partition) -> Partition:
    """Its waiting is over: for answers, or for replicas that are starting."""
    if p.phase == ELECTING:
        return msgspec.structs.replace(p, closed=True, due=0)
    return msgspec.structs.replace(p, patient=False, due=0)


def waits(p: Partition, why: str, retry: bool, now: int, position: int) -> Partition:
    """It cannot be led now. Answers stay, for a late one may make it; `retry`: a greater epoch is due later."""
    wait_ms = min(_RETRY_MS_MIN << min(p.tries, 10), ELECTION_RETRY_MS_MAX)
    return msgspec.structs.replace(
        p, phase=WAITING, closed=True, patient=False, tries=p.tries + 1 if retry else p.tries, position=position,
        due=now + wait_ms * MS if retry else 0, why=why,
    )  # fmt: skip


def elected(p: Partition, epoch: int, choice: Choice, now: int, position: int) -> Partition:
    """Somebody leads."""
    target = [] if sorted(choice.replicas) == sorted(p.target) else p.target
    return msgspec.structs.replace(
        p, epoch=epoch, leader=choice.leader, replicas=choice.replicas, stores=choice.stores, target=target,
        phase=LED, asked=[], answers=[], closed=False, patient=False, tries=0, led_before=True, since=now,
        position=position, due=0, why="", prefer="", lossy=False,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- questions about it


def live(p: Partition, brokers: Mapping[str, Broker]) -> list[str]:
    """Its replicas' brokers that are up, in its order."""
    return [id for id in p.replicas if id in brokers and brokers[id].state == UP]


def placed_at(p: Partition, brokers: Mapping[str, Broker]) -> list[str]:
    """Those of them, and its learners, that are up: who has to know its seat."""
    return [id for id in p.members if id in brokers and brokers[id].state == UP]


def asked_of(p: Partition, brokers: Mapping[str, Broker], prefer: str) -> list[str]:
    """Whom its next epoch is offered to. A learner only where its leader lives and stays: nobody else waits for it."""
    return placed_at(p, brokers) if prefer and prefer == p.leader else live(p, brokers)


def is_wanted(p: Partition, moves: Iterable[PlannedMove]) -> bool:
    """Whether one of the moves brings its learner in."""
    return any(move.partition == p.partition and move.replicas == p.target for move in moves)


def voters(p: Partition, brokers: Mapping[str, Broker]) -> list[str]:
    """Of those the ones whose answer would be a vote."""
    return [id for id in live(p, brokers) if is_vote(p, id, brokers[id].store)]


def is_vote(p: Partition, broker: str, store: str) -> bool:
    """Whether the answer of this replica, a broker with a store, counts."""
    return broker in p.replicas and (not p.stores or p.lossy or p.stores.get(broker) in (ANY_STORE, store))


def may_propose(p: Partition, brokers: Mapping[str, Broker]) -> bool:
    """Whether a waiting partition should be offered now."""
    if len(voters(p, brokers)) < p.needed:
        return False
    starting = any(id in brokers and brokers[id].state == STARTING for id in p.replicas)
    return not (starting and p.patient)


def may_be_patient(p: Partition, brokers: Mapping[str, Broker]) -> bool:
    """Whether a waiting partition's time should begin anew: it is too early to go on, and more replicas may come."""
    starting = any(id in brokers and brokers[id].state == STARTING for id in p.replicas)
    return p.phase == WAITING and p.patient and starting and len(voters(p, brokers)) < p.needed


def next_epoch(p: Partition) -> int:
    """Greater than anything that anyone has promised."""
    return max(p.epoch, p.promised) + 1


def is_refused(p: Partition) -> bool:
    """Somebody has promised a greater epoch than the one that is offered."""
    return any(not answer.accepted and answer.promised > p.epoch for answer in p.answers)


def is_complete(p: Partition, brokers: Mapping[str, Broker]) -> bool:
    """Nobody is left whose answer could still come soon."""
    if p.closed:
        return True
    heard = {answer.broker for answer in p.answers}
    return all(id in heard for id in p.asked if brokers[id].state == UP)


def choose(p: Partition, avoided: Collection[str] = ()) -> Choice | None:
    """The winner by the answers so far; None while too few of them are votes. Ties go by the order of `replicas`.

    `avoided` brokers lead only where nobody else may.
    """
    accepted = [answer for answer in p.answers if answer.accepted]
    votes = [answer for answer in accepted if is_vote(p, answer.broker, answer.store)]
    if len(votes) < p.needed:
        return None
    votes.sort(key=lambda answer: (-answer.last_epoch, -answer.end, p.replicas.index(answer.broker)))
    least = votes[0] if p.lossy else votes[len(votes) - p.needed]
    able = [answer for answer in votes if (answer.last_epoch, answer.end) >= (least.last_epoch, least.end)]
    wanted = [answer for answer in able if answer.broker == p.prefer]
    allowed = [answer for answer in able if answer.broker not in avoided]
    best = (wanted or allowed or able)[0]
    replicas = p.replicas
    stores = _stores_kept(p, votes)
    new = _newcomer(p, best, least, accepted) if p.stores and not p.lossy else None
    if new is not None:
        replicas = p.replicas if new.broker in p.replicas else p.target
        stores = {id: store for id, store in (stores | {new.broker: new.store}).items() if id in replicas}
    return Choice(best.broker, replicas, stores)


def _stores_kept(p: Partition, votes: Iterable[OfferAnswered]) -> dict[str, str]:
    known = {answer.broker: answer.store for answer in votes}
    if p.lossy:
        return {id: known.get(id, ANY_STORE) for id in p.replicas}
    return p.stores or known


def _newcomer(
    p: Partition, best: OfferAnswered, least: OfferAnswered, accepted: Iterable[OfferAnswered]
) -> OfferAnswered | None:
    """Who may vote from here on: one at a time, a replica with another store or the learner.

    Whoever equals the least that may lead holds all that was committed, by what it answered; the last sampled watermark
    would not do, as more may have been committed since. One that was a record short is proposed again after a while.
    """
    for answer in accepted:
        is_new = p.stores.get(answer.broker) != answer.store
        # The learner takes another's place, which cannot be the winner's.
        fits = answer.broker in p.replicas or best.broker in p.target
        if is_new and fits and (answer.last_epoch, answer.end) >= (least.last_epoch, least.end) and answer.end > 0:
            return answer
    return None


def who_is_missing(p: Partition, brokers: Mapping[str, Broker]) -> str:
    """Why it cannot be led, in words."""
    there = voters(p, brokers)
    missing = []
    for id in p.replicas:
        broker = brokers.get(id)
        if id in there or broker is None:
            continue
        missing.append(f"{id} lost its store" if broker.state == UP else f"{id} {broker.state}")
    return f"{len(there)} of {len(p.replicas)} replicas can vote, needs {p.needed}: {', '.join(missing) or 'no answer'}"
