"""Valid events of every kind, records of them, and steps as the heart would make them."""

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from bus import batch
from bus.event import Event
from controlplane.arrivals import Arrival, Follows, of_record
from controlplane.facts import BrokerLost, Fact, StartBroker, Tick
from controlplane.fold import Entry, Step
from controlplane.journal import Journal, Kept

FOLLOWS = Follows(["signalbox.deadletter", "task.>"])

_printable = st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp"))
texts = st.text(_printable, min_size=1, max_size=12)
tokens = st.text(_printable.filter(lambda c: c != "."), min_size=1, max_size=6).filter(lambda token: token not in "*>")
types = st.lists(tokens, min_size=1, max_size=3).map(".".join) | st.sampled_from(["task.done", "signalbox.deadletter"])
instants = st.integers(-(2**62), 2**62)
values = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
extensions = st.dictionaries(
    st.sampled_from(["importof", "redriveto", "sequence", "mine7"]),
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | texts,
    max_size=2,
)
events = st.builds(
    Event,
    id=texts,
    type=types,
    source=texts,
    subject=st.none() | texts,
    time=st.none() | instants,
    data=st.none() | values | st.binary(max_size=30),
    datacontenttype=st.none() | st.sampled_from(["application/json", "text/plain"]),
    partitionkey=st.none() | texts,
    correlationid=st.none() | texts,
    causationid=st.none() | texts,
    traceparent=st.none() | texts,
    deps=st.none() | st.dictionaries(st.integers(0, 11), st.integers(0, 2**40), min_size=1, max_size=3),
    priority=st.none() | st.sampled_from(["high", "medium", "low"]),
    expirytime=st.none() | instants,
    extensions=extensions,
)


def arrived(published: Sequence[Event], partition: int = 0, first_offset: int = 0, appended: int = 7) -> Arrival:
    """What a recorder gets when these events were appended as one record."""
    header = batch.Header(batch.EVENTS, partition, 1, first_offset, len(published), appended)
    return of_record(header, batch.encode(published))


def simple(count: int, first: int = 0) -> list[Event]:
    """Plain events, numbered."""
    return [
        Event(id=f"e-{n}", type="order.created", source="agent/shop", subject=f"order-{n % 5}", data={"n": n})
        for n in range(first, first + count)
    ]


def step_of(journal: Journal, given: Arrival | Fact, before: Step | None = None, follow: int = 0) -> Kept:
    """The next step of a journal (after `before`, if that is in the same turn), with `follow` facts and intents."""
    number, position = (before.number, before.last) if before else (journal.step, journal.position)
    first = position + 1
    rows = given.rows(FOLLOWS) if isinstance(given, Arrival) else given
    last = first + (len(given) if isinstance(given, Arrival) else 1) - 1
    derived = [Entry(last + n, 1000 + number, first, BrokerLost(f"b{n}", "it ended")) for n in range(1, follow + 1)]
    intents = [(entry.position, 0, StartBroker("b1", entry.position)) for entry in derived]
    digest = number.to_bytes(16, "little")
    step = Step(number + 1, first, last + follow, 1000 + number, rows, derived, intents, digest)
    return Kept(step, given if isinstance(given, Arrival) else None)


def tick(journal: Journal) -> Kept:
    """A step that only lets time pass."""
    return step_of(journal, Tick())


def as_object(line: bytes) -> object:
    """A line of JSON as Python sees it, numbers as they were written."""
    return json.loads(line, parse_float=str, parse_int=str)
