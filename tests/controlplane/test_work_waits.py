"""What is said of work that waits: for what, for whom, and what mends it."""

from controlplane.answers.routing import routes
from controlplane.dispatchhealth import needs
from controlplane.facts import AgentQuarantined
from controlplane.questions import Need, WorkRow
from tests.controlplane.dispatching import Agents


def row(fleet: Agents, of: str) -> WorkRow:
    return next(one for one in routes(fleet.heart.states, fleet.now).work if one.needs == of)


def need(fleet: Agents) -> Need:
    states = fleet.heart.states
    return next(one for one in needs(states["dispatch"], states["registry"]) if one.key == "tasks")


def test_tasks_are_counted_for_the_capability_that_is_named() -> None:
    fleet = Agents()
    fleet.asks("scan")
    fleet.wait(1_000)
    since = fleet.now
    for wanted in ("triage", "triage", "carry", "triage", "carry"):
        fleet.asks(wanted)
    told = need(fleet)
    assert told.what == "3 tasks wait for triage" and told.why.endswith("; beside them wait 2 for carry, 1 for scan")
    assert told.since >= since, "those that are named, not the oldest of others"


def test_who_is_quarantined_and_could_do_it_is_named_with_its_release() -> None:
    fleet = Agents()
    fleet.joins("carrier", can=["carry"])
    fleet.tell(AgentQuarantined(["agent/carrier"], "op", "x"))
    fleet.asks("carry")
    assert row(fleet, "carry").why.startswith("nobody can do carry: carrier could, and is quarantined")
    assert row(fleet, "carry").mend == need(fleet).mend == "agent release carrier"
    assert "carrier" in need(fleet).why


def test_work_that_rests_after_a_failure_does_not_wait_for_busy_agents() -> None:
    fleet = Agents()
    fleet.joins("only", can=["carry"])
    fleet.asks("carry")
    fleet.settles(fleet.taken()[0], "failed")
    assert "rests: who had it may have it again in" in row(fleet, "carry").why


def test_work_that_waits_for_busy_agents_says_so() -> None:
    fleet = Agents()
    fleet.joins("only", can=["carry"], places=1)
    fleet.asks("carry")
    fleet.asks("carry")
    assert row(fleet, "carry").why == "1 agent that can do it is busy"
