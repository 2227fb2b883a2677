"""Dead letters: what could not be handled, grouped by what killed it, and published again on demand.

A dead letter is an event `signalbox.deadletter` with the original inside. Letters that died alike (same group, reason
and what killed them, see `causes`) are one kind, named `g-01`, `g-02` … in order of first appearance.

    waiting ──RedriveDecided──▶ redriving (an intent publishes it) ──its event is recorded: Carried──▶ redriven
       ╰──────────── no broker takes it: IntentFailed ────────────╯

Intent i of a decision at position p is `p:i`; that is the id of the event it publishes, so its echo is recognised (see
`outbox`). A letter that has not all of its event (`bus.letters`) is redriven with what the decision says it was.

A letter that the plane says, and that no broker takes, is known all the same, by what `IntentFailed` says of it.

| table | key | value |
|---|---|---|
| letter | id | Letter |
| kind | group NUL reason NUL what | Kind |
| carry | intent's id | letter's id |
| cut | letter's id | attributes of its event that are not in it, or not whole |
| count | total waiting bytes forgotten malformed | how many |
"""

from collections.abc import Iterable, Iterator
from types import MappingProxyType

import msgspec

from bus.letters import TYPE as TYPE
from controlplane.causes import what_killed
from controlplane.facts import Carried, Fact, Intent, IntentFailed, PublishEvent, RedriveDecided, Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import (
    DEAD_ATTEMPTS_MAX,
    DEAD_ERROR_CHARS_MAX,
    DEAD_KINDS_MAX,
    DEAD_LETTER_BYTES_MAX,
    DEAD_LETTERS_MAX,
)

WAITING, REDRIVING, REDRIVEN = "waiting", "redriving", "redriven"
OTHERS = "others"


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One attempt that failed; `at` in ns, `took_ms` in milliseconds."""

    attempt: int
    at: int
    error: str
    member: str
    took_ms: int


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """One dead letter. `partition`, `offset`: where the original stands; `event`: its CloudEvents JSON.

    `refused`: why it could not be published again the last time.
    """

    id: str
    kind: str
    group: str
    reason: str
    error: str
    state: str
    partition: int
    offset: int
    position: int
    died: int
    attempts: list[Attempt]
    event: str
    intent: str = ""
    refused: str = ""


class Kind(msgspec.Struct, frozen=True, array_like=True):
    """Letters that died alike; `number` makes its id. `first`, `newest`: instants of death."""

    number: int
    group: str
    reason: str
    what: str
    count: int
    waiting: int
    first: int
    newest: int

    @property
    def id(self) -> str:
        """Its name for people: `g-07`."""
        return f"g-{self.number:02d}"


class DeadLetters(Fold):
    """The fold. See the module."""

    name = "deadletters"
    version = 4
    follows = (Rows, RedriveDecided, Carried, IntentFailed)
    tables = MappingProxyType({"letter": Letter, "kind": Kind, "carry": str, "cut": list[str], "count": int})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Letters come, are decided on, and are carried."""
        fact = entry.fact
        if isinstance(fact, Rows):
            for row, data in sorted(fact.followed.items()):
                if fact.types[row] == TYPE:
                    _bury(state, data, entry.position + row, fact.appended[row])
        elif isinstance(fact, RedriveDecided):
            index = 0
            for id in fact.targets:
                letter: Letter | None = state.get("letter", id)
                if letter is not None and letter.state == WAITING:
                    _decide(state, letter, f"{entry.position}:{index}")
                    index += 1
        elif isinstance(fact, Carried):
            _carried(state, f"{fact.cause}:{fact.index}")
        elif isinstance(fact, IntentFailed):
            _refused(state, f"{fact.cause}:{fact.index}", fact.why)
            if fact.event and is_letter(fact.event):
                _bury(state, fact.event.encode(), entry.position, entry.recorded)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Publish what was decided."""
        fact = entry.fact
        if isinstance(fact, RedriveDecided):
            return _publish(state, entry.position, fact)
        return ()


def kinds_of(state: KeyedState) -> list[Kind]:
    """All kinds by number."""
    return sorted((kind for _, kind in state.items("kind")), key=lambda kind: kind.number)


def letters_of(state: KeyedState, kind: str | None = None) -> list[Letter]:
    """All letters, or those of a kind's key; newest first."""
    found = [letter for _, letter in state.items("letter") if kind is None or letter.kind == kind]
    return sorted(found, key=lambda letter: -letter.position)


def cut_of(state: KeyedState, letter: str) -> list[str]:
    """The attributes of a letter's event that are not in it, or not whole."""
    found: list[str] = state.get("cut", letter, [])
    return found


def key_of(group: str, reason: str, what: str) -> str:
    """A kind's key."""
    return f"{group}\0{reason}\0{what}"


# ------------------------------------------------------------------------------------------------- evolve


class _Attempt(msgspec.Struct):
    attempt: int = 0
    at: int = 0
    error: str = ""
    member: str = ""
    took_ms: int = 0


class _Body(msgspec.Struct):
    group: str
    reason: str
    partition: int
    offset: int
    event: msgspec.Raw
    error: str = ""
    attempts: list[_Attempt] = []
    cut: list[str] = []


class _Envelope(msgspec.Struct):
    id: str
    data: _Body


class _Typed(msgspec.Struct):
    type: str = ""


_envelope = msgspec.json.Decoder(_Envelope)
_typed = msgspec.json.Decoder(_Typed)


def is_letter(event: str) -> bool:
    """Whether an event that the plane wanted published, CloudEvents JSON, is a dead letter."""
    return _typed.decode(event).type == TYPE


def _bury(state: KeyedState, data: bytes, position: int, died: int) -> None:
    try:
        envelope = _envelope.decode(data)
    except msgspec.DecodeError:
        _count(state, "malformed", 1)
        return
    body = envelope.data
    if state.get("letter", envelope.id) is not None:
        return
    what = what_killed(body.reason, body.error)
    key = key_of(body.group, body.reason, what)
    kind: Kind | None = state.get("kind", key)
    if kind is None and len(state.table("kind")) >= DEAD_KINDS_MAX:
        key = key_of(body.group, OTHERS, OTHERS)
        kind = state.get("kind", key)
        what = OTHERS
    if kind is None:
        kind = Kind(len(state.table("kind")) + 1, body.group, body.reason, what, 0, 0, died, died)
    known = msgspec.structs.replace(kind, count=kind.count + 1, waiting=kind.waiting + 1, newest=max(kind.newest, died))
    state.put("kind", key, known)
    attempts = [
        Attempt(a.attempt, a.at, a.error[:DEAD_ERROR_CHARS_MAX], a.member, a.took_ms)
        for a in body.attempts[-DEAD_ATTEMPTS_MAX:]
    ]
    letter = Letter(
        envelope.id, key, body.group, body.reason, body.error[:DEAD_ERROR_CHARS_MAX], WAITING, body.partition,
        body.offset, position, died, attempts, bytes(body.event).decode("utf-8", "replace"),
    )  # fmt: skip
    state.put("letter", letter.id, letter)
    if body.cut:
        state.put("cut", letter.id, body.cut)
    _count(state, "total", 1)
    _count(state, "waiting", 1)
    _count(state, "bytes", len(letter.event))
    if len(state.table("letter")) > DEAD_LETTERS_MAX or state.get("count", "bytes") > DEAD_LETTER_BYTES_MAX:
        _forget(state)


def _decide(state: KeyedState, letter: Letter, intent: str) -> None:
    state.put("letter", letter.id, msgspec.structs.replace(letter, state=REDRIVING, intent=intent))
    state.put("carry", intent, letter.id)
    _wait_less(state, letter)


def _wait_less(state: KeyedState, letter: Letter) -> None:
    kind: Kind = state.get("kind", letter.kind)
    state.put("kind", letter.kind, msgspec.structs.replace(kind, waiting=kind.waiting - 1))
    _count(state, "waiting", -1)


def _carried(state: KeyedState, intent: str) -> None:
    letter: Letter | None = state.get("letter", state.get("carry", intent, ""))
    state.delete("carry", intent)
    if letter is not None:
        state.put("letter", letter.id, msgspec.structs.replace(letter, state=REDRIVEN))


def _refused(state: KeyedState, intent: str, why: str) -> None:
    letter: Letter | None = state.get("letter", state.get("carry", intent, ""))
    state.delete("carry", intent)
    if letter is not None:
        again = msgspec.structs.replace(letter, state=WAITING, intent="", refused=why[:DEAD_ERROR_CHARS_MAX])
        state.put("letter", letter.id, again)
        _wait_more(state, letter)


def _wait_more(state: KeyedState, letter: Letter) -> None:
    kind: Kind = state.get("kind", letter.kind)
    state.put("kind", letter.kind, msgspec.structs.replace(kind, waiting=kind.waiting + 1))
    _count(state, "waiting", 1)


def _forget(state: KeyedState) -> None:
    letters = sorted((letter for _, letter in state.items("letter")), key=lambda x: (x.state != REDRIVEN, x.position))
    for letter in letters[: max(1, len(letters) // 16)]:
        if letter.state == WAITING:
            _wait_less(state, letter)
        if letter.intent:
            state.delete("carry", letter.intent)
        state.delete("letter", letter.id)
        state.delete("cut", letter.id)
        _count(state, "bytes", -len(letter.event))
        _count(state, "forgotten", 1)


def _count(state: KeyedState, name: str, change: int) -> None:
    state.put("count", name, state.get("count", name, 0) + change)


# ------------------------------------------------------------------------------------------------- react


def _publish(state: KeyedState, position: int, decided: RedriveDecided) -> Iterator[Intent]:
    for index in range(len(decided.targets)):
        letter: Letter | None = state.get("letter", state.get("carry", f"{position}:{index}", ""))
        if letter is not None:
            yield PublishEvent("", redriven_event(letter, decided.originals.get(letter.id, "")))


def redriven_event(letter: Letter, original: str = "") -> bytes:
    """The original as it is published again, once it has an id of its own: for the one group it died in, and saying
    what it was. `original`: the event, where the letter has not all of it."""
    event: dict[str, msgspec.Raw] = msgspec.json.decode(original or letter.event, type=dict[str, msgspec.Raw])
    event.setdefault("redriveof", event.get("id", msgspec.Raw(b'""')))
    event.setdefault("id", msgspec.Raw(b'""'))
    event["redriveto"] = msgspec.Raw(msgspec.json.encode(letter.group))
    return msgspec.json.encode(event)
