"""The fold of leases where there is much of something: long queues, ends that come together, bounds, nonsense."""

import pytest

from bus import lease as rules
from controlplane import coordination, leasebook
from controlplane import leases as fold
from controlplane.limits import LEASE_GRACE_MS
from tests.controlplane.coordinated import Told
from tests.controlplane.leasesayings import ENDS, released, renewed, requested, told


def test_a_long_queue_is_served_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasebook, "LEASE_GRANTS_AT_ONCE", 4)
    plane = Told()
    many = {"capacity": 20, "wait_ms": 600_000}
    plane.says(requested("all", units=20, **many), *(requested(f"{n}", "agent/b", **many) for n in range(10)))
    assert [type for type, _, _ in told(plane.says(released("all")))] == ["ended"] + ["granted"] * 4
    assert [lease for _, lease, _ in told(plane.wait(1))] == [f"{n}" for n in range(4, 10)]


def test_whatever_ends_at_once_is_said_and_given_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten agents with twelve leases each fail together, and somebody waits for each of these."""
    plane, wait = Told(), {"ttl_ms": 3_600_000, "wait_ms": 3_600_000}
    agents, resources = [f"agent/{n}" for n in range(10)], range(12)
    plane.says(*(requested(f"{by}-{n}", by, f"{by}:{n}", **wait) for by in agents for n in resources))
    plane.says(*(requested(f"w-{by}-{n}", "agent/w", f"{by}:{n}", **wait) for by in agents for n in resources))
    monkeypatch.setattr(coordination, "SAID_SERVED_MAX", 10)
    monkeypatch.setattr(coordination, "SAID_MAX", 40)
    plane.says(*(("agent.lifecycle.failed", by, {}) for by in agents))
    ended = told(plane.wait(LEASE_GRACE_MS + 1))
    assert plane.leases().get("count", "unsaid") is None
    assert sum(why == "holder_failed" for _, _, why in ended) == 120
    assert {lease for type, lease, _ in ended if type == "granted"} == {
        id for id, lease in plane.leases().items("lease") if lease.token
    } == {f"w-{by}-{n}" for by in agents for n in resources}  # fmt: skip


def test_leases_that_run_out_together_are_all_said(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = Told()
    plane.says(*(requested(f"{n}", resource=f"r{n}") for n in range(100)))
    monkeypatch.setattr(coordination, "SAID_SERVED_MAX", 10)
    monkeypatch.setattr(coordination, "SAID_MAX", 12)
    assert len(plane.wait(ENDS + 1)) == 100 and plane.leases().get("count", "unsaid") is None


def test_everything_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "LEASE_QUEUE_MAX", 1)
    monkeypatch.setattr(fold, "LEASES_MAX", 3)
    monkeypatch.setattr(leasebook, "LEASES_ENDED_MAX", 2)
    plane = Told()
    wait = {"wait_ms": 60_000}
    said = plane.says(requested("1"), requested("2", **wait), requested("3", **wait), requested("4", resource="s"),
                      requested("5", resource="t"))  # fmt: skip
    assert [why for _, _, why in told(said)] == ["", "", "queue_full", "", "too_many_leases"]
    plane.says(released("2"), released("1"), released("4", resource="s"))
    assert sorted(plane.leases().table("ended")) == ["1", "4"]
    assert plane.leases().get("count", "forgotten") == 1
    assert not plane.leases().table("lease") and not plane.leases().table("resource")


def test_history_of_elsewhere_and_nonsense_are_no_requests() -> None:
    plane = Told()
    assert plane.says(requested("1"), importof="log-1") == []
    assert plane.says((rules.REQUESTED, "agent/a", {"lease": 3}), (rules.RENEWED, "agent/a", {})) == []
    assert plane.says(renewed("1", 1, renewal=1 << 70), requested("1", "agent/" + "a" * 300)) == []
    assert plane.leases().get("count", "malformed") == 4 and not plane.leases().table("lease")


def test_tokens_fit_into_63_bits_however_often_the_plane_started() -> None:
    plane = Told(epoch=1 << 40)
    tokens = [plane.says(requested(f"{n}", resource=f"r{n}"))[0][1]["token"] for n in range(3)]
    assert tokens == sorted(set(tokens)) and tokens[-1] < 1 << 63
