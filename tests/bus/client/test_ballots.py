"""`fleet.ballots`: proposing, following, voting, deciding; with the real fold behind it."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from bus import BallotRefused, InvalidBallot, NotDecided, PlaneSilent
from bus import ballot as rules
from bus.client import ballots
from tests.bus.client.planetwin import Log, TwinFleet

VOTERS = ["agent/a", "agent/b", "agent/c"]


@pytest.fixture
async def log(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Log]:
    monkeypatch.setattr(ballots, "SILENT_SECONDS", 0.5)
    async with asyncio.timeout(60), Log() as made:
        yield made


async def test_all_who_vote_come_to_one_decision(log: Log) -> None:
    fleets = [log.fleet(voter) for voter in VOTERS]

    async def follows(fleet: TwinFleet, choice: str) -> object:
        async for ballot in fleet.ballots.follow():
            await ballot.vote(choice)
            return await ballot.decided()
        raise AssertionError

    voters = [asyncio.create_task(follows(fleet, choice)) for fleet, choice in zip(fleets, "yyn", strict=True)]
    ballot = await fleets[0].ballots.propose("Ship it?", ["y", "n"], voters=VOTERS, deadline=30)
    assert repr(ballot) == f"<Ballot {ballot.id} 'Ship it?' of agent/a: open>"
    decision = await ballot.decided(timeout=20)
    assert repr(ballot).endswith(": decided>")
    assert (decision.outcome, decision.choice, ballot.is_over) == ("decided", "y", True)
    assert decision.tally["y"] == 2 and decision.votes in (2, 3)
    # Whoever voted late hears the same.
    assert await asyncio.gather(*voters) == [decision] * 3
    assert [data["outcome"] for data in log.said(rules.DECIDED)] == ["decided"]


async def test_who_comes_later_finds_what_is_open_and_not_what_is_over(log: Log) -> None:
    a, c = log.fleet("agent/a"), log.fleet("agent/c")
    over = await a.ballots.propose("1?", voters=["agent/a"])
    await over.vote("yes")
    await over.decided()
    still = await a.ballots.propose("2?", voters=VOTERS)
    found = c.ballots.follow()
    assert (await anext(found)).id == still.id
    third = await a.ballots.propose("3?", voters=VOTERS)
    assert (await anext(found)).question == "3?" and third.question == "3?"
    await found.aclose()


async def test_votes_that_do_not_count_are_told_to_whoever_gave_them(log: Log) -> None:
    a, z = log.fleet("agent/a"), log.fleet("agent/z")
    refusals, others = a.ballots.refusals(), z.ballots.refusals()
    ballot = await a.ballots.propose("?", voters=VOTERS)
    await ballot.vote("yes")
    await ballot.vote("no")
    first = await anext(refusals)
    assert (first.ballot, first.voter, first.why) == (ballot.id, "agent/a", "duplicate")
    await z.ballots.vote(ballot.id, "yes")
    assert (await anext(others)).why == "not_a_voter"
    await ballot.abstain(source="agent/b")
    await ballot.vote("yes", source="agent/c")
    assert (await ballot.decided()).choice == "yes"
    await ballot.vote("yes", source="agent/b")
    assert (await anext(refusals)).why == "late"
    await refusals.aclose()
    await others.aclose()


async def test_what_is_waited_for_in_vain_is_told_apart(log: Log) -> None:
    a = log.fleet("agent/a")
    ballot = await a.ballots.propose("?", voters=VOTERS, deadline=0.5)
    with pytest.raises(NotDecided, match=r"no decision in 0\.05 s"):
        await ballot.decided(timeout=0.05)
    assert (await ballot.decided()).outcome == "expired"
    log.away = True
    silent = await a.ballots.propose("?", voters=VOTERS, deadline=0.2)
    with pytest.raises(PlaneSilent, match="signalbox status"):
        await silent.decided()
    log.away = False
    assert (await silent.decided(timeout=30)).outcome == "expired", "it comes when the plane is back"


async def test_a_proposal_whose_name_is_taken_is_refused(log: Log) -> None:
    a, b = log.fleet("agent/a"), log.fleet("agent/b")
    await a.ballots.propose("?", voters=VOTERS, id="x")
    with pytest.raises(BallotRefused, match="another ballot has this id") as refused:
        await (await b.ballots.propose("??", voters=VOTERS, id="x")).decided()
    assert refused.value.why == "taken"


async def test_after_a_restart_the_same_ballot_is_gone_on_with(log: Log) -> None:
    first = log.fleet("agent/a")
    ballot = await first.ballots.propose("?", voters=["agent/a"], id="x")
    await ballot.vote("yes")
    decision = await ballot.decided()
    await first.close()
    again = await log.fleet("agent/a").ballots.propose("?", voters=["agent/a"], id="x")
    assert await again.decided(timeout=20) == decision


async def test_a_fleet_that_is_closed_waits_for_nothing(log: Log) -> None:
    fleet = log.fleet("agent/a")
    ballot = await fleet.ballots.propose("?", voters=VOTERS)
    waiting = asyncio.create_task(ballot.decided())
    await fleet.close()
    with pytest.raises(Exception, match="closed"):
        await waiting


async def test_ballots_that_nobody_holds_are_forgotten(log: Log) -> None:
    a = log.fleet("agent/a")
    for n in range(3):
        await a.ballots.propose(f"{n}?", voters=VOTERS)
    gc.collect()
    assert len(a.ballots._known) == 0


async def test_what_makes_no_sense_is_refused_at_once(log: Log) -> None:
    a = log.fleet("agent/a")
    with pytest.raises(InvalidBallot, match="quorum"):
        await a.ballots.propose("?", quorum="most")
    ballot = await a.ballots.propose("?", voters=VOTERS)
    with pytest.raises(InvalidBallot, match="yes, no"):
        await ballot.vote("maybe")
