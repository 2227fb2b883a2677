"""Whatever agents say of ballots and leases, the folds go on, and nothing of it is kept beyond its bound."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus import ballot, lease
from bus.coordinationlimits import COORDINATION_ID_CHARS_MAX
from controlplane.timeline import verify
from tests.controlplane.coordinated import Told, coordinating
from tests.controlplane.test_properties import through_bytes

TYPES = (
    *(ballot.PROPOSED, ballot.VOTED, ballot.DECIDED, ballot.REFUSED, lease.REQUESTED, lease.RENEWED, lease.RELEASED),
    *(lease.GRANTED, lease.EXTENDED, "agent.lifecycle.joined", "agent.lifecycle.failed", "agent.lifecycle.left"),
)
SOURCES = ("agent/a", "agent/b", "signalbox/plane", "agent/" + "x" * COORDINATION_ID_CHARS_MAX)
texts = st.sampled_from(["", "x", "y", "agent/a", "majority", "weighted", "first", "high", "z" * 300, "\0", "ü"])
numbers = st.sampled_from([0, 1, 2, -1, 5_000, 10**9, 1 << 62, 1 << 64, 1 << 90]) | st.floats(allow_nan=False)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("ballot", "lease", "resource", "question", "quorum", "tie", "priority", "choice", "agent"), texts),
    **dict.fromkeys(("deadline_ms", "needed", "ttl_ms", "units", "capacity", "wait_ms", "token", "renewal"), numbers),
    **dict.fromkeys(("options", "voters"), st.lists(texts, max_size=3)),
    "weights": st.dictionaries(texts, numbers, max_size=3), "change": st.booleans(),
}  # fmt: skip
data = st.fixed_dictionaries({}, optional={name: drawn | anything for name, drawn in FIELDS.items()}) | anything
sayings = st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from(SOURCES), data), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(sayings, min_size=1, max_size=4), st.integers(0, 20_000))
def test_nothing_that_is_said_breaks_them(batches: list[Any], ms: int) -> None:
    plane = Told()
    for batch in batches:
        plane.says(*batch)
        plane.wait(ms // len(batches) + 1)
    for state in (plane.ballots(), plane.leases()):
        for table in state.names():
            for key in state.table(table):
                assert len(str(key)) <= COORDINATION_ID_CHARS_MAX + 10, (table, key)
        assert state.recomputed_digest() == state.digest
    again = verify([through_bytes(step) for step in plane.steps], coordinating())
    assert again.divergence == ""
