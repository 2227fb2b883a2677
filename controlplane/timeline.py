"""The journal read again: the state as of a moment, and the proof that it follows from its inputs.

`as_of` evolves recorded steps up to a position or an instant, rounded down to a step. `verify` takes the inputs only,
lets the present folds say what follows, and compares it with what was journaled, byte for byte: facts, positions,
causes, intents and digest. Stretches that other versions of the folds made (`FoldVersions`) are evolved as recorded
and counted as older.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from controlplane.facts import Fact, FoldVersions, Intent, PlaneStarted, Rows, encode_fact, encode_intent, kind_of
from controlplane.fold import Entry, Fold, Heart, Step
from controlplane.limits import STRETCH_STEPS_MAX


class Verdict(msgspec.Struct):
    """What verifying found. `divergence` is empty when all is the same; `older`: entries of earlier fold versions."""

    same: bool
    entries: int
    events: int
    older: int
    digest: str
    divergence: str = ""


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


def verify(steps: Iterable[Step], folds: Sequence[Fold], told: Callable[[int], None] | None = None) -> Verdict:
    """Regenerate a journal from its inputs; stops at the first difference. `told` hears how many entries are done."""
    heart = Heart(folds)
    verdict = Verdict(True, 0, 0, 0, "")
    for step, is_present in _stretches(steps, {fold.name: fold.version for fold in folds}):
        size = step.last - step.first + 1
        if is_present:
            verdict.divergence = _difference(heart, step)
        else:
            heart.replay(step)
            verdict.older += size
        if verdict.divergence:
            verdict.same = False
            break
        verdict.entries += size
        verdict.events += len(step.input) if isinstance(step.input, Rows) else 0
        if told is not None:
            told(verdict.entries)
    verdict.digest = heart.digest().hex()
    return verdict


def _stretches(steps: Iterable[Step], versions: dict[str, int]) -> Iterator[tuple[Step, bool]]:
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


def _difference(heart: Heart, step: Step) -> str:
    if step.first != heart.position + 1:
        return f"position {step.first:,}: the journal goes on there, but {heart.position + 1:,} is next"
    again = heart.step(step.input, step.recorded)
    for index in range(max(len(again.derived), len(step.derived))):
        was = step.derived[index] if index < len(step.derived) else None
        now = again.derived[index] if index < len(again.derived) else None
        found = _entry_difference(was, now, heart.reasons[index] if now is not None else "")
        if found:
            return found
    if [_said(*each) for each in again.intents] != [_said(*each) for each in step.intents]:
        was_kinds, now_kinds = ([kind_of(intent) for _, _, intent in one.intents] for one in (step, again))
        return f"position {step.first:,}: intents were {was_kinds}, now {now_kinds}"
    if again.last != step.last:
        return f"position {step.first:,}: the step ended at {step.last:,}, now at {again.last:,}"
    if again.digest != step.digest:
        return f"position {step.first:,}: the state's digest was {step.digest.hex()}, now {again.digest.hex()}"
    return ""


def _entry_difference(was: Entry | None, now: Entry | None, fold: str) -> str:
    if was is None and now is not None:
        return f"position {now.position:,}: fold {fold} says {_kind(now)}, which the journal does not have"
    if now is None and was is not None:
        return f"position {was.position:,}: the journal has {_kind(was)}, which no fold says now"
    if was is None or now is None or _bytes(was) == _bytes(now):
        return ""
    if _kind(was) != _kind(now):
        return f"position {was.position:,}: fold {fold}: was {_kind(was)}, now {_kind(now)}"
    for name in now.fact.__struct_fields__:
        old, new = getattr(was.fact, name), getattr(now.fact, name)
        if old != new:
            return f"position {was.position:,}: fold {fold}: {_kind(now)}.{name} was {old!r}, now {new!r}"
    return f"position {was.position:,}: fold {fold}: {_kind(now)} stood at another place, cause or instant"


def _bytes(entry: Entry) -> tuple[int, int, int | None, bytes]:
    body = encode_fact(entry.fact) if isinstance(entry.fact, Fact) else b""
    return entry.position, entry.recorded, entry.cause, body


def _said(position: int, index: int, intent: Intent) -> tuple[int, int, bytes]:
    return position, index, encode_intent(intent)


def _kind(entry: Entry) -> str:
    return type(entry.fact).__name__
