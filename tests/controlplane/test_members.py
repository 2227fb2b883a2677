"""Levers on membership: what adding and removing would touch, and what is refused, and why."""

import pytest

from controlplane.answers import Extras, answer, plan_operation
from controlplane.answers.members import Newcomer
from controlplane.decisions import (
    BrokerAdded,
    BrokerRemoved,
    BrokerRevived,
    PlannedMove,
    RebalanceDecided,
    RemovalDecided,
)
from controlplane.facts import BrokerLost, BrokerStarted, LeadershipProposed
from controlplane.joining import address_of
from controlplane.membership import fresh_id, held_by, leaving_of
from controlplane.operations import plan_of
from controlplane.questions import AskStatus, Operate, Operated, Refusal, Status
from controlplane.roster import brokers_of, partitions_of
from tests.controlplane.made import Story
from tests.controlplane.test_fleet_transcripts import Stage
from tests.controlplane.test_levers import brokers, partitions, plan, refused, touched, well

URL = "tcp://127.0.0.1:7777"


def newcomer(**more) -> Newcomer:
    said = {"url": URL, "id": "b4", "store": "store-b4", "fleet": "f", "partitions": 6, "plane_epoch": 1}
    return Newcomer(**(said | more))


def add(story: Story, who: Newcomer, **more) -> tuple:
    return plan_operation(story.heart.states, Operate("add", [who.url] if who.url else [], **more), story.now, who)


def with_b4(url: str = URL) -> Story:
    story = well()
    story.tell(BrokerAdded("b4", url))
    story.tell(BrokerStarted("b4", 40, "store-b4", url or "tcp://b4"))
    story.sample("b4")
    return story


def test_a_broker_that_runs_is_added_at_its_address_and_one_of_our_own_under_an_id_never_used() -> None:
    decision, told = add(well(), newcomer(), by="op", reason="room")
    assert decision == BrokerAdded("b4", URL, "store-b4", "op", "room")
    assert told.touched == [f"b4 at {URL}, store store-b4"] and "its owner's" in told.notes[-1]
    decision, told = add(well(), Newcomer(folders=["b1", "b2", "b3", "b4"]))
    assert decision == BrokerAdded("b5") and told.touched == ["b5 is started here"]
    assert add(well(), newcomer(), dry_run=True)[0] is None
    assert add(well(), newcomer(), expected=["b4 at tcp://127.0.0.1:1, store x"])[1].code == "changed"


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ({"fleet": "g"}, "of fleet g"),
        ({"partitions": 12}, "12 partitions"),
        ({"plane_epoch": 7}, "another plane"),
        ({"id": "../b4"}, "calls itself"),
        ({"id": ""}, "calls itself"),
        ({"id": "b" * 1_000}, "calls itself"),
        ({"store": ""}, "names no store"),
        ({"store": "s" * 1_000}, "1000 characters"),
        ({"id": "b2"}, "b2 is a member already"),
        ({"id": "b2", "store": "store-b2"}, "a copy of its store"),
        ({"store": "store-b2"}, "the store of b2"),
    ],
)
def test_who_cannot_join_is_told_why(what: dict, word: str) -> None:
    decision, told = add(well(), newcomer(**what))
    assert decision is None and isinstance(told, Refusal)
    assert word in told.message and told.hint


def test_a_member_that_moved_is_added_again_and_one_that_answers_is_not() -> None:
    story = with_b4()
    assert "member already" in add(story, newcomer())[1].message
    assert "member already" in add(story, newcomer(url="tcp://127.0.0.1:8888"))[1].message
    story.tell(BrokerLost("b4", "nothing answers"))
    decision, told = add(story, newcomer(url="tcp://127.0.0.1:8888", store="fresh"))
    assert decision == BrokerAdded("b4", "tcp://127.0.0.1:8888", "fresh") and "another than before" in told.notes[1]


@pytest.mark.parametrize(
    "text", ["7777", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:x", "ipc:///tmp/b", ""]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    told = address_of(text)
    assert isinstance(told, Refusal) and (told.code, told.hint) == ("usage", "it should read tcp://127.0.0.1:PORT")


def test_nothing_joins_from_beyond_the_loopback() -> None:
    assert (address_of(" tcp://localhost:07777 "), address_of(URL)) == (URL, URL)
    for host in ("10.0.0.7", "192.0.2.1", "example.org", "[::1]", "127.0.0.2"):
        told = address_of(f"tcp://{host}:7777")
        assert isinstance(told, Refusal) and told.code == "denied" and "no keys yet" in told.message


def test_a_removal_shows_where_the_replicas_go_and_is_refused_where_they_could_not() -> None:
    assert "broker add first" in refused(well(), "remove", "b2").hint
    story = with_b4("")
    told = touched(story, "remove", "b2", dry_run=True)
    assert [(move.partition, move.replicas.index("b2"), move.target.index("b4")) for move in told.moves] == [
        (p.partition, p.replicas.index("b2"), p.replicas.index("b2"))
        for p in partitions_of(story.heart.states["fleet"])
    ]
    story.tell(BrokerLost("b3", "killed"))
    for broker in ("b1", "b2", "b4"):
        story.sample(broker)
    assert "would lose the quorum" in refused(story, "remove", "b2").message
    assert "'b9'" in refused(story, "remove", "b9").message


def test_a_broker_that_is_gone_for_good_is_removed_although_it_is_down() -> None:
    stage = Stage()
    script = "plane;found b1 b2 b3 partitions=2;started b1;started b2;started b3;vote;samples;add b4;started b4;calm 12"
    for line in [*script.split(";"), "lost b2", "calm 2"]:
        stage.run(line)
    decision, told = plan_operation(stage.heart.states, Operate("remove", ["b2"], by="op", reason="disk"), stage.now)
    assert isinstance(decision, RemovalDecided) and isinstance(told, Operated)
    stage.take(decision)
    assert leaving_of(stage.heart.states["fleet"])["b2"].reason == "disk"
    said = stage.run("calm 60")
    assert "BrokerRemoved b2" in said and "  release b2" in said
    state = stage.heart.states["fleet"]
    assert list(brokers_of(state)) == ["b1", "b3", "b4"]
    assert all(sorted(p.replicas) == ["b1", "b3", "b4"] for p in partitions_of(state))


def test_a_newcomer_that_learns_shows_how_far_it_is_and_can_be_removed_before_it_has_a_place() -> None:
    story = with_b4()

    def why() -> tuple[str, str]:
        row = next(row for row in partitions(story).rows if row.partition == 0)
        assert [replica.broker for replica in row.replicas] == ["b1", "b2", "b3"]
        return row.severity, row.why

    assert why() == ("ok", "")
    story.tell(RebalanceDecided([PlannedMove(0, ["b1", "b2", "b4"])]))
    story.tell(LeadershipProposed(0, 2, ["b1", "b2", "b4"], "", "b1"))
    story.vote()
    story.sample("b1")
    assert why() == ("ok", "b4 copies the log, 0 of 5 records, and then takes the place of b3")
    story.tell(BrokerLost("b3", "killed"))
    assert why() == ("warn", "b3 is down; b4 copies the log, 0 of 5 records, and then takes the place of b3")
    story.tell(BrokerLost("b4", "killed"))
    assert why()[1] == "b3 is down; b4, which is to take the place of b3, is down: the move waits"

    shown = touched(story, "remove", "b4", dry_run=True)
    assert (shown.touched, shown.moves) == (["p00 gets no replica on b4"], [])
    decision, told = plan(story, "remove", "b4", by="op")
    assert decision == RemovalDecided("b4", [], "op") and told.touched == shown.touched
    story.tell(decision)
    story.wait(2)
    story.vote()
    assert why() == ("warn", "b3 is starting") and held_by(story.heart.states["fleet"], "b4") == []


def test_a_revived_broker_stays_and_a_removed_one_is_remembered() -> None:
    story = with_b4()
    story.tell(plan(story, "remove", "b2", by="op", reason="old")[0])
    assert next(row.leaving for row in brokers(story).rows if row.id == "b2") == "leaving by op: old"
    status = answer(AskStatus(), story.heart, story.now, Extras())
    assert isinstance(status, Status) and status.brokers[1].why == "leaving by op: old"
    story.tell(BrokerRevived("b2"))
    assert leaving_of(story.heart.states["fleet"]) == {} and "b2" in brokers_of(story.heart.states["fleet"])
    decision, told = plan(story, "remove", "b4", reason="done")
    assert decision == BrokerRemoved("b4", reason="done") and "lives on" in told.notes[0]
    story.tell(decision)
    assert "removed: done" in refused(story, "remove", "b4").message
    before = story.heart.digest()
    story.tell(BrokerStarted("b4", 41, "store-b4", URL))
    assert (story.heart.states["fleet"].get("broker", "b4"), len(before)) == (None, 16)


def test_nothing_is_planned_onto_a_broker_that_leaves_and_a_joined_one_is_not_restarted() -> None:
    story = with_b4()
    assert "b4 was joined" in touched(story, "restart", dry_run=True).notes[0]
    assert touched(story, "restart", dry_run=True).touched == ["b1", "b2", "b3"]
    assert "not this plane's to restart" in refused(story, "restart", "b4").message
    story.tell(RemovalDecided("b4", []))
    decision, _ = plan(story, "rebalance")
    moves = decision.moves if isinstance(decision, RebalanceDecided) else []
    assert all("b4" not in move.replicas for move in moves)
    assert isinstance(plan(story, "rebalance", "0", to="b4")[1], Refusal)


def test_no_other_plan_takes_the_place_of_a_removal_that_is_under_way() -> None:
    story = with_b4("")
    story.tell(plan(story, "remove", "b2")[0])
    ours = plan_of(story.heart.states["fleet"])
    assert ours is not None and len(ours.moves) == 6
    for verb, targets, more in (("rebalance", [], {}), ("rebalance", ["0"], {"to": "b3"}), ("remove", ["b3"], {})):
        told = refused(story, verb, *targets, **more)
        assert "b2 is being removed, and still holds 6 replicas" in told.message and "broker revive b2" in told.hint
    decision, stopped = plan(story, "rebalance_stop")
    assert "broker remove b2 goes on" in stopped.notes[0]
    story.tell(decision)
    assert "b2 is being removed" in refused(story, "rebalance").message, "it is not done, though it rests"
    again, _ = plan(story, "remove", "b2")
    assert isinstance(again, RemovalDecided) and again.moves == ours.moves
    story.tell(again)
    story.tell(BrokerRevived("b2"))
    assert isinstance(plan(story, "rebalance", "0", to="b3")[0], RebalanceDecided)


def test_an_id_is_never_used_twice() -> None:
    assert fresh_id([]) == "b1"
    assert fresh_id(["b1", "b3", "west-1"]) == "b2"
    assert isinstance(add(well(), Newcomer(folders=["b4", "b5"]))[1], Operated)
