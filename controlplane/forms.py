"""Elder segments in other forms: sealed soon after the next one took over, Parquet when they are old.

It happens in a thread, one after the other; the work is a process's (`sealing`). What comes of it is read in the old
one's place only if it holds as many rows.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import duckdb

from controlplane import limits, segments
from controlplane.errors import PlaneError
from controlplane.sealing import Sealer
from controlplane.shelf import Segment, Shelf

log = logging.getLogger("signalbox.journal")


class Forms:
    """The forms of a shelf's segments. `attach` opens a file to be read, and gives its alias."""

    def __init__(self, shelf: Shelf, attach: Callable[[Path], str]) -> None:
        self._shelf = shelf
        self._attach = attach
        self._thread = ThreadPoolExecutor(1, "sealing")
        self._sealer = Sealer()

    def have_sealed(self, elder: Segment) -> None:
        """Seal this one, and turn those into Parquet that are behind the newest `SEGMENTS_SEALED_MAX`."""
        if not elder.is_sealed:
            self._thread.submit(self._turn, elder.number, segments.OPEN, segments.SEALED)
        sealed = [each for each in self._shelf.segments if segments.form_of(each.path) == segments.SEALED]
        for old in sealed[: -limits.SEGMENTS_SEALED_MAX]:
            self._thread.submit(self._turn, old.number, segments.SEALED, segments.PARQUET)

    def drop(self, number: int) -> None:
        """Let go of all below this number, once none of them is being turned into another form; wait for that."""

        def each() -> None:
            for old in [one for one in self._shelf.segments if one.number < number]:
                self._shelf.drop(old, partial(segments.remove, old.path))

        self._thread.submit(each).result()

    def settle(self) -> None:
        """Wait until all that was begun is done."""
        self._thread.submit(lambda: None).result()

    def close(self) -> None:
        """Give up what is under way."""
        self._sealer.stop()
        self._thread.shutdown()

    def _turn(self, number: int, before: str, form: str) -> None:
        """Have a segment turned into another form, and read that one from then on."""
        old = next((each for each in self._shelf.segments if each.number == number), None)
        if old is None or segments.form_of(old.path) != before:
            return
        try:
            target = self._sealer.turn(old.path, form)
            if target is None:
                self._later(number, before, form)
                return
            alias = self._attach(target)
            counts = [[self._count(each, table) for table in segments.STORED_TABLES] for each in (old.alias, alias)]
            if counts[0] != counts[1]:
                log.error("%s does not hold what it was made of and is not used: %s", target, counts)
                segments.remove(target)
                return
            self._shelf.replace(old, target, alias, lambda: segments.remove(old.path))
        except (duckdb.Error, OSError, PlaneError) as error:
            log.warning("%s stays as it is: %s", old.path, error)
            self._later(number, before, form)

    def _later(self, number: int, before: str, form: str) -> None:
        self._sealer.later(lambda: self._thread.submit(self._turn, number, before, form))

    def _count(self, alias: str, table: str) -> int:
        with self._shelf.db.cursor() as db:
            ((count,),) = db.execute(f"select count(*) from {alias}.{table}").fetchall()  # noqa: S608
        return int(count)
