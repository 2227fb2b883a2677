"""Ids that a plane gives are its own: no journal put back, however old, gives them out again."""

import json
from pathlib import Path

from bus.event import from_json
from controlplane import facts
from controlplane.deadletters import REDRIVEN, WAITING, Letter
from controlplane.facts import Carried, IntentFailed, PlaneStarted, PublishEvent, RedriveDecided
from controlplane.fold import Heart, Step
from controlplane.outbox import due_of
from controlplane.plane import folds, versions
from controlplane.restoring import outstanding
from controlplane.snapshots import Snapshots
from controlplane.stamps import place_of, stamp_of, stamped
from controlplane.state import ABSENT
from controlplane.timeline import verify
from controlplane.whatif import what_if
from tests.controlplane.dispatching import ONLY, Agents, some_folds
from tests.controlplane.edge.lived import Lived
from tests.controlplane.made import Story, dead_letter

OLD, LOST, NEW = "", "2-aaaaaaaa", "3-bbbbbbbb"


def starts(story: Story, epoch: int, stamp: str) -> None:
    """Another plane begins on this journal."""
    story.tell(PlaneStarted(epoch, f"u-{epoch}", stamp=stamp), 1.0)
    story.tell(facts.FoldVersions(versions()))


def redrives(story: Story, *letters: str) -> list[PublishEvent]:
    """They are decided on, and this is what is to be published."""
    step = story.tell(RedriveDecided(list(letters), "op", "again"))
    found = [intent for _, _, intent in step.intents if isinstance(intent, PublishEvent)]
    assert [place_of(intent.id) for intent in found] == [f"{step.first}:{n}" for n in range(len(letters))]
    assert [json.loads(intent.event)["id"] for intent in found] == [intent.id for intent in found]
    return found


def comes_back(story: Lived, intent: PublishEvent) -> list[facts.Fact]:
    """What follows when the event is recorded."""
    step = story.publish(0, [from_json(intent.event)])
    return [entry.fact for entry in step.derived if isinstance(entry.fact, Carried)]


def buried(folder: Path, count: int = 4) -> Lived:
    """A life in which so many letters, `dead-N`, wait."""
    folder.mkdir(exist_ok=True)
    lived = Lived(folder)
    lived.begin(partitions=3)
    lived.publish(0, [from_json(dead_letter(f"dead-{n}", offset=n)) for n in range(count)])
    return lived


def state_of(lived: Story, letter: str) -> str:
    found: Letter = lived.heart.states["deadletters"].get("letter", letter)
    return found.state


def test_an_id_has_its_place_and_whose_it_is() -> None:
    stamp = stamp_of(7, "1f3a9c2e-0000-4000-8000-000000000000")
    assert stamped("12:0", stamp) == "12:0@7-1f3a9c2e" and stamped("12:0", "") == "12:0"
    assert place_of("12:0@7-1f3a9c2e") == place_of("12:0") == "12:0"
    assert stamp != stamp_of(7, "2f3a9c2e-0000-4000-8000-000000000000"), "an epoch may be taken twice"


def test_what_another_plane_carries_out_keeps_the_id_that_it_was_planned_with(tmp_path: Path) -> None:
    lived = buried(tmp_path)
    starts(lived, 2, LOST)
    first, second = redrives(lived, "dead-0", "dead-1")
    assert first.id.endswith(f"@{LOST}")
    starts(lived, 3, NEW)
    outbox = lived.heart.states["outbox"]
    assert [intent for _, _, intent in outstanding(lived.heart, lived.journal)] == [first, second]
    (third,) = redrives(lived, "dead-2")
    assert third.id.endswith(f"@{NEW}") and len(due_of(outbox)) == 2
    cause, index = map(int, place_of(second.id).split(":"))
    assert comes_back(lived, second) == [Carried(cause, index, 0, 4)]
    assert (state_of(lived, "dead-1"), state_of(lived, "dead-0")) == (REDRIVEN, "redriving")
    lived.tell(IntentFailed(cause, 0, "PublishEvent", "", "no room"))
    assert state_of(lived, "dead-0") == WAITING
    assert len(comes_back(lived, third)) == 1
    assert not any(outbox.table(name) for name in ("due", "id", "source"))
    verdict = verify(lived.journal.replay(), folds())
    assert (verdict.divergence, verdict.older) == ("", 0)
    assert what_if(lived.journal.replay(), folds, {}).same
    lived.close()


def test_what_was_journaled_without_stamps_is_read_as_it_is(tmp_path: Path) -> None:
    lived = buried(tmp_path)
    (old,) = redrives(lived, "dead-0")
    assert old.id == place_of(old.id)
    starts(lived, 2, NEW)
    (new,) = redrives(lived, "dead-1")
    forged = PublishEvent(new.id, json.dumps(json.loads(old.event) | {"id": f"{old.id}@{NEW}"}).encode())
    assert comes_back(lived, forged) == []
    assert len(comes_back(lived, old)) == 1 and len(comes_back(lived, new)) == 1
    verdict = verify(lived.journal.replay(), folds())
    assert (verdict.divergence, verdict.older) == ("", 0), "the present folds say again what the older version said"
    lived.close()


def test_a_journal_that_was_put_back_gives_out_no_id_of_the_one_that_was_lost(tmp_path: Path) -> None:
    """The same letters at the same positions, in two planes that went on from one backup."""
    ids: list[list[str]] = []
    said: dict[str, list[PublishEvent]] = {}
    for stamp in (LOST, NEW):
        lived = buried(tmp_path / stamp)
        starts(lived, int(stamp[0]), stamp)
        said[stamp] = redrives(lived, "dead-0", "dead-1")
        ids.append([place_of(intent.id) for intent in said[stamp]])
        if stamp == NEW:
            assert [comes_back(lived, intent) for intent in said[LOST]] == [[], []], "they are no echoes of its own"
            assert state_of(lived, "dead-0") == "redriving"
            assert all(comes_back(lived, intent) for intent in said[NEW])
        lived.close()
    assert ids[0] == ids[1]
    assert not {intent.id for intent in said[LOST]} & {intent.id for intent in said[NEW]}


def test_a_snapshot_and_a_copy_know_whose_ids_they_give(tmp_path: Path) -> None:
    heart = Heart(folds())
    heart.step(PlaneStarted(2, "u", stamp=LOST), 1)
    step = heart.step(facts.Tick(), 2)
    snapshots = Snapshots(tmp_path, folds, lambda number: (step.last, step.digest) if number == step.number else None)
    snapshots.follow(heart)
    snapshots.take(heart, step.digest)
    snapshots.settle()
    restored = snapshots.nearest()
    snapshots.close()
    assert restored.position == step.last and restored.stamp == heart.copy().stamp == LOST


# ------------------------------------------------------------------------------------------------- tasks


def working(stamp: str) -> Agents:
    """A plane that has given one task to an agent."""
    fleet = Agents(Heart(some_folds(*ONLY, "outbox")))
    fleet.tell(PlaneStarted(int(stamp[:1] or 1), "u", stamp=stamp))
    fleet.joins("a")
    fleet.asks("work")
    return fleet


def counted(fleet: Agents) -> tuple[int, int]:
    return fleet.count("handled"), fleet.count("late")


def test_a_word_on_a_task_of_a_lost_journal_settles_none_of_this_one() -> None:
    lost, new, old = working(LOST), working(NEW), working(OLD)
    (theirs,), (mine,), (before,) = lost.taken(), new.taken(), old.taken()
    tasks = [mail["data"]["task"] for mail in (theirs, mine, before)]
    assert {place_of(task) for task in tasks} == {before["data"]["task"]} and len(set(tasks)) == 3
    for mail in (theirs, before):
        new.settles(mail)
    assert counted(new) == (0, 2)
    new.settles(mine)
    assert counted(new) == (1, 2) and not new.tasks()
    assert verify(new.steps, some_folds(*ONLY, "outbox")).divergence == ""


def test_a_task_keeps_its_name_under_the_next_plane() -> None:
    fleet = working(LOST)
    (mail,) = fleet.taken()
    fleet.tell(PlaneStarted(3, "u", stamp=NEW))
    fleet.joins("b")
    fleet.leaves("a")
    (again,) = fleet.taken()
    assert again["data"]["task"] == mail["data"]["task"] and again["data"]["attempt"] == 2
    assert (mail["id"].partition("@")[2], again["id"].partition("@")[2]) == (LOST, NEW)
    fleet.asks("work")
    assert sorted(task.partition("@")[2] for task in fleet.tasks()) == [LOST, NEW]


def test_a_plane_of_before_gives_its_own_ids_again() -> None:
    """Started once more on the journal of one with stamps, as its facts say."""
    fleet = working(LOST)
    fleet.taken()
    fleet.tell(PlaneStarted(3, "u"))
    assert fleet.state.get("plane", "stamp", ABSENT) is ABSENT
    fleet.asks("work")
    (mail,) = fleet.taken()
    assert "@" not in mail["id"] + mail["data"]["task"]


def test_mail_that_no_broker_takes_is_known_by_its_place() -> None:
    fleet = working(NEW)
    (mail,) = fleet.taken()
    fleet.joins("b")
    cause, index = map(int, place_of(mail["id"]).split(":"))
    step: Step = fleet.tell(IntentFailed(cause, index, "PublishEvent", "", "too large"))
    assert any(isinstance(entry.fact, facts.TaskReturned) for entry in step.derived)
