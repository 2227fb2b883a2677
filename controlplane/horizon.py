"""The horizon of a what-if: from where on the journal's replies no longer answer what was asked.

What the plane wants done it says as intents, and what came of them is in the journal as inputs: answers to offers,
brokers that came up or went, events that it published. Under other rules it may want other things. The first step that
does is the horizon: the world would have gone on otherwise from there, and how, the journal cannot know. The first
recorded reply to something that would not have been asked for is named beside it.

| intent | what answers it |
|---|---|
| OfferEpoch | OfferAnswered of that partition and epoch |
| StartBroker, HaltBroker | BrokerStarted, BrokerLost of that broker |
| ChangeGroup | GroupChanged of that group and decision |
| PublishEvent | the event with its position and index in its id, in a batch; IntentFailed |
| OpenGroup | GroupOpened of that group |
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from controlplane.facts import (
    BrokerLost,
    BrokerStarted,
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
    PublishEvent,
    Rows,
    SpreadTopology,
    StartBroker,
    encode_intent,
    kind_of,
)
from controlplane.fold import Step
from controlplane.stamps import place_of

Asked = tuple[str, str]
"""What an intent asks for: its kind, and what a reply to it names."""
Told = Sequence[tuple[int, int, Intent]]


class Place(msgspec.Struct, frozen=True):
    """A position, its instant, and why it matters."""

    position: int
    recorded: int
    why: str


class Watch:
    """Compares what was asked with what would have been, step by step."""

    def __init__(self) -> None:
        self.horizon: Place | None = None
        self.unasked: Place | None = None
        self._missing: Counter[Asked] = Counter()

    def reply(self, step: Step) -> None:
        """A recorded input comes; call it before `asked` of the same step."""
        if self.unasked is not None or not self._missing:
            return
        for asked in answers(step.input):
            if self._missing[asked] > 0:
                why = f"{_replied(step.input, asked)} answers {asked[0]} {asked[1]}, which would not have been asked"
                self.unasked = Place(step.first, step.recorded, why)
                return

    def asked(self, step: Step, was: Told, now: Told) -> None:
        """The intents of one step, as journaled and as they would be."""
        if not was and not now:
            return
        gone, new = _leftovers([comparable(it) for _, _, it in was], [comparable(it) for _, _, it in now])
        if not gone and not new:
            return
        for sign, intents in ((1, gone), (-1, new)):
            for intent in intents:
                for asked in asks(intent):
                    self._missing[asked] += sign
        if self.horizon is None:
            parts = [f"{named(intent)} would not have been asked for" for intent in gone[:1]]
            parts += [f"{named(intent)} would have been, and nothing here answers it" for intent in new[:1]]
            more = len(gone) + len(new) - len(parts)
            why = "; ".join(parts) + (f"; and {more:,} more" if more else "")
            self.horizon = Place(step.first, step.recorded, why)


def comparable(intent: Intent) -> Intent:
    """An intent without what only says at which position it was decided."""
    if isinstance(intent, SpreadTopology):
        return msgspec.structs.replace(intent, topology=msgspec.structs.replace(intent.topology, version=0))
    return intent


def asks(intent: Intent) -> list[Asked]:
    """What a reply to it would name; nothing for those that nobody replies to."""
    kind = kind_of(intent)
    if isinstance(intent, OfferEpoch):
        return [(kind, f"p{intent.partition:02d} epoch {intent.epoch}")]
    if isinstance(intent, ChangeGroup):
        return [(kind, f"{intent.group} of {intent.cause}")]
    if isinstance(intent, StartBroker | HaltBroker):
        return [(kind, intent.id)]
    if isinstance(intent, PublishEvent):
        return [(kind, place_of(intent.id))]
    if isinstance(intent, OpenGroup):
        return [(kind, intent.group)]
    return []


def answers(given: Fact | Rows) -> list[Asked]:
    """What an input may be a reply to."""
    if isinstance(given, OfferAnswered):
        return [("OfferEpoch", f"p{given.partition:02d} epoch {given.epoch}")]
    if isinstance(given, GroupChanged):
        return [("ChangeGroup", f"{given.group} of {given.cause}")]
    if isinstance(given, BrokerStarted):
        return [("StartBroker", given.id)]
    if isinstance(given, BrokerLost):
        return [("HaltBroker", given.id), ("StartBroker", given.id)]
    if isinstance(given, GroupOpened):
        return [("OpenGroup", given.group)]
    if isinstance(given, IntentFailed) and not given.by:
        return [("PublishEvent", f"{given.cause}:{given.index}")]
    if isinstance(given, Rows) and True in given.redriven:
        return [("PublishEvent", place_of(id)) for id, again in zip(given.ids, given.redriven, strict=True) if again]
    return []


def named(intent: Intent) -> str:
    """An intent in a few words."""
    found = asks(intent)
    return " ".join(found[0]) if found else kind_of(intent)


def _replied(given: Fact | Rows, asked: Asked) -> str:
    return f"event {asked[1]}" if isinstance(given, Rows) else kind_of(given)


def _leftovers(was: list[Intent], now: list[Intent]) -> tuple[list[Intent], list[Intent]]:
    """What only the first and only the second list has, counted; the order of what both have means nothing."""
    if was == now:
        return [], []
    count = Counter(map(encode_intent, now))
    gone = []
    for intent in was:
        data = encode_intent(intent)
        if count[data]:
            count[data] -= 1
        else:
            gone.append(intent)
    new = []
    for intent in reversed(now):
        data = encode_intent(intent)
        if count[data]:
            count[data] -= 1
            new.append(intent)
    return gone, new[::-1]
