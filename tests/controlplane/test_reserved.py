"""The partition of the journal's copy: led like any other, and nobody's business but the plane's."""

from controlplane import ledger
from controlplane.answers import Extras, answer, condition
from controlplane.elections import LED, WAITING
from controlplane.facts import CopyBeyond, CopyFounded, CopyStands, LeaderElected, SpreadTopology, Tick
from controlplane.health import penalties
from controlplane.lately import lines_of, text_of
from controlplane.membership import held_by
from controlplane.questions import AskPartitions, AskStatus, Partitions, Status
from controlplane.roster import copy_of, every_partition_of, topology_of
from controlplane.standing import standings_of
from tests.controlplane.made import BROKERS, Story


def copied() -> Story:
    """A fleet of three partitions that gets its copy while it runs."""
    story = Story().begin(3)
    story.tell(CopyFounded(3))
    story.tell(Tick(), 5.0)
    story.vote()
    for broker in BROKERS:
        story.sample(broker)
    story.tell(Tick(), 1.0)
    return story


def test_it_is_elected_and_its_seat_is_in_no_topology() -> None:
    story = copied()
    state = story.heart.states["fleet"]
    copy = copy_of(state)
    assert copy is not None
    assert (copy.partition, copy.phase, len(copy.replicas), copy.write_quorum) == (3, LED, 3, 2)
    assert [p.partition for p in every_partition_of(state)] == [0, 1, 2, 3]
    assert [seat.partition for seat in topology_of(state, 1).seats] == [0, 1, 2]
    spread = [intent for step in story.steps for _, _, intent in step.intents if isinstance(intent, SpreadTopology)]
    assert spread and all(len(intent.topology.seats) == 3 for intent in spread)


def test_no_list_count_balance_or_line_has_it() -> None:
    story = copied()
    world, state = story.heart.states, story.heart.states["fleet"]
    status = answer(AskStatus(), story.heart, story.now, Extras())
    listed = answer(AskPartitions(), story.heart, story.now, Extras())
    assert isinstance(status, Status) and isinstance(listed, Partitions)
    assert [each.partition for each in status.partitions] == [0, 1, 2]
    assert all(3 not in broker.leads for broker in status.brokers)
    assert [each.partition for each in standings_of(state, {})] == [0, 1, 2]
    assert any(
        isinstance(entry.fact, LeaderElected) and entry.fact.partition == 3 for s in story.steps for entry in s.derived
    )
    lines = [text_of(line) for line in lines_of(world["lately"], 50)]
    assert "3 partitions have new leaders" in lines and not any("p03" in line for line in lines)
    # But a broker that leaves has to hand its replica on.
    assert all(3 in held_by(state, id) for id in BROKERS)


def test_a_copy_that_nobody_leads_holds_nothing_up() -> None:
    story = Story().begin(3)
    for broker in BROKERS:
        story.sample(broker)
    story.tell(CopyFounded(3))
    story.tell(Tick(), 1.0)
    copy = copy_of(story.heart.states["fleet"])
    assert copy is not None and copy.phase == WAITING
    assert condition(story.heart) == "running"
    assert not penalties(story.heart.states, story.now)


def test_it_is_founded_once_and_its_events_are_not_missed_in_the_journal() -> None:
    story = copied()
    before = story.heart.states["fleet"].get("partition", 3)
    story.tell(CopyFounded(3))
    assert story.heart.states["fleet"].get("partition", 3) == before
    assert ledger.behind(story.heart.states["ledger"]) == sum(
        high for number, high in story.heart.states["ledger"].items("high") if number != 3
    )


def test_where_it_stands_still_or_knew_more_than_the_journal_health_says_so() -> None:
    story = copied()
    story.tell(CopyStands(40, "nobody leads it"))
    found = {need.key: need for need in penalties(story.heart.states, story.now)}
    assert (found["copy"].severity, found["copy"].why) == ("warn", "nobody leads it")
    story.tell(CopyStands(40, ""))
    story.tell(CopyBeyond(40, 61))
    found = {need.key: need for need in penalties(story.heart.states, story.now)}
    assert "copy" not in found
    assert found["beyond"].severity == "bad" and "21 positions" in found["beyond"].what
    story.tell(Tick(), 25 * 3600.0)
    assert "beyond" not in {need.key for need in penalties(story.heart.states, story.now)}
