"""What is kept of an agent, and how what it says of itself is read. Pure; part of the fold `registry`.

What agents say is not to be trusted with anything but itself: a word that is not what it should be is malformed, and is
counted by whoever reads it; a text is cut, a figure that is out of bounds makes the word malformed.
"""

import re
from typing import Annotated

import msgspec

from bus.attributes import legible
from bus.topic import is_type
from controlplane.limits import (
    AGENT_CAPABILITIES_MAX,
    AGENT_COUNT_MAX,
    AGENT_LOAD_PERMILLE_MAX,
    AGENT_PREFERENCES_MAX,
    AGENT_TEXT_CHARS_MAX,
    CAPABILITY_CHARS_MAX,
    FOLLOWED_DEPTH_MAX,
    HEARTBEAT_MS_MAX,
    HEARTBEAT_MS_MIN,
    RIVAL_TOLD_MS,
    RIVAL_WORDS_MIN,
    SUSPECT_BEATS,
)

LIFECYCLE = "agent.lifecycle."
INBOX = "agent.inbox."
SOURCE = "agent/"
JOINED, READY, SUSPECTED, FAILED, LEFT, QUARANTINED = "joined", "ready", "suspected", "failed", "left", "quarantined"
HEARTBEAT = "heartbeat"
LIVE = (JOINED, READY)
GONE = (FAILED, LEFT)
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


def has_inbox(source: str) -> bool:
    """Whether mail can be sent to an agent of this source, and so work: its name is part of its inbox's type."""
    return source.startswith(SOURCE) and is_type(INBOX + source[len(SOURCE) :])


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """An agent's counts at an instant, ns: what a rate is taken from."""

    at: int
    handled: int
    failed: int


class Rival(msgspec.Struct, frozen=True, array_like=True):
    """Another incarnation that speaks under the agent's name: an older one, which is not listened to any more.

    `words` were heard of it, the last one at `heard`.
    """

    incarnation: str
    words: int
    heard: int


class Agent(msgspec.Struct, frozen=True, array_like=True):
    """One agent. All instants are `recorded`, ns.

    `state`: joined, ready, suspected, failed or left, since `since`; `why`: what it said when it left. Whether it is
    also quarantined, and since when, says `quarantined`, with `by` and `reason`; 0: it is not.

    `incarnation`: which run of it this is, "" for an agent of bare events, as logs of others have them; with such a
    `heartbeat_ms` is 0, and it is never suspected. `heard`: its last word; `due`: when silence is judged, 0: never.
    `partition`: where its words come through.

    `load` is in thousandths of `concurrency`, `queue` and `in_flight` are events, `handled` and `failed` are of this
    incarnation; all as of its last heartbeat. `marks`: earlier counts, older first. `cut`: capabilities that were not
    taken. `importof`: the log it was imported from, "" for one that lives. `former`: the incarnations before this one,
    oldest first, as many as are remembered.
    """

    state: str
    joined: int
    since: int
    incarnation: str
    capabilities: list[str] = []
    version: str = ""
    locality: str = ""
    address: str = ""
    preferences: dict[str, str] = {}
    concurrency: int = 0
    heartbeat_ms: int = 0
    heard: int = 0
    due: int = 0
    partition: int = 0
    load: int = 0
    queue: int = 0
    in_flight: int = 0
    handled: int = 0
    failed: int = 0
    marks: list[Mark] = []
    quarantined: int = 0
    by: str = ""
    reason: str = ""
    why: str = ""
    cut: int = 0
    rival: Rival | None = None
    importof: str = ""
    former: list[str] = []

    @property
    def is_able(self) -> bool:
        """Whether it may be given work, if it has an inbox: it lives, by its own words, and is not quarantined."""
        return self.state in LIVE and not self.quarantined and not self.importof

    @property
    def shown(self) -> str:
        """Its state in one word: quarantined where it is that and not gone."""
        return QUARANTINED if self.quarantined and self.state not in GONE else self.state


def is_doubled(agent: Agent, now: int) -> bool:
    """Whether another incarnation speaks under its name, again and again, until a moment ago."""
    rival = agent.rival
    heard_ms = max(SUSPECT_BEATS * agent.heartbeat_ms, RIVAL_TOLD_MS)
    return rival is not None and rival.words >= RIVAL_WORDS_MIN and now - rival.heard <= heard_ms * 1_000_000


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """A state that an agent came into: what, when, ns, at which journal position, and why where that is known."""

    state: str
    at: int
    position: int
    why: str = ""


class Amiss(msgspec.Struct, frozen=True, array_like=True):
    """What was not as it should be: how often, and the newest of it: whose, why, at which position and instant."""

    count: int
    source: str
    why: str
    position: int
    at: int


class Inbox(msgspec.Struct, frozen=True, array_like=True):
    """Where an agent's mail waits. `start`: from which instant on, ns; `asked`: the position at which its group was
    asked for, 0: not yet, as nobody of this name was ever there; `is_open`: the group is there."""

    start: int
    asked: int = 0
    is_open: bool = False


# ------------------------------------------------------------------------------------------------- their words

Count = Annotated[int, msgspec.Meta(ge=0, le=AGENT_COUNT_MAX)]
Load = Annotated[int, msgspec.Meta(ge=0, le=AGENT_LOAD_PERMILLE_MAX)]


class Word(msgspec.Struct):
    """What every lifecycle word may have. Without an incarnation it is a bare one."""

    incarnation: str = ""


class Joined(Word):
    """An agent says who it is."""

    capabilities: list[str] = []
    version: str = ""
    address: str = ""
    locality: str = ""
    preferences: dict[str, str] = {}
    concurrency: Count = 0
    heartbeat_ms: Count = 0


class Beat(Word):
    """A heartbeat."""

    load: Load = 0
    queue: Count = 0
    in_flight: Count = 0
    handled: Count = 0
    failed: Count = 0


class Left(Word):
    """An agent goes."""

    reason: str = ""


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")


_envelope = msgspec.json.Decoder(_Envelope)
_KINDS: dict[str, type[Word]] = {
    JOINED: Joined, HEARTBEAT: Beat, LEFT: Left, READY: Word, SUSPECTED: Word, FAILED: Word,
}  # fmt: skip
WORDS = tuple(_KINDS)
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()}
_NOTHING = b"{}"


def read_word(name: str, event: bytes | None) -> Word | str:
    """What an agent said, of `WORDS`; or why it is malformed, as is None: an event that folds are not given whole. An
    event without data is a bare word."""
    if event is None:
        return f"nested more than {FOLLOWED_DEPTH_MAX} deep"
    try:
        data = _envelope.decode(event).data
        word: Word = _decoders[name].decode(_NOTHING if bytes(data) == b"null" else data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return cut(str(error))
    word.incarnation = cut(word.incarnation)
    return word


def cut(text: str) -> str:
    """As much of a text as is kept."""
    return legible(text, AGENT_TEXT_CHARS_MAX)


def capabilities_of(word: Joined) -> list[str]:
    """Those that are taken, sorted: what no event could ask for is none."""
    able = [text for text in dict.fromkeys(word.capabilities) if _may_be_asked_for(text)]
    return sorted(able[:AGENT_CAPABILITIES_MAX])


def beat_ms(word: Joined) -> int:
    """How often it is to be heard; 0: never."""
    return min(max(word.heartbeat_ms, HEARTBEAT_MS_MIN), HEARTBEAT_MS_MAX) if word.heartbeat_ms else 0


def preferences_of(word: Joined) -> dict[str, str]:
    """Those that are kept, by name."""
    return {cut(name): cut(word.preferences[name]) for name in sorted(word.preferences)[:AGENT_PREFERENCES_MAX]}


def _may_be_asked_for(text: str) -> bool:
    return 0 < len(text) <= CAPABILITY_CHARS_MAX and not _SPACE_OR_CONTROL.search(text)
