"""Which events folds see whole, alike as they arrive and as the journal kept them; what a step names; echoes."""

from collections.abc import Callable
from pathlib import Path

import bus
from bus.event import JSON, Event, make, to_json
from controlplane.arrivals import Follows
from controlplane.facts import Carried, Fact, FoldQuarantined, PublishEvent, Rows, Tick
from controlplane.fold import Entry, Fold, Heart
from controlplane.journal import Journal, Kept
from controlplane.limits import FOLLOWED_DEPTH_MAX
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.saying import PLANE_SOURCE, say
from tests.controlplane.dispatching import some_folds
from tests.controlplane.edge.examples import arrived

FOLLOWS = Follows(FOLLOWED_TYPES)
NOW = 1_790_000_000_000_000_000


def of_all_kinds() -> list[Event]:
    """Events that are followed by their types, by what they need, by both, and not at all."""
    rare: list[dict[str, object]] = [
        {}, {"requires": ["translate"]}, {"requires": ["a", "b"], "priority": "high"}, {"priority": "low"},
        {"extensions": {"redriveto": "dispatch"}}, {"extensions": {"redriveto": "billing"}},
        {"requires": ["c"], "extensions": {"redriveto": "billing", "importof": "log"}},
    ]  # fmt: skip
    kinds = [
        "order.created",
        "agent.lifecycle.joined",
        "ballot.voted",
        "dispatch.settled",
        "signalbox.deadletter",
        "a b.c",
    ]
    return [
        Event(id=f"e-{n}", type=type, source="agent/a", subject=f"s-{n % 3}", data={"n": n, "x": 0.1, "t": "é"}, **more)  # type: ignore[arg-type]
        for n, (type, more) in enumerate((type, more) for more in rare for type in kinds)
    ]


def expected(events: list[Event]) -> dict[int, bytes]:
    """By a plain reading of the rule."""
    return {
        row: to_json(event)
        for row, event in enumerate(events)
        if event.type not in ("order.created", "a b.c")
        or event.requires
        or event.extensions.get("redriveto") == "dispatch"
    }


def test_they_are_followed_alike_live_and_from_the_archive(tmp_path: Path) -> None:
    events = of_all_kinds()
    live: list[Rows] = []
    journal, heart = Journal(tmp_path, FOLLOWS), Heart(folds())
    for first in range(0, len(events), 7):
        arrival = arrived(events[first : first + 7], first_offset=first, appended=NOW)
        live.append(arrival.rows(FOLLOWS))
        journal.commit([Kept(heart.step(live[-1], NOW), arrival)])
    assert [rows.followed for rows in live] == [expected(events[n : n + 7]) for n in range(0, len(events), 7)]
    assert [step.input for step in journal.replay()] == live
    journal.close()
    journal = Journal(tmp_path, FOLLOWS)
    assert [step.input for step in journal.replay()] == live
    journal.close()


def test_none_is_followed_where_none_is_to_be(tmp_path: Path) -> None:
    arrival = arrived([Event(id="1", type="order.created", source="a", data=1, priority="high")], appended=NOW)
    assert arrival.rows(FOLLOWS).followed == {}
    with_more = FOLLOWS.also(["order.*"])
    assert list(arrival.rows(with_more).followed) == [0]
    assert arrival.rows(FOLLOWS).followed == {}, "what is added makes another one"


def nested(type: str, levels: int) -> Event:
    """An event that is so deep as a whole, as a publisher with few calls on its stack can make it."""
    plain = Event(type=type, source="agent/a", partitionkey="a", requires=["x"] if type == "work.wanted" else None)
    payload = b"[" * (levels - 1) + b'"[[{"' + b"]" * (levels - 1)
    return make(type, "agent/a", f"{type}-{levels}", None, None, None, None, None, plain.extras, JSON, payload)


KINDS = (
    *("agent.lifecycle.joined", "signalbox.deadletter", "dispatch.settled", "ballot.proposed", "lease.requested"),
    *("schema.registered", "work.wanted"),
)


def test_what_is_nested_too_deep_is_not_followed_and_stops_no_fold(tmp_path: Path) -> None:
    """Live and out of the archive alike, however many calls the stack holds already."""

    def beneath(calls: int, replay: Callable[[], list[object]]) -> list[object]:
        return beneath(calls - 1, replay) if calls else replay()

    levels = (FOLLOWED_DEPTH_MAX, FOLLOWED_DEPTH_MAX + 1, 993, 3_000)
    events = [nested(type, deep) for type in KINDS for deep in levels]
    arrival = arrived(events, appended=NOW)
    rows = arrival.rows(FOLLOWS)
    assert sorted(rows.followed) == list(range(0, len(events), len(levels)))
    journal, heart = Journal(tmp_path, FOLLOWS), Heart(folds())
    step = heart.step(rows, NOW)
    assert not [entry.fact for entry in step.derived if isinstance(entry.fact, FoldQuarantined)]
    journal.commit([Kept(step, arrival)])
    for calls in (0, 700):
        assert beneath(calls, lambda: [step.input for step in journal.replay()]) == [rows]
        assert beneath(calls, lambda: [Heart(folds()).step(rows, NOW).digest]) == [step.digest]
    journal.close()


# ------------------------------------------------------------------------------------------------- what a step names


class Talker(Fold):
    """Says two things at each tick."""

    name = "talker"
    follows = (Tick,)

    def react(self, state: object, entry: Entry, world: object) -> list[Fact | PublishEvent]:  # type: ignore[override]
        first = say("a.said", {"n": 1}, "key", subject="s-1", priority="")
        own = PublishEvent("mine", b'{"specversion":"1.0","id":"mine","type":"a","source":"b"}')
        return [first, own, say("a.said", {"n": 2}, "key", dispatched=True)]


def test_what_is_said_gets_its_place_as_id() -> None:
    heart = Heart([*some_folds("outbox"), Talker()])
    step = heart.step(Tick(), NOW)
    intents = [intent for _, _, intent in step.intents if isinstance(intent, PublishEvent)]
    assert [intent.id for intent in intents] == ["1:0", "mine", "1:2"]
    events = [bus.from_json(intent.event) for intent in intents]
    assert [event.id for event in events] == ["1:0", "mine", "1:2"]
    assert events[0].source == PLANE_SOURCE and events[0].data == {"n": 1} and events[0].priority is None
    assert events[2].extensions == {"dispatched": True} and events[2].subject is None
    assert intents[0].named("9:9") is intents[0]


def test_its_echo_is_known_by_its_source_and_nobody_elses() -> None:
    heart = Heart([*some_folds("outbox"), Talker()])
    step = heart.step(Tick(), NOW)
    said = [bus.from_json(intent.event) for _, _, intent in step.intents if isinstance(intent, PublishEvent)]
    due = heart.states["outbox"].table("due")
    assert sorted(due) == ["1:0", "1:1", "1:2"]
    strange = said[0].replace(source="agent/forger")
    redriven = strange.replace(extensions={"redriveto": "billing"})
    heart.step(
        arrived([strange, redriven, Event(id="x", type="a", source=PLANE_SOURCE)], appended=NOW).rows(FOLLOWS), NOW
    )
    assert sorted(due) == ["1:0", "1:1", "1:2"]
    step = heart.step(arrived([said[2], said[0]], first_offset=3, appended=NOW).rows(FOLLOWS), NOW)
    carried = [entry.fact for entry in step.derived]
    assert carried == [Carried(1, 2, 0, 3), Carried(1, 0, 0, 4)]
    assert sorted(due) == ["1:1"]


def test_the_echo_of_what_is_redriven_is_of_the_source_it_had() -> None:
    class Redriver(Fold):
        """Publishes what somebody else said again."""

        name = "redriver"
        follows = (Tick,)

        def react(self, state: object, entry: Entry, world: object) -> list[Fact | PublishEvent]:  # type: ignore[override]
            event = Event(id="1:0", type="order.created", source="agent/shop", extensions={"redriveto": "billing"})
            return [PublishEvent("1:0", to_json(event))]

    heart = Heart([*some_folds("outbox"), Redriver()])
    step = heart.step(Tick(), NOW)
    (event,) = [bus.from_json(intent.event) for _, _, intent in step.intents if isinstance(intent, PublishEvent)]
    outbox = heart.states["outbox"]
    forged = [event.replace(source="agent/forger"), event.replace(source=PLANE_SOURCE), event.replace(extensions={})]
    heart.step(arrived(forged, appended=NOW).rows(FOLLOWS), NOW)
    assert list(outbox.table("due")) == ["1:0"] == list(outbox.table("source"))
    step = heart.step(arrived([event], first_offset=3, appended=NOW).rows(FOLLOWS), NOW)
    assert [entry.fact for entry in step.derived] == [Carried(1, 0, 0, 3)]
    assert not outbox.table("due") and not outbox.table("source")
