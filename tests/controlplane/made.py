"""A fleet made up from facts: what brokers, publishers and operators do, without any of them."""

import json
from typing import Any

from hypothesis import strategies as st

from bus.wire import GroupSample, ReplicaSample, Sampled
from controlplane import facts
from controlplane.deadletters import TYPE as DEAD_LETTER
from controlplane.deadletters import WAITING, letters_of
from controlplane.facts import Fact, Rows
from controlplane.fold import Heart, Step
from controlplane.plane import folds, versions
from controlplane.roster import partitions_of
from tests.controlplane.logs import NOW, SECOND, add, empty_rows

MS = 1_000_000
BROKERS = ("b1", "b2", "b3")
TYPES = ("task.request", "agent.message", "exec.failed", "agent.termination", "workflow.pay.failed", "a b.c",
         "agent.lifecycle.joined", "agent.lifecycle.left")  # fmt: skip


def dead_letter(
    id: str,
    group: str = "coder",
    reason: str = "max_deliver",
    error: str = "boom",
    offset: int = 0,
    subject: str = "s-1",
) -> bytes:
    """A dead letter as a broker writes it."""
    original = {"specversion": "1.0", "id": f"original-{id}", "type": "exec.failed", "source": "agent/a",
                "subject": "s-1", "data": {"n": 12345678901234567890, "x": 0.1}}  # fmt: skip
    attempts = [{"attempt": n, "at": NOW, "error": error, "member": f"m-{n}", "took_ms": 12} for n in (1, 2)]
    data = {"group": group, "reason": reason, "error": error, "partition": 0, "offset": offset, "appended": NOW,
            "attempts": attempts, "event": original}  # fmt: skip
    return json.dumps(
        {
            "specversion": "1.0",
            "id": id,
            "type": DEAD_LETTER,
            "source": "signalbox/b1",
            "subject": subject,
            "data": data,
        }
    ).encode()


def bury(rows: Rows, id: str, appended: int = NOW, **what: Any) -> None:
    """One dead letter at the end of the rows."""
    rows.followed[len(rows)] = dead_letter(id, **what)
    add(rows, DEAD_LETTER, "signalbox/b1", "s-1", id, appended)


class Story:
    """A heart that is told things, and everything that it said; `steps` is its journal."""

    def __init__(self, heart: Heart | None = None) -> None:
        self.heart = heart or Heart(folds())
        self.now = NOW
        self.steps: list[Step] = []
        self.offers: list[facts.OfferEpoch] = []
        self.published: list[facts.PublishEvent] = []
        self.ends: dict[int, int] = {}
        self.letters = 0

    def tell(self, given: Fact | Rows, after: float = 0.0) -> Step:
        """One input, `after` seconds."""
        self.now += int(after * 1_000) * MS
        step = self.heart.step(given, self.now)
        self.steps.append(step)
        for _, _, intent in step.intents:
            if isinstance(intent, facts.OfferEpoch):
                self.offers.append(intent)
            elif isinstance(intent, facts.PublishEvent):
                self.published.append(intent)
        return step

    def begin(self, partitions: int = 12) -> "Story":
        """A plane, three brokers, and their leaders."""
        self.tell(facts.PlaneStarted(1, "u", "0"))
        self.tell(facts.FoldVersions(versions()))
        self.tell(facts.FleetFounded("f", partitions, 4096, list(BROKERS)))
        for broker in BROKERS:
            self.tell(facts.BrokerStarted(broker, 100, f"store-{broker}", f"tcp://{broker}"), 0.1)
        self.vote()
        return self

    def vote(self, silent: str = "") -> None:
        """Every broker answers the offers that are out."""
        offers, self.offers = self.offers, []
        for offer in offers:
            for broker in offer.brokers:
                if broker != silent:
                    self.tell(facts.OfferAnswered(offer.partition, offer.epoch, broker, f"store-{broker}", True,
                                                  offer.epoch, 0, 0, 0))  # fmt: skip

    def sample(self, broker: str, groups: list[GroupSample] | None = None, **figures: Any) -> None:
        """A broker's figures; all replicas in sync unless `lags` names brokers that are not."""
        late = figures.pop("lags", ())
        refused = figures.pop("refused", 0)
        room = {name: figures.pop(name) for name in ("free_bytes", "reserve_bytes", "refuses") if name in figures}
        skew = figures.pop("skew_ns", 0)
        replicas = []
        for p in partitions_of(self.heart.states["fleet"]):
            others = [id for id in p.replicas if id != broker]
            leads = p.leader == broker
            lags = {id: 9 * SECOND if id in late else MS for id in others} if leads else {}
            ends = dict.fromkeys(others, 5) if leads else {}
            end = self.ends.get(p.partition, 0)
            replicas.append(ReplicaSample(p.partition, p.epoch, leads, 5, 5, end, end, ends, lags, refused))
        rest = {"fsync_p99_ns": 3 * MS, "ack_p99_ns": 9 * MS, "events_in": 10, "events_out": 20} | figures
        self.tell(facts.BrokerSampled(Sampled(
            1, broker, self.now, replicas, groups or [], rest["events_in"], rest["events_out"], 1, rest["fsync_p99_ns"],
            rest["ack_p99_ns"], 10**8, 10**9, 3, 0, refused, **room,
        ), skew))  # fmt: skip

    def rows(self, partition: int = 0) -> Rows:
        """Rows to be filled and told, at the partition's end."""
        return empty_rows(partition, self.ends.get(partition, 0))

    def record(self, rows: Rows, after: float = 0.0) -> Step:
        """The recorder hands them over."""
        self.ends[rows.partition] = rows.first_offset + len(rows)
        return self.tell(rows, after)

    def say(self, type: str, saga: str = "s-1", source: str = "agent/a", after: float = 0.0, **more: Any) -> Step:
        """One live event, appended and recorded now."""
        self.now += int(after * 1_000) * MS
        rows = self.rows()
        add(rows, type, source, saga, appended=self.now, **more)
        return self.record(rows)

    def wait(self, seconds: float) -> list[Step]:
        """Ticks at each second and at each deadline."""
        until = self.now + int(seconds * 1_000) * MS
        steps = []
        while self.now < until:
            due = self.heart.next_deadline()
            self.now = min(until, self.now + SECOND, max(due, self.now + 1) if due is not None else until)
            steps.append(self.tell(facts.Tick()))
        return steps

    def act(self, code: int, argument: int) -> None:
        """One of the things that happen, chosen by numbers: for properties."""
        broker = BROKERS[argument % 3]
        if code == 0:
            self.tell(facts.Tick(), argument / 100)
        elif code == 1:
            self.tell(facts.BrokerLost(broker, "killed: 9"))
        elif code == 2:
            self.tell(facts.BrokerStarted(broker, argument, f"store-{broker}", "tcp://x", argument % 2 == 0))
        elif code == 3:
            self.vote(broker if argument % 2 else "")
        elif code == 4:
            oldest = self.now - argument * SECOND
            group = GroupSample("coder", argument % 12, "exec.>", 2, 0, argument, 1, 3, 2, 1, 0, oldest, {3: 1, 9: 2})
            self.sample(broker, [group], lags=(BROKERS[0],) if argument % 7 == 0 else ())
        elif code == 5:
            self.tell(facts.PlaneResumed(argument * SECOND), argument)
        elif code == 6:
            targets = [x.id for x in letters_of(self.heart.states["deadletters"]) if x.state == WAITING][: argument + 1]
            self.tell(facts.RedriveDecided(targets, "op1", "again"))
        elif code == 7:
            self.tell(facts.SettingSet("sagas.stuck_after_ms", str(1 + argument)))
        elif code == 8:
            self.tell(facts.PlaneStarted(argument, "v", gap_ns=argument * SECOND), argument)
        elif code == 9:
            self.echo()
        else:
            self._publish(argument)

    def echo(self) -> None:
        """What was to be published again comes through the recorder."""
        rows = self.rows(1)
        for intent in self.published:
            add(rows, "exec.failed", "agent/a", "s-1", intent.id, self.now, redriven=True)
        self.published = []
        if len(rows):
            self.record(rows)

    def _publish(self, argument: int) -> None:
        rows = self.rows(argument % 3)
        for n in range(argument % 9):
            log = ("", "", "log-1")[(argument + n) % 3]
            time = "2024-01-01T00:00:00.000Z" if n % 2 else None
            saga = f"{log or 'live'}-{(argument * 7 + n) % 5}"
            add(rows, TYPES[(argument + n) % len(TYPES)], f"agent/{n % 3}", saga, "", self.now - n, log, time)
        if argument % 4 == 0:
            self.letters += 1
            bury(rows, f"dead-{self.letters}", self.now, error=f"error {argument} at 0x{argument:x}", offset=argument)
        rows.appended.sort()
        if len(rows):
            self.record(rows)


actions = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 60)), min_size=5, max_size=60)
"""What may happen, for `Story.act`; publishing is the likeliest."""


@st.composite
def row_batches(draw: st.DrawFn, longest: int = 40) -> Rows:
    """Any rows of partition 3, dead letters, lifecycle and imported ones among them."""
    rows = empty_rows(3, draw(st.integers(0, 5)))
    appended = NOW - 400 * SECOND
    for n in range(draw(st.integers(1, longest))):
        appended += draw(st.sampled_from([0, 1, 1_000 * MS, 70_000 * MS]))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            error = draw(st.sampled_from(["boom 1", "boom 22", "Traceback\nValueError: x", ""]))
            bury(rows, f"dead-{n}", appended, group=draw(st.sampled_from(["g", "h"])), error=error, offset=n)
            continue
        log = draw(st.sampled_from(["", "", "log-1", "log-2"]))
        time = draw(st.sampled_from([None, "2024-01-01T00:00:00.000Z", "2024-01-02T03:04:05.678Z"]))
        saga = draw(st.sampled_from(["s-1", "s-2", "s-3", ""]))
        add(rows, draw(st.sampled_from(TYPES)), draw(st.sampled_from(["a", "b"])), saga, f"e-{n}", appended, log, time,
            draw(st.integers(0, 9)) == 0)  # fmt: skip
    return rows
