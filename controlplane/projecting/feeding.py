"""Which rows of `events` a projection gets, and those rows as events again; on both ends of the line."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from bus.topic import Filter
from controlplane.arrivals import of_archive
from controlplane.projecting.projection import Happened, happened

_INTERNAL = ("signalbox.", "agent.lifecycle.")


def condition(pattern: str, names: Sequence[str]) -> str:
    """SQL that is true for what a pattern means; `names[id]` are types and sources. Raises InvalidPattern."""
    internal = pattern.startswith(_INTERNAL)
    conditions = [] if internal else ["not internal"]
    if pattern != ">":
        wanted = Filter(pattern, internal=internal)
        numbers = [str(number) for number, name in enumerate(names) if wanted.accepts(name)]
        conditions.append(f"type in ({', '.join(numbers)})" if numbers else "false")
    return " and ".join(conditions) or "true"


def happenings(rows: bytes, names: Sequence[str]) -> Iterator[Happened]:
    """The events of an Arrow IPC stream of rows, in their order."""
    table = pa.ipc.open_stream(rows).read_all()
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    arrival = of_archive(columns, names)
    places = ("partition", "offset", "appended", "position", "recorded")
    for row, place in enumerate(zip(*(columns[name] for name in places), strict=True)):
        yield happened(arrival.event(row), *place)
