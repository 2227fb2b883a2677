"""A journal's damaged segments, made again: steps from their own sound tables or the copy, events from brokers' logs.

    look at each ─▶ sound: the next begins where it ends
                └─▶ not:   made anew beside it ─▶ does it end where the next begins? ─▶ the old one is moved aside,
                                                                                        the new one takes its place
    what the copy has beyond the end becomes a segment of its own

A step that nobody has any more would be a hole in the order of everything: then nothing is done, and what is missing is
named. Nothing is ever deleted; a dry run makes everything, says the same, and throws it away.
"""

import logging
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import duckdb
import msgspec

from controlplane import bases, limits, segments, soundness, statefile, stored
from controlplane.brokerlogs import BrokerLogs
from controlplane.copied import MISSING, CopiedStep
from controlplane.copyindex import CopyIndex
from controlplane.errors import NotRebuilt, SnapshotUnusable
from controlplane.remaking import SOURCE, Missing, Remade, Remaking
from controlplane.segments import Birth
from controlplane.shelf import Segment, Shelf, alias_of
from controlplane.soundness import Looked
from controlplane.statefile import Header

log = logging.getLogger("signalbox.rebuild")

ASIDE = "damaged"
"""The folder in the journal's that damaged segments are moved to."""
_WORK = "rebuilding"
_BEGINNING = Birth(1, 0, 0, 0, b"", 0, {})


class Rebuilt(msgspec.Struct):
    """One segment. `file` is "" for one that was missing; `aside`: where it went; positions `first` to `last`.

    `own`: whether its steps were taken from the damaged file itself. `bare`: steps whose facts the copy does not have.
    """

    segment: int
    file: str
    why: str
    first: int
    last: int
    steps: int
    events: int
    own: bool
    missing: list[Missing]
    bare: list[int]
    aside: str = ""


class Rebuilding:
    """Of one journal in `folder`, whose plane and brokers are ended. Use `run` once."""

    def __init__(self, folder: Path, logs: BrokerLogs) -> None:
        self._folder = folder
        self._logs = logs
        self._shelf = Shelf()
        self._copy = CopyIndex(logs)
        self._work = folder / _WORK
        self.sound: list[int] = []
        """Segments that hold together."""
        self.end = _BEGINNING
        """Where the journal ends afterwards."""
        self.copied = self._copy.last
        """The last step that the copy has."""
        self._names: list[str] = []
        self._further: list[str] = []
        self._named = 0
        self._marked = False

    def run(self, dry_run: bool) -> list[Rebuilt]:
        """What was made again, oldest first. Raises NotRebuilt when something cannot be; then nothing was changed."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        try:
            done = list(self._all())
            if not dry_run:
                if self._marked and self._named == self.end.segment - 1:
                    self._name_placeholders()
                for one in done:
                    self._put_in_place(one)
            return done
        finally:
            self._shelf.close()
            shutil.rmtree(self._work, ignore_errors=True)

    # ------------------------------------------------------------------------------------------ which ones

    def _all(self) -> Iterator[Rebuilt]:
        there = {segments.number_of(path): soundness.look(self._shelf, path) for path in segments.listed(self._folder)}
        empty = there.pop(max(there)) if there and there[max(there)].is_empty else None
        self._know_names(there)
        oldest = segments.oldest(self._folder)
        birth = self._beginning(there, oldest)
        for number in range(oldest, max(there) + 1) if there else ():
            looked = there.get(number) or Looked(number, Path(), unsound={"": "the file is missing"})
            if looked.is_sound and looked.birth != birth:
                looked.unsound["birth"] = f"it does not go on after step {birth.step}, where the one before it ends"
            if looked.is_sound and looked.end is not None:
                self.sound.append(number)
                birth = looked.end
                continue
            upto, exact = _upto(there, number, birth)
            one, birth = self._make(looked, birth, upto, there)
            if exact is not None and birth != exact:
                raise NotRebuilt(
                    f"segment {number}, made again, ends at position {birth.position:,}, step {birth.step}, as another "
                    f"one than segment {exact.segment} goes on after. Nothing was changed."
                )
            yield one
        while self._copy.last > birth.step:
            self._check_shared(birth)
            path = empty.path if empty is not None and empty.number == birth.segment else Path()
            lost = Looked(birth.segment, path, unsound={"": "the journal ended before its copy does"})
            one, birth = self._make(lost, birth, None, there)
            yield one
        self.end = birth

    def _check_shared(self, birth: Birth) -> None:
        """What the copy has beyond the end must be this journal's."""
        at = next(self._copy.steps(birth.step - 1, birth.step), None) if birth.step else None
        if at is not None and (at.last, at.digest) != (birth.position, birth.digest):
            raise NotRebuilt(
                f"the copy has another step {birth.step} than the journal: it is of another life of this fleet, and "
                "cannot mend this one. Nothing was changed."
            )

    def _beginning(self, there: dict[int, Looked], number: int) -> Birth:
        """Where the oldest segment begins. Raises NotRebuilt where nothing says so."""
        first = there.get(number, Looked(number, Path(), unsound={"": "the file is missing"}))
        if number == 1:
            return _BEGINNING
        if first.birth is not None:
            return first.birth
        after, base = there.get(number + 1), bases.path_of(self._folder, number)
        why = f"segment {number} is the oldest that retention left, and is damaged ({first.why}). Where it begins"
        if after is None or after.birth is None:
            raise NotRebuilt(
                f"{why} cannot be told, as segment {number + 1} is, too. "
                "Nothing was changed: put one of them back from a backup."
            )
        try:
            with base.open("rb") as file:
                header = statefile.read_header(file.read(statefile.HEAD_BYTES_MAX))
        except (SnapshotUnusable, OSError) as error:
            raise NotRebuilt(
                f"{why} is told by {base}, which cannot be read: {error}. "
                "Nothing was changed: put the segment, or that file, back from a backup."
            ) from error
        return self._counted_back(first, header, after.birth)

    def _counted_back(self, first: Looked, header: Header, after: Birth) -> Birth:
        """From where the next one begins, over the steps that the copy has from the base on."""
        due, events, floors = header.step, after.events, dict(after.floors)
        for step in self._copy.steps(header.step, after.step):
            due, count = step.number, step.events or 0
            if due == header.step + 1 and step.first != header.position + 1:
                raise NotRebuilt(
                    f"the copy's step {due} begins at position {step.first}, and the base of segment {first.number} "
                    f"ends at {header.position}: they are of two lives of this fleet. Nothing was changed."
                )
            events -= count
            if step.partition is not None:
                floors[step.partition] = floors.get(step.partition, 0) - count
        if due != after.step:
            raise NotRebuilt(self._why_not(first, due + 1, after.step))
        floors = {partition: offset for partition, offset in floors.items() if offset}
        return Birth(first.number, header.position, header.step, header.recorded, header.journaled, events, floors)

    # ------------------------------------------------------------------------------------------ one segment

    def _make(self, looked: Looked, birth: Birth, upto: int | None, there: dict[int, Looked]) -> tuple[Rebuilt, Birth]:
        """A new file of the steps after `birth`, up to step `upto` or as far as they are there."""
        names, has_all = self._names_for(there, birth.segment)
        tables = set(looked.unsound) if looked.alias and looked.birth == birth and looked.end else {"steps"}
        own = not tables & {"steps", "entries", "intents"}
        own_events = own and has_all and "events" not in tables
        source = self._own(looked, birth) if own else self._copy.steps(birth.step, upto)
        marks = len(self._names) if birth.segment <= self._named else None
        events = None if own_events else self._logs.arrivals
        remaking = Remaking(self._path(birth.segment), birth, names, marks, events)
        try:
            remaking.put(source, None if upto is not None or own else limits.SEGMENT_ROWS_MAX)
            made = remaking.made
            # Of the newest one nothing may have been copied yet; the journal ends before it then.
            nothing = made.end.step == birth.step
            if nothing and upto is None and birth.step and looked.path.name:
                return _told(looked, birth, made, own), birth
            if nothing or (upto is not None and made.end.step < upto):
                raise NotRebuilt(self._why_not(looked, made.end.step + 1, upto))
            if own_events:
                for start in range(birth.position + 1, made.end.position + 1, limits.REPLAY_EVENTS_MAX):
                    within = f"position between {start} and {start + limits.REPLAY_EVENTS_MAX - 1} order by position"
                    rows = self._shelf.db.sql(f"select * from {looked.alias}.events where {within}")  # noqa: S608
                    remaking.insert("events", rows.to_arrow_table())
            remaking.finish()
            self._marked = self._marked or remaking.marked
            if marks is None:
                self._further = names
        finally:
            remaking.close()
        return _told(looked, birth, made, own), made.end

    def _path(self, number: int) -> Path:
        return self._work / segments.path_of(self._folder, number).name

    def _own(self, looked: Looked, birth: Birth) -> Iterator[CopiedStep]:
        segment, after = Segment(looked.number, looked.path, looked.alias, birth), birth.step
        while some := stored.copied_steps(self._shelf.db, segment, after):
            yield from some
            after = some[-1].number

    def _know_names(self, there: dict[int, Looked]) -> None:
        """The newest segment that has its names has those of all before it."""
        sound = [n for n, looked in there.items() if looked.alias and "names" not in looked.unsound]
        if sound:
            self._named = max(sound)
            self._names = self._names_in(there[self._named])

    def _names_in(self, looked: Looked) -> list[str]:
        rows = self._shelf.db.execute(f"select name from {looked.alias}.names order by id").fetchall()  # noqa: S608
        return [name for (name,) in rows]

    def _names_for(self, there: dict[int, Looked], number: int) -> tuple[list[str], bool]:
        """Names that segment `number` may use; whether it can need no others.

        The names of placeholders come after all others, so that they mean the same in each segment.
        """
        if number > self._named:
            marks = [MISSING, SOURCE] if self._marked else []
            return list(self._further or [*self._names, *marks]), False
        own = there.get(number)
        if own is not None and own.alias and "names" not in own.unsound:
            return self._names_in(own), True
        return list(self._names), True

    def _name_placeholders(self) -> None:
        """The newest segment stays as it is, and is asked for all names: it learns those of placeholders."""
        path = next(path for path in segments.listed(self._folder) if segments.number_of(path) == self._named)
        if segments.form_of(path) != segments.OPEN:
            raise NotRebuilt(
                f"{path} is the newest segment and is sealed: start the fleet once, end it, and try again."
            )
        self._shelf.db.execute(f"detach {alias_of(path)}")
        with duckdb.connect(str(path), config=segments.settings(limits.SEALING_MEMORY_MB)) as db:
            news = [(len(self._names), MISSING), (len(self._names) + 1, SOURCE)]
            db.executemany("insert into names values (?, ?)", news)

    def _why_not(self, looked: Looked, due: int, upto: int | None) -> str:
        what = looked.path.name or f"segment {looked.number}"
        has = f"the copy has steps {self._copy.first} to {self._copy.last}" if self._copy.last else "there is no copy"
        stores = ", ".join(self._logs.brokers) or "no broker's store"
        needs = f"step {due}" if upto is None else f"steps {due} to {upto}"
        return (
            f"{what} cannot be made again ({looked.why}): it needs {needs}, and {has}, as far as the stores here go "
            f"({stores}). Nothing was changed: put it back from a backup, or bring the other brokers' folders here."
        )

    def _put_in_place(self, one: Rebuilt) -> None:
        """The old files of its number are moved aside first: until the new one has their place, the number is missing,
        which the next start says, and the next rebuilding mends."""
        for form in (segments.OPEN, segments.SEALED, segments.PARQUET):
            old = segments.path_of(self._folder, one.segment, form)
            if old.exists():
                one.aside = self._move_aside(old)
        if one.steps:
            segments.put_in_place(self._path(one.segment), segments.path_of(self._folder, one.segment))

    def _move_aside(self, old: Path) -> str:
        aside = self._folder / ASIDE
        aside.mkdir(exist_ok=True)
        names = (aside / f"{old.name}{f'.{n}' if n else ''}" for n in count())
        target = next(path for path in names if not path.exists())
        if segments.wal_of(old).exists():
            segments.wal_of(old).replace(segments.wal_of(target))
        old.replace(target)
        segments.sync(aside)
        return str(target.relative_to(self._folder))


def _upto(there: dict[int, Looked], number: int, birth: Birth) -> tuple[int | None, Birth | None]:
    """The last step of segment `number`, and where it ends exactly; None where nothing later says so."""
    later = next((there[n] for n in sorted(there) if n > number and there[n].birth is not None), None)
    if later is None or later.birth is None:
        return None, None
    if later.number == number + 1:
        return later.birth.step, later.birth
    # Where one of several begins, none of them says: each gets its share.
    return birth.step + (later.birth.step - birth.step) // (later.number - number), None


def _told(looked: Looked, birth: Birth, made: Remade, own: bool) -> Rebuilt:
    end = made.end
    return Rebuilt(
        segment=birth.segment,
        file=looked.path.name,
        why=looked.why,
        first=birth.position + 1,
        last=end.position,
        steps=end.step - birth.step,
        events=end.events - birth.events,
        own=own,
        missing=made.missing,
        bare=made.bare,
    )
