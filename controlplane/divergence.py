"""Where a journal and its regeneration part, named by position, fold and field. Pure.

What a step says is journaled, so a fact or an intent that differs is seen in itself. Of the state only the digest is
journaled, and a digest that differs is traced in this order:

1. the journaled facts, evolved, give another state than their regeneration: it is what differs between the two
2. one change that was not made would give the journaled digest, which is a sum of one hash per key: it is that one
3. a witness, which is the state that the plane itself had at some later position (a snapshot, or the live heart), is
   another one than the journal gives there: it is what differs, of what this step touched where that is among it
4. nobody can say which: all that the step touched is named
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from controlplane.differences import deepest, differing, text_of
from controlplane.facts import Fact, FoldQuarantined, Intent, encode_fact, encode_intent, kind_of
from controlplane.fold import Entry, Fold, Heart, Step, World
from controlplane.limits import DIVERGENCE_PLACES_MAX
from controlplane.questions import Divergence
from controlplane.state import ABSENT, DIGEST_BYTES, Key

AsOf = Callable[[int], Heart]
"""The state that the journal gives at a position: recorded steps, evolved."""
Witnesses = Callable[[int], Iterable[Heart]]
"""Hearts of the plane's own, at positions that are not before this one, the nearest first."""
_TOUCHED_TOLD = 3
_MASK = (1 << (8 * DIGEST_BYTES)) - 1


class Place(NamedTuple):
    """Where something stands in a state."""

    fold: str
    table: str
    key: Key


class Saying:
    """Which fold says what, as far as has been heard: what is said no more is named by who used to say it."""

    def __init__(self, folds: Mapping[str, Fold]) -> None:
        self._folds = folds
        self._by: dict[str, str] = {}

    def heard(self, heart: Heart, step: Step) -> None:
        """A step was regenerated."""
        for entry, fold in zip(step.derived, heart.reasons, strict=True):
            self._by[_kind(entry)] = fold
        for (_, _, intent), fold in zip(step.intents, heart.wanting, strict=True):
            self._by[kind_of(intent)] = fold

    def of(self, said: Fact | Intent, cause: type) -> str:
        """Who says this; where nobody has so far, everyone who could."""
        if isinstance(said, FoldQuarantined):
            return said.fold
        known = self._by.get(kind_of(said))
        reacts = (fold.name for fold in self._folds.values() if cause in fold.follows or fold.timed)
        return known or ", ".join(reacts) or "heart"


def in_what_was_said(heart: Heart, step: Step, again: Step, saying: Saying) -> Divergence | None:
    """The first fact or intent that differs, or place that it stands at."""
    kinds = {entry.position: type(entry.fact) for entry in step.derived} | {step.first: type(step.input)}
    for index in range(max(len(again.derived), len(step.derived))):
        was = step.derived[index] if index < len(step.derived) else None
        now = again.derived[index] if index < len(again.derived) else None
        fold = heart.reasons[index] if now is not None else ""
        if now is None and was is not None and isinstance(was.fact, Fact):
            fold = saying.of(was.fact, kinds.get(was.cause or 0, Fact))
        found = _entry_difference(was, now, fold)
        if found is not None:
            return found
    for index in range(max(len(again.intents), len(step.intents))):
        said = step.intents[index] if index < len(step.intents) else None
        wanted = again.intents[index] if index < len(again.intents) else None
        fold = heart.wanting[index] if wanted is not None else ""
        if wanted is None and said is not None:
            fold = saying.of(said[2], kinds.get(said[0], Fact))
        found = _intent_difference(said, wanted, fold)
        if found is not None:
            return found
    for name in ("last", "recorded"):
        old, new = getattr(step, name), getattr(again, name)
        if old != new:
            return _found(step.first, "step", f"the step's {name} was {old:,}, now {new:,}", field=name, was=f"{old}",
                          now=f"{new}")  # fmt: skip
    return None


def in_digest(heart: Heart, step: Step) -> Divergence:
    """The digest differs, and there is nothing to say more by. `heart` is as regenerated."""
    old, new = step.digest.hex(), heart.digest().hex()
    return _found(step.first, "state", f"the state's digest was {old}, now {new}", was=old, now=new)


def in_state(heart: Heart, step: Step, before: Heart, as_of: AsOf, witnesses: Witnesses) -> Divergence:
    """The digest differs: which key and field it is. `heart` is as regenerated, `before` as before the step."""
    found = in_digest(heart, step)
    journaled = as_of(step.last)
    places = list(_places(journaled.states, heart.states))
    if places:
        return _named(found, places[0], journaled, heart, "")
    touched = list(_places(before.states, heart.states))
    here = dict.fromkeys(touched)
    missed = [place for place in touched if _without(heart, before, place) == step.digest]
    if missed:
        return _named(found, missed[0], before, heart, ", as if this step had left it alone")
    for known in witnesses(step.last):
        evolved = heart if known.position == step.last else as_of(known.position)
        places = list(_places(known.states, evolved.states))
        places.sort(key=lambda place: place not in here)
        if places:
            return _named(found, places[0], known, evolved, f", by the plane's own state at {known.position:,}")
    named = [f"{place.fold} {place.table} {place.key!r}" for place in touched]
    text = f"{found.text}; this step changed {len(named):,} keys, it is one of them: {', '.join(named[:_TOUCHED_TOLD])}"
    if len(touched) == 1:
        fold, table, key = touched[0]
        text = f"{found.text}: fold {fold}, table {table}, key {str(key)!r}, the only one that this step changed"
        return msgspec.structs.replace(found, text=text, fold=fold, table=table, key=str(key), touched=named)
    return msgspec.structs.replace(found, text=text, touched=named[:DIVERGENCE_PLACES_MAX])


def gap(position: int, due: int) -> Divergence:
    """A step that is not the next one."""
    text = f"the journal goes on there, but {due:,} is next"
    return _found(position, "step", text, field="first", was=f"{position}", now=f"{due}")


def unreadable(position: int, kind: str, why: str) -> Divergence:
    """A fact or intent that cannot be decoded."""
    return _found(position, "fact", f"{kind} cannot be read: {why}", kind=kind, was=why)


# ------------------------------------------------------------------------------------------------- said


def _entry_difference(was: Entry | None, now: Entry | None, fold: str) -> Divergence | None:
    if was is None and now is not None:
        text = f"fold {fold} says {_kind(now)}, which the journal does not have"
        return _found(now.position, "fact", text, fold=fold, kind=_kind(now), now=text_of(now.fact))
    if now is None and was is not None:
        text = f"the journal has {_kind(was)} of fold {fold}, which no fold says now"
        return _found(was.position, "fact", text, fold=fold, kind=_kind(was), was=text_of(was.fact))
    if was is None or now is None or _bytes(was) == _bytes(now):
        return None
    kind = _kind(now)
    if _kind(was) != kind:
        text = f"fold {fold}: was {_kind(was)}, now {kind}"
        return _found(was.position, "fact", text, fold=fold, kind=kind, was=text_of(was.fact), now=text_of(now.fact))
    deep = deepest(was.fact, now.fact)
    if deep is not None:
        name, old, new = deep
        text = f"fold {fold}: {kind}.{name} was {text_of(repr(old))}, now {text_of(repr(new))}"
        return _found(was.position, "fact", text, fold=fold, kind=kind, field=name, was=text_of(old), now=text_of(new))
    for name in ("position", "recorded", "cause"):
        if getattr(was, name) != getattr(now, name):
            old, new = f"{getattr(was, name)}", f"{getattr(now, name)}"
            text = f"fold {fold}: {kind} stood at {name} {old}, now {new}"
            return _found(was.position, "fact", text, fold=fold, kind=kind, field=name, was=old, now=new)
    return None


Said = tuple[int, int, Intent]


def _intent_difference(was: Said | None, now: Said | None, fold: str) -> Divergence | None:
    if was is None and now is not None:
        text = f"fold {fold} wants {kind_of(now[2])}, intent {now[0]}:{now[1]}, which the journal does not have"
        return _found(now[0], "intent", text, fold=fold, kind=kind_of(now[2]), now=text_of(now[2]))
    if now is None and was is not None:
        kind = kind_of(was[2])
        text = f"the journal has intent {was[0]}:{was[1]}, {kind} of fold {fold}, which no fold wants now"
        return _found(was[0], "intent", text, fold=fold, kind=kind, was=text_of(was[2]))
    if was is None or now is None or (was[:2], encode_intent(was[2])) == (now[:2], encode_intent(now[2])):
        return None
    intent = f"fold {fold}: intent {was[0]}:{was[1]}"
    kind, old, new = kind_of(now[2]), f"{was[0]}:{was[1]}", f"{now[0]}:{now[1]}"
    if kind_of(was[2]) != kind:
        text = f"{intent} was {kind_of(was[2])}, now {kind}"
        return _found(was[0], "intent", text, fold=fold, kind=kind, was=text_of(was[2]), now=text_of(now[2]))
    deep = deepest(was[2], now[2])
    if deep is not None:
        name, old, new = deep[0], text_of(deep[1]), text_of(deep[2])
        text = f"{intent}, {kind}.{name} was {old}, now {new}"
        return _found(was[0], "intent", text, fold=fold, kind=kind, field=name, was=old, now=new)
    text = f"{intent}, {kind}, is now {new}"
    return _found(was[0], "intent", text, fold=fold, kind=kind, field="cause", was=old, now=new)


def _kind(entry: Entry) -> str:
    return type(entry.fact).__name__


def _bytes(entry: Entry) -> tuple[int, int, int | None, bytes]:
    body = encode_fact(entry.fact) if isinstance(entry.fact, Fact) else b""
    return entry.position, entry.recorded, entry.cause, body


# ------------------------------------------------------------------------------------------------- state


def _places(was: World, now: World) -> Iterable[Place]:
    for fold, table, keys in differing(was, now):
        yield from (Place(fold, table, key) for key in sorted(keys, key=str))


def _without(heart: Heart, before: Heart, place: Place) -> bytes:
    """The digest, had the step not changed this place."""
    now, old = (one.states[place.fold].hash_of(place.table, place.key) for one in (heart, before))
    total = int.from_bytes(heart.digest(), "big") - now + old
    return (total & _MASK).to_bytes(DIGEST_BYTES, "big")


def _named(found: Divergence, place: Place, was: Heart, now: Heart, by: str) -> Divergence:
    fold, table, key = place
    old, new = (one.states[fold].get(table, key, ABSENT) for one in (was, now))
    deep = deepest(old, new) if old is not ABSENT and new is not ABSENT else None
    field, before, after = deep if deep is not None else ("", old, new)
    where = f"fold {fold}, table {table}, key {str(key)!r}" + (f", field {field}" if field else "")
    texts = text_of(before), text_of(after)
    text = f"position {found.position:,}: {where}: was {texts[0] or 'absent'}, now {texts[1] or 'absent'}{by}"
    return msgspec.structs.replace(
        found, text=text, fold=fold, table=table, key=str(key), field=field, was=texts[0], now=texts[1]
    )


def _found(position: int, what: str, text: str, **parts: Any) -> Divergence:
    return Divergence(position, what, f"position {position:,}: {text}", **parts)
