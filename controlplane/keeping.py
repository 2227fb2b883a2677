"""Retention of the journal: its oldest segments go when they are too old, or when it takes too much room.

Whole segments go, the oldest first, sealed or Parquet, and never the newest `SEGMENTS_LEFT_MIN`; nor any that has a
position whose intent nobody has answered yet, as it is carried again from there (`outbox`). What the journal begins
with afterwards is its base (`bases`): the state where the first segment that stays begins, exactly.

    base durable ─▶ JournalTrimmed committed ─▶ reach.json names the first segment ─▶ files, snapshots of before removed

A plane that is killed before `reach.json` is there has the whole journal still, and comes to the same again: perhaps
with a second JournalTrimmed. After it the segments are no part of the journal, and the next start removes what is left.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from controlplane import bases, limits, segments
from controlplane.bases import Base
from controlplane.errors import PlaneError
from controlplane.facts import FoldVersions, JournalTrimmed, decode_fact
from controlplane.fold import Fold, Heart
from controlplane.journal import Journal
from controlplane.outbox import due_of
from controlplane.snapshots import Snapshots
from controlplane.turns import Turns

log = logging.getLogger("signalbox.journal")
_SECOND = 1_000_000_000


class Part(NamedTuple):
    """A segment: what it takes on disk, where it ends, when its last step was recorded, ns, and whether it may go."""

    bytes: int
    last: int
    recorded: int
    is_sealed: bool


def due(parts: Sequence[Part], now: int, seconds: int, bytes: int, needed: int | None = None) -> tuple[int, str]:
    """How many of a journal's segments, oldest first, are to go, and by what: age or bytes. Pure.

    `seconds` and `bytes`: how long and how much is kept, 0 without end. `needed`: the first position that must stay.
    """
    count, by, total = 0, "", sum(part.bytes for part in parts)
    for part in parts[: -limits.SEGMENTS_LEFT_MIN]:
        is_old = seconds > 0 and now - part.recorded > seconds * _SECOND
        is_much = bytes > 0 and total > bytes
        if not (is_old or is_much) or not part.is_sealed or (needed is not None and part.last >= needed):
            break
        count, by, total = count + 1, by or ("age" if is_old else "bytes"), total - part.bytes
    return count, by


class Keeping:
    """Retention of one plane's journal in its folder; `seconds` and `bytes` 0 keep everything."""

    def __init__(
        self,
        folder: Path,
        turns: Turns,
        snapshots: Snapshots,
        folds: Callable[[], list[Fold]],
        seconds: int,
        bytes: int,
    ) -> None:
        self._folder = folder
        self._turns = turns
        self._snapshots = snapshots
        self._folds = folds
        self._seconds = seconds
        self._bytes = bytes

    async def run(self) -> None:
        """Look, and look again, until cancelled."""
        while self._seconds or self._bytes:
            await asyncio.sleep(limits.RETENTION_LOOK_MS / 1000)
            await self.look()

    async def look(self) -> bool:
        """Let go of what is due; whether there was anything. What fails is logged, and tried at the next look."""
        await self._turns.settled()
        journal, heart = self._turns.journal, self._turns.heart
        if heart.rebuilding:
            return False
        needed = min(due_of(heart.states["outbox"]), default=None)
        parts = await asyncio.to_thread(parts_of, journal)
        count, by = due(parts, self._turns.clock.now(), self._seconds, self._bytes, needed)
        if not count:
            return False
        went = parts[:count]
        number = journal.reach.segment + count
        try:
            before, after = journal.reach.events, await asyncio.to_thread(self._make_base, journal, number)
            if after is None:
                return False
            size = sum(part.bytes for part in went)
            await self._turns.decide(JournalTrimmed(went[-1].last, count, after - before, size, by))
            await asyncio.to_thread(self._trim, journal, number)
        except (PlaneError, OSError) as error:
            log.warning("the journal keeps what its retention would let go of: %s", error)
            return False
        log.info("the journal begins after position %d: retention by %s", went[-1].last, by)
        return True

    def _make_base(self, journal: Journal, number: int) -> int | None:
        """The base of this segment, durable: the events before it. None where folds were being folded again there."""
        with closing(journal.reading()) as db:
            birth = next(each.birth for each in db.segments if each.number == number)
        heart = self._heart_at(journal, birth.position)
        if heart.rebuilding:
            log.info("the journal is not trimmed: at position %d folds were being folded again", birth.position)
            return None
        bases.write(self._folder, number, heart, birth.digest)
        return birth.events

    def _heart_at(self, journal: Journal, position: int) -> Heart:
        heart = self._snapshots.nearest(position)
        for step in journal.replay(position, heart.steps):
            heart.replay(step)
        return heart

    def _trim(self, journal: Journal, number: int) -> None:
        with closing(journal.reading()) as db:
            birth = next(each.birth for each in db.segments if each.number == number)
        named = journal.named.within(birth.position, birth.position)
        segments.write_oldest(self._folder, number, self._versions_at(journal, birth.position), named)
        # First, so that nobody begins with what is gone.
        self._snapshots.rebase(Base(self._folder, birth, self._folds))
        journal.drop(number)

    def _versions_at(self, journal: Journal, position: int) -> dict[str, int]:
        """Of the folds that made what was journaled up to there."""
        sql = "select fact from entries where kind = 'FoldVersions' and position <= ? order by position desc limit 1"
        with closing(journal.reading().across("entries")) as db:
            rows = db.execute(sql, [position]).fetchall()
        said = decode_fact(rows[0][0]) if rows else None
        return said.versions if isinstance(said, FoldVersions) else segments.made_by(self._folder)


def parts_of(journal: Journal) -> list[Part]:
    """The segments of a journal, oldest first."""
    with closing(journal.reading()) as db:
        given = db.segments
        last = [each.birth.position for each in given[1:]] + [journal.position]
        recorded = [each.birth.recorded for each in given[1:]] + [journal.recorded]
        return [
            Part(segments.bytes_of(each.path), position, at, each.is_sealed)
            for each, position, at in zip(given, last, recorded, strict=True)
        ]
