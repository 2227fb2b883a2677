"""The folds' state as tables: `flows`, `sagas`, `dead_letters`, `ballots`, `leases`. Pure.

The plane sends the keys and values of a few of the folds' own tables as they are; what a row says of them is worked
out here, in the worker, by the same functions that answer the console.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from bus.ballot import voters_of
from bus.lease import PRIORITIES
from bus.limits import PARTITIONS_MAX
from controlplane.answers.inbox import Usual, row_of
from controlplane.ballots import Ballot, Decided, Tally, open_ballots
from controlplane.coordination import extended
from controlplane.deadletters import Kind, Letter
from controlplane.errors import SqlRefused
from controlplane.flows import SECOND, Flow
from controlplane.leasebook import Lease, Resource
from controlplane.limits import FLOW_SECONDS_MAX
from controlplane.sagas import Saga
from controlplane.sql.statement import ATTRIBUTES
from controlplane.state import Key, KeyedState

NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "flows": ("flows", ("flow", "second")),
    "sagas": ("sagas", ("saga", "gap", "log", "count", "setting")),
    "dead_letters": ("deadletters", ("letter", "kind")),
    "ballots": ("ballots", ("ballot", "tally", "decided", "count")),
    "leases": ("leases", ("lease", "resource", "count")),
}
"""A documented table -> the fold, and its tables that are needed for it."""
AS_OF = frozenset({"events", "facts", ATTRIBUTES, *NEEDS})
"""What can be had as of a moment of the past."""
VALUES: dict[tuple[str, str], Any] = {
    ("flows", "flow"): Flow,
    ("flows", "second"): dict[int, int],
    ("sagas", "saga"): Saga,
    ("sagas", "gap"): dict[int, int],
    ("sagas", "log"): int,
    ("sagas", "count"): int,
    ("sagas", "setting"): str,
    ("deadletters", "letter"): Letter,
    ("deadletters", "kind"): Kind,
    ("ballots", "ballot"): Ballot,
    ("ballots", "tally"): Tally,
    ("ballots", "decided"): Decided,
    ("ballots", "count"): int,
    ("leases", "lease"): Lease,
    ("leases", "resource"): Resource,
    ("leases", "count"): int,
}
"""What a value is, by fold and table."""

_encode = msgspec.msgpack.Encoder().encode
_decoders = {place: msgspec.msgpack.Decoder(list[tuple[Key, kind]]) for place, kind in VALUES.items()}  # type: ignore[valid-type]


def refuse_present_only(tables: Iterable[str]) -> None:
    """Raises SqlRefused for a table that is known as it is now, and not as it was."""
    for table in tables:
        if table not in AS_OF:
            raise SqlRefused(f"{table} is known only as it is now, not as of then: leave out --at, or this table")


def packed(items: list[tuple[Key, Any]]) -> bytes:
    """A part of a fold's table on its way."""
    return _encode(items)


def unpacked(fold: str, table: str, data: bytes) -> list[tuple[Key, Any]]:
    """The same at the other end."""
    found: list[tuple[Key, Any]] = _decoders[fold, table].decode(data)
    return found


def keyed(fold: str, tables: Mapping[str, Iterable[tuple[Key, Any]]]) -> KeyedState:
    """A fold's state again, of the tables that were sent."""
    state = KeyedState(fold)
    for table, items in tables.items():
        for key, value in items:
            state.put(table, key, value)
    # Nothing here is ever taken back, and nobody asks for its digest.
    state.touched.clear()
    return state


def columns_of(table: str, state: KeyedState, now: int) -> dict[str, list[Any]]:
    """A documented table as columns; instants in ns."""
    rows = _ROWS[table](state, now)
    return {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS[table])}


COLUMNS: dict[str, tuple[str, ...]] = {
    "flows": ("source", "type", "events", "recent", "last"),
    "sagas": (
        *("saga", "state", "severity", "step", "steps", "source", "started", "last", "waiting_ns", "typical_ns"),
        *("p95_ns", "importof", "position"),
    ),
    "dead_letters": (
        *("id", "dead_group", "group", "reason", "what", "error", "state", "partition", "offset", "position", "died"),
        *("attempts", "event"),
    ),
    "ballots": (
        *("ballot", "outcome", "choice", "proposer", "question", "quorum", "voters", "votes", "abstained", "tally"),
        *("deadline", "position"),
    ),
    "leases": (
        *("lease", "resource", "holder", "state", "priority", "units", "capacity", "token", "until", "position"),
    ),
}


def _flows(state: KeyedState, now: int) -> list[tuple[Any, ...]]:
    recent: dict[int, int] = {}
    for key, counted in state.items("second"):
        if int(key) // PARTITIONS_MAX > now // SECOND - FLOW_SECONDS_MAX:
            for number, events in counted.items():
                recent[number] = recent.get(number, 0) + events
    return [
        (*str(key).split("\0"), flow.total, recent.get(flow.number, 0), flow.last * SECOND)
        for key, flow in state.items("flow")
    ]


def _sagas(state: KeyedState, now: int) -> list[tuple[Any, ...]]:
    known: Usual = {}
    rows = (row_of(state, str(key), saga, now, known) for key, saga in state.items("saga"))
    return [tuple(getattr(row, name) for name in COLUMNS["sagas"]) for row in rows]


def _dead_letters(state: KeyedState, now: int) -> list[tuple[Any, ...]]:
    kinds = dict(state.items("kind"))
    return [
        (
            *(letter.id, kinds[letter.kind].id, letter.group, letter.reason, kinds[letter.kind].what, letter.error),
            *(letter.state, letter.partition, letter.offset, letter.position, letter.died, len(letter.attempts)),
            letter.event,
        )
        for _, letter in state.items("letter")
    ]


def _ballots(state: KeyedState, now: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for ballot, tally in open_ballots(state):
        proposal, abstained = ballot.proposal, sum(choice < 0 for choice in tally.votes.values())
        asked = (ballot.proposer, proposal.question, proposal.quorum)
        voters = len(voters_of(proposal)) or None
        sums = dict(zip(proposal.options, tally.sums, strict=True))
        due = extended(state, ballot.due, ballot.slept)
        counted = (voters, len(tally.votes) - abstained, abstained, _json(sums), due)
        rows.append((proposal.ballot, "open", None, *asked, *counted, ballot.position))
    for _, decided in state.items("decided"):
        found = decided.decision
        what = (found.ballot, found.outcome, found.choice)
        said = (decided.proposer, decided.question, decided.quorum, decided.voters)
        votes = (found.votes, found.abstained, _json(found.tally))
        rows.append((*what, *said, *votes, None, found.position))
    return rows


def _leases(state: KeyedState, now: int) -> list[tuple[Any, ...]]:
    return [
        (
            *(id, lease.resource, lease.holder, "held" if lease.token else "waiting", PRIORITIES[lease.rank]),
            *(lease.units, state.get("resource", lease.resource).capacity, lease.token or None),
            *(extended(state, lease.until, lease.slept), lease.position),
        )
        for id, lease in state.items("lease")
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_ROWS: dict[str, Callable[[KeyedState, int], list[tuple[Any, ...]]]] = {
    "flows": _flows,
    "sagas": _sagas,
    "dead_letters": _dead_letters,
    "ballots": _ballots,
    "leases": _leases,
}
