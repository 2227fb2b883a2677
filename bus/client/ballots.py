"""`fleet.ballots`: proposals, votes, decisions. `bus.ballot` has the rules, `docs/coordination.md` the rest.

ballot = await fleet.ballots.propose("Ship it?", voters=["agent/a", "agent/b", "agent/c"], deadline=10)
decision = await ballot.decided()           # outcome, choice, tally

async for ballot in fleet.ballots.follow():
    await ballot.vote("yes", source="agent/a")
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import msgspec

from bus import ballot as rules
from bus.ballot import Decision, Proposal, Refusal, Vote
from bus.client.coordination import NOBODY_ANSWERS, PLANE_SOURCE, SILENT_SECONDS, Feed, clock
from bus.client.packing import Receipt
from bus.coordinationlimits import BALLOTS_KEPT_MAX, REFUSALS_KEPT_MAX
from bus.errors import BallotRefused, BusError, InvalidBallot, NotDecided, PlaneSilent
from bus.event import Event
from bus.ids import new_id

if TYPE_CHECKING:
    from bus.client.fleet import Fleet

log = logging.getLogger("signalbox.coordination")

_MS = 1_000_000
_proposal = msgspec.json.Decoder(Proposal)
_decision = msgspec.json.Decoder(Decision)
_refusal = msgspec.json.Decoder(Refusal)


class Ballots:
    """Made by a fleet. All ballots of one connection share one following read."""

    def __init__(self, fleet: "Fleet") -> None:
        self._fleet = fleet
        self._name = fleet.name
        self.feed = Feed(fleet, rules.PATTERN, frozenset({rules.PROPOSED}), self._heard, self._ended)
        self._known: WeakValueDictionary[str, Ballot] = WeakValueDictionary()
        self._decided: OrderedDict[str, Decision] = OrderedDict()
        self._sources: set[str] = set()
        self._refusals: deque[Refusal] = deque(maxlen=REFUSALS_KEPT_MAX)
        self._news: set[_News] = set()

    async def propose(
        self,
        question: str,
        options: Sequence[str] = ("yes", "no"),
        *,
        voters: Sequence[str] | None = None,
        quorum: str = rules.MAJORITY,
        weights: dict[str, int] | None = None,
        needed: int = 0,
        deadline: float = 30.0,
        tie: str = "none",
        change: bool = False,
        id: str = "",
        source: str = "",
    ) -> "Ballot":
        """Put a question to the vote, for `deadline` seconds from when the control plane records it.

        `voters`: sources, or None for anyone, and then nothing is certain before the deadline. `quorum`: majority,
        two_thirds, unanimous, weighted (with `weights`, and `needed` of them; 0: more than half). `tie`: none, first,
        proposer. `change`: whether a vote may be changed. With an `id` of your own the same ballot is gone on with
        after a restart. Raises InvalidBallot, and what `publish` raises.
        """
        proposal = Proposal(
            ballot=id or new_id(),
            question=question,
            options=list(options),
            voters=None if voters is None else list(voters),
            quorum=quorum,
            weights=weights or {},
            needed=needed,
            deadline_ms=round(deadline * 1000),
            tie=tie,
            change=change,
        )
        wrong = rules.wrong_with(proposal)
        if wrong:
            raise InvalidBallot(f"the ballot {question[:80]!r}: {wrong}")
        await self.feed.open()
        self._decided.pop(proposal.ballot, None)
        ballot = self._made(proposal, source or self._name)
        await self.feed.tell(rules.PROPOSED, proposal, ballot.id, ballot.proposer)
        return ballot

    async def vote(self, ballot: "Ballot | str", choice: str, *, source: str = "") -> Receipt:
        """Vote, as `source`, or under the fleet's name. Raises InvalidBallot for an option that it has not.

        Whether the vote counts the control plane decides; one that does not is among `refusals`.
        """
        if isinstance(ballot, Ballot) and choice not in ballot.options:
            raise InvalidBallot(f"ballot {ballot.id} has the options {', '.join(ballot.options)}, not {choice!r}")
        return await self._vote(ballot, choice, source)

    async def abstain(self, ballot: "Ballot | str", *, source: str = "") -> Receipt:
        """Take part without a choice: the others are enough to decide."""
        return await self._vote(ballot, None, source)

    async def follow(self, start: str = "-10m") -> "AsyncGenerator[Ballot]":
        """The ballots that were proposed since `start` and are open, then each new one as it is proposed."""
        await self.feed.open()
        news = _News()
        self._news.add(news)
        try:
            past = await self._open_since(start)
            for ballot in past.values():
                yield ballot
            while True:
                ballot = await news.next()
                if ballot.id not in past:
                    yield ballot
        finally:
            self._news.discard(news)

    async def refusals(self) -> AsyncGenerator[Refusal]:
        """Votes and proposals made through this fleet that do not count, and why (`bus.ballot.WHY`), as they come."""
        await self.feed.open()
        news = _News()
        self._news.add(news)
        try:
            while True:
                while self._refusals:
                    yield self._refusals.popleft()
                await news.wait()
        finally:
            self._news.discard(news)

    async def _vote(self, ballot: "Ballot | str", choice: str | None, source: str) -> Receipt:
        await self.feed.open()
        id = ballot if isinstance(ballot, str) else ballot.id
        self._sources.add(source or self._name)
        return await self.feed.tell(rules.VOTED, Vote(id, choice), id, source or self._name)

    async def _open_since(self, start: str) -> "dict[str, Ballot]":
        found: dict[str, Ballot] = {}
        async for event in self._fleet.read(rules.PATTERN, start=start):
            if event.type == rules.PROPOSED:
                try:
                    proposal = _proposal.decode(event.payload)
                except msgspec.DecodeError as error:
                    log.warning("ballot event %s cannot be read: %s", event.id, error)
                    continue
                found[proposal.ballot] = self._made(proposal, event.source)
            elif event.source == PLANE_SOURCE:
                self._take(event)
        return {id: ballot for id, ballot in found.items() if not ballot.is_over}

    def _made(self, proposal: Proposal, proposer: str) -> "Ballot":
        known = self._known.get(proposal.ballot)
        if known is not None:
            return known
        ballot = self._known[proposal.ballot] = Ballot(self, proposal, proposer)
        if proposal.ballot in self._decided:
            ballot.decide(self._decided[proposal.ballot])
        return ballot

    # ------------------------------------------------------------------------------------------- hearing

    def _heard(self, event: Event) -> None:
        if event.type == rules.PROPOSED:
            if self._news:
                ballot = self._made(_proposal.decode(event.payload), event.source)
                for news in self._news:
                    news.put(ballot)
        else:
            self._take(event)

    def _take(self, event: Event) -> None:
        if event.type == rules.DECIDED:
            decision = _decision.decode(event.payload)
            self._decided[decision.ballot] = decision
            if len(self._decided) > BALLOTS_KEPT_MAX:
                self._decided.popitem(last=False)
            ballot = self._known.get(decision.ballot)
            if ballot is not None:
                ballot.decide(decision)
        elif event.type == rules.REFUSED:
            self._refused(_refusal.decode(event.payload))

    def _refused(self, refusal: Refusal) -> None:
        ballot = self._known.get(refusal.ballot)
        if ballot is not None and refusal.voter == ballot.proposer and refusal.why in rules.OF_PROPOSALS:
            ballot.refuse(refusal)
        elif refusal.voter not in self._sources:
            return
        log.warning("ballot %s: what %s said is refused: %s", refusal.ballot, refusal.voter, rules.WHY[refusal.why])
        self._refusals.append(refusal)
        for news in self._news:
            news.changed.set()

    def _ended(self, error: BusError) -> None:
        for ballot in list(self._known.values()):
            ballot.cut_off(error)
        for news in self._news:
            news.cut_off(error)


class Ballot:
    """A ballot as it was proposed, and what became of it."""

    def __init__(self, ballots: Ballots, proposal: Proposal, proposer: str) -> None:
        self.proposal = proposal
        self.proposer = proposer
        self.decision: Decision | None = None
        """What was decided, once that is known here."""
        self._ballots = ballots
        self._heard = clock()
        self._error: BusError | None = None
        self._over = asyncio.Event()

    def __repr__(self) -> str:
        state = self.decision.outcome if self.decision is not None else "refused" if self.is_over else "open"
        return f"<Ballot {self.id} {self.question[:80]!r} of {self.proposer}: {state}>"

    @property
    def id(self) -> str:
        """Its name in the log."""
        return self.proposal.ballot

    @property
    def question(self) -> str:
        """What it asks."""
        return self.proposal.question

    @property
    def options(self) -> list[str]:
        """What may be chosen."""
        return self.proposal.options

    @property
    def is_over(self) -> bool:
        """Whether it is known to be decided or refused."""
        return self._over.is_set()

    async def decided(self, timeout: float | None = None) -> Decision:  # noqa: ASYNC109
        """Wait for the decision, `timeout` seconds, or until its deadline is surely over.

        Raises NotDecided when `timeout` is over, PlaneSilent when the deadline is and the control plane says nothing,
        BallotRefused when it did not take the proposal, ClientError when the fleet was closed.
        """
        left = (self.proposal.deadline_ms * _MS - (clock() - self._heard)) / 1e9 + SILENT_SECONDS
        within = max(0.0, left) if timeout is None else timeout
        try:
            async with asyncio.timeout(within):
                await self._over.wait()
        except TimeoutError:
            if within < left:
                raise NotDecided(f"ballot {self.id} ({self.question[:80]!r}): no decision in {within:g} s") from None
            raise PlaneSilent(f"ballot {self.id}: its deadline has passed, and {NOBODY_ANSWERS}") from None
        if self.decision is not None:
            return self.decision
        raise self._error or BallotRefused(f"ballot {self.id} was refused")

    async def vote(self, choice: str, *, source: str = "") -> Receipt:
        """See `Ballots.vote`."""
        return await self._ballots.vote(self, choice, source=source)

    async def abstain(self, *, source: str = "") -> Receipt:
        """See `Ballots.abstain`."""
        return await self._ballots.abstain(self, source=source)

    def decide(self, decision: Decision) -> None:
        """The plane has spoken; the first word counts."""
        self.decision = self.decision or decision
        self._over.set()

    def refuse(self, refusal: Refusal) -> None:
        """The plane does not take the proposal."""
        self.cut_off(BallotRefused(f"ballot {self.id}: {rules.WHY[refusal.why]}", refusal.why))

    def cut_off(self, error: BusError) -> None:
        """Nothing more is heard of it."""
        if not self.is_over:
            self._error = error
            self._over.set()


class _News:
    """New ballots for one who follows; when he takes none, the oldest go."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._ballots: deque[Ballot] = deque(maxlen=BALLOTS_KEPT_MAX)
        self._error: BusError | None = None

    def put(self, ballot: Ballot) -> None:
        self._ballots.append(ballot)
        self.changed.set()

    def cut_off(self, error: BusError) -> None:
        self._error = error
        self.changed.set()

    async def next(self) -> Ballot:
        while not self._ballots:
            await self.wait()
        return self._ballots.popleft()

    async def wait(self) -> None:
        """For anything new. Raises when nothing more will come."""
        if self._error is not None:
            raise self._error
        self.changed.clear()
        await self.changed.wait()
