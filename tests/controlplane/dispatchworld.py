"""A world around dispatch, by a seed: partitions, brokers that lose acks, agents that crash, a plane that is killed.

    python -m tests.controlplane.dispatchworld SEED [SEEDS]

What agents and publishers say goes into one of three partitions, and is recorded from there in any order; what the
plane wants published goes there, too, twice at times, or no broker takes it. Agents get their mail from the log, and do
it, fail, hang, crash, repeat what they said, or have it given up by their inboxes. The plane is killed between a commit
and what follows, and reads its journal again; at times what is left of that is older than what it had said.

What the plane journals is held against `dispatchbook`, and what becomes of each event against what agents did.
"""

import json
import sys
from collections import Counter
from random import Random
from typing import Any
from zlib import crc32

from bus.event import Event, to_json
from bus.router import Rule, Rules
from controlplane.arrivals import Follows
from controlplane.facts import (
    AgentQuarantined,
    AgentReleased,
    Fact,
    IntentFailed,
    PlaneStarted,
    PublishEvent,
    RoutesSet,
    Rows,
    SettingSet,
    Tick,
)
from controlplane.fold import Heart, Step
from controlplane.outbox import due_of
from controlplane.plane import FOLLOWED_TYPES
from controlplane.timeline import verify
from tests.controlplane.dispatchbook import LETTER, PARTITIONS, PLACES, Book, Wrong, sure
from tests.controlplane.dispatching import MS, SECOND, lifecycle, published, some_folds
from tests.controlplane.edge.examples import arrived
from tests.controlplane.logs import NOW

NAMES, CAPABILITIES = ("a", "b", "c", "d"), ("x", "y", "z")
RULES = Rules((Rule("named", "order.>", ("agent/d",)), Rule("both", "order.large", ("capability:y", "agent/a"))))
FOLLOWS = Follows(FOLLOWED_TYPES).also(RULES.patterns)
FOLDS = ("outbox", "deadletters", "registry", "dispatch")
FATES = ("handled", "handled", "slow", "failed", "refused", "dead", "twice")
"""What may become of mail that an agent takes."""
INBOX = "agent.inbox."


class World:
    """Everything, from one seed. `taken_over`: the journal was put back, so that what was done may be done again."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.now = NOW
        self.logs: list[list[Event]] = [[] for _ in range(PARTITIONS)]
        self.heart, self.book = Heart(some_folds(*FOLDS)), Book()
        self.journal: list[Step] = []
        self.todo: list[tuple[int, int, PublishEvent]] = []
        self.asked: list[str] = []
        self.pending: dict[str, list[Event]] = {name: [] for name in NAMES}
        self.done: Counter[str] = Counter()
        self.incarnation: Counter[str] = Counter()
        self.up: dict[str, bool] = {}
        self.epoch, self.stamp, self.taken_over = 1, "", False
        self.tell(PlaneStarted(1, "u-1"))
        self.tell(RoutesSet(1, RULES))

    # ----------------------------------------------------------------------------------------- the log

    def append(self, event: Event) -> None:
        """At its home, unless the brokers know its id. What is mail is in the inbox then."""
        log = self.logs[crc32(event.key.encode()) % PARTITIONS]
        if any((one.source, one.id) == (event.source, event.id) for one in log) and self.dice.random() < 0.8:
            return
        log.append(event)
        if event.type.startswith(INBOX):
            self.pending[event.type.removeprefix(INBOX)].append(event)

    def say(self, type: str, source: str, data: dict[str, Any], **more: Any) -> Event:
        """Somebody publishes."""
        event = Event(type=type, source=source, id=f"e{sum(map(len, self.logs))}-{type}", data=data, **more)
        self.append(event)
        return event

    # ----------------------------------------------------------------------------------------- the plane

    def tell(self, given: Fact | Rows) -> None:
        """One step of the plane; what it wants is to be carried out."""
        step = self.heart.step(given, self.now)
        sure(not self.heart.quarantined, str(self.heart.quarantined))
        self.journal.append(step)
        self.book.take(step)
        self.book.check(self.heart.states["dispatch"])
        self.todo += [(cause, index, it) for cause, index, it in step.intents if isinstance(it, PublishEvent)]

    def record(self) -> None:
        """Some events of some partition, the newest ones perhaps much later than others elsewhere."""
        partition = self.dice.randrange(PARTITIONS)
        first = self.book.cursors[partition]
        events = self.logs[partition][first : first + self.dice.randint(1, 8)]
        if events:
            self.tell(arrived(events, partition, first, self.now).rows(FOLLOWS))

    def carry(self, refuses: float = 0.08) -> None:
        """One of the events that the plane wants published: taken, its ack lost, or refused for good."""
        if not self.todo:
            return
        cause, index, intent = self.todo.pop(self.dice.randrange(len(self.todo)))
        if self.dice.random() < refuses:
            self.tell(IntentFailed(cause, index, "PublishEvent", "", "refused", event=intent.event.decode()))
            return
        self.append(published(intent.event.decode()))
        if self.dice.random() < 0.15:
            self.todo.append((cause, index, intent))

    def restart(self, lost: int = 0) -> None:
        """It is killed, and reads its journal again; or what was put back of it, without so many steps."""
        if lost:
            self.taken_over, self.journal = True, self.journal[: max(2, len(self.journal) - lost)]
        self.heart, self.book, self.epoch = Heart(some_folds(*FOLDS)), Book(), self.epoch + 1
        for step in self.journal:
            self.heart.replay(step)
            self.book.take(step)
        sure(self.heart.digest() == self.journal[-1].digest, "read again, the journal comes to another state")
        due = self.heart.states["outbox"]
        self.todo = [
            (cause, index, it)
            for step in self.journal
            for cause, index, it in step.intents
            if isinstance(it, PublishEvent) and due.get("due", f"{cause}:{index}") is not None
        ]
        sure(sorted({cause for cause, _, _ in self.todo}) == due_of(due), "the outbox has what nothing wanted")
        self.stamp = f"{self.epoch}-stamp" if lost else self.stamp
        self.tell(PlaneStarted(self.epoch, f"u-{self.epoch}", gap_ns=self.dice.choice([0, SECOND]), stamp=self.stamp))

    # ----------------------------------------------------------------------------------------- agents

    def lifecycle(self, name: str, word: str, **data: Any) -> None:
        """An agent says something of itself."""
        given = lifecycle(name, word, {"incarnation": f"{name}-{self.incarnation[name]}"} | data)
        self.append(given.replace(id=f"{name}-{word}-{sum(map(len, self.logs))}"))

    def joins(self, name: str, can: list[str]) -> None:
        """It starts, also where it did not leave."""
        self.incarnation[name] += 1
        self.up[name] = True
        self.lifecycle(name, "joined", capabilities=can, concurrency=PLACES, heartbeat_ms=5_000)

    def works(self, name: str, calm: bool = False) -> None:
        """It takes one of its mails, any, and does something about it."""
        if not self.up.get(name) or not self.pending[name]:
            return
        mail = self.dice.choice(self.pending[name])
        fate = "handled" if calm else self.dice.choice(FATES)
        if fate == "slow":
            return
        if fate in ("failed", "refused") and mail.data.get("settle_by", self.now + 1) <= self.now:
            fate = "dead"  # nobody listens any more: its inbox makes the dead letter
        if fate == "dead" or (mail.expirytime and mail.expirytime <= self.now):
            reason = "expired" if fate != "dead" else self.dice.choice(["max_deliver", "terminated"])
            data = {"group": f"inbox.{name}", "reason": reason, "partition": 0, "offset": 0, "event": _plain(mail)}
            self.say(LETTER, "signalbox/b1", data, partitionkey=mail.key)
        else:
            order, outcome = mail.data, "handled" if fate == "twice" else fate
            self.done[f"{order['event']['id']} {name}"] += outcome == "handled"
            told = {"task": order["task"], "attempt": order["attempt"], "outcome": outcome, "took_ms": 10}
            for _ in range(1 + (fate == "twice")):
                self.say("dispatch.settled", f"agent/{name}", told, partitionkey=order["task"])
        if fate != "twice":
            self.pending[name].remove(mail)

    # ----------------------------------------------------------------------------------------- what happens

    def asks(self) -> None:
        """Somebody wants something done: by who can do it, or by an agent that a rule names."""
        dice, subject = self.dice, f"s{self.dice.randrange(9)}"
        if dice.random() < 0.25:
            event = self.say(dice.choice(["order.made", "order.large"]), "agent/shop", {}, subject=subject)
        else:
            policy = dice.choice(["wait", "wait", "dead-letter", "escalate"])
            expires = self.now + dice.randint(1, 90) * SECOND if dice.random() < 0.15 else None
            event = self.say(
                "work.asked", "agent/shop", {}, subject=subject, expirytime=expires,
                requires=dice.sample(CAPABILITIES, dice.randint(1, 2)), extensions={"nocapable": policy},
                priority=dice.choice([None, "high", "low"]),
            )  # fmt: skip
        self.asked.append(event.id)

    def act(self) -> None:
        """One thing happens."""
        dice, name = self.dice, self.dice.choice(NAMES)
        what = dice.choices(
            ["ask", "record", "carry", "work", "beat", "join", "leave", "crash", "tick", "operate", "kill", "over"],
            [8, 14, 12, 10, 8, 3, 1, 1, 4, 1, 1, 0.15],
        )[0]
        if what == "ask":
            for _ in range(dice.choice([1, 1, 2, 6])):
                self.asks()
        elif what == "record":
            self.record()
        elif what == "carry":
            self.carry()
        elif what == "work":
            self.works(name)
        elif what == "beat" and self.up.get(name):
            self.lifecycle(name, "heartbeat")
        elif what == "join":
            self.joins(name, dice.sample(CAPABILITIES, dice.randint(0, 3)))
        elif what == "leave" and self.up.pop(name, False):
            self.lifecycle(name, "left", reason="done")
        elif what == "crash":
            self.up[name] = False
        elif what == "tick":
            self.now += dice.choice([1, 1_000, 5_000, 20_000]) * MS
            self.tell(Tick())
        elif what == "operate":
            agents, attempts = [f"agent/{name}"], SettingSet("dispatch.attempts", dice.choice("125"))
            deadline = SettingSet("dispatch.deadline_ms", dice.choice(["15000", "60000"]))
            self.tell(dice.choice([AgentQuarantined(agents), AgentReleased(agents), attempts, deadline]))
        elif what in ("kill", "over"):
            self.restart(dice.randint(1, 30) if what == "over" else 0)

    def rests(self) -> None:
        """All is well from now on: until there is nothing left to do, and everything is accounted for."""
        self.tell(AgentReleased([f"agent/{name}" for name in NAMES]))
        for name in NAMES:
            self.joins(name, list(CAPABILITIES))
        for calm in range(100):
            for _ in range(12):
                self.record()
                self.carry(0)
            for name in NAMES:
                self.lifecycle(name, "heartbeat")
                self.works(name, calm=True)
            self.now += 4 * SECOND
            self.tell(Tick())
            if calm > 5 and self.is_idle():
                while any(end < len(log) for end, log in zip(self.book.cursors, self.logs, strict=True)):
                    self.record()
                if self.is_idle():
                    return
        left = self.heart.states["dispatch"].table("task")
        raise Wrong(f"it does not come to an end: {left}, {self.pending}, {len(self.todo)} to do")

    def is_idle(self) -> bool:
        """Whether nothing is left to be done, as far as anybody knows."""
        return not self.heart.states["dispatch"].table("task") and not any(self.pending.values()) and not self.todo

    def judge(self) -> None:
        """What was asked for is done, or a dead letter says why not; and the journal makes itself again."""
        letters = [event.data["event"] for log in self.logs for event in log if event.type == LETTER]
        # A letter that no broker took is known to the plane alone.
        letters += [json.loads(letter.event) for _, letter in self.heart.states["deadletters"].items("letter")]
        dead = set(map(_original, letters))
        done = Counter(key.partition(" ")[0] for key, count in self.done.items() if count)
        kept = {event.id for log in self.logs for event in log}
        for id in self.asked:
            sure(id in kept, f"{id} was never published")
            sure(bool(done[id]) or id in dead, f"{id} is lost: nobody did it, and no dead letter has it")
        sure(not self.heart.states["outbox"].table("due"), "something is still to be published")
        told = verify(self.journal, some_folds(*FOLDS))
        sure(told.divergence == "" and told.digest == self.heart.digest().hex(), f"made again: {told.divergence}")


def _plain(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(event))
    return found


def _original(event: dict[str, Any]) -> str:
    """The id of the event that a dead letter is about, also in the mail that it was in."""
    return str(event["data"]["event"]["id"] if event.get("dispatched") else event["id"])


def run(seed: int, acts: int = 150) -> World:
    """One life. Raises Wrong."""
    world = World(seed)
    for name in NAMES[:3]:
        world.joins(name, list(CAPABILITIES[:2]))
    for _ in range(acts):
        world.act()
    world.rests()
    world.judge()
    return world


if __name__ == "__main__":
    begin = int(sys.argv[1])
    for number in range(begin, begin + int((sys.argv[2:] or ["1"])[0])):
        try:
            run(number)
        except Wrong as wrong:
            print(f"seed {number}: {wrong}")
