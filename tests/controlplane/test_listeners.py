"""What brokers sample of retention, room and clocks, up to where an operator sees it."""

import msgspec
import pytest

from bus.wire import GroupSample, GroupSettings, Sampled
from controlplane.answers import Extras, answer
from controlplane.answers.fleet import brokers
from controlplane.answers.rates import Rates
from controlplane.facts import Tick
from controlplane.health import penalties, score_of
from controlplane.ledger import trimmed
from controlplane.limits import CLOCK_SKEW_MS_MAX
from controlplane.questions import (
    AskBoard,
    AskFlows,
    AskGroups,
    Board,
    Flows,
    GroupRow,
    Groups,
    GroupTerms,
    Holding,
    Need,
    Refusal,
)
from controlplane.sampling import Thinned, skew_of
from tests.controlplane.logs import SECOND, add
from tests.controlplane.made import BROKERS, MS, Story

MB = 1024 * 1024
HOUR = 3_600 * SECOND


@pytest.fixture
def story() -> Story:
    made = Story().begin(3)
    for broker in BROKERS:
        made.sample(broker)
    rows = made.rows()
    add(rows, "order.paid", "agent/shop", "s-1", "e-1", made.now)
    made.record(rows)
    made.tell(Tick())
    return made


def group(
    partition: int = 0, lost: int = 0, endangered: int = 0, pattern: str = "order.>", acked: int = 1
) -> GroupSample:
    return GroupSample(
        "billing", partition, pattern, 1, 0, 3, 0, 1, acked, 0, 0, 0, {3: 1}, trimmed=lost, endangered=endangered
    )


def need(story: Story, key: str) -> Need | None:
    found = penalties(story.heart.states, story.now)
    board = answer(AskBoard(), story.heart, story.now, Extras())
    assert isinstance(board, Board) and [each.key for each in board.needs] == [each.key for each in found]
    assert board.status.counts.score == score_of(story.heart.states, found)
    return next((each for each in found if each.key == key), None)


def row(story: Story) -> GroupRow:
    told = answer(AskGroups("billing"), story.heart, story.now, Extras())
    assert isinstance(told, Groups)
    return told.rows[0]


def flow(story: Story) -> str:
    told = answer(AskFlows(), story.heart, story.now, Extras())
    assert isinstance(told, Flows)
    return told.rows[0].ledger


def test_what_retention_took_from_a_group_is_bad_for_ten_minutes_and_counted_for_ever(story: Story) -> None:
    story.sample("b1", [group(0, lost=5)])
    story.sample("b2", [group(1, lost=2)])
    story.sample("b1", [group(0)])
    told = need(story, "trimmed billing")
    assert told is not None and (told.severity, told.points, told.mend) == ("bad", 10, "group show billing")
    assert told.what == "billing lost 7 to retention" and "journal has them" in told.why
    assert trimmed(story.heart.states["ledger"], "billing").events == 7
    assert (row(story).trimmed, row(story).severity) == (7, "bad")
    assert "7 events trimmed" in row(story).why and flow(story) == "7 trimmed"
    story.now += 601 * SECOND
    assert need(story, "trimmed billing") is None
    assert (row(story).trimmed, row(story).severity) == (7, "ok") and flow(story) == "7 trimmed"


def test_a_group_shows_what_it_agreed_on_and_who_holds_what(story: Story) -> None:
    story.sample("b1", [group(0)])
    assert row(story).settings is None
    terms = GroupSettings("order.>", -1, 30_000, 5, "strict", True)
    story.sample("b1", [msgspec.structs.replace(group(0), settings=terms, holding={"m/2": 1, "m/1": 7})])
    story.sample("b1", [msgspec.structs.replace(group(0), holding={"m/2": 4})])
    assert row(story).settings == GroupTerms(-1, 30_000, 5, "strict", True, 0, "", ""), "told once, and known since"
    assert row(story).places[0].holding == [Holding("m/2", 4)]
    story.sample("b2", [msgspec.structs.replace(group(1), holding={f"m/{n:03d}": n for n in range(100)})])
    assert [one.in_flight for one in row(story).places[1].holding] == list(range(99, 67, -1))


def test_what_retention_is_about_to_take_is_told_before(story: Story) -> None:
    story.sample("b1", [group(0, endangered=40)])
    story.sample("b2", [group(1, endangered=2)])
    told = need(story, "endangered billing")
    assert told is not None and (told.severity, told.points, told.what) == ("warn", 5, "billing is about to lose 42")
    assert "start more of its consumers" in told.why and told.mend == "group show billing"
    assert (row(story).endangered, row(story).severity) == (42, "warn")
    assert [place.endangered for place in row(story).places] == [40, 2]
    story.sample("b1", [group(0)])
    story.sample("b2", [group(1)])
    assert need(story, "endangered billing") is None and row(story).severity == "ok"


def test_a_broker_without_room_says_that_it_refuses(story: Story) -> None:
    story.sample("b2", free_bytes=40 * MB, reserve_bytes=256 * MB, refuses=True)
    told = need(story, "storage b2")
    assert told is not None and (told.severity, told.points, told.mend) == ("bad", 18, "broker show b2")
    assert told.what == "b2 has no room"
    assert told.why == "40 MB are left for its store, its reserve is 256 MB: publishers get StorageFull; make room"
    world = story.heart.states
    found = {one.id: one for one in brokers(world, story.now, Rates(world["flows"], story.now))}
    assert (found["b2"].state, found["b2"].why) == ("full", told.why) and found["b1"].state == "up"
    story.sample("b2", free_bytes=900 * MB, reserve_bytes=256 * MB)
    assert need(story, "storage b2") is None


def test_a_clock_that_is_off_is_told_and_which_one(story: Story) -> None:
    story.sample("b3", skew_ns=3 * HOUR)
    told = need(story, "clock b3")
    assert told is not None and (told.severity, told.points) == ("warn", 4)
    assert told.what == "the clock of b3 is 3h00m ahead" and "set its clock" in told.why
    story.sample("b3", skew_ns=-9 * SECOND)
    told = need(story, "clock b3")
    assert told is not None and told.what == "the clock of b3 is 9s behind"
    story.sample("b1", skew_ns=-2 * HOUR)
    story.sample("b2", skew_ns=-2 * HOUR)
    told = need(story, "clock")
    assert told is not None and told.what == "the plane's clock is 9s ahead"
    assert need(story, "clock b3") is None, "one clock is wrong, not three"
    for broker in BROKERS:
        story.sample(broker)
    assert need(story, "clock") is None


def test_skew_is_what_no_delay_can_explain() -> None:
    limit = CLOCK_SKEW_MS_MAX * MS
    assert skew_of(50, 0, 100) == 0
    assert skew_of(100 + limit, 0, 100) == 0 and skew_of(101 + limit, 0, 100) == limit + 1
    assert skew_of(-limit, 0, 100) == 0 and skew_of(-limit - 1, 0, 100) == -limit - 1
    assert skew_of(50, 0, 10**12) == 0, "a plane that stood still meanwhile blames nobody"


def test_a_sample_is_journaled_when_room_or_clock_changes(story: Story) -> None:
    sampled = Sampled(1, "b1", story.now, [], [], 1, 1, 1, MS, MS, MB, MB, 1, 0, 0)
    idle = msgspec.structs.replace(sampled, events_in=0, events_out=0, refused=0)
    thinned = Thinned()
    assert thinned.thin(idle, 0) is not None and thinned.thin(idle, 1) is None
    full = msgspec.structs.replace(idle, refuses=True)
    assert thinned.thin(full, 2) is not None and thinned.thin(full, 3) is None
    assert thinned.thin(full, 4, skewed=True) is not None and thinned.thin(full, 5, skewed=True) is None
    assert thinned.thin(idle, 6) is not None


def test_a_group_that_is_gone_and_comes_again_is_told_though_it_looks_the_same(story: Story) -> None:
    terms = GroupSettings("order.>", -1, 30_000, 5)
    quiet = msgspec.structs.replace(group(acked=0), latency={}, delivered=0, settings=terms)
    sampled = Sampled(1, "b1", story.now, [], [quiet], 0, 0, 1, MS, MS, MB, MB, 1, 0, 0)
    without = msgspec.structs.replace(sampled, groups=[])
    thinned = Thinned()
    first = thinned.thin(sampled, 0)
    assert first is not None and first.groups == [quiet] and thinned.thin(sampled, 1) is None
    assert thinned.thin(without, 2) is None
    again = thinned.thin(sampled, 3)
    assert again is not None and again.groups == [quiet], "with its settings"


def test_a_pattern_that_matches_nothing_is_told(story: Story) -> None:
    story.sample("b1", [group(pattern="ordre.>", acked=0)])
    assert (row(story).types, row(story).severity) == (0, "warn")
    assert row(story).why == "ordre.> matches no type that was ever published: mind its spelling"
    assert need(story, "group billing") is None, "an early subscriber is no ailment"
    story.sample("b1", [group()])
    assert (row(story).types, row(story).severity, row(story).why) == (1, "ok", "")


def test_a_group_that_is_not_there_is_refused(story: Story) -> None:
    told = answer(AskGroups("nobody"), story.heart, story.now, Extras())
    assert isinstance(told, Refusal) and (told.code, told.hint) == ("not_found", "signalbox group list")
