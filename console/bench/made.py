"""The events that measurements publish: keyed, but about nothing, so that the fleet they run on gets no sagas. Pure."""

import bus

INSTANT_DIGITS = 20
"""A paced event's payload begins with the nanosecond that it was due, so that who gets it can tell how old it is."""
SIZE_BYTES_MIN = 32
_KEY_EVENTS = 20
_SOURCES = 5


def made(type: str, count: int, size: int, now: int, run: int = 0) -> list[bus.Event]:
    """`count` events with `size` bytes of JSON each: five sources, a key for each twenty. `now`: their time."""
    data = "x" * (size - 2)  # and the quotes of JSON
    return [
        bus.Event(
            type=type,
            source=f"bench/{number % _SOURCES}",
            partitionkey=f"case-{run}-{number // _KEY_EVENTS}",
            time=now,
            data=data,
        )
        for number in range(count)
    ]


def due(type: str, number: int, size: int, instant: int, now: int) -> bus.Event:
    """One that was due at `instant`, of a clock that both ends read."""
    data = f"{instant:0{INSTANT_DIGITS}d}".ljust(size - 2, "x")
    return bus.Event(
        type=type, source=f"bench/{number % _SOURCES}", partitionkey=f"case-{number % 997}", time=now, data=data
    )


def instant_of(event: bus.Event) -> int:
    """When it was due."""
    return int(event.data[:INSTANT_DIGITS])
