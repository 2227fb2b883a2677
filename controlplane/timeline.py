"""The journal read again: the state as of a moment, and the proof that it follows from its inputs.

`as_of` evolves recorded steps up to a position or an instant, rounded down to a step. `verify` takes the inputs only,
lets the present folds say what follows, and compares it with what was journaled, byte for byte: facts, positions,
causes, intents and digest. The first difference is named by position, fold and field (see `divergence`). Stretches that
other versions of the folds made (`FoldVersions`) are evolved as recorded and counted as older. Folds that were folded
again beside a plane are evolved all the while, and are part of the digest from `FoldsRebuilt` on (see `fold`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from bus.words import many
from controlplane import divergence
from controlplane.copied import MISSING
from controlplane.divergence import Saying, Witnesses
from controlplane.errors import FactUnreadable
from controlplane.facts import FoldVersions, PlaneStarted, Rows
from controlplane.fold import Fold, Heart, Step
from controlplane.limits import STRETCH_STEPS_MAX
from controlplane.questions import Divergence


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
    witnesses: Witnesses = lambda position: (),
    begin: Callable[[], Heart] | None = None,
    is_present: bool = True,
) -> Verdict:
    """Regenerate a journal from its inputs; stops at the first difference. `told` hears how many entries are done.

    `again` gives the same steps, and later ones, once more, `witnesses` the plane's own states: with them, where states
    differ it is said at which key and field. `begin` makes the state that the steps go on from, where that is not
    nothing; `is_present` says whether the present folds made the first of them.
    """
    run = _Verifying(folds, again, witnesses, begin or (lambda: Heart(folds)))
    try:
        for step, is_own in stretches(steps, {fold.name: fold.version for fold in folds}, is_present):
            run.take(step, is_own)
            if run.verdict.where is not None:
                break
            if told is not None:
                told(run.verdict.entries)
    except FactUnreadable as error:
        run.verdict.where = divergence.unreadable(error.position, error.kind, error.why)
    run.verdict.same = run.verdict.where is None
    run.verdict.digest = run.heart.digest().hex()
    return run.verdict


class _Verifying:
    """A verify under way."""

    def __init__(
        self,
        folds: Sequence[Fold],
        again: Callable[[], Iterable[Step]] | None,
        witnesses: Witnesses,
        begin: Callable[[], Heart],
    ) -> None:
        self.heart = begin()
        self._begin = begin
        self.verdict = Verdict(True, 0, 0, 0, "")
        self._folds = folds
        self._again = again
        self._witnesses = witnesses
        self._saying = Saying(self.heart.folds)

    def take(self, step: Step, is_present: bool) -> None:
        """One more step; `verdict.where` says how it differs."""
        size = step.last - step.first + 1
        if step.first != self.heart.position + 1:
            self.verdict.where = divergence.gap(step.first, self.heart.position + 1)
        elif (found := _missing(step)) is not None:
            self.verdict.where = found
        elif is_present:
            self.verdict.where = self._difference(step)
        else:
            self.heart.replay(step)
            self.verdict.older += size
        if self.verdict.where is None:
            self.verdict.entries += size
            self.verdict.events += len(step.input) if isinstance(step.input, Rows) else 0

    def _difference(self, step: Step) -> Divergence | None:
        again = self.heart.step(step.input, step.recorded)
        self._saying.heard(self.heart, again)
        found = divergence.in_what_was_said(self.heart, step, again, self._saying)
        if found is not None:
            return found
        if again.digest == step.digest:
            return None
        steps = self._again
        if steps is None:
            return divergence.in_digest(self.heart, step)

        def at(position: int) -> Heart:
            return as_of(steps(), self._folds, position=position, heart=self._begin())

        return divergence.in_state(self.heart, step, at(step.first - 1), at, self._witnesses)


def stretches(steps: Iterable[Step], versions: dict[str, int], is_present: bool = True) -> Iterator[tuple[Step, bool]]:
    """Each step, and whether the present folds made it: that is journaled soon after a plane's start.

    `is_present` says so of those before the first start that is among them.
    """
    held: list[Step] = []
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


def _missing(step: Step) -> Divergence | None:
    """Events that nobody had any more when their segment was made again: what they did to the state cannot be told."""
    count = step.input.types.count(MISSING) if isinstance(step.input, Rows) else 0
    if not count or not isinstance(step.input, Rows):
        return None
    row = step.input.types.index(MISSING)
    where = f"p{step.input.partition:02d}, offset {step.input.first_offset + row}"
    gone = many(count, "event is", "events are")
    text = (
        f"position {step.first + row:,}: {gone} missing from {where} on: retention had got there when this segment was "
        "made again; what lies before is the same, what follows cannot be compared"
    )
    return Divergence(step.first + row, "events", text)
