"""The journal read again: the state as of a moment, and the proof that it follows from its inputs.

`as_of` evolves recorded steps up to a position or an instant, rounded down to a step. `verify` takes the inputs only,
lets the present folds say what follows, and compares it with what was journaled, byte for byte: facts, positions,
causes, intents and digest. The first difference is named by position, fold and field. Stretches that other versions of
the folds made (`FoldVersions`) are evolved as recorded and counted as older.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from controlplane.differences import changes_at, differing, field_changes, text_of
from controlplane.facts import Fact, FoldVersions, Intent, PlaneStarted, Rows, encode_fact, encode_intent, kind_of
from controlplane.fold import Entry, Fold, Heart, Step
from controlplane.limits import DIVERGENCE_PLACES_MAX, STRETCH_STEPS_MAX
from controlplane.questions import Divergence
from controlplane.state import ABSENT

_TOUCHED_TOLD = 3


class Verdict(msgspec.Struct):
    """What verifying found. `where` is None when all is the same; `older`: entries of earlier fold versions."""

    same: bool
    entries: int
    events: int
    older: int
    digest: str
    where: Divergence | None = None

    @property
    def divergence(self) -> str:
        """The first difference in one line; empty when all is the same."""
        return self.where.text if self.where is not None else ""


def as_of(
    steps: Iterable[Step],
    folds: Sequence[Fold],
    position: int | None = None,
    instant: int | None = None,
    heart: Heart | None = None,
) -> Heart:
    """A heart as it was after the last whole step not beyond `position`, nor recorded after `instant` (ns).

    With `heart` that one goes on from where it is, `steps` being those after it.
    """
    heart = Heart(folds) if heart is None else heart
    for step in steps:
        if (position is not None and step.last > position) or (instant is not None and step.recorded > instant):
            break
        heart.replay(step)
    return heart


def verify(
    steps: Iterable[Step],
    folds: Sequence[Fold],
    told: Callable[[int], None] | None = None,
    again: Callable[[], Iterable[Step]] | None = None,
) -> Verdict:
    """Regenerate a journal from its inputs; stops at the first difference. `told` hears how many entries are done.

    `again` gives the same steps once more: with it, where states differ it is said at which key and field.
    """
    heart = Heart(folds)
    verdict = Verdict(True, 0, 0, 0, "")
    for step, is_present in stretches(steps, {fold.name: fold.version for fold in folds}):
        size = step.last - step.first + 1
        if is_present:
            verdict.where = _difference(heart, step)
        else:
            heart.replay(step)
            verdict.older += size
        if verdict.where is not None:
            verdict.same = False
            if verdict.where.what == "state" and again is not None:
                before, journaled = (as_of(again(), folds, position=at) for at in (step.first - 1, step.last))
                verdict.where = _by_state(verdict.where, heart, before, journaled)
            break
        verdict.entries += size
        verdict.events += len(step.input) if isinstance(step.input, Rows) else 0
        if told is not None:
            told(verdict.entries)
    verdict.digest = heart.digest().hex()
    return verdict


def stretches(steps: Iterable[Step], versions: dict[str, int]) -> Iterator[tuple[Step, bool]]:
    """Each step, and whether the present folds made it: that is journaled soon after a plane's start."""
    held: list[Step] = []
    is_present = True
    for step in steps:
        if isinstance(step.input, PlaneStarted):
            yield from ((each, is_present) for each in held)
            held = [step]
        elif isinstance(step.input, FoldVersions):
            is_present = step.input.versions == versions
            yield from ((each, is_present) for each in [*held, step])
            held = []
        elif held and len(held) < STRETCH_STEPS_MAX:
            held.append(step)
        else:
            yield from ((each, is_present) for each in [*held, step])
            held = []
    yield from ((each, is_present) for each in held)


def _difference(heart: Heart, step: Step) -> Divergence | None:
    if step.first != heart.position + 1:
        text = f"the journal goes on there, but {heart.position + 1:,} is next"
        return _found(step.first, "step", text, was=f"{step.first}", now=f"{heart.position + 1}")
    again = heart.step(step.input, step.recorded)
    for index in range(max(len(again.derived), len(step.derived))):
        was = step.derived[index] if index < len(step.derived) else None
        now = again.derived[index] if index < len(again.derived) else None
        found = _entry_difference(was, now, heart.reasons[index] if now is not None else "")
        if found is not None:
            return found
    found = _intent_difference(step, again)
    if found is not None:
        return found
    if again.last != step.last:
        text = f"the step ended at {step.last:,}, now at {again.last:,}"
        return _found(step.first, "step", text, was=f"{step.last}", now=f"{again.last}")
    if again.digest != step.digest:
        old, new = step.digest.hex(), again.digest.hex()
        return _found(step.first, "state", f"the state's digest was {old}, now {new}", was=old, now=new)
    return None


def _entry_difference(was: Entry | None, now: Entry | None, fold: str) -> Divergence | None:
    if was is None and now is not None:
        text = f"fold {fold} says {_kind(now)}, which the journal does not have"
        return _found(now.position, "fact", text, fold=fold, kind=_kind(now), now=text_of(now.fact))
    if now is None and was is not None:
        text = f"the journal has {_kind(was)}, which no fold says now"
        return _found(was.position, "fact", text, kind=_kind(was), was=text_of(was.fact))
    if was is None or now is None or _bytes(was) == _bytes(now):
        return None
    kind = _kind(now)
    if _kind(was) != kind:
        text = f"fold {fold}: was {_kind(was)}, now {kind}"
        return _found(was.position, "fact", text, fold=fold, kind=kind, was=text_of(was.fact), now=text_of(now.fact))
    for name, old, new in field_changes(was.fact, now.fact):
        text = f"fold {fold}: {kind}.{name} was {_quoted(was, name)}, now {_quoted(now, name)}"
        return _found(was.position, "fact", text, fold=fold, kind=kind, field=name, was=old, now=new)
    places = [f"{entry.position} {entry.recorded} {entry.cause}" for entry in (was, now)]
    text = f"fold {fold}: {kind} stood at another place, cause or instant"
    return _found(was.position, "fact", text, fold=fold, kind=kind, was=places[0], now=places[1])


def _intent_difference(step: Step, again: Step) -> Divergence | None:
    if [_said(*each) for each in again.intents] == [_said(*each) for each in step.intents]:
        return None
    for (cause, index, was), (_, _, now) in zip(step.intents, again.intents, strict=False):
        if type(was) is type(now):
            for name, old, new in field_changes(was, now):
                text = f"intent {cause}:{index}, {kind_of(was)}.{name} was {old}, now {new}"
                return _found(step.first, "intent", text, kind=kind_of(was), field=name, was=old, now=new)
    kinds = [", ".join(kind_of(intent) for _, _, intent in one.intents) or "none" for one in (step, again)]
    return _found(step.first, "intent", f"intents were {kinds[0]}; now {kinds[1]}", was=kinds[0], now=kinds[1])


def _by_state(found: Divergence, heart: Heart, before: Heart, journaled: Heart) -> Divergence:
    """Which key and field it is: where the journaled facts, evolved, give another state than their regeneration.

    Where they do not, the journal was made from a state that nothing here leads to: it is one of the places that this
    step changed.
    """
    for fold, table, keys in differing(journaled.states, heart.states):
        key = min(keys, key=str)
        was, now = (one.states[fold].get(table, key, ABSENT) for one in (journaled, heart))
        change = changes_at(fold, table, key, was, now)[0]
        where = f"fold {fold}, table {table}, key {change.key!r}" + (f", field {change.field}" if change.field else "")
        text = f"position {found.position:,}: {where}: was {change.was or 'absent'}, now {change.now or 'absent'}"
        return msgspec.structs.replace(
            found, text=text, fold=fold, table=table, key=change.key, field=change.field, was=change.was, now=change.now
        )
    touched = [(fold, table, key) for fold, table, keys in differing(before.states, heart.states) for key in keys]
    named = [f"{fold} {table} {key!r}" for fold, table, key in touched]
    text = f"{found.text}; this step changed {len(named):,} keys, it is one of them: {', '.join(named[:_TOUCHED_TOLD])}"
    if len(touched) == 1:
        fold, table, key = touched[0]
        text = f"{found.text}: fold {fold}, table {table}, key {str(key)!r}, the only one that this step changed"
        return msgspec.structs.replace(found, text=text, fold=fold, table=table, key=str(key), touched=named)
    return msgspec.structs.replace(found, text=text, touched=named[:DIVERGENCE_PLACES_MAX])


def _found(position: int, what: str, text: str, **parts: str) -> Divergence:
    return Divergence(position, what, f"position {position:,}: {text}", **parts)  # type: ignore[arg-type]


def _quoted(entry: Entry, name: str) -> str:
    return text_of(repr(getattr(entry.fact, name)))


def _bytes(entry: Entry) -> tuple[int, int, int | None, bytes]:
    body = encode_fact(entry.fact) if isinstance(entry.fact, Fact) else b""
    return entry.position, entry.recorded, entry.cause, body


def _said(position: int, index: int, intent: Intent) -> tuple[int, int, bytes]:
    return position, index, encode_intent(intent)


def _kind(entry: Entry) -> str:
    return type(entry.fact).__name__
