"""A control plane that is killed among ballots and leases: nothing is decided or granted twice, nothing forgotten."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

import bus
from bus import ballot as rules
from controlplane.facts import BallotDecided, LeaseEnded, LeaseGranted
from tests.chaos.live import LiveFleet, live_fleet, until
from tests.chaos.test_clock import facts_of, steps_of
from tests.chaos.test_endings import SMALL, serving
from tests.chaos.test_leases import verified

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(400)]
VOTERS = ["agent/a", "agent/b", "agent/c"]
BALLOTS = 40
KILLS = 2
DEADLINE_S = 120.0


async def votes(fleet: bus.Fleet, source: str, dice: random.Random) -> None:
    """Votes on everything that comes up, in its own time."""
    async for ballot in fleet.ballots.follow():
        await asyncio.sleep(dice.random() / 10)
        await ballot.vote(dice.choice(ballot.options), source=source)


async def proposes(fleet: bus.Fleet, decisions: dict[str, bus.Decision]) -> None:
    """One ballot after the other."""
    for n in range(BALLOTS):
        ballot = await fleet.ballots.propose(f"{n}?", voters=VOTERS, deadline=DEADLINE_S, source="agent/a")
        decisions[ballot.id] = await ballot.decided()


async def leases(fleet: bus.Fleet, source: str, tokens: list[int]) -> None:
    """Takes turns with others."""
    while True:
        try:
            async with fleet.leases.acquire("shared", ttl=20, wait=60, source=source) as lease:
                tokens.append(lease.token)
                await asyncio.sleep(0.05)
        except (bus.LeaseRefused, bus.FleetError):
            await asyncio.sleep(0.05)


async def kills(live: LiveFleet, decisions: dict[str, bus.Decision], dice: random.Random) -> None:
    """The plane ends in the midst of it, and another one goes on."""
    for number in range(KILLS):
        due = BALLOTS * (number + 1) // (KILLS + 2)
        await until(f"{due} ballots are decided", lambda due=due: len(decisions) >= due, 90.0)
        await asyncio.sleep(dice.random() / 5)
        await asyncio.to_thread(live.kill_plane)
        live.said()
        live.start()
        await live.ready()


async def test_nothing_is_decided_or_granted_twice(tmp_path: Path) -> None:
    dice, decisions, tokens = random.Random(5), dict[str, bus.Decision](), list[int]()
    with live_fleet(tmp_path, *SMALL) as live:
        await serving(live)
        async with bus.connect(data_dir=tmp_path, name="proof") as fleet:
            beside = [asyncio.create_task(votes(fleet, voter, random.Random(voter))) for voter in VOTERS]
            beside += [asyncio.create_task(leases(fleet, voter, tokens)) for voter in VOTERS]
            killing = asyncio.create_task(kills(live, decisions, dice))
            await proposes(fleet, decisions)
            await killing
            for task in beside:
                task.cancel()
            ended = await asyncio.gather(*beside, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
        exported = await asyncio.to_thread(live.exported)
        await verified(live)
        assert live.end() == 0
    facts = facts_of(steps_of(tmp_path))
    decided = {fact.ballot: fact for fact in facts if isinstance(fact, BallotDecided)}
    assert Counter(fact.ballot for fact in facts if isinstance(fact, BallotDecided)) == Counter(list(decisions))
    said = [event["data"] for event in exported if event["type"] == rules.DECIDED]
    assert Counter(data["ballot"] for data in said) == Counter(list(decisions)), "each is said once"
    for id, decision in decisions.items():
        fact = decided[id]
        assert (decision.outcome, decision.choice, decision.position) == (fact.outcome, fact.choice, fact.at)
        counted = Counter(
            e["data"]["choice"] for e in exported if e["type"] == rules.VOTED and e["data"]["ballot"] == id
        )
        assert fact.outcome == "decided" and fact.tally[fact.choice or ""] == 2 <= counted[fact.choice]
    granted = [fact for fact in facts if isinstance(fact, LeaseGranted)]
    assert max(Counter(fact.lease for fact in granted).values()) == 1
    assert tokens == sorted(set(tokens)) and len(tokens) > KILLS
    held = 0
    for fact in facts:
        held += isinstance(fact, LeaseGranted) - isinstance(fact, LeaseEnded)
        assert 0 <= held <= 1
