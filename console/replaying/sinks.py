"""Where replayed events go: a file of JSON lines, or a fleet. Both say of each event what became of it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol

import bus
from console import output as out
from console.failures import Failure

Result = Literal["published", "duplicate"] | bus.BusError


class Sink(Protocol):
    """Takes events in order."""

    async def send(self, events: Sequence[bus.Event]) -> list[Result]:
        """What became of each. Raises OSError for a file."""
        ...


class ToFleet:
    """Into a fleet, each event acked by a quorum."""

    def __init__(self, client: bus.Fleet) -> None:
        self._client = client

    async def send(self, events: Sequence[bus.Event]) -> list[Result]:
        """As `Sink` has it; an error is the event's own (`ClientError`) or the fleet's."""
        results: list[object]
        try:
            results = list(await self._client.publish_many(events))
        except bus.PublishError as error:
            results = list(error.results)
        return [_of(result) for result in results]


def _of(result: object) -> Result:
    if isinstance(result, bus.Receipt):
        return "duplicate" if result.duplicate else "published"
    return result if isinstance(result, bus.BusError) else bus.OutcomeUnknown("nobody said what became of it")


class ToFile:
    """Into a file, or to stdout."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file
        self.is_empty = True

    async def send(self, events: Sequence[bus.Event]) -> list[Result]:
        """As `Sink` has it."""
        self.is_empty = False
        text = b"".join(bus.to_json(event) + b"\n" for event in events)
        if self._file is None:
            out.write_data(text.decode())
        else:
            self._file.write(text)
            self._file.flush()
        return ["published"] * len(events)


@contextmanager
def to_file(where: str) -> Iterator[ToFile]:
    """Written beside its place, and put there at the end, whatever that is, if it holds a line. Raises Failure."""
    if where == "-":
        yield ToFile(None)
        return
    path = Path(where)
    aside = path if path.exists() and not path.is_file() else path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            sink = ToFile(file)
            yield sink
            if aside is not path and not sink.is_empty:
                os.fsync(file.fileno())
                aside.replace(path)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}", "Name another with --out.") from error
    finally:
        if aside is not path:
            aside.unlink(missing_ok=True)
