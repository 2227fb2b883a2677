"""A fleet's life from the demo's log: four minutes with everything that happens to a fleet, on a clock that is told.

Three brokers lead twelve partitions and sample each second. The log's conversations come at the instants that the demo
gives them. Meanwhile a dead letter is redriven and comes back, a broker is killed and returns, the plane stands still,
the patience with sagas is set, and a broker falls silent.
"""

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from bus import batch
from bus.event import Event, from_json
from bus.partitioner import partition_of
from bus.wire import ReplicaSample, Sampled
from console.demo.script import load
from controlplane import facts
from controlplane.arrivals import Arrival, Follows, of_record
from controlplane.deadletters import TYPE as DEAD_LETTER
from controlplane.facts import Fact, Rows, encode_fact, encode_intent, kind_of
from controlplane.fold import Heart, Step
from controlplane.journal import Journal, Kept
from controlplane.plane import FOLLOWED_TYPES, folds, versions
from controlplane.roster import partitions_of
from tests.controlplane.logs import PARTITIONS

BIRTH = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
SECONDS = 240
BROKERS = ("b1", "b2", "b3")
FOLLOWS = Follows(FOLLOWED_TYPES)


class Life:
    """A heart that is told a life, and the journal that its steps go into, one turn a second."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.heart = Heart(folds())
        self.steps: list[Step] = []
        self.now = BIRTH
        self._journal = journal
        self._turn: list[Kept] = []
        self._ends = [0] * PARTITIONS
        self._offers: list[facts.OfferEpoch] = []
        self._published: list[Event] = []

    def live(self) -> "Life":
        """All of it."""
        self._begin()
        said = self._conversations()
        for second in range(SECONDS):
            self.now = BIRTH + second * SECOND
            self._publish(said[second])
            self._happen(second)
            away = {"b2"} if 120 <= second < 135 else {"b3"} if second >= 200 else set()
            for broker in BROKERS:
                if broker not in away:
                    self._sample(broker)
            self.now += SECOND - 1
            self.tell(facts.Tick())
            self._commit()
        return self

    def tell(self, given: Fact | Arrival) -> None:
        """One input; offers that follow are answered when `_vote` says so."""
        arrival = given if isinstance(given, Arrival) else None
        step = self.heart.step(given if isinstance(given, Fact) else given.rows(FOLLOWS), self.now)
        self.steps.append(step)
        self._turn.append(Kept(step, arrival))
        for _, _, intent in step.intents:
            if isinstance(intent, facts.OfferEpoch):
                self._offers.append(intent)
            elif isinstance(intent, facts.PublishEvent):
                self._published.append(from_json(intent.event))

    def _commit(self) -> None:
        if self._journal is not None:
            self._journal.commit(self._turn)
        self._turn = []

    def _begin(self) -> None:
        self.tell(facts.PlaneStarted(1, "golden", "0", "tcp://plane"))
        self.tell(facts.FoldVersions(versions()))
        self.tell(facts.FleetFounded("golden", PARTITIONS, 4096, list(BROKERS)))
        for number, broker in enumerate(BROKERS):
            self.tell(facts.BrokerStarted(broker, 100 + number, f"store-{broker}", f"tcp://{broker}"))
        self._vote()

    def _happen(self, second: int) -> None:
        if second == 60:
            self._bury()
        elif second == 90:
            self.tell(facts.RedriveDecided(["dead-1"], "operator", "mended"))
        elif second == 92:
            self._publish(self._published)
            self._published = []
        elif second == 120:
            self.tell(facts.BrokerLost("b2", "killed: 9"))
        elif second == 135:
            self.tell(facts.BrokerStarted("b2", 110, "store-b2", "tcp://b2"))
        elif second == 150:
            self.tell(facts.PlaneResumed(5 * SECOND))
        elif second == 160:
            self.tell(facts.SettingSet("sagas.stuck_after_ms", "20000", "operator"))
        self._vote("b2" if 120 <= second < 135 else "")

    def _conversations(self) -> list[list[Event]]:
        said: list[list[Event]] = [[] for _ in range(SECONDS)]
        for line in load(None).lines:
            if line.due < SECONDS * SECOND:
                said[line.due // SECOND].append(line.event)
        return said

    def _publish(self, events: list[Event]) -> None:
        """Each partition's events as one record, in the order of partitions."""
        for partition in range(PARTITIONS):
            here = [e for e in events if partition_of(e.subject or e.source, PARTITIONS) == partition]
            if here:
                first = self._ends[partition]
                self._ends[partition] += len(here)
                header = batch.Header(batch.EVENTS, partition, 1, first, len(here), self.now)
                self.tell(of_record(header, batch.encode(here)))

    def _bury(self) -> None:
        original = {"specversion": "1.0", "id": "wwa-001-000", "type": "task.request", "source": "Excel_Expert",
                    "subject": "wwa-001", "data": {"n": 12345678901234567890, "x": 0.1}}  # fmt: skip
        attempts = [{"attempt": 1, "at": self.now, "error": "ValueError: x", "member": "m-1", "took_ms": 12}]
        data = {"group": "coder", "reason": "max_deliver", "error": "ValueError: x", "partition": 0, "offset": 0,
                "appended": self.now, "attempts": attempts, "event": original}  # fmt: skip
        letter = {"specversion": "1.0", "id": "dead-1", "type": DEAD_LETTER, "source": "signalbox/b1",
                  "subject": "wwa-001", "data": data}  # fmt: skip
        self._publish([from_json(json.dumps(letter).encode())])

    def _vote(self, silent: str = "") -> None:
        offers, self._offers = self._offers, []
        for offer in offers:
            for broker in offer.brokers:
                if broker != silent:
                    end = self._ends[offer.partition]
                    self.tell(facts.OfferAnswered(offer.partition, offer.epoch, broker, f"store-{broker}", True,
                                                  offer.epoch, 0, end, end))  # fmt: skip

    def _sample(self, broker: str) -> None:
        replicas = []
        for p in partitions_of(self.heart.states["fleet"]):
            others = [id for id in p.replicas if id != broker]
            leads = p.leader == broker
            end = self._ends[p.partition]
            lags = dict.fromkeys(others, 1_000_000) if leads else {}
            replicas.append(ReplicaSample(p.partition, p.epoch, leads, end, end, end, end,
                                          dict.fromkeys(others, end) if leads else {}, lags, 0))  # fmt: skip
        sampled = Sampled(1, broker, self.now, replicas, [], 10, 20, 1, 3_000_000, 9_000_000, 10**8, 10**9, 3, 0, 0)
        self.tell(facts.BrokerSampled(sampled))


def journaled(folder: Path) -> Journal:
    """The life in a journal that was closed and opened again."""
    journal = Journal(folder, FOLLOWS)
    Life(journal).live()
    journal.close()
    return Journal(folder, FOLLOWS)


def transcript(steps: list[Step], heart: Heart) -> Iterator[str]:
    """A journal as lines of text: what followed as JSON and by its bytes' hash, digests; the folds' at the end."""
    for step in steps:
        given = step.input
        if isinstance(given, Rows):
            told = f"p{given.partition:02d} offsets {given.first_offset}-{given.first_offset + len(given) - 1}"
        else:
            told = f"{kind_of(given)} {short(encode_fact(given))}"
        yield f"{step.number} {step.first}-{step.last} {step.recorded} {told}"
        for entry in step.derived:
            if isinstance(entry.fact, Fact):
                fields = msgspec.json.encode(entry.fact).decode()
                yield f"  {entry.position} of {entry.cause} {short(encode_fact(entry.fact))} {fields}"
        for cause, index, intent in step.intents:
            yield f"  intent {cause}:{index} {kind_of(intent)} {short(encode_intent(intent))}"
        yield f"  = {step.digest.hex()}"
    for name, state in heart.states.items():
        yield f"{name} {state.digest:032x}"


def short(data: bytes) -> str:
    """What stands for bytes: eight of their BLAKE2b hash."""
    return blake2b(data, digest_size=8).hexdigest()
