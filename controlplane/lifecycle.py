"""What a lifecycle word makes of an agent: one function of the agent before, the word, and when and where. Pure.

| it is | joined | ready | heartbeat | left | suspected, failed (of itself) |
|---|---|---|---|---|---|
| not known | joined | if bare: ready | unknown | if bare: left | if bare: that |
| joined | joined again | ready | stays | left | that |
| ready | joined again | stays | stays | left | that |
| suspected, failed | joined again | ready | ready | left | that |
| left | joined | if bare: ready | late | stays | if bare: that |

A word with another incarnation than the agent's changes nothing but `rival`, unless it is a `joined`: the newer one
wins, and the one that it won over comes again only when it is gone.
"""

from typing import NamedTuple

import msgspec

from controlplane.agents import (
    FAILED,
    GONE,
    HEARTBEAT,
    JOINED,
    LEFT,
    LIVE,
    READY,
    SUSPECTED,
    Agent,
    Beat,
    Joined,
    Left,
    Mark,
    Rival,
    Word,
    beat_ms,
    capabilities_of,
    cut,
    preferences_of,
)
from controlplane.limits import AGENT_FORMER_MAX, AGENT_RATE_MS, SUSPECT_BEATS

_MS = 1_000_000


class Place(NamedTuple):
    """Where a word stands: recorded instant, ns, journal position, and the partition that it came through."""

    now: int
    position: int
    partition: int


def heard(before: Agent | None, said: str, word: Word, at: Place) -> Agent | None:
    """The agent after its word, or None: the word is of nobody that is known."""
    if isinstance(word, Joined):
        return _joined(before, word, at)
    if before is None:
        bare = said != HEARTBEAT and not word.incarnation
        return Agent(said, at.now, at.now, "", heard=at.now, partition=at.partition) if bare else None
    if word.incarnation and before.incarnation and word.incarnation != before.incarnation:
        return _rival(before, word.incarnation, at, isinstance(word, Left))
    if before.state == LEFT and (before.incarnation or said == HEARTBEAT):
        return before
    after = msgspec.structs.replace(before, heard=at.now, partition=at.partition)
    if isinstance(word, Beat):
        state = READY if before.state in (SUSPECTED, FAILED) else before.state
        after = _counted(after, word, at.now)
    elif isinstance(word, Left):
        state = LEFT
        after = msgspec.structs.replace(after, why=cut(word.reason), load=0, queue=0, in_flight=0)
    else:
        state = said
    return awaited(turned(after, state, at.now), at.now)


def turned(agent: Agent, state: str, now: int) -> Agent:
    """The agent in a state, since now if it was in another."""
    return agent if agent.state == state else msgspec.structs.replace(agent, state=state, since=now)


def awaited(agent: Agent, now: int) -> Agent:
    """The agent with its silence to be judged after so many heartbeats from now; never, if it is not to be heard."""
    listens = agent.heartbeat_ms and agent.state in LIVE
    return msgspec.structs.replace(agent, due=now + SUSPECT_BEATS * agent.heartbeat_ms * _MS if listens else 0)


def imported(before: Agent | None, said: str, word: Word, importof: str, at: Place) -> Agent | None:
    """The same for a word out of a log that was imported: it is history, and says nothing of an agent that lives."""
    if said == HEARTBEAT or (before is not None and not before.importof):
        return before
    known = before or Agent(said, at.now, at.now, "")
    able = capabilities_of(word) if isinstance(word, Joined) else known.capabilities
    after = msgspec.structs.replace(known, capabilities=able, heard=at.now, partition=at.partition, importof=importof)
    return turned(after, said, at.now)


def _joined(before: Agent | None, word: Joined, at: Place) -> Agent:
    known = None if before is None or before.importof else before
    rival = None if known is None else known.rival
    if known is not None and known.state not in GONE and rival is not None and word.incarnation == rival.incarnation:
        return _rival(known, word.incarnation, at)
    again = known is not None and word.incarnation == known.incarnation and known.state != LEFT
    if known is not None and not again:
        rival = Rival(known.incarnation, 0, 0) if known.incarnation and known.incarnation != word.incarnation else None
    able = capabilities_of(word)
    agent = Agent(
        state=READY if again and known is not None and known.state == READY else JOINED,
        joined=known.joined if again and known is not None else at.now,
        since=at.now,
        incarnation=word.incarnation,
        capabilities=able,
        version=cut(word.version),
        locality=cut(word.locality),
        address=cut(word.address),
        preferences=preferences_of(word),
        concurrency=word.concurrency,
        heartbeat_ms=beat_ms(word),
        heard=at.now,
        partition=at.partition,
        cut=len(dict.fromkeys(word.capabilities)) - len(able),
        rival=rival,
    )
    if known is not None:
        former = known.former if again else _followed(known, word.incarnation)
        agent = msgspec.structs.replace(
            agent, quarantined=known.quarantined, by=known.by, reason=known.reason, former=former
        )
        if again and known.state == agent.state:
            agent = msgspec.structs.replace(agent, since=known.since)
    return awaited(agent, at.now)


def _followed(known: Agent, incarnation: str) -> list[str]:
    """The former incarnations, once another one has followed."""
    former = [each for each in (*known.former, known.incarnation) if each and each != incarnation]
    return former[-AGENT_FORMER_MAX:]


def _rival(agent: Agent, incarnation: str, at: Place, leaves: bool = False) -> Agent:
    """With one more word of another incarnation; one that leaves is none any more."""
    known = agent.rival is not None and agent.rival.incarnation == incarnation
    if leaves:
        return msgspec.structs.replace(agent, rival=None) if known else agent
    words = agent.rival.words if agent.rival is not None and known else 0
    return msgspec.structs.replace(agent, rival=Rival(incarnation, words + 1, at.now))


def _counted(agent: Agent, beat: Beat, now: int) -> Agent:
    """With a heartbeat's figures; the rate is taken from the older of two marks, which are a while apart."""
    marks = agent.marks
    if not marks or now - marks[-1].at >= AGENT_RATE_MS * _MS:
        marks = [*marks[-1:], Mark(now, beat.handled, beat.failed)]
    return msgspec.structs.replace(
        agent, load=beat.load, queue=beat.queue, in_flight=beat.in_flight, handled=beat.handled, failed=beat.failed,
        marks=marks,
    )  # fmt: skip
