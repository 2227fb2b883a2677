"""The fold of ballots: against a naive reading of the same votes, its bounds, its deadlines, its journal."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import ballot as rules
from bus.ballot import Proposal, outcome_of, total_of, weight_of
from controlplane import ballots as fold
from controlplane import coordination
from controlplane.ballots import open_ballots
from controlplane.facts import BallotDecided, BrokerSilent, PlaneResumed, PlaneStarted, Tick
from controlplane.limits import CATCH_UP_MS
from controlplane.timeline import verify
from tests.controlplane.coordinated import MS, Saying, Told, coordinating, rows_of
from tests.controlplane.test_properties import through_bytes

VOTERS = ("agent/a", "agent/b", "agent/c", "agent/d")


def proposed(ballot: str = "x", by: str = "agent/a", **more: Any) -> Saying:
    data = {"ballot": ballot, "question": "?", "options": ["yes", "no"], "voters": list(VOTERS)} | more
    return rules.PROPOSED, by, data


def voted(by: str, choice: str | None = "yes", ballot: str = "x") -> Saying:
    return rules.VOTED, by, {"ballot": ballot, "choice": choice}


# ------------------------------------------------------------------------------------------------- the model


class Naive:
    """One ballot, counted from all its votes anew each time."""

    def __init__(self, proposal: Proposal, proposer: str, due: int) -> None:
        self.proposal, self.proposer, self.due = proposal, proposer, due
        self.votes: dict[str, str | None] = {}
        self.outcome: tuple[str, int | None] | None = None

    def vote(self, voter: str, choice: str | None) -> str:
        """Why it does not count."""
        if self.outcome is not None:
            return "late"
        if self.proposal.voters is not None and voter not in self.proposal.voters:
            return "not_a_voter"
        if choice is not None and choice not in self.proposal.options:
            return "unknown_option"
        if voter in self.votes and not self.proposal.change:
            return "duplicate"
        self.votes[voter] = choice
        self.count(False)
        return ""

    def count(self, over: bool) -> None:
        p = self.proposal
        sums = [sum(weight_of(p, v) for v, c in self.votes.items() if c == option) for option in p.options]
        abstained = sum(weight_of(p, voter) for voter, choice in self.votes.items() if choice is None)
        own = self.votes.get(self.proposer)
        favoured = p.options.index(own) if own is not None else None
        self.outcome = outcome_of(p, total_of(p), sums, abstained, favoured, over)


things = st.lists(
    st.tuples(st.sampled_from(["propose", "vote", "wait", "pause"]), st.integers(0, 3), st.sampled_from([*VOTERS, "z"]),
              st.sampled_from(["yes", "no", None, "maybe"]), st.integers(1, 900)),
    min_size=3, max_size=40,
)  # fmt: skip
kinds = st.tuples(st.sampled_from(["majority", "two_thirds", "unanimous", "weighted"]), st.booleans(), st.booleans(),
                  st.sampled_from(rules.TIES))  # fmt: skip


def shape(kind: tuple[str, bool, bool, str]) -> dict[str, Any]:
    quorum, change, anyone, tie = kind
    weights = {"agent/a": 3, "agent/b": 2} if quorum == "weighted" else {}
    return {"quorum": quorum, "change": change, "tie": tie, "deadline_ms": 2_000, "weights": weights} | (
        {"voters": None} if anyone and quorum != "weighted" else {}
    )


@settings(max_examples=150, deadline=None)
@given(kinds, things)
def test_it_decides_what_a_naive_count_decides(kind: Any, happens: list[tuple]) -> None:
    plane, model = Told(), dict[str, Naive]()
    decided: dict[str, tuple[str, str | None]] = {}
    refused = 0
    for what, number, who, choice, ms in happens:
        id = f"b{number}"
        if what == "wait":
            until, said = plane.now + ms * MS, plane.wait(ms)
            for each in model.values():
                if each.outcome is None and each.due <= until:
                    each.count(True)
        elif what == "pause":
            said = plane.said[len(plane.said) :]
            plane.tell(PlaneResumed(ms * MS), ms)
            for each in model.values():
                each.due += ms * MS
        elif what == "propose":
            said = plane.says(proposed(id, **shape(kind)))
            if id not in model:
                proposal = msgspec.convert(proposed(id, **shape(kind))[2], Proposal)
                model[id] = Naive(proposal, "agent/a", plane.now + 2_000 * MS)
        else:
            said = plane.says(voted(who, choice, id))
            why = model[id].vote(who, choice) if id in model else "unknown_ballot"
            refusals = [data for type, data in said if type == rules.REFUSED]
            assert [(data["voter"], data["why"]) for data in refusals] == ([(who, why)] if why else [])
            refused += bool(why)
        for type, data in said:
            if type == rules.DECIDED and data["ballot"] not in decided:
                decided[data["ballot"]] = data["outcome"], data["choice"]
        assert decided == {
            id: (each.outcome[0], None if each.outcome[1] is None else each.proposal.options[each.outcome[1]])
            for id, each in model.items()
            if each.outcome is not None
        }
    facts = [entry.fact for step in plane.steps for entry in step.derived]
    assert len({fact.ballot for fact in facts if isinstance(fact, BallotDecided)}) == len(decided)
    assert sum(isinstance(fact, BallotDecided) for fact in facts) == len(decided), "none was decided twice"
    assert len(open_ballots(plane.ballots())) == len(model) - len(decided)
    assert not plane.ballots().table("said")
    again = verify([through_bytes(step) for step in plane.steps], coordinating())
    assert again.divergence == "" and again.digest == plane.heart.digest().hex()


@settings(max_examples=80, deadline=None)
@given(kinds, things, st.lists(st.integers(0, 40), max_size=4))
def test_any_split_of_a_batch_decides_the_same(kind: Any, happens: list[tuple], cuts: list[int]) -> None:
    """But for positions, as what follows from the first part stands before the second."""
    sayings = [
        proposed(f"b{number}", **shape(kind)) if what == "propose" else voted(who, choice, f"b{number}")
        for what, number, who, choice, _ in happens
    ]
    rows = rows_of(sayings)
    whole, pieces = Told(), Told()
    whole.tell(rows)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for start, stop in pairwise(edges):
        pieces.tell(rows.part(start, stop))
    assert without_positions(whole) == without_positions(pieces)
    assert unplaced(whole.said) == unplaced(pieces.said)


def unplaced(said: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return [(type, {name: value for name, value in data.items() if name != "position"}) for type, data in said]


def without_positions(told: Told) -> Any:
    state = told.ballots()
    ballots = {key: msgspec.structs.replace(value, position=0) for key, value in state.items("ballot")}
    decided = {
        key: msgspec.structs.replace(value.decision, position=0) for key, value in state.items("decided")
    }  # fmt: skip
    return ballots, decided, dict(state.items("tally")), dict(state.items("count")), dict(state.items("order"))


# ------------------------------------------------------------------------------------------------- one by one


def test_it_is_decided_at_the_vote_that_makes_it_certain_and_later_ones_are_late() -> None:
    plane = Told()
    plane.says(proposed())
    said = plane.says(voted("agent/a"), voted("agent/b"), voted("agent/c"), voted("agent/d", "no"))
    assert [type for type, _ in said] == [rules.DECIDED, rules.REFUSED]
    position = plane.steps[-1].first + 2
    assert said[0][1] == {"ballot": "x", "outcome": "decided", "choice": "yes", "tally": {"no": 0, "yes": 3},
                          "abstained": 0, "votes": 3, "position": position}  # fmt: skip
    assert said[1][1] == {"ballot": "x", "voter": "agent/d", "why": "late", "event": "e-4"}
    assert plane.wait(60_000) == []


def test_a_vote_may_be_changed_where_that_is_allowed_until_it_is_decided() -> None:
    plane = Told()
    plane.says(proposed(change=True))
    assert plane.says(voted("agent/a"), voted("agent/a", "no"), voted("agent/b", "no"), voted("agent/b", "yes")) == []
    assert plane.says(voted("agent/b", "no")) == [], "two of four"
    ((_, data),) = plane.says(voted("agent/c", None))
    assert (data["choice"], data["tally"], data["abstained"]) == ("no", {"no": 2, "yes": 0}, 1), "two of three"


def test_a_proposal_that_comes_again_changes_nothing_and_hears_the_decision_again() -> None:
    plane = Told()
    plane.says(proposed(), voted("agent/a"))
    assert plane.says(proposed()) == []
    assert plane.says(proposed(by="agent/z"))[0][1]["why"] == "taken"
    ((_, first),) = plane.says(voted("agent/b"), voted("agent/c"))
    ((type, again),) = plane.says(proposed())
    assert type == rules.DECIDED and again == first
    assert sum(isinstance(e.fact, BallotDecided) for step in plane.steps for e in step.derived) == 1


def test_time_in_which_the_plane_was_away_does_not_count() -> None:
    plane = Told()
    plane.says(proposed(deadline_ms=5_000))
    plane.tell(PlaneStarted(2, "v", gap_ns=60_000 * MS), 60_000)
    assert plane.said == []
    # What was said meanwhile is recorded now, and is not late.
    assert plane.says(voted("agent/a"), voted("agent/b"), voted("agent/c"))[0][1]["choice"] == "yes"
    plane.says(proposed("y", deadline_ms=5_000))
    plane.tell(PlaneStarted(3, "w", gap_ns=1_000 * MS), 1_000)
    assert plane.wait(CATCH_UP_MS + 3_999) == []
    ((_, data),) = plane.wait(1_100)
    assert data["outcome"] == "expired"


def test_a_deadline_comes_however_often_the_plane_stands_still() -> None:
    plane = Told()
    plane.says(proposed(deadline_ms=5_000))
    for _ in range(5):
        plane.wait(1_000)
        plane.tell(PlaneResumed(7_000 * MS), 7_000)
    plane.tell(Tick(), 1)
    assert [data["outcome"] for _, data in plane.said] == ["expired"]


def test_a_deadline_that_comes_with_something_else_is_said_all_the_same() -> None:
    plane = Told()
    plane.says(proposed("x", deadline_ms=1_000), proposed("y", deadline_ms=1_000))
    plane.tell(BrokerSilent("b1", 1), 1_500)
    assert [data["ballot"] for _, data in plane.said] == ["x", "y"]
    assert not plane.ballots().table("said")


def test_deadlines_that_come_together_are_all_said(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = Told()
    plane.says(*(proposed(f"b{n:02}", deadline_ms=1_000) for n in range(50)))
    monkeypatch.setattr(coordination, "SAID_SERVED_MAX", 10)
    monkeypatch.setattr(coordination, "SAID_MAX", 12)
    plane.now += 2_000 * MS
    said = plane.says(voted("agent/a", "yes", "b49"))
    assert [data["ballot"] for type, data in said if type == rules.DECIDED] == [f"b{n:02}" for n in range(10)]
    assert [data["why"] for type, data in said if type == rules.REFUSED] == ["late"], "whether or not it was said yet"
    said = plane.wait(1)
    assert [data["ballot"] for _, data in said] == [f"b{n:02}" for n in range(10, 50)]
    assert {data["outcome"] for _, data in said} == {"expired"}
    assert plane.ballots().get("count", "unsaid") is None


def test_history_of_elsewhere_is_no_ballot() -> None:
    plane = Told()
    assert plane.says(proposed(), voted("agent/a"), importof="log-1") == []
    assert not plane.ballots().table("ballot")


def test_what_is_malformed_is_counted_or_said() -> None:
    plane = Told()
    said = plane.says(
        (rules.PROPOSED, "agent/a", {"ballot": 7}), (rules.VOTED, "agent/a", {}), proposed(options=[]), proposed("y"),
    )  # fmt: skip
    assert [(type, data["why"]) for type, data in said] == [(rules.REFUSED, "malformed")]
    huge = (
        rules.PROPOSED,
        "agent/a",
        {"ballot": "h", "question": "?", "options": ["a"], "quorum": "weighted", "needed": 1 << 70},
    )
    assert plane.says(huge, voted("agent/" + "a" * 300, "yes", "y")) == []
    assert plane.ballots().get("count", "malformed") == 4
    assert [ballot.proposal.ballot for ballot, _ in open_ballots(plane.ballots())] == ["y"]


def test_open_and_decided_ones_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BALLOTS_OPEN_MAX", 2)
    monkeypatch.setattr(fold, "BALLOTS_DECIDED_MAX", 3)
    plane = Told()
    one = {"voters": ["agent/a"]}
    said = plane.says(*(proposed(f"b{n}", **one) for n in range(3)))
    assert [(data["ballot"], data["why"]) for _, data in said] == [("b2", "too_many_ballots")]
    plane.says(voted("agent/a", "yes", "b0"), voted("agent/a", "yes", "b1"))
    for n in range(3):
        plane.says(proposed(f"c{n}", **one), voted("agent/a", "yes", f"c{n}"))
    assert [type for type, _ in plane.said].count(rules.DECIDED) == 5
    assert sorted(plane.ballots().table("decided")) == ["c0", "c1", "c2"]
    assert plane.ballots().get("count", "forgotten") == 2
    assert plane.says(voted("agent/a", "yes", "b0"))[0][1]["why"] == "unknown_ballot"
    assert plane.says(voted("agent/a", "yes", "c2"))[0][1]["why"] == "late"


def test_so_is_what_the_decided_ones_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred options of 200 characters each: the oldest decision makes room for the newest, by bytes."""
    options = [f"{n:03}" + "ä" * 197 for n in range(100)]
    of_one = 100 * (3 + 2 * 197)
    monkeypatch.setattr(fold, "BALLOTS_DECIDED_BYTES_MAX", 4 * of_one)
    plane = Told()
    for n in range(10):
        plane.says(proposed(f"b{n}", voters=["agent/a"], options=options), voted("agent/a", options[n], f"b{n}"))
    state = plane.ballots()
    kept = sum(len(msgspec.msgpack.encode(decided)) for decided in state.table("decided").values())
    assert of_one < kept <= state.get("count", "kept") <= 4 * of_one
    assert sorted(state.table("decided")) == [f"b{n}" for n in range(10 - len(state.table("decided")), 10)]
    assert state.get("count", "forgotten") == 10 - len(state.table("decided")) == 10 - len(state.table("order"))
    assert plane.says(voted("agent/a", options[0], "b0"))[0][1]["why"] == "unknown_ballot"
    assert plane.says(voted("agent/a", options[0], "b9"))[0][1]["why"] == "late"
    again = verify([through_bytes(step) for step in plane.steps], coordinating())
    assert again.divergence == ""
    monkeypatch.setattr(fold, "BALLOTS_DECIDED_BYTES_MAX", 1)
    plane.says(proposed("x", voters=["agent/a"]), voted("agent/a"))
    assert [type for type, _ in plane.said][-1] == rules.DECIDED, "it is said all the same"
    assert (state.get("count", "kept"), len(state.table("decided"))) == (0, 0)


def test_so_are_their_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BALLOT_VOTES_BYTES_MAX", 250)
    plane = Told()
    assert plane.says(proposed("x", voters=None, change=True), proposed("y", voters=None)) == []
    said = plane.says(voted("agent/a", "yes", "x"), voted("agent/b", "yes", "x"), voted("agent/c", "yes", "y"))
    assert [(data["voter"], data["why"]) for _, data in said] == [("agent/c", "too_many_votes")]
    assert plane.says(voted("agent/a", "no", "x")) == [], "a vote that is changed takes no more"
    assert [type for type, _ in plane.wait(31_000)] == [rules.DECIDED, rules.DECIDED]
    assert plane.ballots().get("count", "voted") == 0


def test_named_voters_have_their_room_whatever_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BALLOT_VOTES_BYTES_MAX", 250)
    plane, weighted = Told(), {"quorum": "weighted", "weights": {"agent/a": 1, "agent/b": 1}, "voters": None}
    plane.says(proposed("x", change=True), proposed("w", **weighted), proposed("any", voters=None))
    flood = [voted(f"agent/z{n}", "yes", "any") for n in range(50)]
    strangers = [voted(f"agent/z{n}") for n in range(50)]
    changes = [voted("agent/d", choice) for choice in ("yes", "no") * 20]
    said = plane.says(*flood, *strangers, *changes, voted("agent/a"), voted("agent/b"), voted("agent/c"),
                      voted("agent/a", "no", "w"), voted("agent/b", "no", "w"))  # fmt: skip
    assert {data["why"] for type, data in said if type == rules.REFUSED} == {"too_many_votes", "not_a_voter"}
    decided = [(data["ballot"], data["choice"]) for type, data in said if type == rules.DECIDED]
    assert decided == [("x", "yes"), ("w", "no")]
    plane.wait(31_000)
    assert (plane.ballots().get("count", "bytes"), plane.ballots().get("count", "voted")) == (0, 0)


def test_their_room_is_counted_when_the_ballot_is_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BALLOTS_BYTES_MAX", 100_000)
    plane = Told()
    voters = [f"agent/{n:03}" for n in range(1_000)]
    said = plane.says(proposed("x", voters=voters), proposed("y"), *(voted(voter) for voter in voters[:500]))
    assert [(data["ballot"], data["why"]) for _, data in said] == [("y", "too_many_ballots")]
    ((_, data),) = plane.says(voted(voters[-1]))
    assert data["choice"] == "yes" and plane.ballots().get("count", "bytes") == 0


def test_so_are_the_bytes_of_their_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BALLOTS_BYTES_MAX", 1_000)
    plane = Told()
    long = {"voters": ["agent/a"], "question": "?" * 1_000}
    assert [data["why"] for _, data in plane.says(proposed("x", **long), proposed("y"))] == ["too_many_ballots"]
    plane.says(voted("agent/a", "yes", "x"))
    assert plane.ballots().get("count", "bytes") == 0
    assert plane.says(proposed("y")) == []


def test_what_the_log_says_was_decided_stands_for_an_older_journal() -> None:
    """It is archived again, all at once: by now the deadline would be another one."""
    elder, later = Told(), Told(epoch=3)
    elder.says(proposed(deadline_ms=1_000), voted("agent/a"))
    ((type, decision),) = elder.wait(1_001)
    assert decision["outcome"] == "expired"
    assert later.says(proposed(deadline_ms=1_000), voted("agent/a")) == []
    assert later.says((type, "agent/z", decision)) == [], "nobody else says so"
    assert open_ballots(later.ballots())
    assert later.says((type, "signalbox/plane", decision)) == []
    assert later.says(voted("agent/b"))[0][1]["why"] == "late" and later.wait(5_000) == []


def test_what_an_older_version_decided_stands() -> None:
    """The journal's fact counts, whatever these rules would say of the same votes."""
    plane = Told()
    plane.says(proposed())
    plane.tell(BallotDecided("x", "decided", "no", {"no": 1, "yes": 0}, 0, 1, 3))
    assert plane.says(voted("agent/a"))[0][1]["why"] == "late"
    assert open_ballots(plane.ballots()) == []
