"""`broker` and `partition`: levers show their set, touch exactly that, follow it, and end with the right code."""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.questions import (
    AskBrokers,
    AskPartitions,
    BrokerRow,
    Brokers,
    Goal,
    Move,
    Operate,
    Operated,
    PartitionRow,
    Partitions,
    PlanStatus,
    Question,
    Refusal,
    ReplicaStatus,
    RestartStatus,
    Told,
)
from tests.console.cli.conftest import telling
from tests.console.cli.test_commands import SHAPES, shape

MOVES = [Move(1, "b2", ["b2", "b3", "b1"], "b3", ["b2", "b3", "b1"], 9)]
GOALS = [Goal("most leaderships on one broker", False, 4, 6, 6)]


def broker(id: str, leads: list[int], drained: str = "", **more: Any) -> BrokerRow:
    return BrokerRow(id, 7, "up", leads, **more, drained=drained, replicas=12, in_sync=12, home_of=[1], holds_up=[3])


def partition(leader: str | None = "b2") -> PartitionRow:
    replicas = [ReplicaStatus("b2", "leader"), ReplicaStatus("b3", "lagging"), ReplicaStatus("b1", "off")]
    return PartitionRow(1, "ok" if leader else "bad", leader, 3, replicas, preferred="b1", write_quorum=2, load=9)


class Plane:
    """Keeps orders; each look at the fleet is the next of `looks`, the last one again and again."""

    def __init__(self, *looks: Any, moves: list[Move] = MOVES, touched: tuple[str, ...] = ("p01 b2 → b3",)) -> None:
        self.looks = list(looks)
        self.orders: list[Operate] = []
        self.moves, self.touched = moves, list(touched)

    def __call__(self, question: Question) -> Told:
        if isinstance(question, Operate):
            if not question.dry_run:
                self.orders.append(question)
            position = 0 if question.dry_run else 9
            told = Operated(question.verb, self.touched, question.dry_run, position, self.moves, GOALS, ["a note"])
            return Told(7, 8, told)
        assert isinstance(question, AskBrokers | AskPartitions)
        return Told(7, 8, self.looks.pop(0) if len(self.looks) > 1 else self.looks[0])


@pytest.mark.parametrize("format", ["table", "json", "ndjson", "csv"])
def test_lists_in_every_format(cli, fleet_of, format: str) -> None:
    restart = RestartStatus(["b1", "b2"], ["b1"], "", "", 5)
    places = Brokers([broker("b1", [0]), broker("b2", [], "drained by op: disk")], restart, "b3 is down")
    partitions = Partitions([partition(), partition(None)], PlanStatus(MOVES, 0, "", 5), "b3 is down")

    def answer(question: Question) -> Told:
        return Told(7, 8_000_000_000, places if isinstance(question, AskBrokers) else partitions)

    folder = fleet_of(answer)
    for noun, words in (("broker", ("◇ b2", "disk", "1 of 2, at b2")), ("partition", ("p01", "▲ b3", "0 of 1 moved"))):
        for command in ([noun, "list"], [noun, "show", "b1" if noun == "broker" else "1"]):
            result = cli(*command, "-o", format, "--data-dir", folder)
            assert (result.code, result.err) == (0, "")
            if format == "table":
                assert all(word in result.out for word in words), result.out
            elif format == "json":
                assert len(json.loads(result.out)["rows"]) == 2


def test_a_drain_touches_the_set_it_showed_and_waits_until_nothing_is_led(cli, fleet_of) -> None:
    plane = Plane(Brokers([broker("b2", [1])]), Brokers([broker("b2", [])]))
    folder = fleet_of(plane)
    dry = cli("broker", "drain", "b2", "--dry-run", "--data-dir", folder)
    assert (dry.code, plane.orders) == (0, [])
    assert "dry run" in dry.out and "b2 → b3" in dry.out and "4 → 6" in dry.out and "a note" in dry.out
    wet = cli("broker", "drain", "b2", "--yes", "--reason", "disk", "-o", "json", "--data-dir", folder)
    assert wet.code == 0 and json.loads(wet.out)["position"] == 9
    assert (plane.orders[0].expected, plane.orders[0].reason) == (["p01 b2 → b3"], "disk")
    assert len(plane.looks) == 1


def test_what_takes_longer_than_it_is_followed_is_partly_done(cli, fleet_of) -> None:
    plane = Plane(Brokers([broker("b2", [1])]))
    result = cli("broker", "drain", "b2", "--yes", "--wait", "0.1", "--data-dir", fleet_of(plane))
    assert (result.code, len(plane.orders)) == (6, 1)
    assert "still leads p01" in result.err and "goes on" in result.err


@pytest.mark.parametrize(
    ("done", "ended", "why", "code"),
    [(["b1", "b2"], "done", "", 0), ([], "failed", "b1 is not back", 1), (["b1"], "failed", "b2 is not back", 6)],
)
def test_a_rolling_restart_is_followed_to_its_end(
    cli, fleet_of, done: list[str], ended: str, why: str, code: int
) -> None:
    looks = [
        Brokers([], RestartStatus(["b1", "b2"], [], "", "", 5)),
        Brokers([], RestartStatus(["b1", "b2"], done, ended, why, 5)),
    ]
    plane = Plane(*looks, moves=[], touched=("b1", "b2"))
    result = cli("broker", "restart", "--all", "--yes", "--data-dir", fleet_of(plane))
    assert (result.code, plane.orders[0].verb, plane.orders[0].targets) == (code, "restart", [])
    assert why in result.err


def test_a_rebalance_is_followed_and_stopped(cli, fleet_of) -> None:
    under_way = Partitions([], PlanStatus(MOVES, 0, "", 5), "b3 is down")
    plane = Plane(under_way, Partitions([], PlanStatus(MOVES, 1, "done", 5)))
    folder = fleet_of(plane)
    assert cli("partition", "rebalance", "1", "--to", "b3", "--yes", "--data-dir", folder).code == 0
    assert (plane.orders[0].targets, plane.orders[0].to) == (["1"], "b3")
    assert cli("partition", "rebalance", "--stop", "--yes", "--data-dir", folder).code == 0
    assert plane.orders[1].verb == "rebalance_stop"


def test_a_recovery_needs_the_loss_accepted_and_a_reason(cli, fleet_of) -> None:
    plane = Plane(Partitions([partition(None)]), Partitions([partition()]), moves=[], touched=("p01",))
    folder = fleet_of(plane)
    for options in ([], ["--accept-loss"], ["--reason", "gone"]):
        assert cli("partition", "recover", "1", *options, "--yes", "--data-dir", folder).code == 2
    assert plane.orders == []
    assert cli("partition", "recover", "1", "--dry-run", "--data-dir", folder).code == 0
    line = ["partition", "recover", "1", "--accept-loss", "--reason", "gone", "--yes"]
    assert cli(*line, "--data-dir", folder).code == 0
    assert (plane.orders[0].verb, plane.orders[0].reason) == ("recover", "gone")


@pytest.mark.parametrize(
    "line",
    [
        ["broker", "drain", "b1"],
        ["broker", "restart"],
        ["broker", "remove", "b1"],
        ["broker", "add"],
        ["broker", "add", "tcp://127.0.0.1:1", "--local", "--yes"],
        ["broker", "restart", "b1", "--all"],
        ["partition", "rebalance", "--to", "b1"],
        ["partition", "rebalance", "1", "--stop"],
        ["partition", "show", "-1"],
        ["partition", "rebalance"],
    ],
)
def test_wrong_usage_touches_nothing(cli, fleet_of, line: list[str]) -> None:
    plane = Plane(Brokers([]))
    result = cli(*line, "--data-dir", fleet_of(plane))
    assert (result.code, result.out, plane.orders) == (2, "", [])


@pytest.mark.parametrize(("code", "exit"), [("not_found", 4), ("failed", 1), ("changed", 1), ("unavailable", 3)])
def test_refusals_say_what_to_do(cli, fleet_of, tmp_path: Path, code: str, exit: int) -> None:
    folder = fleet_of(telling(Refusal(code, "p03 has no other replica in sync", "signalbox partition list")))
    result = cli("broker", "drain", "b1", "--yes", "--data-dir", folder)
    assert (result.code, result.out) == (exit, "")
    assert "p03" in result.err and "signalbox partition list" in result.err


def test_a_broker_is_added_by_its_address_and_followed_until_it_is_up(cli, fleet_of) -> None:
    url = "tcp://127.0.0.1:7777"
    down = broker("b4", [], joined=True)
    down.state = "starting"
    plane = Plane(Brokers([]), Brokers([down]), Brokers([broker("b4", [], joined=True, heard=1)]), moves=[])
    plane.touched = [f"b4 at {url}, store s"]
    folder = fleet_of(plane)
    dry = cli("broker", "add", url, "--dry-run", "--data-dir", folder)
    assert (dry.code, plane.orders) == (0, []) and f"b4 at {url}" in dry.out
    wet = cli("broker", "add", url, "--yes", "--reason", "room", "--data-dir", folder)
    assert (wet.code, plane.orders[0].verb, plane.orders[0].targets) == (0, "add", [url])
    assert (plane.orders[0].expected, plane.orders[0].reason, len(plane.looks)) == (
        [f"b4 at {url}, store s"],
        "room",
        1,
    )
    shown = cli("broker", "show", "b4", "--data-dir", folder)
    assert "joined" in shown.out and "whoever started it restarts it" in shown.out
    plane.touched = ["b4 is started here"]
    assert cli("broker", "add", "--local", "--yes", "--data-dir", folder).code == 0
    assert plane.orders[1].targets == []


def test_a_removal_is_followed_until_the_broker_is_forgotten_or_revived(cli, fleet_of) -> None:
    moves = [Move(1, "b3", ["b2", "b3", "b1"], "b4", ["b4", "b3", "b1"])]
    leaving = Brokers([broker("b2", [], leaving="leaving")], None, "b3 is down")
    plane = Plane(leaving, Brokers([broker("b1", [])]), moves=moves)
    folder = fleet_of(plane)
    result = cli("broker", "remove", "b2", "--yes", "--data-dir", folder)
    assert (result.code, plane.orders[0].verb, len(plane.looks)) == (0, "remove", 1)
    assert "b1 b2 b3 → b1 b3 b4" in result.out
    plane.looks = [Brokers([broker("b2", [])])]
    result = cli("broker", "remove", "b2", "--yes", "--data-dir", folder)
    assert result.code == 1 and "it stays" in result.err


def test_a_rebalance_of_one_broker_takes_only_its_moves(cli, fleet_of) -> None:
    other = Move(5, "b1", ["b1", "b3", "b5"], "b3", ["b3", "b1", "b5"])
    plane = Plane(Brokers([broker("b2", [1])]), Partitions([], PlanStatus(MOVES, 1, "done", 5)), moves=[*MOVES, other])
    folder = fleet_of(plane)
    assert cli("broker", "rebalance", "b2", "--yes", "--data-dir", folder).code == 0
    assert plane.orders[0].targets == ["1"]
    plane.looks, plane.moves = [Brokers([broker("b9", [])])], [other]
    result = cli("broker", "rebalance", "b9", "--yes", "--data-dir", folder)
    assert result.code == 1 and "nothing to move" in result.err and len(plane.orders) == 1


LINES = {
    "broker list": ["broker", "list"],
    "broker add": ["broker", "add", "--yes", "--wait", "0"],
    "broker remove": ["broker", "remove", "b2", "--yes", "--wait", "0"],
}


@pytest.mark.parametrize("name", LINES)
def test_json_keeps_its_shape(cli, fleet_of, name: str, rewrite: bool) -> None:
    places = Brokers(
        [broker("b2", [1], "drained by op", joined=True, leaving="x")], RestartStatus(["b1"], [], "", "", 5)
    )
    result = cli(*LINES[name], "-o", "json", "--data-dir", fleet_of(Plane(places)))
    found = json.loads(result.out)
    pinned = json.loads(SHAPES.read_text())
    if rewrite:
        pinned[name] = shape(found)
        SHAPES.write_text(json.dumps(pinned, indent=1) + "\n")
    assert shape(found) == pinned[name]
