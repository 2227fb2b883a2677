"""What one core does with the bus's vocabulary: JSON lines, batches, ids. On the bpic2012 log if it is at hand."""

import gzip
import time
from collections.abc import Callable
from pathlib import Path

from bus import batch
from bus.event import Event, from_json, to_json
from bus.ids import new_id

RUNS = 3
LOGS = Path(__file__).parents[2].parent / "shared" / "data" / "process_logs"
SYNTHETIC = 50_000


def lines() -> list[bytes]:
    """Real lines where the log is, made ones of the same kind elsewhere."""
    path = LOGS / "bpic2012.jsonl.gz"
    if path.exists():
        with gzip.open(path) as log:
            return log.read().splitlines()
    line = '{{"specversion":"1.0","id":"made-{0}","source":"112","type":"A_SUBMITTED.complete","subject":"{1}",'
    line += '"time":"2011-09-30T22:38:44.546Z","data":{{"resource":"112"}}}}'
    return [line.format(number, number // 20).encode() for number in range(SYNTHETIC)]


def rates(count: int, work: Callable[[], object]) -> list[float]:
    """Things per second of each run."""
    found = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        found.append(count / (time.perf_counter() - began))
    return found


def to_lists(body: bytes) -> int:
    """Every column as a Python list."""
    columns = batch.decode(body)
    types = [columns.types[place] for place in columns.type_index]
    sources = [columns.sources[place] for place in columns.source_index]
    return len(types) + len(sources) + len(columns.times) + len(columns.subjects) + len(columns.payloads())


def run(report: Callable[..., None]) -> None:
    """Prints each rate."""
    log = lines()
    count = len(log)

    def each(work: Callable[[bytes], object]) -> None:
        for line in log:
            work(line)

    report("from_json", rates(count, lambda: each(from_json)), "events/s", "target 150 k")
    events = [from_json(line) for line in log]
    report("to_json", rates(count, lambda: [to_json(event) for event in events]), "events/s")
    parts = [events[start : start + 500] for start in range(0, count, 500)]
    report("batch.encode, 500 each", rates(count, lambda: [batch.encode(part) for part in parts]), "events/s", "600 k")
    bodies = [batch.encode(part) for part in parts]
    report("batch.type_view", rates(count, lambda: [batch.type_view(body) for body in bodies]), "events/s", "3 M")
    report("batch.decode to lists", rates(count, lambda: [to_lists(body) for body in bodies]), "events/s", "800 k")

    def decoded() -> None:
        for body in bodies:
            batch.decode(body).events()

    report("batch.decode to events", rates(count, decoded), "events/s", "200 k")

    def made() -> None:
        for _ in range(SYNTHETIC):
            Event(type="order.created", source="agent/shop", subject="order-42", data={"total": 5})

    report("Event(...)", rates(SYNTHETIC, made), "events/s")
    report("new_id", rates(SYNTHETIC, lambda: [new_id() for _ in range(SYNTHETIC)]), "ids/s", "1 M")
