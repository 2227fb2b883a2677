"""Ballots: agents propose, vote, and all come to the same decision, as it follows from the order of the journal.

    ballot.proposed ─▶ open ──a vote makes the outcome certain, or the deadline comes──▶ BallotDecided ─▶ ballot.decided
                         ╰── a vote that does not count ─▶ BallotRefused ─▶ ballot.refused

Votes count in the order in which they are recorded; `bus.ballot` has the rules. A ballot is decided once, at one
position: after that its votes are late. A proposal that comes again, from the same proposer, changes nothing; if its
ballot is decided, that is told again. What the log says was decided stands, also for a plane that took over with an
older journal and so never decided it.

| table | key | value |
|---|---|---|
| ballot | id | Ballot |
| tally | id | Tally |
| decided | id | Decided |
| order | number | id, of the decided ones in order |
| count | bytes voted kept slept newest forgotten malformed unsaid | how many; `kept`: bytes of the decided ones |
| said | number | what this step says, see `coordination` |
"""

from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType

import msgspec

from bus import ballot as rules
from bus.ballot import Decision, Proposal, Refusal, Vote
from bus.coordinationlimits import BALLOT_VOTERS_MAX, COORDINATION_ID_CHARS_MAX
from controlplane.coordination import (
    INPUTS,
    MS,
    clear,
    count,
    extended,
    forget_oldest,
    has_room,
    key_of,
    note,
    noted,
    remember,
    remembered,
    sleep,
    slept,
)
from controlplane.facts import BallotDecided, BallotRefused, Fact, Intent, PlaneResumed, PlaneStarted, Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import (
    BALLOT_DECIDED_BYTES,
    BALLOT_SUM_BYTES,
    BALLOT_VOTE_BYTES,
    BALLOT_VOTES_BYTES_MAX,
    BALLOTS_BYTES_MAX,
    BALLOTS_DECIDED_BYTES_MAX,
    BALLOTS_DECIDED_MAX,
    BALLOTS_OPEN_MAX,
)
from controlplane.saying import PLANE_SOURCE, say
from controlplane.state import Key


class Ballot(msgspec.Struct, frozen=True, array_like=True):
    """An open ballot. `due`: its deadline, ns, as far as the plane had `slept`; `total`: see `bus.ballot.total_of`;
    `bytes`: of its proposal, and of the votes of its voters where they are known: these have their room from the
    beginning, so that whatever else is said a ballot that was taken can be decided by those whom it asks. `is_over`:
    its deadline came, and what came of it is said with the next input, as with this one there was too much to say."""

    proposer: str
    proposal: Proposal
    total: int | None
    due: int
    slept: int
    position: int
    bytes: int
    is_over: bool = False


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """What was voted so far: weight by option, weight of those who abstain, and each voter's option, -1: abstains.
    `bytes`: what the votes take, where anyone may vote."""

    sums: list[int]
    abstained: int
    votes: dict[str, int]
    bytes: int = 0


class Decided(msgspec.Struct, frozen=True, array_like=True):
    """A ballot that is over: what it asked, of how many `voters` (None: of anyone), and what it takes, in bytes."""

    proposer: str
    decision: Decision
    question: str = ""
    quorum: str = ""
    voters: int | None = None
    bytes: int = 0


class Ballots(Fold):
    """The fold. See the module."""

    name = "ballots"
    version = 3
    follows = (*INPUTS, BallotDecided, BallotRefused)
    timed = ("ballot",)
    tables = MappingProxyType({
        "ballot": Ballot, "tally": Tally, "decided": Decided, "order": str, "count": int,
        "said": BallotDecided | BallotRefused,
    })  # fmt: skip

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Proposals and votes, row by row; the plane's pauses; what was decided, whoever decided it."""
        fact = entry.fact
        if isinstance(fact, Rows):
            for row, said in _said(fact):
                if len(fact.sources[row]) > COORDINATION_ID_CHARS_MAX:
                    count(state, "malformed")
                else:
                    _TAKES[fact.types[row]](state, entry, fact, row, said)
        elif isinstance(fact, PlaneStarted | PlaneResumed):
            sleep(state, fact)
        elif isinstance(fact, BallotDecided):
            clear(state)
            if state.get("ballot", fact.ballot) is not None:
                # Of an earlier version of this fold: what it decided stands.
                _close(state, _decision(fact))
        elif isinstance(fact, BallotRefused):
            clear(state)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Say what came of it."""
        fact = entry.fact
        if isinstance(fact, BallotDecided):
            return [_tell(_decision(fact))]
        if isinstance(fact, BallotRefused):
            data = Refusal(fact.ballot, fact.voter, fact.why, fact.event)
            return [say(rules.REFUSED, data, key_of(fact.ballot), causationid=fact.event)]
        return [*noted(state), *(_again(state, entry, fact) if isinstance(fact, Rows) else ())]

    def due(self, table: str, value: Ballot) -> int:
        """When it is over."""
        return value.due

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """The deadline of a ballot came, unless the plane slept meanwhile."""
        ballot: Ballot = state.get("ballot", key)
        due = extended(state, ballot.due, ballot.slept)
        if due > entry.recorded:
            state.put("ballot", key, msgspec.structs.replace(ballot, due=due, slept=slept(state)))
            return ()
        if not has_room(state):
            later = msgspec.structs.replace(ballot, due=entry.recorded + 1, slept=slept(state), is_over=True)
            state.put("ballot", key, later)
            return ()
        decided = _count_up(state, ballot, entry.position, over=True)
        if decided is None or isinstance(entry.fact, INPUTS):
            return ()
        clear(state)
        return [decided]


def open_ballots(state: KeyedState) -> list[tuple[Ballot, Tally]]:
    """All open ballots, oldest first."""
    found = ((ballot, state.get("tally", key)) for key, ballot in state.items("ballot"))
    return sorted(found, key=lambda each: each[0].position)


# ------------------------------------------------------------------------------------------------- what is said


class _Proposed(msgspec.Struct):
    id: str
    data: Proposal


class _Voted(msgspec.Struct):
    id: str
    data: Vote


class _Decided(msgspec.Struct):
    data: Decision


_proposed = msgspec.json.Decoder(_Proposed)
_voted = msgspec.json.Decoder(_Voted)
_was_decided = msgspec.json.Decoder(_Decided)


def _said(rows: Rows) -> Iterator[tuple[int, bytes]]:
    """The rows that are about ballots: neither history of elsewhere, nor said to one group again."""
    for row, event in sorted(rows.followed.items()):
        if rows.types[row] in _TAKES and not rows.importofs[row] and not rows.redriven[row]:
            yield row, event


def _propose(state: KeyedState, entry: Entry, rows: Rows, row: int, event: bytes) -> None:
    try:
        said = _proposed.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        count(state, "malformed")
        return
    proposal, source = said.data, rows.sources[row]
    if rules.wrong_with(proposal):
        _refuse(state, proposal.ballot, source, "malformed", said.id)
        return
    known: Ballot | Decided | None = state.get("ballot", proposal.ballot) or state.get("decided", proposal.ballot)
    if known is not None:
        if known.proposer != source:
            _refuse(state, proposal.ballot, source, "taken", said.id)
        return
    if len(state.table("ballot")) >= BALLOTS_OPEN_MAX or state.get("count", "bytes", 0) > BALLOTS_BYTES_MAX:
        _refuse(state, proposal.ballot, source, "too_many_ballots", said.id)
        return
    due = entry.recorded + proposal.deadline_ms * MS
    takes = len(event) + sum(map(_vote_bytes, rules.voters_of(proposal)))
    ballot = Ballot(source, proposal, rules.total_of(proposal), due, slept(state), entry.position + row, takes)
    count(state, "bytes", takes)
    state.put("ballot", proposal.ballot, ballot)
    state.put("tally", proposal.ballot, Tally([0] * len(proposal.options), 0, {}))


def _vote(state: KeyedState, entry: Entry, rows: Rows, row: int, event: bytes) -> None:
    try:
        said = _voted.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        count(state, "malformed")
        return
    id, voter = said.data.ballot, rows.sources[row]
    ballot: Ballot | None = state.get("ballot", id)
    if ballot is None:
        why = "late" if state.get("decided", id) is not None else "unknown_ballot"
        _refuse(state, id, voter, why, said.id)
        return
    tally: Tally = state.get("tally", id)
    why = _why_not(state, ballot, tally, voter, said.data.choice, entry.recorded)
    if why:
        _refuse(state, id, voter, why, said.id)
        return
    choice = -1 if said.data.choice is None else ballot.proposal.options.index(said.data.choice)
    counted = _counted(ballot, tally, voter, choice)
    count(state, "voted", counted.bytes - tally.bytes)
    state.put("tally", id, counted)
    _count_up(state, ballot, entry.position + row, over=False)


def _refuse(state: KeyedState, ballot: str, voter: str, why: str, event: str) -> None:
    chars = COORDINATION_ID_CHARS_MAX
    note(state, BallotRefused(ballot[:chars], voter, why, event[:chars]))


def _hear(state: KeyedState, entry: Entry, rows: Rows, row: int, event: bytes) -> None:
    """The plane's own word comes back: no news, unless its journal was lost meanwhile."""
    if rows.sources[row] != PLANE_SOURCE:
        return
    try:
        said = _was_decided.decode(event).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        count(state, "malformed")
        return
    if state.get("ballot", said.ballot) is not None:
        _close(state, said)


_TAKES: dict[str, Callable[[KeyedState, Entry, Rows, int, bytes], None]] = {
    rules.PROPOSED: _propose,
    rules.VOTED: _vote,
    rules.DECIDED: _hear,
}


def _why_not(state: KeyedState, ballot: Ballot, tally: Tally, voter: str, choice: str | None, now: int) -> str:
    proposal = ballot.proposal
    if ballot.is_over or extended(state, ballot.due, ballot.slept) <= now:
        return "late"  # its timer has not had its turn among many
    if not rules.may_vote(proposal, voter):
        return "not_a_voter"
    if choice is not None and choice not in proposal.options:
        return "unknown_option"
    if voter in tally.votes:
        return "" if proposal.change else "duplicate"
    if len(tally.votes) >= BALLOT_VOTERS_MAX:
        return "full"
    is_full = ballot.total is None and state.get("count", "voted", 0) >= BALLOT_VOTES_BYTES_MAX
    return "too_many_votes" if is_full else ""


def _counted(ballot: Ballot, tally: Tally, voter: str, choice: int) -> Tally:
    proposal = ballot.proposal
    weight, sums, abstained = rules.weight_of(proposal, voter), list(tally.sums), tally.abstained
    for place, change in ((tally.votes.get(voter), -weight), (choice, weight)):
        if place == -1:
            abstained += change
        elif place is not None:
            sums[place] += change
    more = _vote_bytes(voter) if ballot.total is None and voter not in tally.votes else 0
    return Tally(sums, abstained, tally.votes | {voter: choice}, tally.bytes + more)


def _vote_bytes(voter: str) -> int:
    return BALLOT_VOTE_BYTES + len(voter.encode())


# ------------------------------------------------------------------------------------------------- deciding


def _count_up(state: KeyedState, ballot: Ballot, position: int, over: bool) -> BallotDecided | None:
    """Close it if its outcome is certain; what is said of that."""
    proposal = ballot.proposal
    tally: Tally = state.get("tally", proposal.ballot)
    favoured = tally.votes.get(ballot.proposer)
    found = rules.outcome_of(proposal, ballot.total, tally.sums, tally.abstained, favoured, over)
    if found is None:
        return None
    outcome, place = found
    abstained = sum(choice == -1 for choice in tally.votes.values())
    decided = BallotDecided(
        proposal.ballot,
        outcome,
        None if place is None else proposal.options[place],
        dict(sorted(zip(proposal.options, tally.sums, strict=True))),
        abstained,
        len(tally.votes) - abstained,
        position,
    )
    _close(state, _decision(decided))
    note(state, decided)
    return decided


def _close(state: KeyedState, decision: Decision) -> None:
    ballot: Ballot = state.get("ballot", decision.ballot)
    tally: Tally = state.get("tally", decision.ballot)
    count(state, "bytes", -ballot.bytes)
    count(state, "voted", -tally.bytes)
    state.delete("ballot", decision.ballot)
    state.delete("tally", decision.ballot)
    _remember(state, ballot, decision)


def _remember(state: KeyedState, ballot: Ballot, decision: Decision) -> None:
    """Keep a decision; those that are over for longest make room for it, by number and by bytes."""
    asked = ballot.proposal
    texts = (ballot.proposer, asked.question, decision.ballot, decision.choice or "", *decision.tally)
    takes = BALLOT_DECIDED_BYTES + sum(BALLOT_SUM_BYTES + len(text.encode()) for text in texts)
    voters = len(rules.voters_of(asked)) or None
    decided = Decided(ballot.proposer, decision, asked.question, asked.quorum, voters, takes)
    count(state, "kept", decided.bytes)
    remember(state, "decided", decided.decision.ballot, decided)
    while remembered(state) > BALLOTS_DECIDED_MAX or state.get("count", "kept") > BALLOTS_DECIDED_BYTES_MAX:
        count(state, "kept", -forget_oldest(state, "decided").bytes)


def _decision(fact: BallotDecided) -> Decision:
    return Decision(fact.ballot, fact.outcome, fact.choice, fact.tally, fact.abstained, fact.votes, fact.at)


def _tell(decision: Decision) -> Intent:
    return say(rules.DECIDED, decision, decision.ballot)


def _again(state: KeyedState, entry: Entry, rows: Rows) -> Iterator[Intent]:
    """Whoever proposes what was decided before hears of it again."""
    for row, event in _said(rows):
        if rows.types[row] == rules.PROPOSED:
            try:
                id = _proposed.decode(event).data.ballot
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # counted in `evolve`
            known: Decided | None = state.get("decided", id)
            if known is not None and known.proposer == rows.sources[row] and known.decision.position < entry.position:
                yield _tell(known.decision)
