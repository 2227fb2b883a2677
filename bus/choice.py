"""The choice of one agent among those that can do something: the power of two choices. Pure.

Two candidates are drawn by their places in a dense index, so that ten thousand agents cost nothing; of those with room
the one that is expected to be done sooner is chosen. The draw follows from the event's id and the attempt alone, and a
tie goes to the one that was drawn first: who runs it again comes to the same choice.

    score = latency × (1000 + load ‰) ÷ reliability ‰          lower is better

`latency` is what such work took this agent of late (what it takes on average, for one that is not known yet),
`reliability` how much of it went well, `load` how much it has to do for each place that it has. Where neither of the
two has room the others are looked at one after the other, from the first draw on. All figures are integers.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from bus.routinglimits import CHOICE_SCAN_MAX, CHOICE_TOLD_MAX

FULL_RELIABILITY = 1_000
"""Thousandths: nothing went wrong."""
FIGURE_MAX = (1 << 53) - 1
"""What a score or a time comes to at most: what agents say goes into them, and JSON's numbers are exact up to it."""
_RELIABILITY_MIN = 20
"""One that always failed is not out of the question, or it could never do better."""


class Standing(NamedTuple):
    """How an agent is: its `score`, lower is better, its `load` in thousandths of its places, and how it fared.

    `is_full`: it gets nothing more.
    """

    score: int
    load: int
    latency_us: int
    reliability: int
    is_full: bool = False

    @property
    def expected_us(self) -> int:
        """When it is expected to be done, if it gets one more."""
        return expected_us(self.latency_us, self.load)


def standing(busy: int, places: int, latency_us: int, reliability: int, is_full: bool = False) -> Standing:
    """How an agent is that has `busy` tasks for its `places`."""
    load = busy * 1_000 // (places or 1)
    floor = reliability if reliability > _RELIABILITY_MIN else _RELIABILITY_MIN
    score = min(latency_us * (1_000 + load) // floor, FIGURE_MAX)
    return Standing(score, min(load, FIGURE_MAX), latency_us, reliability, is_full)


def expected_us(latency_us: int, load: int) -> int:
    """How long work takes that takes `latency_us` where nothing else is to be done, in microseconds."""
    return min(latency_us * (1_000 + load) // 1_000, FIGURE_MAX)


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """One agent as a choice saw it; `why` it was not chosen, "" for the one that was."""

    agent: str
    score: int
    load: int
    latency_us: int
    reliability: int
    why: str = ""


class Choice(msgspec.Struct, frozen=True):
    """Whom it came to, "" for nobody, and who else was looked at. `among`: how many there were to draw from.

    `able`: how many of those that were looked at can do it; `whole`: all were looked at. `sticky`: it went to whom its
    key went before.
    """

    agent: str
    among: int
    looked: tuple[Candidate, ...] = ()
    able: int = 0
    whole: bool = False
    sticky: bool = False

    @property
    def winner(self) -> Candidate | None:
        """Whom it came to, as it was seen."""
        return next((one for one in self.looked if one.agent == self.agent), None)


Look = Callable[[str], Standing | None]
"""How an agent is; None for one that cannot do this: it lacks another capability, or had it and failed."""


def draw(seed: str, count: int) -> tuple[int, int]:
    """Two places 0 <= i < count, different ones where there are two. `count` >= 1."""
    digest = blake2b(seed.encode(), digest_size=16).digest()
    first = int.from_bytes(digest[:8], "little") % count
    if count == 1:
        return 0, 0
    second = int.from_bytes(digest[8:], "little") % (count - 1)
    return first, second + (second >= first)


def choose(seed: str, count: int, nth: Callable[[int], str], look: Look, prefer: str = "") -> Choice:
    """One of `count` agents, the i-th of whom is `nth(i)`; `prefer`: who gets it where it can and has room."""
    seen: dict[str, Standing] = {}
    if prefer:
        standing = look(prefer)
        if standing is not None:
            seen[prefer] = standing
            if not standing.is_full:
                return _chosen(prefer, seen, count, sticky=True)
    if count <= 0:
        return _chosen("", seen, 0, whole=True)
    places = draw(seed, count)
    for place in dict.fromkeys(places):
        _look_at(nth(place), look, seen)
    free = [agent for agent, standing in seen.items() if not standing.is_full]
    able, whole = len(seen), count <= len(places)
    if not free and not whole:
        # One after the other: the first two with room are compared.
        for step in range(min(count, CHOICE_SCAN_MAX)):
            agent = nth((places[0] + step) % count)
            standing = None if agent in seen else look(agent)
            if standing is None:
                continue
            able += 1
            if not standing.is_full:
                free.append(agent)
            if not standing.is_full or len(seen) < CHOICE_TOLD_MAX:
                seen[agent] = standing
            if len(free) == len(places):
                break
        else:
            whole = count <= CHOICE_SCAN_MAX
    best = min(free, key=lambda agent: seen[agent].score, default="")
    return _chosen(best, seen, count, whole, able=able)


def alone(agent: str, standing: Standing, sticky: bool = False) -> Choice:
    """The choice that is none: this one came for it."""
    return Choice(agent, 1, (_candidate(agent, standing, agent),), 1, sticky=sticky)


def _look_at(agent: str, look: Look, seen: dict[str, Standing]) -> None:
    standing = look(agent)
    if standing is not None:
        seen[agent] = standing


def _chosen(
    agent: str, seen: dict[str, Standing], among: int, whole: bool = False, sticky: bool = False, able: int = 0
) -> Choice:
    order = sorted((name != agent, standing.is_full, standing.score, name) for name, standing in seen.items())
    told = tuple([_candidate(name, seen[name], agent) for *_, name in order[: CHOICE_TOLD_MAX + 1]])
    return Choice(agent, among, told, max(able, len(seen)), whole, sticky)


def _candidate(agent: str, standing: Standing, winner: str) -> Candidate:
    why = "" if agent == winner else "it has no place free" if standing.is_full else "another is expected sooner"
    return Candidate(agent, standing.score, standing.load, standing.latency_us, standing.reliability, why)
