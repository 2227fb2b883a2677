"""What intents come to: carried out under the epoch that decided on them, and a refusal is journaled, once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bus.errors import (
    AccessDenied,
    BrokerUnavailable,
    BusError,
    GroupConflict,
    InsufficientReplicas,
    NotLeader,
)
from bus.event import from_json
from bus.wire import Answered, Placed, Seat, Topology
from controlplane import effects, limits
from controlplane.deadletters import WAITING, Letter
from controlplane.effects import Effects
from controlplane.facts import (
    Carried,
    ChangeGroup,
    Fact,
    GroupChanged,
    GroupOpened,
    HaltBroker,
    Intent,
    IntentFailed,
    OfferAnswered,
    OfferEpoch,
    OpenGroup,
    PlaceSeat,
    PublishEvent,
    RedriveDecided,
    ReleaseBroker,
    SpreadTopology,
    StartBroker,
)
from controlplane.journal import Kept
from controlplane.plane import folds
from controlplane.questions import AskAt, AskDiff, AskVerify, AskWhatIf, Diff, Past, Verified, WhatIf
from controlplane.restoring import outstanding
from controlplane.timeline import verify
from tests.controlplane.edge.brokerless import FOLLOWS, Lived
from tests.controlplane.edge.examples import arrived
from tests.controlplane.edge.lived import Lived as Told
from tests.controlplane.made import Story, bury, dead_letter

NOW_EPOCH, OLDER = 7, 6
EVENT = b'{"specversion":"1.0","id":"1:0","source":"agent/a","type":"task.done"}'


class Hands:
    """Whom the effects reach: a supervisor with one broker, and a fleet. `answers` are given in turn, errors raised."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.answers: list[Any] = []
        self.store = "store-b1"
        self.there = True
        self.facts: list[Fact] = []
        self.effects = Effects(cast(Any, self), self.facts.append, lambda topology: None)
        self.effects.claim_as(NOW_EPOCH, "me")

    # ------------------------------------------------------------------------------------ as a supervisor

    def controls(self, broker: str) -> "Hands | None":
        return self if self.there else None

    def sessions(self) -> "dict[str, Hands]":
        return {"b1": self}

    def ensure(self, broker: str, url: str) -> None:
        self.done.append(("start", broker))

    def halt(self, broker: str, pid: int, reason: str) -> None:
        self.done.append(("halt", broker))

    async def release(self, broker: str, reason: str) -> None:
        self.done.append(("release", broker))

    # ------------------------------------------------------------------------------------ as a session, a fleet

    async def offer(self, plane_epoch: int, uuid: str, partition: int, epoch: int) -> Any:
        self.done.append(("offer", plane_epoch, uuid, partition, epoch))
        return self._next()

    async def place(self, plane_epoch: int, uuid: str, seat: Seat) -> Any:
        self.done.append(("place", plane_epoch, uuid, seat.partition))
        return self._next()

    async def change_group(
        self, plane_epoch: int, uuid: str, partition: int, group: str, changes: Any, decision: int
    ) -> Any:
        self.done.append(("change", plane_epoch, partition, group, changes, decision))
        return self._next()

    def spread(self, plane_epoch: int, uuid: str, topology: Topology) -> None:
        self.done.append(("spread", plane_epoch, uuid))

    async def publish(self, event: Any) -> None:
        self.done.append(("publish", event.id))
        self._next()

    def _next(self) -> Any:
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BusError):
            raise answer
        return answer

    async def carry(self, *intents: Intent) -> list[Fact]:
        """All of it, to the end; what was journaled of it."""
        self.facts.clear()
        self.effects.carry([(1, index, intent) for index, intent in enumerate(intents)])
        while self.effects._tasks:
            await asyncio.gather(*self.effects._tasks)
        return list(self.facts)


@pytest.fixture
async def hands(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hands]:
    monkeypatch.setattr(limits, "EFFECT_RETRY_MS_MIN", 1)
    made = Hands()
    yield made
    await made.effects.close()


def seat(partition: int = 0, epoch: int = 3) -> Seat:
    return Seat(partition, epoch, "b1", ["b1"], 1, ["store-b1"], [])


async def test_an_intent_goes_out_under_the_epoch_that_decided_on_it(hands: Hands) -> None:
    answer = Answered(1, 0, 3, True, 3, 2, 9, 9)
    hands.answers = [answer, Placed(1, 0, 3, True, "")]
    spread = SpreadTopology(Topology(1, 1, [], [], []), OLDER)
    said = await hands.carry(OfferEpoch(0, 3, ["b1"], OLDER), PlaceSeat(seat(), ["b1"], OLDER), spread)
    assert sorted(hands.done) == [("offer", OLDER, "me", 0, 3), ("place", OLDER, "me", 0), ("spread", OLDER, "me")]
    assert said == [OfferAnswered(0, 3, "b1", "store-b1", True, 3, 2, 9, 9)]


@pytest.mark.parametrize(
    "intent", [OfferEpoch(0, 3, ["b1"], 0), ReleaseBroker("b1", "why", 0)], ids=["offer", "release"]
)
async def test_what_fails_in_a_way_that_nobody_thought_of_is_said(
    hands: Hands, intent: Intent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("never thought of")

    monkeypatch.setattr(hands, "offer", broken)
    monkeypatch.setattr(hands, "release", broken)
    with pytest.raises(KeyError):
        await hands.carry(intent)
    assert "an intent was not carried out" in caplog.text and "never thought of" in caplog.text


async def test_what_another_plane_decided_is_not_carried_out_here(hands: Hands) -> None:
    for epoch, done in ((OLDER, 0), (NOW_EPOCH, 3), (0, 3)):
        hands.done.clear()
        await hands.carry(StartBroker("b1", 0, "", epoch), HaltBroker("b1", 9, "restart", epoch),
                          ReleaseBroker("b1", "gone", epoch))  # fmt: skip
        assert len(hands.done) == done


async def test_a_refused_seat_is_journaled_once_and_again_when_it_is_another_refusal(hands: Hands) -> None:
    refused = Placed(1, 0, 3, False, "it promised epoch 4")
    hands.answers = [refused, refused, Placed(1, 0, 3, False, "it promised epoch 5"), refused]
    told = [await hands.carry(PlaceSeat(seat(), ["b1"], NOW_EPOCH)) for _ in range(3)]
    told.append(await hands.carry(PlaceSeat(seat(1), ["b1"], NOW_EPOCH)))
    first = IntentFailed(1, 0, "PlaceSeat", "b1", "it promised epoch 4", 0)
    other = IntentFailed(1, 0, "PlaceSeat", "b1", "it promised epoch 5", 0)
    assert told == [[first], [], [other], [IntentFailed(1, 0, "PlaceSeat", "b1", "it promised epoch 4", 1)]]


async def test_a_seat_is_placed_again_until_it_is_answered(hands: Hands) -> None:
    silent = BrokerUnavailable("b1 did not answer")
    hands.answers = [silent, silent, Placed(1, 0, 3, True, "")]
    assert await hands.carry(PlaceSeat(seat(), ["b1"], NOW_EPOCH)) == [
        IntentFailed(1, 0, "PlaceSeat", "b1", "b1 did not answer", 0)
    ]
    assert len(hands.done) == 3


async def test_an_offer_without_an_answer_is_journaled_too(hands: Hands) -> None:
    hands.answers = [BrokerUnavailable("b1 did not answer Offer in 5 s")]
    offer = OfferEpoch(2, 3, ["b1"], NOW_EPOCH)
    assert await hands.carry(offer) == [IntentFailed(1, 0, "OfferEpoch", "b1", "b1 did not answer Offer in 5 s", 2)]
    hands.there = False
    assert await hands.carry(offer) == [IntentFailed(1, 0, "OfferEpoch", "b1", "there is no session with it", 2)]


async def test_an_event_that_nobody_takes_is_given_up_and_said(hands: Hands) -> None:
    hands.effects.publish_through(cast(Any, hands))
    hands.answers = [InsufficientReplicas("p00: 1 of 3"), AccessDenied("source agent/a is not yours")]
    assert await hands.carry(PublishEvent("1:0", EVENT)) == [
        IntentFailed(1, 0, "PublishEvent", "", "source agent/a is not yours", event=EVENT.decode())
    ]
    assert hands.done == [("publish", "1:0")] * 2


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], GroupOpened("inbox.a")),
        ([BrokerUnavailable("p00 has no leader"), None], GroupOpened("inbox.a")),
        ([GroupConflict("ack_wait differs", "ack_wait_ms")], GroupOpened("inbox.a")),
        ([AccessDenied("not yours")], IntentFailed(1, 0, "OpenGroup", "", "not yours")),
    ],
)
async def test_a_group_is_asked_for_until_it_is_there(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, answers: list[BusError | None], said: Fact
) -> None:
    async def opens(cluster: object, group: str, pattern: str, start: int) -> None:
        hands.done.append((group, pattern, start))
        hands._next()

    monkeypatch.setattr(effects, "open_group", opens)
    hands.effects.publish_through(cast(Any, SimpleNamespace(cluster=None)))
    hands.answers = list(answers)
    assert await hands.carry(OpenGroup("inbox.a", "agent.inbox.a", 5)) == [said]
    assert hands.done == [("inbox.a", "agent.inbox.a", 5)] * max(1, len(answers))


# ------------------------------------------------------------------------------------------- after a restart


def letters(lived: Lived, count: int) -> None:
    """Dead letters, archived."""
    events = [from_json(dead_letter(f"dead-{n}", offset=n)) for n in range(count)]
    arrival = arrived(events, 0, lived.offset(0), lived.now)
    lived._commit([Kept(lived.heart.step(arrival.rows(FOLLOWS), lived.now), arrival)])


def keys(lived: Lived) -> list[tuple[int, int]]:
    return [each[:2] for each in lived.restored.said]


def test_what_is_to_be_carried_again_is_what_nothing_answers(tmp_path: Path) -> None:
    lived = Lived(tmp_path)
    letters(lived, 4)
    lived.tell(RedriveDecided([f"dead-{n}" for n in range(4)], "op", "again"))
    decided = lived.journal.position
    for _ in range(3):
        lived.turn()
    lived.snapshot()
    assert [each[:2] for each in outstanding(lived.heart, lived.journal)] == [(decided, n) for n in range(4)]
    lived.tell(Carried(decided, 1, 0, 9), IntentFailed(decided, 2, "PublishEvent", "", "no room for it"))
    lived.close()
    again = Lived(tmp_path)
    assert keys(again) == [(decided, 0), (decided, 3)]
    assert all(isinstance(intent, PublishEvent) and intent.id == f"{c}:{i}" for c, i, intent in again.restored.said)
    letter: Letter = again.heart.states["deadletters"].get("letter", "dead-2")
    assert (letter.state, letter.refused) == (WAITING, "no room for it")
    again.tell(Carried(decided, 0, 0, 10), Carried(decided, 3, 0, 11))
    again.close()
    done = Lived(tmp_path)
    assert keys(done) == []
    assert verify(done.journal.replay(), folds()).same
    done.close()


def test_a_letter_that_nobody_takes_waits_again_and_can_be_redriven_again() -> None:
    story = Story().begin(partitions=3)
    rows = story.rows()
    bury(rows, "dead-1", story.now)
    story.record(rows)

    def waiting() -> int:
        return int(story.heart.states["deadletters"].get("count", "waiting"))

    assert waiting() == 1
    step = story.tell(RedriveDecided(["dead-1"], "op", "again"))
    assert waiting() == 0
    story.tell(IntentFailed(step.first, 0, "PublishEvent", "", "denied"))
    assert waiting() == 1
    lines = [line.text for _, line in story.heart.states["lately"].items("line")]
    assert "an event cannot be published: denied" in lines
    again = story.tell(RedriveDecided(["dead-1"], "op", "again"))
    assert [intent.id for _, _, intent in again.intents if isinstance(intent, PublishEvent)] == [f"{again.first}:0"]
    story.echo()
    assert isinstance(story.steps[-1].derived[0].fact, Carried)
    assert waiting() == 0 and not story.heart.states["outbox"].table("due")
    assert verify(story.steps, folds()).same


async def test_a_decision_on_a_group_is_said_to_each_leader_until_it_has_committed_it(hands: Hands) -> None:
    seats = [Seat(partition, 1, "b1", ["b1"], 1) for partition in range(2)]
    await hands.carry(SpreadTopology(Topology(1, "f", 1, [], seats), NOW_EPOCH))
    hands.done.clear()
    hands.answers = [NotLeader("ask another"), None, BrokerUnavailable("it is gone"), None]
    assert await hands.carry(ChangeGroup("g", None, 9, NOW_EPOCH, 77)) == [GroupChanged("g", 9)]
    assert sorted({done[2] for done in hands.done}) == [0, 1] and len(hands.done) == 4
    assert {done[5] for done in hands.done} == {77}, "the decision by its number, each time"


async def test_a_newer_decision_on_a_group_takes_the_place_of_one_on_its_way(hands: Hands) -> None:
    seats = [Seat(0, 1, "b1", ["b1"], 1)]
    await hands.carry(SpreadTopology(Topology(1, "f", 1, [], seats), NOW_EPOCH))
    hands.there = False
    hands.effects.carry([(1, 0, ChangeGroup("g", {"max_deliver": 3}, 5, NOW_EPOCH))])
    await asyncio.sleep(0)
    hands.there = True
    assert await hands.carry(ChangeGroup("g", None, 9, NOW_EPOCH)) == [GroupChanged("g", 9)]
    assert [done[4] for done in hands.done if done[0] == "change"] == [None]


# ------------------------------------------------------------------------------------------- never in replay


async def test_reading_the_journal_again_carries_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify, what-if and looks back say intents, too; nobody carries them."""
    lived = Told(tmp_path)
    lived.begin(partitions=3)
    for code, argument in ((10, 4), (10, 8), (6, 3), (1, 0), (0, 50), (2, 0), (3, 1)):
        lived.act(code, argument)
    assert {type(intent) for step in lived.steps for _, _, intent in step.intents} >= {
        StartBroker, OfferEpoch, PlaceSeat, SpreadTopology, PublishEvent,
    }  # fmt: skip
    carried: list[object] = []
    monkeypatch.setattr(Effects, "carry", lambda self, said: carried.append(said))
    monkeypatch.setattr(lived.turns._landing, "_carry", carried.append)
    end = lived.journal.position
    for question, kind in (
        (AskVerify(), Verified), (AskWhatIf({"sagas.stuck_after": "1s"}), WhatIf), (AskAt(position=end - 1), Past),
        (AskDiff(position_a=1, position_b=end), Diff),
    ):  # fmt: skip
        assert isinstance((await lived.ask(question)).body, kind)
    assert carried == [] and lived.journal.position == end
    assert not lived.turns._facts
    lived.close()
