"""Real logs straight into Rows, and small ones made up, without a broker or a journal."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.event import parse_time
from bus.partitioner import partition_of
from controlplane.facts import Rows

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
DATA_VARIABLE = "SIGNALBOX_TEST_DATA"
PARTITIONS = 12
SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND
"""An instant after all of the logs' own ones."""


class Line(msgspec.Struct):
    """What a log's line has that Rows need."""

    id: str
    source: str
    type: str
    subject: str = ""
    time: str | None = None


def data_file(name: str) -> Path:
    """A file of the public data; skips the test with a clear line where it is absent."""
    path = data_folder() / name
    if not path.exists():
        pytest.skip(f"{name} is not here: set {DATA_VARIABLE} to the folder of the public logs")
    return path


def data_folder() -> Path:
    """Where the public logs are."""
    import os

    return Path(os.environ.get(DATA_VARIABLE, str(DATA)))


def stats(name: str) -> dict[str, Any]:
    """Exact counts that were taken from a log by other means."""
    found: dict[str, Any] = json.loads(data_file(f"process_logs/{name}.stats.json").read_text(encoding="utf-8"))
    return found


def lines(name: str) -> list[Line]:
    """All events of a log in its order."""
    decode = msgspec.json.Decoder(Line).decode
    with gzip.open(data_file(name), "rb") as file:
        return [decode(line) for line in file]


def empty_rows(partition: int, first_offset: int) -> Rows:
    """No rows yet."""
    return Rows(partition, first_offset, [], [], [], [], [], [], [], [], [])


def batches(name: str, importof: str, size: int = 500, recorded: int = NOW) -> Iterator[Rows]:
    """A log as a recorder would hand it over: by partition, in batches of `size`, all appended at `recorded`."""
    open_rows = {p: empty_rows(p, 0) for p in range(PARTITIONS)}
    for line in lines(name):
        p = partition_of(line.subject or line.source, PARTITIONS)
        rows = open_rows[p]
        add(rows, line.type, line.source, line.subject, line.id, recorded, importof, line.time)
        if len(rows) == size:
            open_rows[p] = empty_rows(p, rows.first_offset + size)
            yield rows
    yield from (rows for rows in open_rows.values() if len(rows))


def add(
    rows: Rows,
    type: str,
    source: str = "agent/a",
    saga: str = "",
    id: str = "",
    appended: int = NOW,
    importof: str = "",
    time: str | None = None,
    redriven: bool = False,
) -> None:
    """One more event at the end of the rows; a lifecycle word that folds were not given whole yet is a bare one."""
    if type.startswith("agent.lifecycle."):
        bare = {"specversion": "1.0", "id": id or "bare", "type": type, "source": source}
        rows.followed.setdefault(len(rows), json.dumps(bare).encode())
    rows.appended.append(appended)
    rows.types.append(type)
    rows.sources.append(source)
    rows.ids.append(id)
    rows.times.append(parse_time(time) if time else None)
    rows.sagas.append(saga)
    rows.importofs.append(importof)
    rows.redriven.append(redriven)
    rows.sizes.append(100)
