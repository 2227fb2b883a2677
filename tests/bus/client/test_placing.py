"""Where a client places keys: by the fleet's rules, as the topology tells them, and by no others ever."""

import logging
from collections.abc import AsyncIterator

import pytest

from bus import wire
from bus.client.cluster import Cluster
from bus.client.connection import Greeting
from bus.limits import SEMANTIC_RULES_MAX
from bus.partitioner import partition_of
from bus.semantic import Rule, partitions_of_rule

RULES = [Rule("vip/", "vip"), Rule("eu/", "eu", 3)]
SEATS = [wire.Seat(number, 1, "", ["b1"], 1) for number in range(12)]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster(list, Greeting("client", "tester"))
    yield made
    await made.close()


def told(version: int, rules: list[Rule], slots: int = 4_096) -> wire.Topology:
    return wire.Topology(version, "f", slots, [], SEATS, "", "semantic" if rules else "hash", rules)


async def test_keys_live_where_the_fleets_rules_say(cluster: Cluster) -> None:
    cluster.on_topology(told(1, RULES))
    assert {cluster.home(f"vip/{n}") for n in range(50)} == set(partitions_of_rule(RULES[0], 12))
    assert {cluster.home(f"eu/{n}") for n in range(50)} == set(partitions_of_rule(RULES[1], 12))
    assert all(cluster.home(f"k-{n}") == partition_of(f"k-{n}", 12) for n in range(50))


@pytest.mark.parametrize(
    "other",
    [
        told(2, []),
        told(2, [Rule("vip/", "other")]),
        told(2, RULES, slots=64),
        told(2, [Rule("", "g")]),
        told(2, [Rule(str(n), "g") for n in range(SEMANTIC_RULES_MAX + 1)]),
    ],
    ids=["none", "others", "slots", "nonsense", "too many"],
)
async def test_a_topology_with_other_rules_is_not_taken(
    cluster: Cluster, other: wire.Topology, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.on_topology(told(1, RULES))
    home = cluster.home("vip/1")
    with caplog.at_level(logging.ERROR):
        cluster.on_topology(other)
    assert cluster.topology == told(1, RULES) and cluster.home("vip/1") == home
    assert "because of its rules" in caplog.text
