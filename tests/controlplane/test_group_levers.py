"""What operators decide of groups: the set first, then a fact; the fold forgets, brokers are told until it is so."""

import msgspec
import pytest

from bus.wire import GroupSample, GroupSettings
from controlplane.answers import Extras, answer, plan_operation
from controlplane.facts import ChangeGroup, GroupChanged, GroupsRemoved, GroupUpdated, PlaneStarted, Tick
from controlplane.groups import names
from controlplane.health import penalties
from controlplane.lately import lines_of, text_of
from controlplane.ledger import trimmed
from controlplane.plane import folds
from controlplane.questions import AskGroups, GroupChanging, Groups, Operate, Operated, Refusal
from controlplane.roster import numbered
from controlplane.timeline import verify
from tests.controlplane.logs import SECOND
from tests.controlplane.made import BROKERS, MS, Story, bury

TERMS = GroupSettings("order.>", -1, 30_000, 5)


def group(name: str = "billing", partition: int = 0, oldest: int = 0, lost: int = 0) -> GroupSample:
    return GroupSample(
        name, partition, "order.>", 2, 0, 40, 3, 0, 1, 0, 0, oldest, {3: 1}, trimmed=lost, settings=TERMS
    )


@pytest.fixture
def story() -> Story:
    made = Story().begin(3)
    for broker in BROKERS:
        made.sample(broker)
    made.sample("b1", [group(oldest=made.now - 300 * SECOND, lost=4), group("agent/x:task.>"), group("agent/y")])
    made.sample("b2", [group(partition=1)])
    made.tell(Tick())
    return made


def plan(story: Story, verb: str, *targets: str, **more) -> tuple:
    return plan_operation(story.heart.states, Operate(verb, list(targets), **more), story.now)  # type: ignore[arg-type]


def refused(story: Story, verb: str, *targets: str, **more) -> Refusal:
    decision, told = plan(story, verb, *targets, **more)
    assert decision is None and isinstance(told, Refusal) and told.message and told.hint
    return told


def wanted(step) -> list[ChangeGroup]:
    return [intent for _, _, intent in step.intents if isinstance(intent, ChangeGroup)]


def groups(story: Story, name: str = "") -> Groups | Refusal:
    told = answer(AskGroups(name), story.heart, story.now, Extras())
    assert isinstance(told, Groups | Refusal)
    return told


def test_a_removal_shows_what_waits_and_touches_exactly_that(story: Story) -> None:
    rows = story.rows()
    bury(rows, "d1", story.now, group="billing")
    story.record(rows)
    decision, dry = plan(story, "remove_group", "billing", dry_run=True)
    assert decision is None and isinstance(dry, Operated) and dry.touched == ["billing"]
    assert dry.notes[0] == (
        "billing: 80 events wait, 6 are out with 2 members, told GroupRemoved; 1 dead letter of it stay"
    )
    decision, _ = plan(story, "remove_group", "billing", by="op", reason="old", expected=["billing"])
    assert decision == GroupsRemoved(["billing"], 86, "op", "old")
    assert refused(story, "remove_group", "billing", expected=["other"]).code == "changed"
    nobody = refused(story, "remove_group", "nobody")
    assert nobody.code == "not_found" and "made just now, ask again in 2 s" in nobody.message


def test_a_pattern_stands_for_many_and_names_are_taken_as_they_are(story: Story) -> None:
    decision, told = plan(story, "remove_group", "agent/*", pattern=True)
    assert isinstance(told, Operated) and told.touched == ["agent/x:task.>", "agent/y"]
    assert decision.groups == told.touched
    assert refused(story, "remove_group", "agent/*").code == "not_found"
    assert refused(story, "remove_group", "bill?", pattern=True).code == "not_found"


def test_what_is_removed_is_forgotten_at_once_and_costs_no_points(story: Story) -> None:
    def about() -> set[str]:
        return {need.key for need in penalties(story.heart.states, story.now) if "billing" in need.key}

    assert about() and trimmed(story.heart.states["ledger"], "billing").events == 4
    step = story.tell(GroupsRemoved(["billing"], 86, "op", "old"))
    assert wanted(step) == [ChangeGroup("billing", None, step.first, 1, numbered(1, step.first))]
    assert not about() and trimmed(story.heart.states["ledger"], "billing").events == 0
    assert names(story.heart.states["groups"]) == ["agent/x:task.>", "agent/y"]
    assert [text_of(line) for line in lines_of(story.heart.states["lately"], 1)] == [
        "group billing removed by op: 86 events waited"
    ]
    told = groups(story, "billing")
    assert isinstance(told, Groups) and not told.rows
    assert told.changing == [GroupChanging("billing", story.now, None, "op", "old")]
    assert refused(story, "remove_group", "billing").code == "usage"
    story.sample("b1", [group(), group("agent/y")])
    assert "billing" not in names(story.heart.states["groups"]), "brokers that have not heard of it yet"
    story.tell(GroupChanged("billing", step.first))
    assert isinstance(groups(story, "billing"), Refusal)
    story.sample("b1", [group()])
    assert "billing" in names(story.heart.states["groups"]), "a new one of that name"
    assert not story.heart.quarantined and verify(story.steps, folds()).same


def test_a_plane_that_starts_has_it_carried_again_until_it_is_so(story: Story) -> None:
    removed = story.tell(GroupsRemoved(["agent/x:task.>", "agent/y"])).first
    again = story.tell(PlaneStarted(2, "v"))
    number = numbered(1, removed)
    assert wanted(again) == [ChangeGroup(name, None, removed, 2, number) for name in ("agent/x:task.>", "agent/y")]
    story.tell(GroupChanged("agent/y", removed))
    story.tell(GroupChanged("agent/x:task.>", removed - 1))
    assert wanted(story.tell(PlaneStarted(3, "w"))) == [ChangeGroup("agent/x:task.>", None, removed, 3, number)]
    later = story.tell(GroupsRemoved(["billing"]))
    assert wanted(later)[0].decision == numbered(3, later.first) > number > 0, "a later decision is greater"


def test_an_update_shows_old_and_new(story: Story) -> None:
    changes = {"ack_wait_ms": 60_000, "max_deliver": 3}
    decision, told = plan(story, "update_group", "billing", changes=changes, by="op")
    assert isinstance(told, Operated)
    assert told.touched == ["billing ack_wait 30 s → 60 s", "billing max_deliver 5 → 3"]
    assert told.notes == [
        "2 members get them without coming again",
        "events that have failed so often already become dead letters at once",
    ]
    assert decision == GroupUpdated("billing", changes, "op", "")
    step = story.tell(decision)
    assert wanted(step) == [ChangeGroup("billing", changes, step.first, 1, numbered(1, step.first))]
    assert [text_of(line) for line in lines_of(story.heart.states["lately"], 1)] == [
        "group billing set to ack_wait_ms 60000, max_deliver 3 by op"
    ]
    after = msgspec.structs.replace(TERMS, ack_wait_ms=60_000, max_deliver=3, governed=("ack_wait_ms", "max_deliver"))
    story.sample("b1", [msgspec.structs.replace(group(), settings=after)])
    shown = groups(story, "billing")
    assert isinstance(shown, Groups) and shown.rows[0].settings is not None
    assert shown.rows[0].settings.governed == ["ack_wait", "max_deliver"]
    assert plan(story, "update_group", "billing", changes=changes)[0] is None, "it has them already"


def test_two_updates_on_their_way_are_one(story: Story) -> None:
    story.tell(GroupUpdated("billing", {"ack_wait_ms": 5}))
    step = story.tell(GroupUpdated("billing", {"max_deliver": 7}))
    both = {"ack_wait_ms": 5, "max_deliver": 7}
    assert wanted(step) == [ChangeGroup("billing", both, step.first, 1, numbered(1, step.first))]


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"order": 1}, "may be changed"), ({"ack_wait_ms": -1}, "ack_wait"), ({"max_deliver": 10**9}, "max_deliver")],
)
def test_an_update_that_cannot_be_is_refused(story: Story, changes: dict[str, int], why: str) -> None:
    told = refused(story, "update_group", "billing", changes=changes)
    assert told.code == "usage" and why in told.message
    assert refused(story, "update_group", "nobody", changes={"max_deliver": 1}).code == "not_found"


def test_settings_that_nobody_has_told_yet_are_not_changed(story: Story) -> None:
    story.sample("b3", [msgspec.structs.replace(group("mute", 2), settings=None)])
    assert refused(story, "update_group", "mute", changes={"max_deliver": 1}).code == "unavailable"
    assert story.now % MS == 0


def test_an_update_again_is_none_before_the_brokers_tell_of_the_first(story: Story) -> None:
    decision, _ = plan(story, "update_group", "billing", changes={"ack_wait_ms": 15_000})
    assert isinstance(decision, GroupUpdated)
    story.tell(decision)
    again, told = plan(story, "update_group", "billing", changes={"ack_wait_ms": 15_000})
    assert again is None and isinstance(told, Operated)
    assert (told.touched, told.notes) == ([], ["it has these settings already"])
    _, other = plan(story, "update_group", "billing", changes={"ack_wait_ms": 20_000})
    assert isinstance(other, Operated) and other.touched == ["billing ack_wait 15 s → 20 s"]
