"""Folds that have changed, folded again beside the turns of a plane that began without them.

    restore ─▶ what is unchanged, from a snapshot ─▶ the plane acts, answers what it can ─▶ FoldsRebuilt
           ╰─▶ a whole heart, from the journal's beginning, in a thread ─▶ near ─▶ the rest, between two turns ──╯

The other heart has all folds, not those alone that are missing: what a fold reads it needs at every step, looks back
begin at the snapshots that are taken on the way, and what the plane has already can be compared. A plane that dies
meanwhile goes on at the newest of them. The journal is read in a thread, like in any other long work on it: a turn does
not wait for that, but shares its processor with it.
"""

import logging
import threading
from collections.abc import Iterator
from time import monotonic

from controlplane import limits
from controlplane.fold import Heart, Step
from controlplane.journal import Journal
from controlplane.snapshots import Snapshots

log = logging.getLogger("signalbox.plane")


def catch_up(heart: Heart, journal: Journal, snapshots: Snapshots | None) -> Iterator[Step]:
    """Evolve all that is journaled after the heart, step by step, snapshots on the way; the log says how far it is."""
    told, since, end = monotonic(), heart.position, journal.position
    for step in journal.replay(end, heart.steps):
        heart.replay(step)
        if snapshots is not None and snapshots.is_due(heart):
            snapshots.take(heart, step.digest)
        if monotonic() - told > limits.REFOLD_TOLD_MS / 1000:
            told = monotonic()
            log.info("reading the journal again: %d of %d entries", heart.position - since, end - since)
        yield step


class Refold:
    """A whole heart on its way to where the journal ends. `why`: what it failed of, or ""."""

    def __init__(self, heart: Heart, journal: Journal, snapshots: Snapshots) -> None:
        self._heart = heart
        self._journal = journal
        self._snapshots = snapshots
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refold", daemon=True)
        self.near = threading.Event()
        """Set when so little is missing that a turn may wait for it."""
        self.why = ""

    @property
    def progress(self) -> tuple[int, int]:
        """Entries that are folded again, and all there are."""
        return self._heart.position, self._journal.position

    def start(self) -> None:
        """Begin; it goes on in a thread until it is near or closed."""
        self._thread.start()

    def _run(self) -> None:
        before = self._journal.position + 1
        while not self._ends.is_set():
            behind = self._journal.position - self._heart.position
            # Where the journal grows as fast as it is read, it is the turn that has to wait in the end.
            if behind <= limits.REFOLD_NEAR_ENTRIES_MAX or behind >= before:
                self.near.set()
                return
            before = behind
            self._go_on()
            if self.why:
                return

    def _go_on(self) -> None:
        try:
            for _ in catch_up(self._heart, self._journal, self._snapshots):
                if self._ends.is_set():
                    return
        except Exception as error:
            log.exception("the journal cannot be folded again")
            self.why = f"{type(error).__name__}: {error}"

    def finish(self, live: Heart) -> Heart | None:
        """Where `live` stands, which must not move meanwhile; called once it is near. None, and why, when it failed."""
        self._thread.join()
        self._go_on()
        if self.why:
            return None
        whole = self._heart
        differ = [name for name, state in live.states.items() if state.digest != whole.digest_of(name)]
        if differ:
            log.warning("folded again, %s %s: see `signalbox replay verify`", ", ".join(differ),
                        "comes out otherwise" if len(differ) == 1 else "come out otherwise")  # fmt: skip
        self._snapshots.settle()
        return whole

    def close(self) -> None:
        """Give it up; nothing is read any more when this returns."""
        self._ends.set()
        if self._thread.ident is not None:
            self._thread.join()
