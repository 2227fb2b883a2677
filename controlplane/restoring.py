"""A journal back in the heart: the newest usable snapshot, and what the journal has after it.

In a plane whose folds have other versions than the snapshots much has to be folded again. Then it begins with the
newest snapshot of which what it cannot act without is unchanged (`Fold.vital`), and the rest is folded again beside its
turns (`refolding`). Where there is no such snapshot the whole journal is folded again before the plane begins; the log
says how far it is, and snapshots are taken on the way. A journal that retention has trimmed is folded from its base on.
"""

import logging
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from controlplane import aheadturns, limits
from controlplane.ahead import Ahead
from controlplane.arrivals import Follows
from controlplane.bases import Base
from controlplane.directory import Directory
from controlplane.errors import DiskFull
from controlplane.facts import Intent
from controlplane.fold import Heart
from controlplane.journal import Journal, Kept
from controlplane.outbox import due_of
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.refolding import Refold, catch_up
from controlplane.snapshots import Snapshots

log = logging.getLogger("signalbox.plane")
Said = tuple[int, int, Intent]
"""An intent with its cause and index."""


class Restored(NamedTuple):
    """What a plane goes on with. `said`: intents to be carried again; `refold`: on its way to what `heart` lacks."""

    heart: Heart
    journal: Journal
    ahead: Ahead
    snapshots: Snapshots
    said: list[Said]
    refold: Refold | None = None

    def close(self) -> None:
        """Let go of all files."""
        if self.refold is not None:
            self.refold.close()
        self.snapshots.close()
        self.ahead.close()
        self.journal.close()


def restore(directory: Directory) -> Restored:
    """Raises as `Journal` does, and `Ahead`."""
    journal = Journal(directory.journal, Follows(FOLLOWED_TYPES))
    try:
        ahead = Ahead(directory.journal, journal)
    except BaseException:
        journal.close()
        raise
    base = Base(directory.journal, journal.reach, folds)
    snapshots = Snapshots(directory.journal / "snapshots", folds, journal.journaled, base)
    try:
        whole = snapshots.newest()
        partial = _partial(whole, journal, snapshots)
        heart = whole if partial is None else partial
        if partial is not None and ahead.pending:
            raise DiskFull(f"{directory.journal} has no room, and folds that have changed need some: make room first")
        _read_on(heart, journal, snapshots if partial is None else None)
        _go_on(heart, journal, ahead.pending)
        said = outstanding(heart, journal, ahead.pending)
    except BaseException:
        snapshots.close()
        ahead.close()
        journal.close()
        raise
    if partial is not None:
        log.info("%s changed: folded again beside the plane, from position %d on",
                 ", ".join(heart.lacking), whole.position)  # fmt: skip
        return Restored(heart, journal, ahead, snapshots, said, Refold(whole, journal, snapshots))
    snapshots.forget_others()
    if journal.step and heart.digest() != (ahead.pending[-1].step.digest if ahead.pending else journal.digest):
        log.warning("the state that the journal gives differs from the one recorded; see `signalbox replay verify`")
    return Restored(heart, journal, ahead, snapshots, said)


def outstanding(heart: Heart, journal: Journal, pending: Sequence[Kept] = ()) -> list[Said]:
    """The publishing intents that nothing answers: what is to be carried again, in order.

    `pending`: steps after the journal's last one, which a full disk keeps from it.
    """
    outbox = heart.states["outbox"]
    said = [*journal.intended(due_of(outbox)), *(each for kept in pending for each in kept.step.intents)]
    return [each for each in said if f"{each[0]}:{each[1]}" in outbox.table("due")]


def _go_on(heart: Heart, journal: Journal, pending: Sequence[Kept]) -> None:
    """What the write-ahead log has and the journal has no room for, though it has heard which types are named there."""
    every = Follows(FOLLOWED_TYPES)
    for kept in pending:
        heart.replay(aheadturns.as_seen(kept, every.also(journal.named.within(kept.step.first, kept.step.last))))


def _partial(whole: Heart, journal: Journal, snapshots: Snapshots) -> Heart | None:
    """A heart that lacks some folds, where the whole one is far behind and there is one; else None."""
    if journal.position - whole.position <= limits.REFOLD_FIRST_ENTRIES_MAX:
        return None
    found = snapshots.partial()
    return found if found is not None and found.position > whole.position else None


def _read_on(heart: Heart, journal: Journal, snapshots: Snapshots | None) -> None:
    begun, since = monotonic(), heart.position
    for _ in catch_up(heart, journal, snapshots):
        pass
    took = monotonic() - begun
    log.info("the state is that of position %d: a snapshot at %d, and what followed in %.1f s",
             heart.position, since, took)  # fmt: skip
