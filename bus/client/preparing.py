"""A slice of a `publish_many` made ready: filled, checked, held against its schemas; by whole columns where it can be.

`Publisher.publish` does the same for its one event.
"""

from collections.abc import Iterable
from itertools import count

from bus.client.owners import Call
from bus.client.packing import check, fill, ids_of, marks_of, surely_fine
from bus.client.schemas import Schemas
from bus.errors import ClientError
from bus.event import Event
from bus.ids import new_ids


def prepared(
    call: Call, taken: list[Event], source: str, reserved: bool, schemas: Schemas
) -> Iterable[tuple[Event, str, int]]:
    """Those of a slice that may be sent, the ids they go under and their places; the call is told of the others."""
    first = len(call.results)
    marks = marks_of(taken)
    call.take(marks)
    ids = ids_of(taken, marks, new_ids)
    if surely_fine(taken, ids, source, reserved) and not schemas.concern(taken):
        return zip(taken, ids, count(first), strict=False)
    ready = []
    for place, (event, id) in enumerate(zip(taken, ids, strict=True), first):
        try:
            whole = fill(event, source, id)
            check(whole, reserved)
            schemas.check(whole)
            ready.append((whole, id, place))
        except ClientError as error:
            call.results[place] = error
            call.failed += 1
            call.advance(1)
    return ready
