"""The rules of counting, against everything that could still happen: certain is what every ending gives."""

from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bus import ballot as rules
from bus.ballot import EXPIRED, IMPOSSIBLE, TIED, WON, Proposal, outcome_of, total_of, weight_of, wrong_with

ABSTAINS, SILENT = "abstains", "silent"
Votes = dict[str, int | str]
"""Voter -> option's place, ABSTAINS or SILENT."""


def ending(proposal: Proposal, votes: Votes, voters: list[str]) -> int | str:
    """What the docstring of `bus.ballot` says of a ballot that is over: the option that won, TIED, or ""."""
    sums = [sum(weight_of(proposal, v) for v in voters if votes[v] == n) for n in range(len(proposal.options))]
    base = sum(weight_of(proposal, voter) for voter in voters if votes[voter] != ABSTAINS)
    for place, weight in enumerate(sums):
        part = weight / base if base else 0.0
        if weight and (
            (proposal.quorum in ("majority", "weighted") and part > 0.5)
            or (proposal.quorum == "two_thirds" and part >= 2 / 3)
            or (proposal.quorum == "unanimous" and part == 1)
        ):
            return place
    if proposal.quorum in ("majority", "weighted") and base:
        halves = [place for place, weight in enumerate(sums) if weight == base / 2]
        if len(halves) == 2:
            if proposal.tie == "first":
                return halves[0]
            own = votes[voters[0]]
            return own if proposal.tie == "proposer" and own in halves else TIED
    return ""


@st.composite
def ballots(draw: st.DrawFn) -> tuple[Proposal, list[str], Votes]:
    voters = [f"v{n}" for n in range(draw(st.integers(1, 5)))]
    quorum = draw(st.sampled_from(rules.QUORUMS))
    weights = {voter: draw(st.integers(1, 4)) for voter in voters} if quorum == "weighted" else {}
    options = ["a", "b", "c"][: draw(st.integers(1, 3))]
    proposal = Proposal("x", "?", options, voters, quorum, weights, tie=draw(st.sampled_from(rules.TIES)))
    votes = {voter: draw(st.sampled_from([SILENT, ABSTAINS, *range(len(options))])) for voter in voters}
    return proposal, voters, votes


def found(proposal: Proposal, votes: Votes, voters: list[str], over: bool) -> tuple[str, int | None] | None:
    sums = [sum(weight_of(proposal, v) for v in voters if votes[v] == n) for n in range(len(proposal.options))]
    abstained = sum(weight_of(proposal, voter) for voter in voters if votes[voter] == ABSTAINS)
    own = votes[voters[0]]
    return outcome_of(proposal, total_of(proposal), sums, abstained, own if isinstance(own, int) else None, over)


@settings(max_examples=600, deadline=None)
@given(ballots())
def test_an_outcome_is_found_as_soon_as_every_ending_gives_it_and_never_before(made: tuple) -> None:
    proposal, voters, votes = made
    assert wrong_with(proposal) == ""
    silent = [voter for voter in voters if votes[voter] == SILENT]
    choices = [SILENT, ABSTAINS, *range(len(proposal.options))]
    endings = {
        ending(proposal, votes | dict(zip(silent, rest, strict=True)), voters)
        for rest in product(choices, repeat=len(silent))
    }
    early = found(proposal, votes, voters, over=False)
    if early is None:
        assert len(endings) > 1
    else:
        assert endings == {early[1] if early[0] == WON else TIED if early[0] == TIED else ""}
        assert (early[1] is not None) == (early[0] == WON)


@settings(max_examples=400, deadline=None)
@given(ballots(), st.booleans())
def test_at_the_deadline_it_is_what_the_votes_say(made: tuple, change: bool) -> None:
    proposal, voters, votes = made
    proposal = Proposal(**{name: getattr(proposal, name) for name in proposal.__struct_fields__} | {"change": change})
    result = found(proposal, votes, voters, over=True)
    assert result is not None
    expected = ending(proposal, votes, voters)
    assert result[1] == (expected if isinstance(expected, int) else None)
    if not isinstance(expected, int):
        silent = SILENT in votes.values()
        assert result[0] == (TIED if expected == TIED else EXPIRED if silent else IMPOSSIBLE)


@settings(max_examples=200, deadline=None)
@given(ballots())
def test_with_votes_that_may_change_nothing_is_impossible_before_the_deadline(made: tuple) -> None:
    proposal, voters, votes = made
    changing = Proposal(**{name: getattr(proposal, name) for name in proposal.__struct_fields__} | {"change": True})
    early, fixed = found(changing, votes, voters, False), found(proposal, votes, voters, False)
    assert early is None or early[0] == WON
    assume(fixed is not None and fixed[0] == WON and ending(proposal, votes, voters) != TIED)
    sums = [sum(weight_of(proposal, v) for v in voters if votes[v] == n) for n in range(len(proposal.options))]
    base = sum(weight_of(proposal, voter) for voter in voters if votes[voter] != ABSTAINS)
    if 2 * max(sums) != base:
        assert early == fixed


def test_anyone_may_vote_and_nothing_is_certain_before_the_deadline() -> None:
    open_to_all = Proposal("x", "?", ["a", "b"])
    assert outcome_of(open_to_all, None, [50, 1], 0, None, False) is None
    assert outcome_of(open_to_all, None, [50, 1], 7, None, True) == (WON, 0)
    assert outcome_of(open_to_all, None, [1, 1], 0, None, True) == (TIED, None)
    assert outcome_of(open_to_all, None, [0, 0], 3, None, True) == (EXPIRED, None)


def test_a_sum_that_is_needed_decides_when_it_is_there() -> None:
    weighted = Proposal("x", "?", ["a", "b"], None, "weighted", {"v": 5, "w": 3, "x": 2}, 5)
    assert total_of(weighted) == 10 and rules.may_vote(weighted, "w") and not rules.may_vote(weighted, "z")
    assert outcome_of(weighted, 10, [3, 0], 0, None, False) is None
    assert outcome_of(weighted, 10, [5, 0], 0, None, False) == (WON, 0)
    assert outcome_of(weighted, 10, [3, 2], 5, None, False) == (IMPOSSIBLE, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"options": []}, "options"), ({"options": ["a", "a"]}, "options"), ({"options": [""]}, "options"),
        ({"voters": []}, "voters"), ({"voters": ["v", "v"]}, "voters"), ({"quorum": "most"}, "quorum"),
        ({"options": ["a\0"]}, "options"), ({"voters": ["v\n"]}, "voters"), ({"ballot": "x\x7f"}, "ballot"),
        ({"tie": "last"}, "tie"), ({"deadline_ms": 0}, "deadline_ms"), ({"ballot": ""}, "ballot"),
        ({"weights": {"v": 1}}, "weights"), ({"quorum": "weighted", "weights": {"v": 0}}, "weights"),
        ({"quorum": "weighted", "weights": {"v": 1}, "needed": 3}, "needed"), ({"question": "?" * 3_000}, "question"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_field(change: dict, field: str) -> None:
    proposal = Proposal(**{"ballot": "x", "question": "?", "options": ["a", "b"], "voters": ["v"]} | change)
    assert wrong_with(proposal).startswith(field)
