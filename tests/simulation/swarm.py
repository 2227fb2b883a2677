"""One run of one seed: which faults there are, how often, and what is checked when they have passed.

Swarm testing: each seed leaves out some kinds of faults and exaggerates others, so that runs differ in kind.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import NamedTuple

from bus import limits
from bus.errors import BusError

from .broker import Broker, Parts
from .checkers import Ledger
from .clients import Publisher, Reader
from .disk import Disk
from .plane import Plane
from .world import MS, Network, Violation, World

SETTLE_NS = 30_000 * MS
FAULTS = [
    "crash", "crash leader", "isolate", "isolate leader", "hide leader", "one way", "split", "plane", "stall", "wipe"
]  # fmt: skip
"""What a storm is made of; `Run._strike` says what each does."""


class Weather(NamedTuple):
    """What a seed has in store."""

    brokers: int
    write_quorum: int
    publishers: int
    batches: int
    depth: int
    drop: float
    duplicate: float
    delay_ms: float
    commit_ms: float
    faults: tuple[str, ...]
    every_ms: float
    chaos_ms: float
    ship_records: int
    window_records: int
    plan: str
    suspect_ms: int
    usurped: float
    tempted: float
    grouping: float
    trimming: float
    given: int
    ids_max: int
    spares: int
    moves_ms: float


class Verdict(NamedTuple):
    """What a run showed; `violation` is None if all held."""

    seed: int
    violation: Violation | None
    figures: Counter[str]


def weather(seed: int) -> Weather:
    """Half of the seeds draw from everything; the others follow a plan that takes many faults in the right order."""
    dice = Random(f"weather {seed}")
    brokers, write_quorum = dice.choice([(3, 2)] * 12 + [(1, 1), (2, 2), (5, 3), (5, 3)])
    plan = dice.choice(["any", "any", "usurp", "tempt"])
    own = Random(f"given ids {seed}")
    moving = Random(f"moves {seed}")
    sky = Weather(
        plan=plan,
        brokers=brokers,
        write_quorum=write_quorum,
        publishers=dice.choice([1, 2, 4]),
        batches=dice.choice([20, 50, 100]),
        depth=dice.choice([1, 3, 6, 20]),
        drop=dice.choice([0.0, 0.0, 0.02, 0.1, 0.3]),
        duplicate=dice.choice([0.0, 0.05, 0.3]),
        delay_ms=dice.choice([1.0, 5.0, 50.0]),
        commit_ms=dice.choice([0.5, 4.0, 40.0]),
        faults=tuple(kind for kind in FAULTS if dice.random() < 0.5) or ("crash leader",),
        every_ms=dice.choice([150.0, 400.0, 1_000.0]),
        chaos_ms=8_000.0,
        ship_records=dice.choice([1, 4, 128]),
        window_records=dice.choice([1, 4, 16, 1024]),
        suspect_ms=dice.choice([300, 600, 1_200]),
        usurped=dice.choice([0.0, 0.0, 0.5]),
        tempted=dice.choice([0.0, 0.0, 0.5]),
        grouping=dice.choice([0.0, 0.2, 1.0]),
        trimming=dice.choice([0.0, 0.0, 0.1, 0.6]),
        given=own.choice([0, 0, 0, 25, 50]),
        ids_max=own.choice([5, 40, limits.GIVEN_IDS_MAX, limits.GIVEN_IDS_MAX]),
        spares=moving.choice([0, 1, 1, 2]) if brokers > 2 else 0,
        moves_ms=moving.choice([400.0, 1_000.0, 2_500.0]),
    )
    if plan == "usurp":  # short reigns, each leaving records on one disk only
        faults = ("crash leader", "isolate leader")
        sky = sky._replace(faults=faults, usurped=0.9, tempted=0.0, drop=0.0, suspect_ms=300, ship_records=1)
    elif plan == "tempt":  # elections behind a leader's back
        faults = ("hide leader",)
        sky = sky._replace(faults=faults, usurped=0.0, tempted=0.9, drop=0.0, suspect_ms=300, every_ms=1_000.0)
        sky = sky._replace(commit_ms=max(4.0, sky.commit_ms), delay_ms=min(5.0, sky.delay_ms))
    return sky


@contextmanager
def small_windows(sky: Weather) -> Iterator[None]:
    """The bounds of shipping, made small enough to be met."""
    before = limits.SHIP_RECORDS_MAX, limits.SHIP_WINDOW_RECORDS_MAX
    limits.SHIP_RECORDS_MAX, limits.SHIP_WINDOW_RECORDS_MAX = sky.ship_records, sky.window_records
    try:
        yield
    finally:
        limits.SHIP_RECORDS_MAX, limits.SHIP_WINDOW_RECORDS_MAX = before


class Run:
    """The parts of one run, and its storm."""

    def __init__(self, seed: int, parts: type[Parts], plane: type[Plane], verbose: bool) -> None:
        self.sky = weather(seed)
        self.world = World(seed, verbose)
        self.network = Network(self.world, self.sky.drop, self.sky.duplicate, self.sky.delay_ms)
        self.ledger = Ledger()
        names = [f"b{number}" for number in range(1, self.sky.brokers + self.sky.spares + 1)]
        self.brokers = {
            name: Broker(name, self.world, self.network, self.ledger, parts(), self.sky.commit_ms, self.sky.grouping)
            for name in names
        }
        for broker in self.brokers.values():
            broker.trimming = self.sky.trimming
            broker.ids_max = self.sky.ids_max
        self.ledger.ids_max = self.sky.ids_max
        self.disks = {name: Disk(f"{name}-s1") for name in names}
        suspect_ms, spares = self.sky.suspect_ms, self.sky.spares
        self.plane = plane(self.world, self.network, names, self.sky.write_quorum, suspect_ms, spares)
        self.reader = Reader(self.world, self.network, self.plane, self.ledger)
        self.publishers = [
            Publisher(f"p{n}", self.world, self.network, self.plane, self.sky.batches, self.sky.depth)
            for n in range(self.sky.publishers)
        ]
        if self.sky.given:  # the same events from two producers, as from a client that crashed and its successor
            ids = [f"id {number}" for number in range(self.sky.given)]
            for name in ("first", "again"):
                self.publishers.append(Publisher(name, self.world, self.network, self.plane, 0, self.sky.depth))
                self.publishers[-1].gives(ids)
        self.ledger.on_lead, self.ledger.on_promise = self._usurp, self._tempt
        self.figures: Counter[str] = Counter()
        self.calm = False

    def play(self) -> None:
        self.begin()
        self.world.run(int(self.sky.chaos_ms * MS))
        self._heal()
        if not self.world.run(self.world.now + SETTLE_NS, self._settled):
            self.ledger.fail("liveness", self._unsettled())
        self.conclude()

    def begin(self) -> None:
        """Everything starts, and the storm after a second."""
        for name, broker in self.brokers.items():
            broker.start(self.disks[name])
        self.plane.start()
        self.reader.tick()
        for publisher in self.publishers:
            publisher.ledger = self.ledger
            publisher.tick()
        self.world.after(1_000 * MS, self._strike)
        if self.sky.spares:
            self.world.after(1_000 * MS, self._move)

    def conclude(self) -> None:
        """All that must hold when everything has healed."""
        members = {name: self.brokers[name] for name in self.plane.replicas}
        logs = {name: broker.log for name, broker in members.items()}
        acked = [publisher.value(sequence) for publisher in self.publishers for sequence in publisher.acked]
        self.ledger.finish(logs, acked)
        if len({broker.windows.snapshot() for broker in members.values()}) != 1:
            self.ledger.fail("windows", "replicas that applied the same records remember different producers")
        if len({broker.given.snapshot() for broker in members.values()}) != 1:
            self.ledger.fail("given ids", "replicas that applied the same records remember different ids")

    # ------------------------------------------------------------------------------------------------ the storm

    def _strike(self) -> None:
        if self.calm:
            return
        dice = self.world.dice
        fault = dice.choice(self.sky.faults)
        self.figures[fault] += 1
        names = [*self.brokers, "plane", *(publisher.name for publisher in self.publishers)]
        seat = self.plane.seat
        leader = seat.leader if seat is not None else dice.choice(list(self.brokers))
        victim = leader if fault.endswith("leader") else dice.choice(list(self.brokers))
        lasts = int(dice.choice([300, 2_000, 4_000]) * dice.random() * MS)
        self.world.say("storm", fault, victim, f"{lasts / MS:.0f} ms")
        match fault:
            case "crash" | "crash leader":
                self._crash(victim, lasts)
            case "isolate":
                self._cut(victim, names, lasts)
            case "isolate leader":  # from the other brokers only: it still hears publishers, and perhaps the plane
                self._cut(victim, [*self.brokers, *(["plane"] if dice.random() < 0.5 else [])], lasts)
            case "hide leader":  # from the plane only: it leads on while another is elected
                self._cut(victim, ["plane"], lasts + 1_000 * MS)
            case "one way":
                inbound = dice.random() < 0.5
                self._cut(victim, list(self.brokers), lasts, inbound, not inbound)
            case "split":
                self._cut(victim, [name for name in names if dice.random() < 0.5], lasts, dice.random() < 0.7)
            case "plane" if self.plane.up:
                self.plane.crash()
                self.world.after(lasts, self._start_plane)
            case "stall":
                self.brokers[victim].stall_ns = lasts
            case "wipe":
                self._wipe(victim, lasts)
        self.world.after(int(2 * self.sky.every_ms * dice.random() * MS), self._strike)

    def _move(self) -> None:
        """A replica is to go to another broker, in whatever weather; the next time that may be given up."""
        if self.calm:
            return
        dice = self.world.dice
        if self.plane.seat is not None and (not self.plane.learners or dice.random() < 0.2):
            self.plane.move(dice.choice(self.plane.replicas))
        self.world.after(int(2 * self.sky.moves_ms * dice.random() * MS), self._move)

    def _usurp(self, name: str) -> None:
        """Who has just begun to lead is the best victim: its log is the newest, and the others may not know yet."""
        dice = self.world.dice
        if self.calm or dice.random() >= self.sky.usurped:
            return
        self.figures["usurped"] += 1
        soon = 3 * (self.sky.commit_ms + self.sky.delay_ms) + 5
        muted = dice.choice([0.0, soon * dice.random()])  # from then on the others hear nothing of it, until it is dead
        dies = muted + soon * dice.random()
        self._later(muted, self._cut, name, list(self.brokers), int(2 * soon * MS), False)
        self._later(dies, self._crash, name, int(dice.choice([300, 1_500, 3_000]) * dice.random() * MS))

    def _tempt(self, name: str) -> None:
        """Who has just promised a new epoch is left alone with the old leader, perhaps after a short death."""
        dice = self.world.dice
        seat = self.plane.seat
        if self.calm or seat is None or seat.leader == name or not self.brokers[seat.leader].replica.leads:
            return
        if dice.random() >= self.sky.tempted:
            return
        self.figures["tempted"] += 1
        if dice.random() < 0.5:
            dies = self.sky.commit_ms * 2 * dice.random() ** 3  # often before its promise is durable
            self._later(dies, self._crash, name, int(20 * MS * dice.random()))
        others = [broker for broker in self.brokers if broker not in (seat.leader, name)] + ["plane"]
        lasts = int((1_000 + 2_000 * dice.random()) * MS)
        self._cut(seat.leader, others, lasts)
        self._later(self.sky.commit_ms + 2 * self.sky.delay_ms * dice.random(), self._cut, name, others, lasts)

    def _later(self, delay_ms: float, do: Callable[..., None], *args: object) -> None:
        self.world.after(int(delay_ms * MS), do, *args)

    def _cut(self, name: str, peers: list[str], lasts: int, inbound: bool = True, outbound: bool = True) -> None:
        if not self.calm:
            self.network.isolate(name, peers, lasts, inbound, outbound)

    def _crash(self, name: str, lasts: int) -> None:
        if self.brokers[name].up:
            self.brokers[name].crash()
            self.world.after(lasts, self._start, name)

    def _start(self, name: str) -> None:
        if not self.brokers[name].up:
            self.brokers[name].start(self.disks[name])

    def _start_plane(self) -> None:
        if not self.plane.up:
            self.plane.start()

    def _wipe(self, name: str, lasts: int) -> None:
        """A disk is lost for good: one at a time, and only where RF - W replicas may be missing."""
        seat = self.plane.seat
        if seat is None or self.sky.brokers < 3 or not self._whole() or self.plane.proposed is not None:
            return
        self.figures["wiped"] += 1
        self.brokers[name].crash()
        number = int(self.disks[name].store.partition("-s")[2]) + 1
        self.disks[name] = Disk(f"{name}-s{number}")
        self.world.say("storm", "replaces the disk by", self.disks[name].store)
        self.world.after(lasts, self._start, name)

    def _whole(self) -> bool:
        """Every replica votes, and the epoch that says so has begun."""
        seat = self.plane.seat
        if seat is None or any(not seat.votes(name, self.disks[name].store) for name in seat.replicas):
            return False
        return any(record.epoch >= seat.epoch for record in self.ledger.committed[-1:])

    # --------------------------------------------------------------------------------------------- and after it

    def _heal(self) -> None:
        self.world.say("storm", "is over")
        self.calm = True
        self.network.perfect()
        for name, broker in self.brokers.items():
            broker.grouping = 0.0
            self._start(name)
        self._start_plane()

    def _settled(self) -> bool:
        if not all(publisher.done for publisher in self.publishers) or not self._whole() or self.plane.learners:
            return False
        end = len(self.ledger.committed)
        return self.reader.offset == self.ledger.committed[-1].base_offset + self.ledger.committed[-1].count and all(
            broker.up and broker.replica.high == broker.replica.end == end == broker.replica._synced
            for broker in (self.brokers[name] for name in self.plane.replicas)
        )

    def _unsettled(self) -> str:
        brokers = ", ".join(
            f"{name} {broker.replica.role} in {broker.replica.epoch}, promised {broker.replica.promised}, "
            f"end {broker.replica.end}, high {broker.replica.high}"
            for name, broker in self.brokers.items()
        )
        open_ = sum(not publisher.done for publisher in self.publishers)
        return f"{open_} publishers still wait, {self.plane.seat}, proposed {self.plane.proposed}; {brokers}"


def run(seed: int, parts: type[Parts] = Parts, plane: type[Plane] = Plane, verbose: bool = False) -> Verdict:
    """One seed from start to end."""
    play = Run(seed, parts, plane, verbose)
    violation: Violation | None = None
    with small_windows(play.sky):
        try:
            play.play()
        except Violation as found:
            violation = found
        except BusError as error:
            violation = Violation("raised", repr(error))
    figures = play.figures
    figures["happened"] = play.world.happened
    figures["messages"], figures["messages lost"] = play.network.sent, play.network.lost
    figures["elections"], figures["replaced"] = play.plane.elections, play.plane.replaced
    figures["moved"], figures["given up"] = play.plane.moved, play.plane.given_up
    figures["records"], figures["acked"] = len(play.ledger.committed), len(play.ledger.acks)
    figures["epochs"] = len(play.ledger.leaders)
    for broker in play.brokers.values():
        figures.update(broker.counts)
        figures["lives"] += broker.life
    for publisher in play.publishers:
        figures.update({f"reply {code or 'acked'}": count for code, count in publisher.codes.items()})
    return Verdict(seed, violation, figures)
