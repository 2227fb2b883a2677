"""What the `event` commands do with the bus itself: publish, follow, write an export."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

import bus
from console import output as out
from console.commands.asking import moment
from console.commands.options import duration
from console.failures import Denied, Failure, NotFound, Unreachable, Usage
from console.fleetdir import Fleet, question_url
from console.importing import connect
from console.link import Link
from console.measure import clock, many
from console.progress import Progress


@contextmanager
def reaching() -> Iterator[None]:
    """The bus's errors as the exit codes of commands."""
    try:
        yield
    except (bus.NoFleet, bus.BrokerUnavailable) as error:
        raise Unreachable(str(error)) from error
    except bus.AccessDenied as error:
        raise Denied(str(error)) from error
    except bus.ClientError as error:
        raise Usage(str(error)) from error
    except bus.FleetError as error:
        raise Failure(f"{type(error).__name__}: {error}") from error


def read_text(where: str, literal: bool = False) -> bytes:
    """A file's content, standard input's for `-`, or the text itself."""
    if where == "-":
        return sys.stdin.buffer.read()
    if literal:
        return where.encode("utf-8", "surrogateescape")
    try:
        return Path(where).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {where}") from error
    except OSError as error:
        raise Failure(f"{where} cannot be read: {error.strerror}") from error


def json_value(text: bytes) -> msgspec.Raw:
    """A payload that is JSON already. Raises Usage."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Usage(f"--data is not JSON: {error}", "A text goes in quotes: --data '\"hello\"'") from error
    return msgspec.Raw(text)


def _capabilities(texts: list[str]) -> list[str] | None:
    """Those of every `--requires`; none for no `--requires`. Raises Usage."""
    if not all(text.split() for text in texts):
        raise Usage("--requires names no capability", "signalbox event publish doc.needed --requires 'read write'")
    return " ".join(texts).split() or None


def _attribute(text: str) -> tuple[str, str]:
    """Name and value of an `--ext`. Raises Usage."""
    name, equals, value = text.partition("=")
    if not equals:
        raise Usage(f"--ext {text}: write NAME=VALUE")
    return name, value


def made_of(type_: str, said: dict[str, Any]) -> bus.Event:
    """An event from the options of `event publish`, each by its name. Raises Usage that names all that is wrong."""
    wrong: list[Usage] = []

    def read(given: Any, take: Callable[[Any], Any]) -> Any:
        try:
            return None if given is None else take(given)
        except Usage as error:
            wrong.append(error)
            return None

    now = time.time_ns() // 1_000_000 * 1_000_000
    requires = read(said["requires"], _capabilities)
    expires = read(said["expires"], lambda text: now + duration("--expires", text))
    pairs = [read(text, _attribute) for text in said["ext"] or []]
    data = read(said["data"], lambda text: json_value(read_text(text.removeprefix("@"), text[:1] != "@")))
    if wrong:
        raise Usage("; ".join(map(str, wrong)), next((error.hint for error in wrong if error.hint), ""))
    try:
        return bus.Event(
            type=type_,
            source="cli" if said["source"] is None else said["source"],
            id=said["id"] or "",
            subject=said["subject"],
            time=now,
            correlationid=said["correlationid"],
            partitionkey=said["partitionkey"],
            requires=requires,
            expirytime=expires,
            data=data,
            extensions=dict(pairs),
        )
    except bus.InvalidEvent as error:
        raise Usage(str(error)) from error


def publish_one(fleet: Fleet, event: bus.Event, acks: str, format: str) -> None:
    """Publish and show the receipt."""

    async def send() -> bus.Receipt:
        async with connect(fleet) as client:
            return await client.publish(event, acks=acks)

    with reaching():
        receipt = asyncio.run(send())
    said = f"● {receipt.id}  p{receipt.partition:02d}·{receipt.offset:,}  {receipt.guarantee}"
    if receipt.duplicate:
        said += "; it was there already"
    if receipt.routing != "topic":
        said += f"\n  {receipt.routing}"
    out.show(out.Page(receipt, [receipt], above=said), out.Format(format))


def follow(fleet: Fleet, pattern: str, start: str, limit: int, internal: bool, format: str) -> None:
    """Show events as they come, until `limit` or Ctrl-C."""

    async def run() -> None:
        seen = 0
        async with connect(fleet) as client:
            found = client.read(pattern, start=start, follow=True, internal=internal, positions=True)
            async for event, partition, offset, appended in found:
                if not internal and bus.is_internal(event.type, event.extensions):
                    continue
                out.write_data(_line(event, partition, offset, appended, format, first=seen == 0))
                seen += 1
                if seen == limit:
                    return

    try:
        with reaching():
            asyncio.run(run())
    except KeyboardInterrupt:
        return


def _line(event: bus.Event, partition: int, offset: int, appended: int, format: str, first: bool) -> str:
    if format in ("json", "ndjson"):
        return bus.to_json(event).decode() + "\n"
    where = f"p{partition:02d}·{offset:,}"
    if format == "csv":
        fields = {
            "appended": appended,
            "partition": partition,
            "offset": offset,
            "type": event.type,
            "source": event.source,
            "subject": event.subject or "",
            "id": event.id,
        }
        text = out.csv_of([fields])
        return text if first else text.split("\n", 1)[1]
    said = (
        f"{clock(appended, 3)}  {where:>12}  {event.type:<28}  {event.source:<24}  {event.subject or '–'}  {event.id}"
    )
    return out.clean(said) + "\n"


def export_to(
    fleet: Fleet, where: str, internal: bool, pattern: str, kind: str, format: str, at: str | None = None
) -> None:
    """Write the archive, as it was at a moment when one is given, to a file, whole or not at all, or to stdout.

    `kind`: one of `exporting.FORMATS`.
    """
    from console import exporting

    then = moment(at)
    progress = Progress("export")

    def write(path: Path | None) -> int:
        found = exporting.pages(link, internal, pattern, progress.advance, then, columns=kind != "jsonl")
        return exporting.lines(found, path) if kind == "jsonl" else exporting.sheet(found, kind, path)

    with Link(question_url(fleet)) as link:
        count = write(None) if where == "-" else exporting.to_file(Path(where), write)
    progress.close()
    if where == "-":
        out.say(f"exported {many(count, 'event')}")
        return
    record = {"exported": count, "out": where}
    out.show(out.Page(record, [record], above=f"● exported {many(count, 'event')} to {where}"), out.Format(format))
