"""The fleet by transcript: each `> command` is a fact, the lines under it are what follows, facts then intents.

The commands are told at the head of `fleet_birth.txt`. Run with `--rewrite` to write what the fold says now into the
files; read the diff before keeping it. Every step is also replayed by a second heart, which must agree.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.wire import ReplicaSample, Sampled, Seat
from controlplane import decisions, facts
from controlplane.facts import Fact, Intent
from controlplane.fleet import Fleet
from controlplane.fold import Heart
from controlplane.roster import brokers_of, partitions_of
from tests.transcripts import check, files

FILES = files("fleet")
MS = 1_000_000


class Stage:
    """A heart with the fleet alone, brokers that hold what the script says, and a clock that only `wait` moves."""

    def __init__(self) -> None:
        self.now = 1_000_000 * MS
        self.heart = Heart([Fleet()])
        self.twin = Heart([Fleet()])
        self.stores: dict[str, str] = {}
        self.offers: dict[int, facts.OfferEpoch] = {}
        self.epoch = 0

    def run(self, line: str) -> list[str]:
        verb, *words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        command: Callable[..., list[str]] = getattr(self, f"do_{verb}")
        return command(*[word for word in words if "=" not in word], **options)

    def take(self, fact: Fact) -> list[str]:
        step = self.heart.step(fact, self.now)
        self.twin.replay(step)
        assert self.twin.digest() == step.digest
        assert self.twin.next_deadline() == self.heart.next_deadline()
        said = [tell(entry.fact) for entry in step.derived if isinstance(entry.fact, Fact)]
        for _, _, intent in step.intents:
            if isinstance(intent, facts.OfferEpoch):
                self.offers[intent.partition] = intent
            said.append(tell(intent))
        return said

    def do_found(self, *brokers: str, partitions: str = "3") -> list[str]:
        return self.take(facts.FleetFounded("f", int(partitions), 4096, list(brokers)))

    def do_plane(self, gap: str = "0") -> list[str]:
        self.epoch += 1
        return self.take(facts.PlaneStarted(self.epoch, "u", gap_ns=int(float(gap) * 1000) * MS))

    def do_stopping(self) -> list[str]:
        return self.take(facts.PlaneStopped("down"))

    def do_add(self, broker: str, url: str = "") -> list[str]:
        return self.take(facts.BrokerAdded(broker, url))

    def do_remove(self, broker: str, *moves: str) -> list[str]:
        """`0:b4,b2,b3`: partition 0 shall stand so before; without any it holds nothing."""
        if not moves:
            return self.take(decisions.BrokerRemoved(broker))
        planned = [one.split(":") for one in moves]
        targets = [decisions.PlannedMove(int(p), to.split(",")) for p, to in planned]
        return self.take(decisions.RemovalDecided(broker, targets))

    def do_leave(self, broker: str) -> list[str]:
        """A broker that holds nothing, but may be about to, is to be removed."""
        return self.take(decisions.RemovalDecided(broker, []))

    def do_started(self, broker: str, store: str = "", adopted: str = "", seats: str = "", pid: str = "1") -> list[str]:
        self.stores[broker] = store or self.stores.get(broker, f"store-{broker}")
        held: list[Seat] = []
        for one in seats.split(",") if seats else []:
            partition, epoch, leader = one.split(":")
            replicas = self.heart.states["fleet"].get("partition", int(partition)).replicas
            held.append(Seat(int(partition), int(epoch), leader, replicas, 2))
        return self.take(facts.BrokerStarted(broker, int(pid), self.stores[broker], "tcp://x", bool(adopted), held))

    def do_lost(self, broker: str) -> list[str]:
        return self.take(facts.BrokerLost(broker, "killed: 9"))

    def do_stopped(self, broker: str) -> list[str]:
        return self.take(facts.BrokerStopped(broker))

    def do_answer(self, broker: str, *partitions: str, last: str = "0", end: str = "0", refused: str = "") -> list[str]:
        """The broker answers what was last offered to it; all partitions unless some are named."""
        said = []
        for number, offer in sorted(self.offers.items()):
            if broker in offer.brokers and (not partitions or str(number) in partitions):
                fact = facts.OfferAnswered(
                    number, offer.epoch, broker, self.stores[broker], not refused, int(refused or offer.epoch),
                    int(last), int(end), 0,
                )  # fmt: skip
                said += self.take(fact)
        return said

    def do_sample(
        self, broker: str, end: str = "1", high: str = "1", stale: str = "", newcomers: str = "", late: str = ""
    ) -> list[str]:
        """All followers hold what is committed and are in sync, but for the `late` ones."""
        new = dict(one.split(":") for one in newcomers.split(",") if one)
        replicas = []
        for p in partitions_of(self.heart.states["fleet"]):
            if broker in p.members:
                leads = p.leader == broker and not stale
                epoch = p.epoch - 1 if stale else p.epoch
                others = [id for id in p.members if id != broker] if leads else []
                ends = {id: 0 if id in late.split(",") else int(high) for id in others}
                lags = {id: 9_000 * MS if id in late.split(",") else MS for id in others}
                replicas.append(
                    ReplicaSample(
                        p.partition, epoch, leads, int(end), int(high), 0, 0, ends, lags, newcomers=new if leads else {}
                    )
                )
        return self.take(facts.BrokerSampled(Sampled(1, broker, 0, replicas, [], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))

    def do_drain(self, broker: str) -> list[str]:
        return self.take(decisions.BrokerDrained(broker, "op", "disk"))

    def do_revive(self, broker: str) -> list[str]:
        return self.take(decisions.BrokerRevived(broker))

    def do_rebalance(self, *moves: str) -> list[str]:
        """`0:b2,b1,b3`: partition 0 shall stand so."""
        planned = [one.split(":") for one in moves]
        return self.take(
            decisions.RebalanceDecided([decisions.PlannedMove(int(p), to.split(",")) for p, to in planned])
        )

    def do_stop(self) -> list[str]:
        return self.take(decisions.RebalanceStopped())

    def do_restart(self, *brokers: str) -> list[str]:
        return self.take(decisions.RestartDecided(list(brokers)))

    def do_accept(self, partition: str) -> list[str]:
        return self.take(decisions.LossAccepted(int(partition), [], ""))

    def do_samples(self, late: str = "") -> list[str]:
        """Every broker that is up says that all is well with it, but for its `late` followers."""
        up = [b.id for b in brokers_of(self.heart.states["fleet"]).values() if b.state == "up"]
        return [line for broker in up for line in self.do_sample(broker, late=late)]

    def do_calm(self, seconds: str, late: str = "") -> list[str]:
        """Seconds pass with ticks and samples, and every offer is answered at once by all alike."""
        said = []
        for _ in range(int(seconds)):
            self.now += 1_000 * MS
            said += self.do_tick()
            said += self.do_vote()
            said += self.do_samples(late)
        return said

    def do_vote(self, last: str = "1", end: str = "1") -> list[str]:
        """All that were asked answer alike."""
        said = []
        offers, self.offers = self.offers, {}
        for number, offer in sorted(offers.items()):
            for broker in offer.brokers:
                fact = facts.OfferAnswered(
                    number, offer.epoch, broker, self.stores[broker], True, offer.epoch, int(last), int(end), 0
                )
                said += self.take(fact)
        return said

    def do_tick(self) -> list[str]:
        return self.take(facts.Tick())

    def do_wait(self, seconds: str) -> list[str]:
        """Time passes; a tick is journaled at each deadline, as the plane does it."""
        until = self.now + int(float(seconds) * 1000) * MS
        said = []
        while (due := self.heart.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            said += self.take(facts.Tick())
        self.now = until
        return said

    def do_resumed(self, gap: str) -> list[str]:
        self.now += int(float(gap) * 1000) * MS
        return self.take(facts.PlaneResumed(int(float(gap) * 1000) * MS))

    def do_show(self) -> list[str]:
        state = self.heart.states["fleet"]
        said = [
            f"{b.id} {b.state} attempt={b.attempt} restarts={b.restarts}{' joined' if b.joined else ''}"
            + (f" {b.why}" if b.state == "fenced" else "")
            for b in brokers_of(state).values()
        ]
        for p in partitions_of(state):
            said.append(f"p{p.partition} {p.phase} epoch={p.epoch} leader={p.leader or '-'} {p.why}".rstrip())
        return said

    def do_seat(self) -> list[str]:
        """Who votes, and who learns to."""
        return [
            f"p{p.partition} epoch={p.epoch} leader={p.leader or '-'} votes={','.join(sorted(p.stores))}"
            + (f" learns={','.join(p.learners)}" if p.learners else "")
            for p in partitions_of(self.heart.states["fleet"])
        ]

    def do_deadline(self) -> list[str]:
        due = self.heart.next_deadline()
        return ["none" if due is None else f"in {(due - self.now) // MS} ms"]


def tell(said: Fact | Intent) -> str:
    """One line for a fact or an intent."""
    if isinstance(said, facts.OfferEpoch):
        return f"  offer p{said.partition} epoch {said.epoch} to {' '.join(said.brokers)}"
    if isinstance(said, facts.PlaceSeat):
        seat = said.seat
        learn = f"; {' '.join(seat.learners)} learns" if seat.learners else ""
        return f"  place p{seat.partition} epoch {seat.epoch} leader {seat.leader} at {' '.join(said.brokers)}{learn}"
    if isinstance(said, facts.SpreadTopology):
        leads = " ".join(f"p{seat.partition}:{seat.leader or '-'}" for seat in said.topology.seats)
        up = " ".join(node.id for node in said.topology.nodes if node.up)
        return f"  spread {leads}; up {up or 'none'}"
    if isinstance(said, facts.StartBroker):
        return f"  dial {said.id} at {said.url}" if said.url else f"  start {said.id} attempt {said.attempt}"
    if isinstance(said, facts.ReleaseBroker):
        return f"  release {said.id}"
    if isinstance(said, facts.LeadershipProposed):
        return f"proposed p{said.partition} epoch {said.epoch} {said.why}".rstrip()
    if isinstance(said, facts.LeaderElected):
        votes = " ".join(sorted(said.stores.values()))
        return f"elected p{said.partition} epoch {said.epoch} {said.leader}, votes {votes}"
    if isinstance(said, facts.PartitionWaits):
        return f"waits p{said.partition} {said.why}"
    if isinstance(said, facts.RestartScheduled):
        return f"restart {said.id} attempt {said.attempt}"
    if isinstance(said, facts.HaltBroker):
        return f"  halt {said.id} pid {said.pid}"
    if isinstance(said, decisions.RestartStepped):
        return f"{said.id} {'ends' if said.pid else 'is back'}"
    if isinstance(said, facts.OfferClosed):
        return f"closed p{said.partition} epoch {said.epoch}"
    return f"{type(said).__name__} {getattr(said, 'id', '')} {getattr(said, 'why', '')}".strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_fleet_says_what_the_transcript_says(path: Path, rewrite: bool) -> None:
    check(path, Stage().run, rewrite)


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 6


def test_twelve_partitions_on_three_brokers_are_led_by_four_each_and_a_loss_is_shared() -> None:
    stage = Stage()
    for line in ("plane", "found b1 b2 b3 partitions=12", "started b1", "started b2", "started b3"):
        stage.run(line)
    for broker in ("b3", "b1", "b2"):
        stage.run(f"answer {broker}")
    assert leaders(stage) == {"b1": 4, "b2": 4, "b3": 4}
    stage.run("lost b1")
    for broker in ("b2", "b3"):
        stage.run(f"answer {broker} last=1 end=9")
    assert leaders(stage) == {"b2": 6, "b3": 6}


def leaders(stage: Stage) -> dict[str, int]:
    """How many partitions each broker leads."""
    led = [p.leader for p in partitions_of(stage.heart.states["fleet"])]
    return {broker: led.count(broker) for broker in sorted(set(led))}
