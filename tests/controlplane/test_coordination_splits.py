"""However a batch is split, ballots and leases come to the same: the same state, the same decisions in the same order.

What is said of agents, which the fold `registry` keeps and leases look up, is mixed in: who is there counts as of the
row, and not as of the end of the batch that it came in.
"""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import ballot, lease
from controlplane.facts import BallotDecided, BallotRefused, LeaseEnded, LeaseGranted, LeaseQueued, LeaseRefused
from controlplane.leases import Leases
from controlplane.limits import LEASE_GRACE_MS
from tests.controlplane.coordinated import Saying, Told, rows_of
from tests.controlplane.leasesayings import released, renewed, requested

SOURCES = ["agent/a", "agent/b"]
RUNS = ["one", "two", "three"]
BALLOTS, LEASES = (BallotDecided, BallotRefused), (LeaseEnded, LeaseGranted, LeaseQueued, LeaseRefused)
LONG = {"ttl_ms": 3_600_000, "wait_ms": 3_600_000}
PROPOSAL = {"question": "?", "options": ["yes", "no"], "voters": SOURCES, "deadline_ms": 60_000}

by, run = st.sampled_from(SOURCES), st.sampled_from(RUNS)
number = st.integers(0, 4)


def life(word: str, source: str, incarnation: str) -> Saying:
    return f"agent.lifecycle.{word}", source, {"incarnation": incarnation, "heartbeat_ms": 1_000}


def asked(id: int, source: str, incarnation: str, again: int, waits: bool) -> Saying:
    more = LONG if waits else {"ttl_ms": 3_600_000}
    resource = f"r{id % 2}"
    return requested(f"l{id}", source, resource, asked=again, incarnation=incarnation, **more)


def about(id: int, source: str, choice: str | None) -> Saying:
    if choice is None:
        return ballot.PROPOSED, source, {"ballot": f"b{id}"} | PROPOSAL
    return ballot.VOTED, source, {"ballot": f"b{id}", "choice": choice}


words = st.sampled_from(["joined", "joined", "left", "failed", "heartbeat", "ready"])
saying = st.one_of(
    st.builds(life, words, by, run),
    st.builds(asked, number, by, run | st.just(""), st.integers(0, 3), st.booleans()),
    st.builds(lambda id, source: released(f"l{id}", 0, source, f"r{id % 2}", asked=id), number, by),
    st.builds(lambda id, source: renewed(f"l{id}", 0, source, f"r{id % 2}"), number, by),
    st.builds(about, number, by, st.sampled_from([None, "yes", "no"])),
)
sayings = st.lists(saying, min_size=2, max_size=16)


def lived(before: list[Saying], batch: list[Saying], cuts: list[int]) -> Any:
    """What there is after a batch that came in parts, and all that was decided, until every grace is over."""
    plane = Told()
    plane.says(*before)
    plane.wait(LEASE_GRACE_MS // 2)
    rows = rows_of(batch, plane.rows, plane.now)
    for start, stop in pairwise(sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})):
        plane.tell(rows.part(start, stop))
    at_once = kept(plane)
    plane.wait(2 * LEASE_GRACE_MS + 1)
    facts = [entry.fact for step in plane.steps for entry in step.derived]
    return at_once, kept(plane), [decided(facts, kind) for kind in (BALLOTS, LEASES)]


def kept(plane: Told) -> Any:
    """But for positions and tokens, as what follows from the first part stands before the second."""
    states = plane.heart.states
    found = {
        fold: {table: dict(states[fold].items(table)) for table in tables}
        for fold, tables in {
            "leases": ["lease", "resource", "holder", "held", "ended", "order", "said"],
            "ballots": ["ballot", "tally", "decided", "order", "said"], "registry": ["agent", "rivals", "able"],
        }.items()
    }  # fmt: skip
    return msgspec.json.decode(msgspec.json.encode(unplaced(found)))


def decided(facts: list[Any], kinds: tuple[type, ...]) -> list[Any]:
    return [(type(fact).__name__, unplaced(fact)) for fact in facts if isinstance(fact, kinds)]


def unplaced(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unplaced(each) for key, each in value.items()}
    if isinstance(value, msgspec.Struct):
        fields = {name: unplaced(getattr(value, name)) for name in value.__struct_fields__}
        return fields | {name: bool(fields[name]) for name in ("position", "token", "at") if name in fields}
    return value


anything = given(sayings, sayings, st.lists(st.integers(1, 15), max_size=4))


@settings(max_examples=20, deadline=None)
@anything
def test_any_split_of_a_batch_comes_to_the_same(before: list[Saying], batch: list[Saying], cuts: list[int]) -> None:
    check(before, batch, cuts)


@pytest.mark.long
@settings(max_examples=1_500, deadline=None)
@anything
def test_nor_do_many_more(before: list[Saying], batch: list[Saying], cuts: list[int]) -> None:
    check(before, batch, cuts)


def check(before: list[Saying], batch: list[Saying], cuts: list[int]) -> None:
    whole = lived(before, batch, [])
    assert lived(before, batch, cuts) == whole
    assert lived(before, batch, list(range(len(batch)))) == whole


JOINS = [life("joined", "agent/a", each) for each in RUNS]
IN_ONE_BATCH = {
    "who failed when its turn came": [
        asked(0, "agent/b", "", 0, True), asked(2, "agent/a", "one", 0, True),
        released("l0", 0, "agent/b", "r0"), life("failed", "agent/a", "one"),
    ],
    "who failed, and lives": [
        asked(0, "agent/b", "", 0, True), asked(2, "agent/a", "one", 0, True), life("failed", "agent/a", "one"),
        released("l0", 0, "agent/b", "r0"), life("heartbeat", "agent/a", "one"),
    ],
    "who was not former yet": [asked(0, "agent/a", "one", 0, False), JOINS[1]],
    "who had it when it was granted": [asked(0, "agent/a", "", 0, False), JOINS[1], asked(1, "agent/a", "", 0, False)],
    "who came first": [asked(0, "agent/a", "", 0, False), JOINS[1], JOINS[2]],
    "who has left meanwhile": [
        asked(0, "agent/a", "one", 0, False), life("left", "agent/a", "one"), asked(2, "agent/b", "", 0, False),
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", IN_ONE_BATCH)
def test_it_counts_as_of_the_row(what: str) -> None:
    batch = IN_ONE_BATCH[what]
    every = [
        lived(JOINS[:1], batch, [n for n in range(1, len(batch)) if bits >> n & 1]) for bits in range(1 << len(batch))
    ]
    assert all(each == every[0] for each in every)


def test_a_batch_is_cut_no_more_than_that_takes() -> None:
    plane = Told()
    plane.says(*(life(word, "agent/a", "one") for word in ("joined", "ready")), life("joined", "agent/b", "one"))
    plane.says(life("failed", "agent/b", "one"))
    beats = [life("heartbeat", "agent/a", "one")] * 3
    batch = [*beats, asked(0, "agent/a", "one", 0, False), *beats, asked(1, "agent/a", "one", 0, False), *beats]
    assert cuts_of(plane, batch) == []
    assert cuts_of(plane, [life("heartbeat", "agent/b", "one"), *batch]) == [4], "it may be there again"
    assert cuts_of(plane, [*beats, *JOINS, *beats, (lease.REQUESTED, "x", {})]) == [4, 5, 9]
    assert cuts_of(plane, [life("joined", f"agent/{n}", "x") for n in range(9)]) == []


def cuts_of(plane: Told, batch: list[Saying]) -> list[int]:
    return list(Leases().cuts(rows_of(batch), {"registry": plane.heart.states["registry"]}))
