"""The fold of leases where agents start again: whose a request is, whatever is recorded first, and who is too late."""

from bus import lease as rules
from controlplane.limits import AGENT_FORMER_MAX, LEASE_GRACE_MS
from controlplane.timeline import verify
from tests.controlplane.coordinated import Saying, Told, coordinating
from tests.controlplane.leasesayings import holders, released, requested, told
from tests.controlplane.test_properties import through_bytes


def joined(incarnation: str, by: str = "agent/a") -> Saying:
    return "agent.lifecycle.joined", by, {"incarnation": incarnation}


def test_a_request_that_is_recorded_before_its_agent_joined_is_that_agents() -> None:
    """Its `joined` stands in another partition, which the plane reads later."""
    plane, long = Told(), {"ttl_ms": 3_600_000, "wait_ms": 3_600_000}
    plane.says(joined("one"), requested("1", incarnation="one", **long), requested("b", "agent/b", "u", **long))
    plane.says(requested("2", resource="s", incarnation="two", **long))
    plane.says(requested("w", resource="u", incarnation="two", **long), ("agent.lifecycle.failed", "agent/a", {}))
    assert told(plane.wait(LEASE_GRACE_MS + 1)) == [("ended", "1", "holder_failed")], "of the former run alone"
    assert told(plane.says(released("b", by="agent/b", resource="u")))[1:] == [("granted", "w", "")]
    plane.says(joined("two"))
    assert plane.wait(2 * LEASE_GRACE_MS) == []
    assert holders(plane, "s") == {"2"} and holders(plane, "u") == {"w"}
    plane.says(joined("three"))
    said = told(plane.wait(2 * LEASE_GRACE_MS))
    assert said == [("ended", "w", "holder_restarted"), ("ended", "2", "holder_restarted")]
    again = verify([through_bytes(step) for step in plane.steps], coordinating())
    assert again.divergence == ""


def test_a_former_incarnation_gets_nothing_any_more() -> None:
    plane, wait = Told(), {"ttl_ms": 3_600_000, "wait_ms": 3_600_000}
    plane.says(joined("one"), requested("0", "agent/b", **wait), requested("1", incarnation="one", **wait))
    plane.says(joined("two"))
    plane.says(joined("three"))
    for former in ("one", "two"):
        said = plane.says(requested(f"z{former}", resource="s", incarnation=former, **wait))
        assert told(said) == [("refused", f"z{former}", "holder_restarted")]
    assert told(plane.says(released("0", by="agent/b")))[1:] == [("refused", "1", "holder_restarted")]
    assert told(plane.says(requested("3", incarnation="three", **wait))) == [("granted", "3", "")]


def test_a_former_one_that_asks_again_for_what_its_follower_has_is_refused_once_and_hears_nothing_else() -> None:
    plane, long = Told(), {"ttl_ms": 3_600_000}
    plane.says(joined("one"), requested("1", asked=5, incarnation="one", **long))
    said = plane.says(
        joined("two"), requested("1", asked=9, incarnation="two", **long),
        requested("1", asked=7, incarnation="one", **long),
    )  # fmt: skip
    assert told(said) == [("granted", "1", ""), ("refused", "1", "holder_restarted")]
    assert (said[0][1]["asked"], said[1][1]["asked"]) == (9, 7)
    assert told(plane.says(requested("1", asked=99, incarnation="one", **long))) == [
        ("refused", "1", "holder_restarted")
    ]
    assert plane.wait(2 * LEASE_GRACE_MS) == [] and holders(plane) == {"1"}


def test_so_many_former_ones_are_remembered() -> None:
    plane = Told()
    plane.says(*(joined(f"i{n}") for n in range(AGENT_FORMER_MAX + 2)))
    agent = plane.heart.states["registry"].get("agent", "agent/a")
    assert agent.former == [f"i{n}" for n in range(1, AGENT_FORMER_MAX + 1)] and agent.incarnation == "i9"
    assert told(plane.says(requested("1", incarnation="i1"))) == [("refused", "1", "holder_restarted")]
    plane.says(joined("i4"))
    assert "i4" not in plane.heart.states["registry"].get("agent", "agent/a").former, "it is there again"


def test_a_request_that_comes_again_hears_whose_cause_it_is_and_what_was_asked_last() -> None:
    plane, wait = Told(), {"wait_ms": 60_000}
    plane.says(requested("1", asked=5), requested("2", "agent/b", asked=5, **wait))
    for lease, by, type in (("1", "agent/a", rules.GRANTED), ("2", "agent/b", rules.QUEUED)):
        ((said, data),) = plane.says(requested(lease, by, asked=3, **wait))
        assert (said, data["asked"]) == (type, 5)
        assert plane.causes[-1] == f"e-{plane.rows - 1}", "of the request that is answered"
