"""Health: penalties sum exactly, each says why and what mends it, and nothing is known before a sample."""

from hypothesis import given, settings

from bus.wire import GroupSample
from controlplane import facts
from controlplane.answers import Extras, answer
from controlplane.decisions import BrokerDrained, BrokerRevived
from controlplane.facts import FoldQuarantined, FoldVersions, Tick
from controlplane.health import penalties, score_of, state_of
from controlplane.plane import versions
from controlplane.questions import AskHealth, Health, Need
from tests.controlplane.logs import SECOND
from tests.controlplane.made import BROKERS, Story, actions, bury

COMMANDS = ("doctor", "status", "dlq show", "dlq list", "saga list", "saga show", "flow list", "replay verify", "up",
            "partition list", "broker show", "broker revive")  # fmt: skip


def well(partitions: int = 3) -> Story:
    story = Story().begin(partitions)
    for broker in BROKERS:
        story.sample(broker)
    story.tell(Tick())
    return story


def needs(story: Story) -> dict[str, Need]:
    return {need.key: need for need in penalties(story.heart.states, story.now)}


def score(story: Story) -> int | None:
    return score_of(story.heart.states, penalties(story.heart.states, story.now))


def test_nothing_is_known_before_a_sample() -> None:
    story = Story().begin()
    told = answer(AskHealth(), story.heart, story.now, Extras())
    assert isinstance(told, Health)
    assert (told.score, told.state, told.penalties) == (None, "UNKNOWN", [])


def test_a_fleet_that_is_well_has_a_hundred() -> None:
    story = well()
    assert (score(story), needs(story)) == (100, {})


def test_a_projection_that_broke_costs_two_until_it_is_rebuilt() -> None:
    story = well()
    story.tell(facts.ProjectionAdded("sums", "class", "m:C"))
    added = story.heart.position
    assert needs(story) == {}
    story.tell(facts.ProjectionQuarantined("sums", added, 40, "e-1", "KeyError: 'n'"))
    need = needs(story)["projection sums"]
    assert (need.severity, need.points, need.why, need.mend) == ("warn", 2, "KeyError: 'n'", "projection rebuild sums")
    story.tell(facts.ProjectionRebuilt("sums", "", ""))
    assert needs(story) == {}


def test_folds_that_cannot_know_what_was_cost_one_until_the_journal_is_trimmed_again() -> None:
    story = well()
    story.tell(facts.PlaneStarted(2, "u", journal_why="sagas changed: of what was before position 9 ..."))
    need, since = needs(story)["base"], story.now
    assert (need.severity, need.points, need.since, need.why[:13]) == ("warn", 1, since, "sagas changed")
    story.tell(facts.PlaneStarted(3, "v", journal_why=need.why), 60)
    assert needs(story)["base"].since == since
    story.tell(facts.JournalTrimmed(900, 2, 800, 10_000, "age"))
    assert "base" not in needs(story)
    story.tell(facts.PlaneStarted(4, "w", journal_why=need.why))
    story.tell(facts.PlaneStarted(5, "x"))
    assert "base" not in needs(story)


def test_states_begin_at_their_borders() -> None:
    assert [state_of(score) for score in (100, 90, 89, 70, 69, 0, None)] == [
        "OK", "OK", "WARNING", "WARNING", "CRITICAL", "CRITICAL", "UNKNOWN"
    ]  # fmt: skip


def test_a_broker_that_is_down_costs_nine_and_says_when_it_is_tried_again() -> None:
    story = well()
    story.tell(facts.BrokerLost("b2", "killed: 137, out of memory"), 1)
    story.vote()
    need = needs(story)["broker b2"]
    assert (need.severity, need.points, need.since) == ("warn", 9, story.now)
    assert need.why.startswith("killed: 137, out of memory; restart 1 in 1 s")
    assert score(story) == 91


def test_partitions_that_refuse_are_the_worst_and_told_together() -> None:
    story = well()
    for broker in ("b1", "b2"):
        story.tell(facts.BrokerLost(broker, "killed: 9"), 1)
    story.vote()
    story.wait(1)
    found = penalties(story.heart.states, story.now)
    assert [(need.key, need.points) for need in found] == [("partitions", 26), ("broker b1", 9), ("broker b2", 9)]
    assert found[0].what == "3 partitions refuse"
    assert found[0].why.startswith("no leader: 1 of 3 replicas can vote, needs 2: b1 ")
    assert score(story) == 56 and state_of(score(story)) == "CRITICAL"


def test_a_partition_without_a_leader_says_who_is_missing() -> None:
    story = well(partitions=1)
    for broker in ("b1", "b2"):
        story.tell(facts.BrokerLost(broker, "killed: 9"), 1)
    story.wait(1)
    need = needs(story)["partitions"]
    assert need.what == "p00 refuses publishes"
    assert need.why.startswith("no leader: 1 of 3 replicas can vote, needs 2: b1 ")


def test_a_replica_that_lags_costs_four_and_too_few_refuse() -> None:
    story = well()
    story.sample("b1", lags=("b3",))
    story.sample("b2", lags=("b3",))
    assert {key: need.points for key, need in needs(story).items()} == {"broker b3": 4}
    story.sample("b1", lags=("b2", "b3"), refused=31)
    assert needs(story)["partitions"].what == "p00 refuses publishes"
    assert needs(story)["partitions"].why == "1 of 3 in sync, needs 2; 31 refused in its last sample"


def test_groups_that_are_late_or_have_nobody() -> None:
    story = well()

    def sampled(age: int, members: int) -> None:
        group = GroupSample("coder", 0, ">", members, 5, 90, 10, 1, 1, 0, 0, story.now - age * SECOND, {})
        story.sample("b1", [group])

    sampled(9, 2)
    assert needs(story) == {}
    sampled(41, 2)
    assert (needs(story)["group coder"].points, needs(story)["group coder"].what) == (5, "coder 41s behind")
    sampled(200, 0)
    need = needs(story)["group coder"]
    assert (need.severity, need.points) == ("bad", 10)
    assert "has no member" in need.why


def test_new_dead_letters_cost_two_old_ones_one_redriven_none() -> None:
    story = well()
    rows = story.rows()
    bury(rows, "d1", story.now)
    story.record(rows)
    assert (needs(story)["deadletters"].points, needs(story)["deadletters"].mend) == (2, "dlq show g-01")
    story.now += 601 * SECOND
    assert needs(story)["deadletters"].points == 1
    story.tell(facts.RedriveDecided(["d1"], "", ""))
    assert "deadletters" not in needs(story)


def test_a_fold_that_stands_still_turns_health_red_until_another_version() -> None:
    story = well()
    story.tell(FoldQuarantined("flows", 1, "ValueError: x"))
    assert state_of(score(story)) == "CRITICAL"
    story.tell(FoldVersions(versions()))
    assert "fold flows" in needs(story)
    story.tell(FoldVersions(versions() | {"flows": 2}))
    assert needs(story) == {}


def test_missing_events_turn_health_red() -> None:
    story = well()
    story.ends[0] = 5
    story.say("a")
    assert needs(story)["ledger"].what == "5 events missing"
    assert state_of(score(story)) == "CRITICAL"


def test_since_is_remembered_until_it_is_mended() -> None:
    story = well()
    story.sample("b1", fsync_p99_ns=200_000_000)
    story.tell(Tick(), 1)
    begun = story.now
    story.tell(Tick(), 5)
    assert needs(story)["fsync b1"].since == begun
    story.sample("b1")
    story.tell(Tick(), 1)
    assert not story.heart.states["health"].table("since")


def test_a_drained_broker_is_not_forgotten() -> None:
    story = well()
    story.tell(BrokerDrained("b2", "op", "new disk"))
    told = needs(story)["drain b2"]
    assert (told.mend, told.points) == ("broker revive b2", 1) and "new disk" in told.why
    story.tell(BrokerRevived("b2"))
    assert needs(story) == {}


@settings(max_examples=60, deadline=None)
@given(actions)
def test_penalties_and_score_add_up_to_a_hundred_unless_the_floor_cuts(things: list[tuple[int, int]]) -> None:
    story = Story().begin(partitions=3)
    for code, argument in things:
        story.act(code, argument)
    told = answer(AskHealth(), story.heart, story.now, Extras())
    assert isinstance(told, Health)
    points = sum(need.points for need in told.penalties)
    assert told.score is None or told.score == max(0, 100 - points)
    assert len({need.key for need in told.penalties}) == len(told.penalties)
    for need in told.penalties:
        assert need.severity in ("warn", "bad") and need.points > 0
        assert need.what and need.why and 0 < need.since <= story.now
        assert need.mend.startswith(COMMANDS), need.mend
    ranks = [(need.severity == "warn", -need.points) for need in told.penalties]
    assert ranks == sorted(ranks)
