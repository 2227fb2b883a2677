"""The journal: steps in, one transaction a turn; steps out again, in order.

It is a sequence of segments (`segments`) with the tables of `stored`; the newest is written, all are read (`shelf`).

Exactly once: the events of a batch and the step that names its partition and offsets are one transaction, and where a
partition goes on is read from `steps`. So a turn is in the journal whole or not at all, whenever the process dies.

The newest segment is never checkpointed while it is open, because a checkpoint holds up every commit: it grows in its
write-ahead log, and folds it in when the plane ends cleanly. There is no primary key; nobody else writes here.

    three quarters full ─▶ the next file is made ready ─▶ full: the next turn is committed there, with the birth of it
                           (in a thread)                        ─▶ the elder is sealed ─▶ its file takes the old one's
                                                                   (in a process)         place, once nobody reads that
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from controlplane import bases, limits, sealing, segments, stored
from controlplane.arrivals import Follows
from controlplane.errors import BeforeJournal, CorruptJournal, PlaneError
from controlplane.facts import Intent, decode_intent
from controlplane.fold import Step
from controlplane.forms import Forms
from controlplane.named import Named
from controlplane.segments import Birth
from controlplane.shelf import Reading, Segment, Shelf
from controlplane.stored import Kept as Kept
from controlplane.stored import fetch as fetch

log = logging.getLogger("signalbox.journal")


class Journal:
    """A journal in a folder; one thread at a time commits.

    `position`, `step`, `recorded` and `digest` are of the last committed step, `offsets[partition]` is the first offset
    that is not archived, `events` counts archived events, `rows` those of the newest segment, facts among them.
    """

    def __init__(self, folder: Path, follows: Follows, read_only: bool = False) -> None:
        """Open all segments, or make the first. Raises what `segments.explained` says, and CorruptJournal.

        With `read_only` nothing is made or changed.
        """
        self._folder = folder
        self._follows = follows
        self._read_only = read_only
        self._names = stored.Names([])
        self._names_kept = 0
        self.offsets: dict[int, int] = {}
        self.named = Named()
        self._shelf = Shelf()
        self._ready: Future[tuple[Path, str]] | None = None
        self._preparing = ThreadPoolExecutor(1, "segments")
        self._forms = Forms(self._shelf, lambda path: self._attach(path, read_only=True))
        try:
            self._open()
        except BaseException:
            self._let_go()
            raise

    def _open(self) -> None:
        paths = segments.kept(self._folder)
        gaps = [] if self._read_only else segments.missing(paths, segments.oldest(self._folder))
        if gaps:
            names = ", ".join(segments.path_of(self._folder, number).name for number in gaps)
            raise CorruptJournal(f"{self._folder} lacks {names}: put it back from where it went. {segments.MEND}")
        newest = self._newest(paths)
        if not self._read_only:
            # Only now: the newest one is this process's, and nobody else's.
            sealing.clear(self._folder)
            self._clear_before(segments.oldest(self._folder))
        elders = [(path, self._attach(path, read_only=True)) for path in paths[:-1]]
        for path, alias in [*elders, newest]:
            try:
                self._shelf.add(path, alias)
            except duckdb.Error as error:
                raise segments.explained(error, path) from error
        self._recall()
        for elder, after in pairwise(self._shelf.segments):
            self._check_end(elder, after.birth)
            self._have_sealed(elder)
        if self._shelf.newest.is_sealed and not self._read_only:
            self._prepare()

    def _clear_before(self, number: int) -> None:
        """Take away what retention let go of before a plane was killed."""
        for path in segments.listed(self._folder):
            if segments.number_of(path) < number:
                segments.remove(path)
        bases.clear(self._folder, number)

    def _attach(self, path: Path, read_only: bool) -> str:
        try:
            return self._shelf.attach(path, read_only or self._read_only)
        except duckdb.Error as error:
            raise segments.explained(error, path) from error

    def _newest(self, paths: list[Path]) -> tuple[Path, str]:
        """The segment to be written, open; it is the last of `paths` afterwards."""
        if not paths:
            paths.append(segments.path_of(self._folder, 1))
        path = paths[-1]
        alias = self._attach(path, (segments.form_of(path) != segments.OPEN))
        try:
            if not self._shelf.born(alias):
                if len(paths) == 1:
                    self._shelf.found(alias, Birth(segments.number_of(path), 0, 0, 0, b"", 0, {}))
                    return path, alias
                # It was made ready, and no turn came to it.
                self._shelf.db.execute(f"detach {alias}")
                paths.pop()
                if not self._read_only:
                    segments.remove(path)
                return self._newest(paths)
            if not (self._read_only or (segments.form_of(path) != segments.OPEN)):
                self._shelf.migrate(alias)
        except duckdb.Error as error:
            raise segments.explained(error, path) from error
        return path, alias

    def _recall(self) -> None:
        newest = self._shelf.newest
        alias, birth = newest.alias, newest.birth
        try:
            names = [name for _, name in self._all(f"select id, name from {alias}.names order by id")]  # noqa: S608
            last = self._all(
                f"select number, last, recorded, digest from {alias}.steps order by number desc limit 1"  # noqa: S608
            )
            nexts = self._all(
                f"select partition, max(first_offset + events) from {alias}.steps "  # noqa: S608
                "where partition is not null group by partition"
            )
            ((events, facts),) = self._all(
                f"select (select count(*) from {alias}.events), (select count(*) from {alias}.entries)"  # noqa: S608
            )
            with closing(self._shelf.reading()) as db:
                self.named.recall(segments.named_by_rules(self._folder), db.across("entries"))
        except duckdb.Error as error:
            raise segments.explained(error, newest.path) from error
        self._names, self._names_kept = stored.Names(names), len(names)
        known = (birth.step, birth.position, birth.recorded, birth.digest)
        self.step, self.position, self.recorded, self.digest = last[0] if last else known
        self.offsets = dict(birth.floors) | {partition: int(offset) for partition, offset in nexts}
        self.events, self.rows = birth.events + events, events + facts

    def _check_end(self, elder: Segment, after: Birth) -> None:
        try:
            ((step, position),) = self._all(f"select max(number), max(last) from {elder.alias}.steps")  # noqa: S608
        except duckdb.Error as error:
            raise segments.explained(error, elder.path) from error
        if (step, position) != (after.step, after.position):
            raise CorruptJournal(
                f"{elder.path} ends at position {position or 0}, and the next one goes on after {after.position}: "
                f"a part of it is missing. {segments.MEND}"
            )

    # ------------------------------------------------------------------------------------------- in

    def commit(self, turn: Sequence[Kept]) -> None:
        """One turn's steps, whole or not at all. Raises DiskFull: nothing of it is kept, and it may be tried again."""
        rows = stored.rows_of(turn, self._names.id_of)
        target, birth = self._target()
        first_name = 0 if birth is not None else self._names_kept
        texts = self._names.texts
        news = [(number, texts[number]) for number in range(first_name, len(texts))]
        # Before it is committed: whoever reads it then knows what is followed after it.
        self.named.hear(kept.step for kept in turn)
        db = self._shelf.db
        try:
            db.execute("begin")
            if birth is not None:
                self._shelf.insert_birth(target.alias, birth)
            stored.insert(db, target.alias, "names", stored.names_table(news))
            for table, some in rows.items():
                stored.insert(db, target.alias, table, some)
            db.execute("commit")
        except duckdb.Error as error:
            self._roll_back()
            raise segments.explained(error, target.path) from error
        if birth is not None:
            self._went_over(target, birth)
        self._names_kept = len(texts)
        for kept in turn:
            if kept.arrival is not None:
                self.offsets[kept.arrival.partition] = kept.arrival.next_offset
                self.events += len(kept.arrival)
        self.rows += sum(rows[table].num_rows for table in ("events", "entries") if table in rows)
        last = turn[-1].step
        self.step, self.position, self.recorded, self.digest = last.number, last.last, last.recorded, last.digest
        if segments.is_nearly_due(self.rows) and self._ready is None:
            self._prepare()

    def _roll_back(self) -> None:
        try:
            self._shelf.db.execute("rollback")
        except duckdb.Error as error:
            # A commit that failed has ended its transaction by itself.
            log.debug("no transaction to roll back: %s", error)

    # ------------------------------------------------------------------------------------------- going over

    def _prepare(self) -> None:
        number = self._shelf.newest.number + 1

        def ready() -> tuple[Path, str]:
            path = segments.make_ready(self._folder, number)
            return path, self._attach(path, read_only=False)

        self._ready = self._preparing.submit(ready)

    def _target(self) -> tuple[Segment, Birth | None]:
        """Where the next turn is committed: in the next segment, with its birth, when it is time and that is ready."""
        newest = self._shelf.newest
        if self._ready is None or not (self._is_due() or newest.is_sealed):
            return newest, None
        if newest.is_sealed or self._ready.done():
            try:
                path, alias = self._ready.result()
            except PlaneError as error:
                self._ready = None
                log.warning("the journal stays in %s: %s", newest.path, error)
                if newest.is_sealed:
                    raise
            else:
                birth = Birth(
                    newest.number + 1, self.position, self.step, self.recorded, self.digest, self.events, self.offsets
                )
                return Segment(newest.number + 1, path, alias, birth), birth
        return newest, None

    def _is_due(self) -> bool:
        """Not while sealing is far behind: what is not sealed is in memory, and one large segment is sealed sooner."""
        unsealed = sum(not each.is_sealed for each in self._shelf.segments[:-1])
        return segments.is_due(self.rows) and unsealed < limits.SEGMENTS_UNSEALED_MAX

    def _went_over(self, target: Segment, birth: Birth) -> None:
        elder = self._shelf.newest
        self._shelf.add(target.path, target.alias, birth._replace(floors=dict(birth.floors)))
        self._ready, self.rows = None, 0
        self._have_sealed(elder)

    def _have_sealed(self, elder: Segment) -> None:
        if not self._read_only:
            self._forms.have_sealed(elder)

    # ------------------------------------------------------------------------------------------- out

    def blocks(self, after: int = 0, up_to: int | None = None) -> Iterator[list[Step]]:
        """Steps with number > `after` and last position <= `up_to`, some at a time; intents and digests as recorded.

        Reads on a connection of its own, so it may run in another thread while commits go on; it sees what was
        committed when each block was fetched. Raises BeforeJournal when retention took the next one.
        """
        while True:
            with closing(self._shelf.reading()) as db:
                segment = db.holding(after + 1)
                if segment.birth.step > after:
                    raise BeforeJournal(segment.birth.position)
                heads = stored.heads(db, segment, after, self.position if up_to is None else up_to)
                if not heads:
                    return
                follows = self._follows.also(self.named.within(heads[0][1], heads[-1][2]))
                steps = stored.steps_of(db, segment, heads, self._names.texts, follows)
            yield steps
            after = heads[-1][0]

    def replay(self, up_to: int | None = None, after: int = 0) -> Iterator[Step]:
        """All steps with number > `after` whose last position is <= `up_to`, in order."""
        for block in self.blocks(after, up_to):
            yield from block

    def journaled(self, number: int) -> tuple[int, bytes] | None:
        """The last position of a step and the digest after it; None if there is no such step."""
        with closing(self._shelf.reading()) as db:
            alias = db.holding(number).alias
            rows = db.execute(f"select last, digest from {alias}.steps where number = ?", [number]).fetchall()  # noqa: S608
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else None

    def end_of_step(self, position: int | None = None, instant: int | None = None) -> tuple[int, int]:
        """Last position and `recorded` of the last whole step not beyond `position`, nor recorded after `instant` (ns).

        Zeros before the first step. May be called in any thread.
        """
        with closing(self._shelf.reading()) as db:
            # Neither ever goes back from one step to the next, nor from one segment to the next.
            for segment in reversed(db.segments):
                known = segment.birth.position if position is not None else segment.birth.recorded
                bound, column = (position, "last") if position is not None else (instant, "recorded")
                if bound is None or known > bound:
                    continue
                sql = f"select max(last), max(recorded) from {segment.alias}.steps where {column} <= ?"  # noqa: S608
                row = db.execute(sql, [bound]).fetchone()
                if row is not None and row[0] is not None:
                    return int(row[0]), int(row[1])
                return segment.birth.position, segment.birth.recorded
        return 0, 0

    def intended(self, causes: Sequence[int]) -> list[tuple[int, int, Intent]]:
        """The PublishEvents, as (cause, index, intent), that entries at these positions, in order, led to."""
        if not causes:
            return []
        sql = "from intents where kind = 'PublishEvent' and cause between ? and ? and list_contains(?, cause)"
        sql = f"select cause, index, intent {sql} order by cause, index"
        with closing(self._shelf.reading().across("intents")) as db:
            said = db.execute(sql, [causes[0], causes[-1], causes]).fetchall()
        return [(cause, index, decode_intent(intent)) for cause, index, intent in said]

    # ------------------------------------------------------------------------------------------- the rest

    def cursor(self) -> Reading:
        """A connection for reading `events`, `steps`, `entries` and `intents` of all segments together."""
        return self.reading().across("events", "steps", "entries", "intents")

    def reading(self) -> Reading:
        """The same, to read the tables of each segment by its alias."""
        return self._shelf.reading()

    @property
    def reach(self) -> Birth:
        """Where the oldest segment begins: what was before is not in this journal any more."""
        return self._shelf.segments[0].birth

    def drop(self, number: int) -> None:
        """Let go of all segments below this number, which `reach.json` names; who reads one keeps it until then."""
        self._forms.drop(number)
        bases.clear(self._folder, number)

    def name(self, number: int) -> str:
        """The type or source behind a small id."""
        return self._names.texts[number]

    @property
    def names(self) -> Sequence[str]:
        return self._names.texts

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._shelf.newest.path

    @property
    def sealed(self) -> tuple[list[Path], int]:
        """Files and folders that another process may read, oldest first, and up to which position they are all."""
        found: list[Path] = []
        for segment in self._shelf.segments:
            if not segment.is_sealed:
                return found, segment.birth.position
            found.append(segment.path)
        return found, self.position

    @property
    def size_bytes(self) -> int:
        """What all segments take on disk."""
        return sum(segments.bytes_of(each.path) for each in self._shelf.segments)

    def settle(self) -> None:
        """Wait until the next segment is ready, if one is being made, and all elders are sealed."""
        self._preparing.submit(lambda: None).result()
        self._forms.settle()

    def close(self) -> None:
        """Fold the write-ahead log in and let go of all files; without room for that the log stays as it is."""
        newest = self._shelf.newest
        if not (self._read_only or newest.is_sealed):
            try:
                self._shelf.db.execute(f"checkpoint {newest.alias}")
            except duckdb.Error as error:
                log.warning("%s was closed without a checkpoint: %s", newest.path, error)
        self._let_go()

    def _let_go(self) -> None:
        self._forms.close()
        self._preparing.shutdown()
        self._shelf.close()

    def _all(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._shelf.db.execute(sql).fetchall())
