"""Calls from agent to agent, both sides. Pure: requests and instants in, what to do out.

| side | a call is | until |
|---|---|---|
| caller (`Calls`, one per agent) | in flight | its answer, deadline or cancellation, or the session's end |
| answerer (`Answers`) | wanted and running | it has ended: then it is answered, and its place is free |
| | unwanted and running | it has ended: cancelled, overdue, or its session is over; nothing is answered |

A call is begun at most once: it is sent in one session, never again in another, and requests grow within a session, so
that one which is not greater than the last is a duplicate and is dropped. Both sides keep the deadline by their own
clock, so that work stops although a Cancel was lost. A place is taken until the work has really ended: an agent that
ignores its cancellation fills up, and says `Busy`, instead of piling up work. Instants are nanoseconds of any clock
that never goes back.
"""

import re
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from bus import limits, wire
from bus.errors import Busy, InvalidCall

_LOOPBACK = re.compile(r"tcp://127\.0\.0\.1:([1-9][0-9]{0,4})", re.ASCII)
_PORT_MAX = 65_535
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE_CHARS_MAX = 512
_SLACK = 64
_MS = 1_000_000


def is_loopback(url: str) -> bool:
    """Whether an agent may be called there: without keys nothing leaves the loopback."""
    found = _LOOPBACK.fullmatch(url)
    return found is not None and int(found[1]) <= _PORT_MAX


def check_name(what: str, name: object) -> str:
    """The name of an agent or a capability, if it is one. Raises InvalidCall that names `what`."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InvalidCall(f"{what}={name!r}: it is a text, not empty, without control characters")
    if len(name) > limits.AGENT_NAME_CHARS_MAX:
        raise InvalidCall(f"{what} has {len(name)} characters; {limits.AGENT_NAME_CHARS_MAX} are allowed")
    return name


def check_trace(traceparent: str, tracestate: str) -> None:
    """W3C trace context, or nothing. Raises InvalidCall."""
    if traceparent and _TRACEPARENT.fullmatch(traceparent) is None:
        raise InvalidCall(f"traceparent={traceparent[:80]!r} does not read 00-<32 hex>-<16 hex>-<2 hex>")
    if len(tracestate) > _TRACESTATE_CHARS_MAX or not tracestate.isprintable():
        raise InvalidCall(f"tracestate is not printable, or longer than {_TRACESTATE_CHARS_MAX} characters")


class Deadlines:
    """What is due when. Dropped keys leave the heap lazily; it never grows past twice what is alive, and some slack."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: int) -> bool:
        return key in self._due

    def keys(self) -> list[int]:
        """All of them, in the order they were set in."""
        return list(self._due)

    def set(self, key: int, due: int) -> None:
        """`key` is due at `due`. A key is set once."""
        self._due[key] = due
        heappush(self._heap, (due, key))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(due, key) for key, due in self._due.items()]
            heapify(self._heap)

    def drop(self, key: int) -> bool:
        """It is due no longer; whether it was."""
        return self._due.pop(key, None) is not None

    def next(self) -> int | None:
        """The earliest instant that something is due at."""
        heap, due = self._heap, self._due
        while heap and heap[0][1] not in due:
            heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now: int) -> list[int]:
        """What is due by now, the earliest first; it is dropped."""
        taken = []
        while (due := self.next()) is not None and due <= now:
            key = heappop(self._heap)[1]
            del self._due[key]
            taken.append(key)
        return taken


class Calls:
    """The calls from here to one agent. `late` counts answers that nobody waited for any more."""

    __slots__ = ("_deadlines", "_in_flight_max", "late")

    def __init__(self, in_flight_max: int = limits.CALLS_IN_FLIGHT_MAX) -> None:
        self._deadlines = Deadlines()
        self._in_flight_max = in_flight_max
        self.late = 0

    def __len__(self) -> int:
        return len(self._deadlines)

    def begin(self, request: int, due: int) -> None:
        """A call that is to be answered by `due`. Raises Busy when too many are in flight: then it is not sent."""
        if len(self._deadlines) >= self._in_flight_max:
            raise Busy(f"{self._in_flight_max} calls to it are unanswered; wait for some of them, then call again")
        self._deadlines.set(request, due)

    def settle(self, request: int) -> bool:
        """An answer came; False when nobody waits for it."""
        if self._deadlines.drop(request):
            return True
        self.late += 1
        return False

    def cancel(self, request: int) -> wire.Cancel | None:
        """Its caller has given it up: what to tell the agent, unless it is over already."""
        return wire.Cancel(request) if self._deadlines.drop(request) else None

    def next_due(self) -> int | None:
        """When `expire` has something to do."""
        return self._deadlines.next()

    def expire(self, now: int) -> list[wire.Cancel]:
        """The calls that were not answered in time, as what to tell the agent."""
        return [wire.Cancel(request) for request in self._deadlines.take(now)]

    def lose(self) -> list[int]:
        """The session is over: the requests that are lost with it."""
        lost = self._deadlines.keys()
        self._deadlines = Deadlines()
        return lost


class _Running(NamedTuple):
    session: bytes
    request: int
    place: str


class Answers:
    """The calls that one agent works on, of all its sessions. A *ticket* stands for one of them until it has ended.

    `duplicates` counts calls that were dropped because their request was not new.
    """

    __slots__ = ("_deadlines", "_last", "_places", "_running", "_ticket", "_wanted", "duplicates")

    def __init__(self) -> None:
        self._deadlines = Deadlines()
        self._last: dict[bytes, int] = {}
        self._places: dict[str, int] = {}
        self._running: dict[int, _Running] = {}
        self._wanted: dict[tuple[bytes, int], int] = {}
        self._ticket = 0
        self.duplicates = 0

    def __len__(self) -> int:
        return len(self._running)

    def running(self, place: str) -> int:
        """How many calls are running at one place."""
        return self._places.get(place, 0)

    def ticket(self, session: bytes, request: int) -> int:
        """Of the work on a request that is still wanted; 0 for none."""
        return self._wanted.get((session, request), 0)

    def tickets(self, place: str) -> list[int]:
        """The calls running at one place."""
        return [ticket for ticket, one in self._running.items() if one.place == place]

    def begin(self, session: bytes, call: wire.Call, place: str, running_max: int, now: int) -> int | None:
        """The ticket of a call to be worked on at `place`; None for a duplicate.

        Raises Busy when `running_max` calls are running there, and InvalidCall for a time-out out of range.
        """
        if call.request <= self._last.get(session, 0):
            self.duplicates += 1
            return None
        self._last[session] = call.request
        if not 0 < call.timeout_ms <= limits.CALL_MS_MAX:
            raise InvalidCall(f"a time-out of {call.timeout_ms} ms; 1 to {limits.CALL_MS_MAX} are legal")
        if self.running(place) >= running_max:
            raise Busy(f"{place} works on {running_max} calls already; call again a little later")
        self._ticket += 1
        ticket = self._ticket
        self._running[ticket] = _Running(session, call.request, place)
        self._wanted[(session, call.request)] = ticket
        self._places[place] = self.running(place) + 1
        self._deadlines.set(ticket, now + call.timeout_ms * _MS)
        return ticket

    def finish(self, ticket: int) -> bool:
        """The work has ended and its place is free; whether its answer is wanted. False when said again."""
        one = self._running.pop(ticket, None)
        if one is None:
            return False
        left = self._places[one.place] - 1
        if left:
            self._places[one.place] = left
        else:
            del self._places[one.place]
        self._deadlines.drop(ticket)
        return self._wanted.pop((one.session, one.request), None) is not None

    def cancel(self, session: bytes, request: int) -> int | None:
        """Its caller has given it up: the ticket of the work to stop, if it is running and was wanted."""
        ticket = self._wanted.pop((session, request), None)
        if ticket is not None:
            self._deadlines.drop(ticket)
        return ticket

    def next_due(self) -> int | None:
        """When `expire` has something to do."""
        return self._deadlines.next()

    def expire(self, now: int) -> list[int]:
        """The tickets of the work to stop because its caller has given it up by now."""
        overdue = self._deadlines.take(now)
        for ticket in overdue:
            self._unwanted(ticket)
        return overdue

    def end(self, session: bytes) -> list[int]:
        """The session is over: the tickets of the work to stop."""
        self._last.pop(session, None)
        mine = [ticket for (owner, _), ticket in self._wanted.items() if owner == session]
        for ticket in mine:
            self._deadlines.drop(ticket)
            self._unwanted(ticket)
        return mine

    def _unwanted(self, ticket: int) -> None:
        one = self._running[ticket]
        del self._wanted[(one.session, one.request)]
