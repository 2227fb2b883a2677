"""Ballots: what is said about them, and the rules of counting. Pure; the plane's fold and the clients share it.

A ballot has options and, mostly, voters that are known beforehand. Votes add up by option, each with its voter's weight
(1, but in a weighted ballot). What counts is the *base*: the weight of all voters less those who abstain. Whoever is
silent is in it, and so is against everything. With voters unknown (`voters` null: anyone) the base is what was cast,
and nothing is certain before the deadline.

| quorum | an option has it with |
|---|---|
| majority | more than half of the base |
| two_thirds | at least two thirds of the base |
| unanimous | the whole base |
| weighted | `needed` or more; without `needed` more than half of the base, by weight |

The outcome is `decided` as soon as one option has the quorum: with votes that cannot be changed it could not come
otherwise, and with such that can it is final at that position. `impossible`: no option can have it any more (with votes
that can be changed this shows at the deadline only). `expired`: at the deadline no option had it, and somebody was
silent. A *tie* is when of a majority two options have exactly half of the base each; the tie rule then picks the one
that comes first in `options`, or the one that the proposer voted for, or neither: `tied`.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from bus.attributes import is_legible
from bus.coordinationlimits import (
    BALLOT_DEADLINE_MS_MAX,
    BALLOT_OPTIONS_MAX,
    BALLOT_QUESTION_CHARS_MAX,
    BALLOT_VOTERS_MAX,
    BALLOT_WEIGHT_MAX,
    COORDINATION_ID_CHARS_MAX,
    COORDINATION_NUMBER_MAX,
)

PATTERN = "ballot.>"
PROPOSED, VOTED = "ballot.proposed", "ballot.voted"
DECIDED, REFUSED = "ballot.decided", "ballot.refused"
MAJORITY, TWO_THIRDS, UNANIMOUS, WEIGHTED = "majority", "two_thirds", "unanimous", "weighted"
QUORUMS = (MAJORITY, TWO_THIRDS, UNANIMOUS, WEIGHTED)
TIES = ("none", "first", "proposer")
WON, TIED, EXPIRED, IMPOSSIBLE = "decided", "tied", "expired", "impossible"
"""Outcomes."""
WHY = {
    "late": "the ballot is decided, or its deadline has passed",
    "duplicate": "it has voted already, and this ballot allows no change",
    "not_a_voter": "it is not among the ballot's voters",
    "unknown_ballot": "no such ballot is open; one decided long ago is forgotten: the log has its ballot.decided",
    "unknown_option": "the ballot has no such option",
    "full": f"a ballot that is open to anyone takes {BALLOT_VOTERS_MAX} votes",
    "too_many_votes": "ballots that are open to anyone have as many votes as the control plane keeps: wait until some "
    "are decided, or name the voters, whose votes always have room",
    "malformed": "the proposal breaks the rules of `bus.ballot`",
    "taken": "another ballot has this id",
    "too_many_ballots": "as many ballots and voters are open as the control plane keeps: wait until some are decided",
}
"""Why a vote or a proposal was refused, in words."""
OF_PROPOSALS = ("malformed", "taken", "too_many_ballots")
"""Those of `WHY` that are about proposals."""


Number = Annotated[int, msgspec.Meta(ge=0, le=COORDINATION_NUMBER_MAX)]


class Proposal(msgspec.Struct, frozen=True):
    """The data of `ballot.proposed`. `deadline_ms` counts from when it is recorded."""

    ballot: str
    question: str
    options: list[str]
    voters: list[str] | None = None
    quorum: str = MAJORITY
    weights: dict[str, Number] = {}
    needed: Number = 0
    deadline_ms: Number = 30_000
    tie: str = "none"
    change: bool = False


class Vote(msgspec.Struct, frozen=True):
    """The data of `ballot.voted`; `choice` None: abstains."""

    ballot: str
    choice: str | None = None


class Decision(msgspec.Struct, frozen=True):
    """The data of `ballot.decided`. `choice` is None unless the outcome is `decided`.

    `tally`: option -> weight; `votes` chose one, `abstained` did not; `position`: of the journal's entry that decided.
    """

    ballot: str
    outcome: str
    choice: str | None
    tally: dict[str, int]
    abstained: int
    votes: int
    position: int


class Refusal(msgspec.Struct, frozen=True):
    """The data of `ballot.refused`: whose vote or proposal, `why` (see `WHY`), and the refused event's id."""

    ballot: str
    voter: str
    why: str
    event: str


def wrong_with(proposal: Proposal) -> str:
    """What is wrong with a proposal, naming the field, or ""."""
    texts = [("ballot", [proposal.ballot]), ("options", proposal.options)]
    texts += [("voters", proposal.voters or []), ("weights", list(proposal.weights))]
    for field, names in texts:
        if any(not 0 < len(name) <= COORDINATION_ID_CHARS_MAX or not is_legible(name) for name in names):
            return f"{field}: each is a text of 1 to {COORDINATION_ID_CHARS_MAX} characters, no control characters"
        if len(set(names)) < len(names):
            return f"{field}: one stands there twice"
    if not 0 < len(proposal.options) <= BALLOT_OPTIONS_MAX:
        return f"options: 1 to {BALLOT_OPTIONS_MAX} of them"
    if len(proposal.question) > BALLOT_QUESTION_CHARS_MAX:
        return f"question: at most {BALLOT_QUESTION_CHARS_MAX} characters"
    if proposal.voters is not None and not 0 < len(proposal.voters) <= BALLOT_VOTERS_MAX:
        return f"voters: 1 to {BALLOT_VOTERS_MAX} of them, or null for anyone"
    if proposal.quorum not in QUORUMS:
        return f"quorum: one of {', '.join(QUORUMS)}"
    if proposal.tie not in TIES:
        return f"tie: one of {', '.join(TIES)}"
    if not 0 < proposal.deadline_ms <= BALLOT_DEADLINE_MS_MAX:
        return f"deadline_ms: 1 to {BALLOT_DEADLINE_MS_MAX}"
    return _wrong_weights(proposal)


def _wrong_weights(proposal: Proposal) -> str:
    if proposal.quorum != WEIGHTED:
        return "weights, needed: only a weighted ballot has them" if proposal.weights or proposal.needed else ""
    if len(proposal.weights) > BALLOT_VOTERS_MAX:
        return f"weights: at most {BALLOT_VOTERS_MAX}"
    if any(not 0 < weight <= BALLOT_WEIGHT_MAX for weight in proposal.weights.values()):
        return f"weights: each is 1 to {BALLOT_WEIGHT_MAX}"
    if proposal.needed < 0:
        return "needed: a sum of weights, or 0 for more than half"
    total = total_of(proposal)
    if total is not None and proposal.needed > total:
        return f"needed: {proposal.needed} is more than all voters weigh together, {total}"
    return ""


def may_vote(proposal: Proposal, voter: str) -> bool:
    """Whether it is one of the voters: of a weighted ballot without `voters`, those who have a weight."""
    if proposal.voters is not None:
        return voter in proposal.voters
    return not proposal.weights or voter in proposal.weights


def weight_of(proposal: Proposal, voter: str) -> int:
    """What a vote of it adds: 1, unless a weight was given."""
    return proposal.weights.get(voter, 1)


def voters_of(proposal: Proposal) -> Sequence[str]:
    """Those who are known beforehand; none when anyone may vote."""
    return proposal.voters if proposal.voters is not None else sorted(proposal.weights)


def total_of(proposal: Proposal) -> int | None:
    """The weight of all voters; None when anyone may vote."""
    voters = voters_of(proposal)
    return sum(weight_of(proposal, voter) for voter in voters) if voters else None


def outcome_of(
    proposal: Proposal, total: int | None, sums: Sequence[int], abstained: int, favoured: int | None, over: bool
) -> tuple[str, int | None] | None:
    """The outcome, and the option that won by its place; None while it is not certain.

    `total`: of `total_of`; `sums`: weight by option; `abstained`: weight; `favoured`: what the proposer voted for;
    `over`: the deadline has passed.
    """
    cast = sum(sums)
    base = cast if total is None else total - abstained
    if total is not None or over or proposal.needed:
        for place, weight in enumerate(sums):
            if _has(proposal, weight, base):
                return WON, place
    rest = 0 if total is None else base - cast
    if not over and (total is None or proposal.change or any(_has(proposal, weight + rest, base) for weight in sums)):
        return None
    halves = [place for place, weight in enumerate(sums) if weight and 2 * weight == base]
    if len(halves) == 2 and not proposal.needed and proposal.quorum in (MAJORITY, WEIGHTED):
        picked = halves[0] if proposal.tie == "first" else favoured if proposal.tie == "proposer" else None
        return (WON, picked) if picked in halves else (TIED, None)
    silent = rest > 0 or (total is None and not cast)
    return (EXPIRED if over and silent else IMPOSSIBLE), None


def _has(proposal: Proposal, weight: int, base: int) -> bool:
    """Whether an option with this weight has the quorum."""
    if weight <= 0:
        return False
    if proposal.needed:
        return weight >= proposal.needed
    if proposal.quorum == TWO_THIRDS:
        return 3 * weight >= 2 * base
    if proposal.quorum == UNANIMOUS:
        return weight == base
    return 2 * weight > base
