"""Dead letters: grouped by what killed them, published again exactly once decided, recognised when they come back."""

import json

import pytest

from controlplane import deadletters, facts
from controlplane.answers import Extras, answer, plan_redrive
from controlplane.deadletters import Letter, kinds_of, letters_of
from controlplane.fold import Step
from controlplane.questions import (
    AskDeadGroups,
    AskDeadLetters,
    DeadGroups,
    DeadLetters,
    Redrive,
    Redriven,
    Refusal,
)
from tests.controlplane.logs import SECOND
from tests.controlplane.made import Story, bury


def died(story: Story, *ids: str, **what: str) -> Step:
    rows = story.rows()
    for id in ids:
        bury(rows, id, story.now, offset=len(rows), **what)
    return story.record(rows)


def states(story: Story) -> dict[str, str]:
    return {letter.id: letter.state for letter in letters_of(story.heart.states["deadletters"])}


def kinds(story: Story) -> list[tuple[str, str, int, int]]:
    return [(kind.id, kind.what, kind.count, kind.waiting) for kind in kinds_of(story.heart.states["deadletters"])]


def test_letters_that_died_alike_are_one_kind_and_kinds_keep_their_names() -> None:
    story = Story()
    died(story, "d1", error="line 1")
    died(story, "d2", error="boom")
    died(story, "d3", error="line 22")
    died(story, "d4", error="line 3", group="other")
    died(story, "d5", error="line 4", reason="terminated")
    assert kinds(story) == [
        ("g-01", "line N", 2, 2),
        ("g-02", "boom", 1, 1),
        ("g-03", "line N", 1, 1),
        ("g-04", "line N", 1, 1),
    ]
    letter = story.heart.states["deadletters"].get("letter", "d1")
    assert isinstance(letter, Letter)
    assert [attempt.member for attempt in letter.attempts] == ["m-1", "m-2"]


def test_a_letter_that_comes_twice_is_one_and_garbage_is_counted() -> None:
    story = Story()
    died(story, "d1", "d1")
    rows = story.rows()
    for data in (b"", b"{}", b'{"id":"x","data":{"group":1}}', b"\xff"):
        bury(rows, "bad")
        rows.followed[len(rows) - 1] = data
    story.record(rows)
    count = story.heart.states["deadletters"].table("count")
    assert (count["total"], count["malformed"]) == (1, 4)
    assert not story.heart.quarantined


def test_a_redrive_publishes_exactly_the_set_and_its_echo_carries_it() -> None:
    story = Story().begin(partitions=1)
    died(story, "d1", "d2", "d3")
    step = story.tell(facts.RedriveDecided(["d1", "gone", "d3"], "op1", "fixed"))
    intents = [intent for _, _, intent in step.intents if isinstance(intent, facts.PublishEvent)]
    assert [intent.id for intent in intents] == [f"{step.first}:0", f"{step.first}:1"]
    assert [f"{cause}:{index}" for cause, index, _ in step.intents] == [intent.id for intent in intents]
    assert states(story) == {"d1": "redriving", "d2": "waiting", "d3": "redriving"}
    assert kinds(story)[0][2:] == (3, 1)
    event = json.loads(intents[1].event)
    assert event["id"] == f"{step.first}:1"
    assert (event["redriveto"], event["redriveof"]) == ("coder", "original-d3")
    assert (event["type"], event["subject"], event["specversion"]) == ("exec.failed", "s-1", "1.0")
    assert b"12345678901234567890" in intents[1].event, "numbers survive exactly"
    echo = story.rows(0)
    story.published = intents
    story.echo()
    assert states(story) == {"d1": "redriven", "d2": "waiting", "d3": "redriven"}
    carried = [entry.fact for entry in story.steps[-1].derived]
    assert carried == [facts.Carried(step.first, 0, 1, 0), facts.Carried(step.first, 1, 1, 1)]
    assert not len(echo)
    assert not story.heart.states["deadletters"].table("carry")


def test_what_was_decided_is_not_decided_again_and_a_strangers_echo_is_none() -> None:
    story = Story().begin(partitions=1)
    died(story, "d1")
    first = story.tell(facts.RedriveDecided(["d1"], "", ""))
    again = story.tell(facts.RedriveDecided(["d1"], "", ""))
    assert (len(first.intents), again.intents) == (1, [])
    for id in ("7:0", "no intent", "x:y"):
        assert story.say("exec.failed", id=id, redriven=True).derived == []
    assert states(story) == {"d1": "redriving"}


def test_a_redriven_event_that_dies_again_keeps_whom_it_redrives() -> None:
    story = Story().begin(partitions=1)
    died(story, "d1")
    first = story.tell(facts.RedriveDecided(["d1"], "", "")).intents[0][2]
    assert isinstance(first, facts.PublishEvent)
    letter = story.heart.states["deadletters"].get("letter", "d1")
    again = Letter(
        **{name: getattr(letter, name) for name in Letter.__struct_fields__} | {"event": first.event.decode()}
    )
    event = json.loads(facts.PublishEvent("", deadletters.redriven_event(again)).named("99:0").event)
    assert (event["id"], event["redriveof"]) == ("99:0", "original-d1")


def test_too_many_letters_are_forgotten_redriven_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "DEAD_LETTERS_MAX", 3)
    story = Story().begin(partitions=1)
    died(story, "d1", "d2", "d3")
    story.tell(facts.RedriveDecided(["d2"], "", ""))
    story.echo()
    died(story, "d4")
    died(story, "d5")
    assert states(story) == {"d5": "waiting", "d4": "waiting", "d3": "waiting"}
    assert kinds(story)[0][2:] == (5, 3)
    assert story.heart.states["deadletters"].get("count", "forgotten") == 2
    groups = answer(AskDeadGroups(), story.heart, story.now, Extras())
    assert isinstance(groups, DeadGroups) and groups.rows[0].note == "2 forgotten"


# ------------------------------------------------------------------------------------------------- answers


@pytest.fixture
def mourning() -> Story:
    story = Story().begin(partitions=1)
    died(story, "old", error="boom")
    story.now += 3_600 * SECOND
    died(story, "d1", "d2", "d3", error="line 7", group="parser")
    return story


def test_groups_come_newest_first_and_can_be_matched(mourning: Story) -> None:
    told = answer(AskDeadGroups(), mourning.heart, mourning.now, Extras())
    assert isinstance(told, DeadGroups)
    assert [(row.id, row.count, row.new, row.severity) for row in told.rows] == [
        ("g-02", 3, 3, "warn"),
        ("g-01", 1, 0, "warn"),
    ]
    assert (told.total, told.waiting) == (4, 4)
    assert told.rows[0].recent == [0] * 11 + [3]
    assert told.rows[1].recent == [0] * 9 + [1, 0, 0]
    matched = answer(AskDeadGroups(match="BOOM"), mourning.heart, mourning.now, Extras())
    assert isinstance(matched, DeadGroups) and [row.id for row in matched.rows] == ["g-01"]


def test_letters_of_a_group_and_one_by_its_id(mourning: Story) -> None:
    group = answer(AskDeadLetters("g-02", limit=2), mourning.heart, mourning.now, Extras())
    one = answer(AskDeadLetters("d2"), mourning.heart, mourning.now, Extras())
    nobody = answer(AskDeadLetters("g-77"), mourning.heart, mourning.now, Extras())
    assert isinstance(group, DeadLetters) and isinstance(one, DeadLetters)
    assert [letter.id for letter in group.letters] == ["d3", "d2"]
    assert [letter.id for letter in one.letters] == ["d2"]
    assert one.group.id == "g-02" and one.why
    assert json.loads(one.letters[0].event)["id"] == "original-d2"
    assert isinstance(nobody, Refusal) and nobody.code == "not_found"


def test_a_dry_run_shows_the_set_and_changes_nothing(mourning: Story) -> None:
    digest = mourning.heart.digest()
    told = answer(Redrive(["g-02", "old"], dry_run=True), mourning.heart, mourning.now, Extras())
    assert isinstance(told, Redriven)
    assert told.ids == ["old", "d1", "d2", "d3"] and told.groups == ["coder", "parser"] and told.dry_run
    assert mourning.heart.digest() == digest


def test_a_redrive_touches_exactly_the_set_that_was_shown(mourning: Story) -> None:
    world = mourning.heart.states
    fact, told = plan_redrive(world, Redrive(["g-02"], expected=["d1", "d2", "d3"], by="op1", reason="v42"))
    assert fact == facts.RedriveDecided(["d1", "d2", "d3"], "op1", "v42")
    assert isinstance(told, Redriven) and not told.dry_run
    died(mourning, "d4", error="line 8", group="parser")
    fact, told = plan_redrive(world, Redrive(["g-02"], expected=["d1", "d2", "d3"]))
    assert fact is None
    assert isinstance(told, Refusal) and told.code == "changed"


def test_a_redrive_of_nothing_is_refused(mourning: Story) -> None:
    mourning.tell(facts.RedriveDecided(["d1", "d2", "d3"], "", ""))
    for targets, code in ((["g-02"], "not_found"), (["nobody"], "not_found"), ([], "not_found")):
        fact, told = plan_redrive(mourning.heart.states, Redrive(targets))
        assert fact is None
        assert isinstance(told, Refusal) and told.code == code and told.hint
