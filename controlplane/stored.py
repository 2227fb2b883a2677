"""Steps as rows of a segment's tables, and rows as steps again.

| table | a row is |
|---|---|
| `birth`, `floors` | the segment itself: where it begins, and the next offset of each partition then |
| `names` | a type or source, and the small id that stands for it in `events`, in this segment and all later ones |
| `steps` | one atomic step: its positions, its instant, the digest after it; for a batch also partition and offsets |
| `entries` | a fact, given (`cause` NULL) or derived, as MessagePack |
| `intents` | what a step wanted done, keyed cause and index |
| `events` | one archived event: see `arrivals.EVENT_COLUMNS` |
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa

from controlplane import limits
from controlplane.arrivals import (
    ROWS,
    SAGA,
    STORED,
    Arrival,
    Follows,
    of_archive,
    required_of_archive,
    rows_of_archive,
)
from controlplane.copied import CopiedStep
from controlplane.errors import FactUnreadable
from controlplane.facts import Fact, Intent, Rows, decode_fact, decode_intent, encode_fact, encode_intent, kind_of
from controlplane.fold import Entry, Step
from controlplane.shelf import Segment

_NAMES = pa.schema([("id", pa.uint32()), ("name", pa.string())])
_STEPS = pa.schema(
    [
        *(("number", pa.uint64()), ("first", pa.uint64()), ("last", pa.uint64()), ("recorded", pa.int64())),
        *(("partition", pa.uint16()), ("first_offset", pa.uint64()), ("events", pa.uint32()), ("digest", pa.binary())),
    ]
)
_ENTRIES = pa.schema(
    [
        *(("position", pa.uint64()), ("recorded", pa.int64()), ("cause", pa.uint64())),
        *(("kind", pa.string()), ("fact", pa.binary())),
    ]
)
_INTENTS = pa.schema([("cause", pa.uint64()), ("index", pa.uint32()), ("kind", pa.string()), ("intent", pa.binary())])


class Names:
    """The small ids of types and sources: dense, in the order they came, never given anew.

    `texts[id]` is what an id stands for; the list is the caller's, and grows.
    """

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self._ids = {text: number for number, text in enumerate(texts)}

    def id_of(self, text: str) -> int:
        """The id of a text, a new one if need be."""
        number = self._ids.get(text)
        if number is None:
            number = self._ids[text] = len(self.texts)
            self.texts.append(text)
        return number


class Kept(NamedTuple):
    """A step to be committed, with the events of its Rows."""

    step: Step
    arrival: Arrival | None = None


def rows_of(turn: Sequence[Kept], number_of: Callable[[str], int]) -> dict[str, "pa.Table"]:
    """A turn's rows by table, but for new names: `number_of` gives the small id of each."""
    events = [kept.arrival.table(kept.step.first, kept.step.recorded, number_of) for kept in turn if kept.arrival]
    facts = [entry for kept in turn for entry in _entries(kept.step)]
    intents = [
        (cause, index, kind_of(it), encode_intent(it)) for kept in turn for cause, index, it in kept.step.intents
    ]
    found = {
        "steps": _table(_STEPS, [_row(kept) for kept in turn]),
        "entries": _table(_ENTRIES, facts),
        "intents": _table(_INTENTS, intents),
    }
    # In one piece: DuckDB takes pieces one by one, and pays half as much again for many small ones.
    return found | ({"events": pa.concat_tables(events).combine_chunks()} if events else {})


def names_table(names: Sequence[tuple[int, str]]) -> "pa.Table":
    """Rows of `names`."""
    return _table(_NAMES, names)


def insert(db: Any, alias: str, table: str, rows: "pa.Table") -> None:
    """Rows at the end of a segment's table."""
    if not rows.num_rows:
        return
    if rows.num_rows * rows.num_columns <= limits.INSERT_VALUES_MAX:
        # The usual turn has a fact or two: to have a table of Arrow read costs twice as much as that.
        row = f"({', '.join('?' * rows.num_columns)})"
        values = [value for one in rows.to_pylist() for value in one.values()]
        db.execute(f"insert into {alias}.{table} values {', '.join([row] * rows.num_rows)}", values)  # noqa: S608
    else:
        db.register("arriving", rows)
        db.execute(f"insert into {alias}.{table} select * from arriving")  # noqa: S608


Head = tuple[Any, ...]
"""A row of `steps`: number, first, last, recorded, partition, events, digest."""


def heads(db: Any, segment: Segment, after: int, up_to: int) -> list[Head]:
    """The next steps of a segment with number > `after` and last position <= `up_to`: as many as are read at once."""
    steps_max = limits.REPLAY_SEALED_STEPS_MAX if segment.is_sealed else limits.REPLAY_STEPS_MAX
    events_max = limits.REPLAY_SEALED_EVENTS_MAX if segment.is_sealed else limits.REPLAY_EVENTS_MAX
    rows = db.execute(
        f"select number, first, last, recorded, partition, events, digest from {segment.alias}.steps "  # noqa: S608
        f"where number > ? and last <= ? order by number limit {steps_max}",
        [after, up_to],
    ).fetchall()
    events = 0
    for count, row in enumerate(rows):
        events += row[5] or 0
        if events > events_max and count:
            return list(rows[:count])
    return list(rows)


def steps_of(db: Any, segment: Segment, heads: list[Head], names: Sequence[str], follows: Follows) -> list[Step]:
    """The steps whose rows these are, whole."""
    alias = segment.alias
    first, last = heads[0][1], heads[-1][2]
    within = f"between {first} and {last}"
    facts = db.execute(
        f"select position, cause, fact from {alias}.entries where position {within} order by position"  # noqa: S608
    ).fetchall()
    wanted: list[tuple[int, int, Intent]] = [
        (cause, index, _intent(body, cause))
        for cause, index, body in db.execute(
            f"select cause, index, intent from {alias}.intents where cause {within} {segment.as_inserted}"  # noqa: S608
        ).fetchall()
    ]
    columns = ", ".join(f"coalesce({SAGA}, '') as saga" if name == "saga" else f'"{name}"' for name in ROWS)
    events = fetch(db, f"select {columns} from {alias}.events where position {within} order by position")  # noqa: S608
    followed, deep = _followed(db, alias, within, events, names, follows)
    steps, row, fact, intent = [], 0, 0, 0
    for number, start, end, recorded, partition, count, digest in heads:
        given: Fact | Rows
        if partition is None:
            given = _fact(facts[fact][2], facts[fact][0])
            fact += 1
        else:
            part = {name: column[row : row + count] for name, column in events.items()}
            given = rows_of_archive(part, names, _part(followed, row, count), _part(deep, row, count))
            row += count
        derived = []
        while fact < len(facts) and facts[fact][0] <= end:
            position, cause, body = facts[fact]
            derived.append(Entry(position, recorded, cause, _fact(body, position)))
            fact += 1
        intents_before = intent
        while intent < len(wanted) and wanted[intent][0] <= end:
            intent += 1
        steps.append(Step(number, start, end, recorded, given, derived, wanted[intents_before:intent], digest))
    return steps


def _fact(body: bytes, position: int) -> Fact:
    try:
        return decode_fact(body)
    except FactUnreadable as error:
        raise FactUnreadable(error.kind, error.why, position) from error


def _intent(body: bytes, cause: int) -> Intent:
    try:
        return decode_intent(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FactUnreadable("an intent", str(error), cause) from error


def _followed(
    db: Any, alias: str, within: str, events: dict[str, list[Any]], names: Sequence[str], follows: Follows
) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """The whole events of those rows that are followed, by row, and those that are deep (see `Rows`)."""
    types = [names[number] for number in events["type"]]
    places = follows.rows(types, required_of_archive(events["extras"]))
    if not places:
        return {}, {}
    stored = ", ".join(f'"{name}"' for name in STORED)
    typed = follows.types(types)
    kinds = {events["type"][place] for place in places if types[place] in typed}
    others = [events["position"][place] for place in places if types[place] not in typed]
    # A list of none is no SQL; no type and no event has the number -1.
    either = f"type in ({_list(kinds)}) or position in ({_list(others)})"
    found = fetch(
        db,
        f"select {stored} from {alias}.events where position {within} and ({either}) order by position",  # noqa: S608
    )
    return of_archive(found, names).whole((place, row) for row, place in enumerate(places))


def _part(events: dict[int, bytes], first: int, count: int) -> dict[int, bytes]:
    return {at - first: events[at] for at in range(first, first + count) if at in events} if events else {}


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "-1"


def copied_steps(db: Any, segment: Segment, after: int) -> list[CopiedStep]:
    """The next steps of a segment with number > `after`, as bytes; as many as one chunk of the copy takes."""
    alias = segment.alias
    rows = db.execute(
        f"select number, first, last, recorded, partition, first_offset, events, digest from {alias}.steps "  # noqa: S608
        f"where number > ? order by number limit {limits.COPY_STEPS_MAX}",
        [after],
    ).fetchall()
    if not rows:
        return []
    within = f"between {rows[0][1]} and {rows[-1][2]}"
    entries = db.execute(
        f"select position, cause, kind, fact from {alias}.entries where position {within} order by position"  # noqa: S608
    ).fetchall()
    intents = db.execute(
        f"select cause, index, kind, intent from {alias}.intents where cause {within} {segment.as_inserted}"  # noqa: S608
    ).fetchall()
    steps: list[CopiedStep] = []
    fact = intent = size = 0
    for row in rows:
        facts_before, intents_before = fact, intent
        while fact < len(entries) and entries[fact][0] <= row[2]:
            size += len(entries[fact][3])
            fact += 1
        while intent < len(intents) and intents[intent][0] <= row[2]:
            size += len(intents[intent][3])
            intent += 1
        if steps and size > limits.COPY_CHUNK_BYTES_MAX // 2:
            break
        number, first, last, recorded, partition, offset, events, digest = row
        given = entries[facts_before:fact], intents[intents_before:intent]
        steps.append(CopiedStep(number, first, last, recorded, partition, offset, events, digest, *given))
    return steps


def rows_of_copied(steps: Sequence[CopiedStep]) -> dict[str, "pa.Table"]:
    """Rows of `steps`, `entries` and `intents` again."""
    heads = [(s.number, s.first, s.last, s.recorded, s.partition, s.first_offset, s.events, s.digest) for s in steps]
    entries = [(at, s.recorded, cause, kind, fact) for s in steps for at, cause, kind, fact in s.entries]
    intents = [intent for s in steps for intent in s.intents]
    return {
        "steps": _table(_STEPS, heads),
        "entries": _table(_ENTRIES, entries),
        "intents": _table(_INTENTS, intents),
    }


def fetch(db: Any, sql: str, parameters: dict[str, Any] | None = None) -> dict[str, list[Any]]:
    """A query's columns as lists, by name."""
    table = db.sql(sql, params=parameters).to_arrow_table() if parameters else db.sql(sql).to_arrow_table()
    return {name: _listed(table.column(name)) for name in table.column_names}


_Code = Literal["Q", "q", "I", "H", "i"]
_CODES: dict[Any, _Code] = {pa.uint64(): "Q", pa.int64(): "q", pa.uint32(): "I", pa.uint16(): "H"}
"""Arrow's integers as memory has them."""


def _listed(column: "pa.ChunkedArray") -> list[Any]:
    """A column's values. Integers and plain texts are taken out of their buffers, which is many times as fast."""
    if column.null_count == len(column):
        return [None] * len(column)
    if column.null_count or not (column.type in _CODES or column.type == pa.string()):
        return list(column.to_pylist())
    values: list[Any] = []
    for chunk in column.chunks:
        if len(chunk):
            values += _texts(chunk) if chunk.type == pa.string() else _integers(chunk, _CODES[chunk.type], len(chunk))
    return values


def _integers(chunk: "pa.Array", code: _Code, count: int) -> list[int]:
    values: list[int] = memoryview(chunk.buffers()[1]).cast(code)[chunk.offset : chunk.offset + count].tolist()
    return values


def _texts(chunk: "pa.Array") -> list[str]:
    places = _integers(chunk, "i", len(chunk) + 1)
    data = chunk.buffers()[2]
    blob = b"" if data is None else bytes(memoryview(data)[places[0] : places[-1]])
    if not blob.isascii():
        return list(chunk.to_pylist())
    text, first = blob.decode(), places[0]
    return [text[start - first : stop - first] for start, stop in pairwise(places)]


def _table(schema: "pa.Schema", rows: Sequence[tuple[Any, ...]]) -> "pa.Table":
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _row(kept: Kept) -> tuple[Any, ...]:
    step, given = kept.step, kept.step.input
    at = (given.partition, given.first_offset, len(given)) if isinstance(given, Rows) else (None, None, None)
    return (step.number, step.first, step.last, step.recorded, *at, step.digest)


def _entries(step: Step) -> Iterator[tuple[Any, ...]]:
    if not isinstance(step.input, Rows):
        yield step.first, step.recorded, None, kind_of(step.input), encode_fact(step.input)
    for entry in step.derived:
        fact = derived(entry)
        yield entry.position, entry.recorded, entry.cause, kind_of(fact), encode_fact(fact)


def derived(entry: Entry) -> Fact:
    """The fact of a derived entry. Raises TypeError: rows are given, and never derived."""
    if isinstance(entry.fact, Rows):
        raise TypeError("Rows cannot be derived")
    return entry.fact
