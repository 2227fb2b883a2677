"""What a projection's worker does with what it is told, one frame after the other.

Work comes as events, and is done in slices of `PROJECTION_SLICE_MS`, so that a question never waits for long.
"""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb
import msgspec

from controlplane import limits, segments
from controlplane.errors import ProjectionRefused, WorkerEnded
from controlplane.framing import read
from controlplane.projecting import code, frames
from controlplane.projecting.feeding import condition, happenings
from controlplane.projecting.place import NOWHERE, ROWS, Place
from controlplane.projecting.projection import Happened, Projection
from controlplane.sql.tail import pieces

_ROWS_HEADER = 0xDD
"""MessagePack's array of up to 2^32 items."""


class Worker:
    """One projection, at one position."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._projection = Projection()
        self._pattern = ""
        self._state: dict[Any, Any] = {}
        self._names: list[str] = []
        self._position = self._recorded = 0
        self._up_to = 0
        self._left: Iterator[Happened | None] = iter(())
        """None: it was looked further, and there was nothing."""

    def take(self, frame: frames.AnyFrame) -> frames.AnyFrame:
        """The answer to a frame. Raises ProjectionRefused."""
        if isinstance(frame, frames.Open):
            return self._open(frame)
        if isinstance(frame, frames.AskRows):
            return self._rows(frame)
        if isinstance(frame, frames.Sealed):
            self._left, self._up_to = self._sealed(frame.paths), frame.up_to
        elif isinstance(frame, frames.Evolve):
            self._names[frame.first :] = frame.names
            self._left, self._up_to = happenings(frame.rows, self._names), frame.up_to
        try:
            return self._go()
        except duckdb.Error as error:
            return frames.Missing(" ".join(str(error).split()))
        except MemoryError as error:
            return frames.Failed(self._position, "", code.said(error))

    def _open(self, frame: frames.Open) -> frames.AnyFrame:
        loaded = code.load(frame.target)
        if frame.sha256 and frame.sha256 != loaded.sha256:
            raise ProjectionRefused(f"{loaded.file} is not what it was when it was registered")
        try:
            self._projection = loaded.kind()
        except (Exception, SystemExit) as error:
            raise ProjectionRefused(f"{frame.target} cannot be made: {code.said(error)}") from error
        self._pattern = frame.pattern or self._projection.pattern
        return frames.Opened(loaded.file, loaded.sha256, self._pattern)

    def _sealed(self, paths: list[str]) -> Iterator[Happened | None]:
        """What the segments have beyond the present position, each opened read-only and let go of."""
        for path in paths:
            with duckdb.connect(":memory:", config=segments.settings(limits.PROJECTION_DUCKDB_MB)) as db:
                segments.attach(db, Path(path), "s", read_only=True)
                db.execute("set threads = 1")
                (last,) = db.execute("select max(last) from s.steps").fetchone() or (None,)
                if last is None or last <= self._position:
                    continue
                names = [name for _, name in db.execute("select id, name from s.names order by id").fetchall()]
                where = condition(self._pattern, names)
                for rows, reached in pieces(db, "events", self._position, min(last, self._up_to), where, "s."):
                    if rows:
                        yield from happenings(rows, names)
                    self._place.at(NOWHERE)
                    self._position = reached
                    if not rows:
                        yield None

    def _go(self) -> frames.AnyFrame:
        until = monotonic() + limits.PROJECTION_SLICE_MS / 1000
        evolve, state, place = self._projection.evolve, self._state, self._place
        for event in self._left:
            if event is not None:
                place.at(event.position)
                try:
                    evolve(state, event)
                except (Exception, SystemExit) as error:
                    return frames.Failed(event.position, f"{event.id} ({event.type})", code.said(error))
                self._position, self._recorded = event.position, event.recorded
            if monotonic() >= until:
                place.at(NOWHERE)
                return self._reached(more=True)
        place.at(NOWHERE)
        self._position = max(self._position, self._up_to)
        return self._reached(more=False)

    def _reached(self, more: bool) -> frames.Reached:
        return frames.Reached(self._position, self._recorded, len(self._state), more)

    def _rows(self, ask: frames.AskRows) -> frames.AnyFrame:
        self._place.at(ROWS)
        try:
            return taken(self._projection.rows(self._state), ask.rows_max, ask.bytes_max)
        except (Exception, SystemExit) as error:
            return frames.Refused(f"its rows() raises {code.said(error)}")
        finally:
            self._place.at(NOWHERE)


def taken(given: Any, rows_max: int, bytes_max: int) -> frames.Rows:
    """As many rows as fit, by the columns that any of them has. Raises whatever they raise, and TypeError."""
    rows: list[Mapping[str, Any]] = []
    columns: dict[str, None] = {}
    cut = ""
    for row in given:
        if len(rows) >= rows_max:
            cut = f"more than {rows_max:,} rows"
            break
        if not isinstance(row, Mapping):
            raise TypeError(f"row {len(rows) + 1} is a {type(row).__name__}, and not a mapping of columns to values")
        rows.append({str(name): value for name, value in row.items()})
        columns |= dict.fromkeys(rows[-1])
    encode, encoded, size = msgspec.msgpack.Encoder().encode, list[bytes](), 0
    for row in rows:
        one = encode([row.get(name) for name in columns])
        size += len(one)
        if size > bytes_max:
            cut = f"more than {bytes_max:,} bytes"
            break
        encoded.append(one)
    data = bytes([_ROWS_HEADER]) + len(encoded).to_bytes(4, "big") + b"".join(encoded)
    return frames.Rows(list(columns), msgspec.Raw(data), len(encoded), cut)


def serve(line: socket.socket, place: Place) -> None:
    """Until the plane goes."""
    worker = Worker(place)
    while True:
        try:
            frame = frames.decode(read(line.recv))
        except WorkerEnded:
            return
        try:
            answer = worker.take(frame)
        except ProjectionRefused as error:
            answer = frames.Refused(str(error))
        line.sendall(frames.encode(answer))
