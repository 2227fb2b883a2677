"""The fold of leases, one thing after the other: order, tokens, renewals, holders that go, pauses, bounds."""

import json
from types import MappingProxyType

import msgspec
import pytest

from bus import lease as rules
from controlplane import leases as fold
from controlplane.coordination import UNNAMED
from controlplane.facts import BrokerSilent, LeaseEnded, LeaseGranted, PlaneResumed, PlaneStarted, Rows
from controlplane.fold import Entry, Fold, Heart, KeyedState, World
from controlplane.leases import Leases
from controlplane.limits import CATCH_UP_MS, LEASE_GRACE_MS, LEASE_OVERTAKES_MS
from controlplane.roster import POSITION_BITS
from tests.controlplane.coordinated import MS, Told
from tests.controlplane.leasesayings import ENDS, TTL, holders, released, renewed, requested, told


def test_one_has_it_and_the_others_wait_by_priority_then_by_arrival() -> None:
    plane = Told()
    said = plane.says(
        requested("1"), requested("2", "agent/b", wait_ms=60_000), requested("3", "agent/c", wait_ms=60_000),
        requested("4", "agent/d", wait_ms=60_000, priority="high"), requested("5", "agent/e"),
    )  # fmt: skip
    assert told(said) == [("granted", "1", ""), ("queued", "2", ""), ("queued", "3", ""), ("queued", "4", ""),
                          ("refused", "5", "held")]  # fmt: skip
    assert [data["place"] for type, data in said if type == rules.QUEUED] == [1, 2, 1]
    token = said[0][1]["token"]
    for number, by, following in (("1", "agent/a", "4"), ("4", "agent/d", "2"), ("2", "agent/b", "3")):
        said = plane.says(released(number, by=by))
        assert told(said) == [("ended", number, "released"), ("granted", following, "")]
        assert said[1][1]["token"] > token
        token = said[1][1]["token"]


def test_a_low_one_is_served_however_many_high_ones_keep_coming() -> None:
    plane, wait = Told(), {"wait_ms": 3_600_000, "ttl_ms": 3_600_000}
    plane.says(requested("0", **wait), requested("low", "agent/low", priority="low", **wait))
    began, number, served = plane.now, 0, list[str]()
    while "low" not in served:
        number += 1
        plane.says(requested(f"{number}", "agent/high", priority="high", **wait), after_ms=1_000)
        (held,) = holders(plane)
        said = told(plane.says(released(held, by=plane.leases().get("lease", held).holder)))
        served.append(said[-1][1])
        assert number < 100
    assert served[:-1] == [f"{n}" for n in range(1, number)], "high ones overtake it"
    assert plane.now - began == (2 * LEASE_OVERTAKES_MS + 1_000) * MS, "those that come up to two steps later"


def test_a_place_in_the_queue_is_that_of_its_turn() -> None:
    plane, wait = Told(), {"wait_ms": 3_600_000, "ttl_ms": 3_600_000}
    plane.says(requested("0", **wait))
    places = []
    for n, rank in enumerate(["low", "medium", "high", "low", "high", "medium"] * 3):
        said = plane.says(requested(f"w{n}", "agent/b", priority=rank, **wait), after_ms=11_000)
        before = {id for id, lease in plane.leases().items("lease") if not lease.token}
        places.append((f"w{n}", said[0][1]["place"], before))
    order = []
    held = "0"
    while held:
        said = told(plane.says(released(held, by="agent/a" if held == "0" else "agent/b")))
        held = said[-1][1] if said[-1][0] == "granted" else ""
        order.append(held)
    for id, place, there in places:
        assert [each for each in order if each in there].index(id) + 1 == place


def test_a_token_is_the_plane_epoch_and_the_position_that_granted_it() -> None:
    plane = Told(epoch=7)
    ((_, data),) = plane.says(requested("1"))
    assert data["token"] == 7 << POSITION_BITS | plane.steps[-1].first


def test_tokens_grow_over_a_take_over_with_an_older_journal() -> None:
    """The journal that is gone on with has forgotten grants; only its epoch is greater."""
    elder = Told()
    for n in range(20):
        elder.says(requested(f"{n}"), released(f"{n}"))
    greatest = max(data["token"] for type, data in elder.said if type == rules.GRANTED)
    backup = Told(epoch=1)
    backup.tell(PlaneStarted(3, "v", over="the disk was lost"))
    ((_, data),) = backup.says(requested("new"))
    assert data["token"] > greatest and data["token"] >> POSITION_BITS == 3


def test_tokens_grow_where_one_entry_grants_twice() -> None:
    """A timer gives it to the next one at the very position at which that gives it back."""
    plane = Told()
    plane.says(requested("1"), requested("2", "agent/b", wait_ms=60_000), requested("3", "agent/c", wait_ms=60_000))
    plane.says(released("2", by="agent/b"), after_ms=ENDS + 1)
    facts = [entry.fact for entry in plane.steps[-1].derived]
    tokens = [fact.token for fact in facts if isinstance(fact, LeaseGranted)]
    assert len(tokens) == 2 and tokens[0] < tokens[1]
    assert told(plane.said)[-4:] == [("ended", "1", "expired"), ("granted", "2", ""), ("ended", "2", "released"),
                                     ("granted", "3", "")]  # fmt: skip


def test_a_renewal_is_answered_and_moves_the_end_but_no_timer() -> None:
    plane = Told()
    token = plane.says(requested("1"))[0][1]["token"]
    dues = set()
    for n in range(8):
        said = plane.says(renewed("1", token, renewal=n + 1), after_ms=TTL // 5)
        assert said == [(rules.EXTENDED, {"leases": [["1", n + 1]]})]
        dues.add(plane.leases().get("lease", "1").due)
    assert len(dues) == 2
    assert plane.wait(ENDS - 1) == []
    assert told(plane.wait(2)) == [("ended", "1", "expired")]


def test_no_resource_keeps_the_renewals_of_others_from_being_answered() -> None:
    """One answer is about many resources: it goes under the name of none. A name that no event carries is refused."""
    plane = Told()
    said = plane.says(requested("1", resource="gpu\0"), requested("2", resource=""), requested("3"), requested("4\n"))
    assert told(said) == [("refused", "1", "malformed"), ("refused", "2", "malformed"), ("granted", "3", ""),
                          ("refused", "4\n", "malformed")]  # fmt: skip
    token = said[2][1]["token"]
    plane.says(renewed("9", 1, resource="gpu\0"), renewed("3", token))
    answers = [json.loads(i.event) for _, _, i in plane.steps[-1].intents]  # type: ignore[union-attr]
    assert {each["type"]: each["partitionkey"] for each in answers} == {
        rules.REFUSED: UNNAMED, rules.EXTENDED: rules.EXTENDED,
    }  # fmt: skip


def test_only_its_holder_moves_a_lease() -> None:
    plane = Told()
    token = plane.says(requested("1"))[0][1]["token"]
    said = plane.says(
        renewed("1", token, "agent/z"), renewed("1", token - 1), released("1", token, "agent/z"),
        released("1", token + 1), renewed("9", 1), requested("1", "agent/z"),
    )  # fmt: skip
    assert [why for _, _, why in told(said)] == ["not_holder", "stale_token", "not_holder", "stale_token",
                                                "unknown_lease", "taken"]  # fmt: skip
    assert holders(plane) == {"1"}


def test_a_request_that_comes_again_is_answered_again_and_not_granted_again() -> None:
    plane = Told()
    ((_, first),) = plane.says(requested("1"))
    assert plane.says(requested("1")) == [(rules.GRANTED, first)]
    assert told(plane.says(requested("2", "agent/b", wait_ms=9_000))) == [("queued", "2", "")]
    assert told(plane.says(requested("2", "agent/b", wait_ms=9_000))) == [("queued", "2", "")]
    assert told(plane.says(released("1"), released("1"))) == [("ended", "1", "released"), ("granted", "2", "")]
    assert told(plane.says(requested("1"))) == [("refused", "1", "ended")]


def test_a_holder_that_was_started_again_gets_a_greater_token_and_the_earlier_process_moves_nothing() -> None:
    plane, wait = Told(), {"wait_ms": 60_000}
    ((_, first),) = plane.says(requested("1", asked=5))
    ((_, second),) = plane.says(requested("1", asked=9))
    assert second["token"] > first["token"] and second["asked"] == 9
    assert plane.says(requested("1", asked=9)) == [(rules.GRANTED, second)], "the same request comes again"
    assert plane.says(requested("1", asked=5)) == [(rules.GRANTED, second)], "the earlier one comes late"
    plane.says(requested("2", "agent/b", **wait))
    former = (renewed("1", first["token"]), released("1", first["token"]), released("1", asked=5))
    said = plane.says(*former)
    assert [(why, data["token"], data["asked"]) for (_, _, why), (_, data) in zip(told(said), said, strict=True)] == [
        ("stale_token", first["token"], 0), ("stale_token", first["token"], 0), ("stale_token", 0, 5),
    ]  # fmt: skip
    assert holders(plane) == {"1"}
    assert told(plane.says(requested("1", asked=10, units=2, capacity=2))) == [("refused", "1", "taken")]
    assert told(plane.says(requested("1", asked=10, ttl_ms=1))) == [("refused", "1", "malformed")]
    assert told(plane.says(released("1", asked=9))) == [("ended", "1", "released"), ("granted", "2", "")]


def test_it_lasts_for_as_long_as_the_later_process_asked() -> None:
    plane = Told()
    plane.says(requested("1", ttl_ms=60_000, asked=1), requested("1", asked=2))
    assert plane.wait(ENDS - 1) == []
    assert told(plane.wait(2)) == [("ended", "1", "expired")]


def test_who_waits_and_is_started_again_keeps_its_place() -> None:
    plane, wait = Told(), {"wait_ms": 60_000}
    plane.says(requested("1"), requested("2", "agent/b", asked=1, **wait), requested("3", "agent/c", **wait))
    ((type, data),) = plane.says(requested("2", "agent/b", asked=2, **wait))
    assert (type, data["place"]) == (rules.QUEUED, 1)
    assert told(plane.says(released("2", by="agent/b", asked=1))) == [("refused", "2", "stale_token")]
    said = plane.says(released("1"))
    assert told(said) == [("ended", "1", "released"), ("granted", "2", "")] and said[1][1]["asked"] == 2
    plane.says(requested("4", "agent/d", asked=1, **wait))
    assert told(plane.says(requested("4", "agent/d", asked=2))) == [("refused", "4", "held")]
    assert told(plane.says(released("2", by="agent/b", asked=2)))[1:] == [("granted", "3", "")]


def test_units_are_counted_and_a_large_request_is_not_passed_by() -> None:
    plane = Told()
    four = {"capacity": 4, "wait_ms": 60_000}
    said = plane.says(
        requested("1", units=3, **four), requested("2", "agent/b", units=2, **four), requested("3", "agent/c", **four),
        requested("4", capacity=5), requested("5", units=9, **four),
    )  # fmt: skip
    assert told(said) == [("granted", "1", ""), ("queued", "2", ""), ("queued", "3", ""),
                          ("refused", "4", "other_capacity"), ("refused", "5", "malformed")]  # fmt: skip
    assert told(plane.says(released("1")))[1:] == [("granted", "2", ""), ("granted", "3", "")]
    plane.says(released("2", by="agent/b"), released("3", by="agent/c"))
    assert told(plane.says(requested("6", capacity=5))) == [("granted", "6", "")], "nobody has it: another capacity"


def test_the_leases_of_one_that_has_failed_end_after_a_grace_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "LEASES_RELEASED_AT_ONCE", 3)
    plane = Told()
    long = {"ttl_ms": 3_600_000}
    plane.says(*(requested(f"{n}", resource=f"r{n}", **long) for n in range(8)), requested("b", "agent/b", **long))
    plane.says(requested("w", "agent/b", "r0", wait_ms=600_000), ("agent.lifecycle.failed", "agent/a", {}))
    assert plane.wait(LEASE_GRACE_MS - 1) == []
    said = told(plane.wait(2))
    assert [lease for type, lease, why in said if (type, why) == ("ended", "holder_failed")] == list("76543210")
    assert ("granted", "w", "") in said
    assert holders(plane) == {"b"} and plane.leases().get("holder", "agent/a") is None
    largest = max(sum(isinstance(e.fact, LeaseEnded) for e in step.derived) for step in plane.steps)
    assert largest == 3


def test_one_that_comes_back_within_the_grace_keeps_them_and_one_that_leaves_loses_them_at_once() -> None:
    plane = Told()
    long = {"ttl_ms": 3_600_000}
    plane.says(requested("1", **long), requested("2", "agent/b", "s", **long))
    plane.says(("agent.lifecycle.failed", "agent/a", {}))
    plane.wait(LEASE_GRACE_MS // 2)
    plane.says(("agent.lifecycle.joined", "agent/a", {}))
    assert plane.wait(2 * LEASE_GRACE_MS) == []
    plane.says(("agent.lifecycle.left", "agent/b", {}))
    assert told(plane.wait(1)) == [("ended", "2", "holder_left")]
    assert holders(plane) == {"1"}


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What matters of an agent here."""

    state: str
    incarnation: str
    former: list[str] = []


class Roll(Fold):
    """A registry that is told what to know: `agent.lifecycle.joined` has it all."""

    name = "registry"
    follows = (Rows,)
    tables = MappingProxyType({"agent": Known})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        for row, event in entry.fact.followed.items():  # type: ignore[union-attr]
            known = json.loads(event)["data"].get("known")
            if known:
                state.put("agent", entry.fact.sources[row], Known(*known))  # type: ignore[union-attr]


def with_roll() -> Told:
    return Told(Heart([Roll(), Leases()]))


def test_what_a_former_incarnation_had_ends_and_what_this_one_has_stays() -> None:
    plane, long = with_roll(), {"ttl_ms": 3_600_000}
    plane.says(("agent.lifecycle.joined", "agent/a", {"known": ["ready", "one"]}))
    plane.says(requested("1", **long), requested("2", resource="s", **long), requested("b", "agent/b", "t", **long))
    plane.says(("agent.lifecycle.joined", "agent/a", {"known": ["ready", "two"]}))
    plane.says(requested("3", resource="u", **long))
    assert plane.wait(LEASE_GRACE_MS - 1) == []
    assert told(plane.wait(2)) == [("ended", "2", "holder_restarted"), ("ended", "1", "holder_restarted")]
    assert holders(plane, "u") == {"3"} and holders(plane, "t") == {"b"}


def test_one_that_crashes_again_and_again_keeps_nothing_of_its_former_runs() -> None:
    """Each run has its grace from when it was lost, however soon the next one comes."""
    plane, long, step = with_roll(), {"ttl_ms": 3_600_000}, LEASE_GRACE_MS * 6 // 10
    lost, ended = {}, {}
    for run in range(8):
        plane.says(("agent.lifecycle.joined", "agent/a", {"known": ["ready", f"i{run}"]}))
        lost[f"{run - 1}"] = plane.now
        plane.says(requested(f"{run}", resource=f"r{run}", **long))
        if run % 2:
            plane.says(("agent.lifecycle.failed", "agent/a", {}))
        for _ in range(step // 100):
            for type, lease, why in told(plane.wait(100)):
                assert (type, why) == ("ended", "holder_restarted")
                ended[lease] = plane.now
    for lease, at in ended.items():
        assert LEASE_GRACE_MS <= (at - lost[lease]) // MS <= 1.5 * LEASE_GRACE_MS, lease
    assert set(ended) >= {"0", "1", "2", "3", "4"}


def test_one_that_fails_again_after_it_came_back_has_its_grace_anew() -> None:
    plane, long = Told(), {"ttl_ms": 3_600_000}
    plane.says(requested("1", **long))
    for type in ("failed", "joined", "failed", "failed"):
        plane.says((f"agent.lifecycle.{type}", "agent/a", {}))
        assert plane.wait(LEASE_GRACE_MS * 3 // 10) == []
    assert plane.wait(LEASE_GRACE_MS * 4 // 10 - 1) == []
    assert told(plane.wait(2)) == [("ended", "1", "holder_failed")]


def test_what_the_new_incarnation_goes_on_with_stays() -> None:
    plane, long = with_roll(), {"ttl_ms": 3_600_000}
    plane.says(("agent.lifecycle.joined", "agent/a", {"known": ["ready", "one"]}))
    plane.says(requested("1", asked=1, **long), requested("2", resource="s", asked=1, **long))
    plane.says(("agent.lifecycle.joined", "agent/a", {"known": ["ready", "two"]}))
    plane.says(requested("1", asked=2, **long))
    assert told(plane.wait(2 * LEASE_GRACE_MS)) == [("ended", "2", "holder_restarted")]
    assert holders(plane) == {"1"}


def test_the_plane_says_who_has_failed_and_nobody_else_says_it_of_others() -> None:
    plane, long = with_roll(), {"ttl_ms": 3_600_000}
    plane.says(requested("1", **long), ("agent.lifecycle.joined", "agent/a", {"known": ["failed", "one"]}))
    plane.wait(2 * LEASE_GRACE_MS)
    plane.says(requested("2", resource="s", **long))
    plane.says(("agent.lifecycle.failed", "agent/z", {"agent": "agent/a"}))
    assert plane.wait(2 * LEASE_GRACE_MS) == []
    plane.says(("agent.lifecycle.failed", "signalbox/plane", {"agent": "agent/a"}))
    assert told(plane.wait(2 * LEASE_GRACE_MS)) == [("ended", "2", "holder_failed")]


def test_who_has_failed_is_passed_by_in_the_queue_but_may_ask_anew() -> None:
    plane, long = with_roll(), {"ttl_ms": 3_600_000, "wait_ms": 3_600_000}
    plane.says(requested("1", "agent/b", **long), requested("2", **long), requested("3", "agent/c", **long))
    plane.says(("agent.lifecycle.joined", "agent/a", {"known": ["failed", "one"]}))
    assert told(plane.says(released("1", by="agent/b"))) == [
        ("ended", "1", "released"), ("refused", "2", "holder_failed"), ("granted", "3", ""),
    ]  # fmt: skip
    assert told(plane.says(requested("4", resource="s", **long))) == [("granted", "4", "")]


def test_time_in_which_the_plane_was_away_does_not_count() -> None:
    plane = Told()
    token = plane.says(requested("1"), requested("2", "agent/b", wait_ms=4_000))[0][1]["token"]
    plane.tell(PlaneStarted(2, "v", gap_ns=3_600_000 * MS), 3_600_000)
    assert plane.said[2:] == []
    plane.wait(CATCH_UP_MS)
    # The renewal that was said meanwhile comes only now.
    assert [type for type, _ in plane.says(renewed("1", token))] == [rules.EXTENDED]
    assert told(plane.wait(9_000)) == [("refused", "2", "waited"), ("ended", "1", "expired")]


def test_a_lease_ends_however_often_the_plane_stands_still() -> None:
    plane = Told()
    plane.says(requested("1"))
    for _ in range(ENDS // 1_000):
        plane.wait(1_000)
        plane.tell(PlaneResumed(7_000 * MS), 7_000)
    plane.wait(1)
    assert told(plane.said) == [("granted", "1", ""), ("ended", "1", "expired")]


def test_a_lease_that_ends_with_something_else_is_said_all_the_same() -> None:
    plane = Told()
    plane.says(requested("1"), requested("2", "agent/b", wait_ms=60_000), requested("3", resource="s"))
    plane.tell(BrokerSilent("b1", 1), ENDS + 1)
    assert told(plane.said[3:]) == [("ended", "1", "expired"), ("granted", "2", ""), ("ended", "3", "expired")]
    assert not plane.leases().table("said")
