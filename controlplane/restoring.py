"""A journal back in the heart: the newest usable snapshot, and what the journal has after it.

Without a usable one, as in a plane whose folds have other versions, the whole journal is folded again before the plane
begins; the log says how far it is, and snapshots are taken on the way.
"""

import logging
from time import monotonic
from typing import NamedTuple

from controlplane import limits
from controlplane.arrivals import Follows
from controlplane.directory import Directory
from controlplane.effects import Said, outstanding
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.snapshots import Snapshots

log = logging.getLogger("signalbox.plane")


class Restored(NamedTuple):
    """What a plane goes on with. `said`: intents to be carried again."""

    heart: Heart
    journal: Journal
    snapshots: Snapshots
    said: list[Said]

    def close(self) -> None:
        """Let go of all files."""
        self.snapshots.close()
        self.journal.close()


def restore(directory: Directory) -> Restored:
    """Raises as `Journal` does."""
    journal = Journal(directory.journal, Follows(FOLLOWED_TYPES))
    snapshots = Snapshots(directory.journal / "snapshots", folds, journal.journaled)
    try:
        heart = snapshots.newest()
        _catch_up(heart, journal, snapshots)
        said = outstanding(*journal.published())
    except BaseException:
        snapshots.close()
        journal.close()
        raise
    if journal.step and heart.digest() != journal.digest:
        log.warning("the state that the journal gives differs from the one recorded; see `signalbox replay verify`")
    return Restored(heart, journal, snapshots, said)


def _catch_up(heart: Heart, journal: Journal, snapshots: Snapshots) -> None:
    begun = told = monotonic()
    behind, since = journal.position - heart.position, heart.position
    for step in journal.replay(after=heart.steps):
        heart.replay(step)
        if snapshots.is_due(heart):
            snapshots.take(heart, step.digest)
        if monotonic() - told > limits.REFOLD_TOLD_MS / 1000:
            told = monotonic()
            log.info("reading the journal again: %d of %d entries", heart.position - since, behind)
    took = monotonic() - begun
    log.info("the state is that of position %d: a snapshot at %d, and what followed in %.1f s",
             heart.position, since, took)  # fmt: skip
