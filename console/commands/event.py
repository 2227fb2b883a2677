"""Events: in, out, past and passing by."""

from pathlib import Path
from typing import Annotated, Any

import typer

from console.commands import options
from console.commands.options import AsOf, DataDir, Internal, Limit, Output
from console.failures import Failure, Partly, Usage

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Events: publish, import, export, tail, search, show."
)
Acks = Annotated[str, typer.Option("--acks", metavar="ACKS", help="quorum, leader or none.")]


def _check_pattern(pattern: str) -> None:
    import bus

    if not bus.is_pattern(pattern):
        raise Usage(f"--type {pattern!r} is not a pattern", "Tokens between dots, `*` for one, `>` last for the rest.")


@app.command("publish")
def publish(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="What happened: order.created")] = "",
    source: Annotated[str | None, typer.Option("--source", help="Who says it.", show_default="cli")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="What it is about.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="JSON", help="JSON, @FILE, or - for stdin.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Its id, else a fresh one.")] = None,
    correlationid: Annotated[str | None, typer.Option("--correlationid", help="The saga it belongs to.")] = None,
    partitionkey: Annotated[str | None, typer.Option("--partitionkey", help="Its ordering key.")] = None,
    requires: Annotated[
        list[str] | None,
        typer.Option("--requires", metavar="CAP…", help='Only for an agent that has these: "read write".'),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="DURATION", help="After it nobody gets the event any more: 30s, 1.5h."),
    ] = None,
    ext: Annotated[list[str] | None, typer.Option("--ext", metavar="NAME=VALUE", help="Another attribute.")] = None,
    json: Annotated[
        str, typer.Option("--json", metavar="FILE", help="A whole CloudEvents object, which stands alone; - for stdin.")
    ] = "",
    acks: Acks = "quorum",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Publish one event and wait for its ack."""
    import bus
    from console.commands.publishing import made_of, publish_one, read_text
    from console.fleetdir import resolve

    if bool(type_) == bool(json):
        raise Usage("name the TYPE, or give a whole event with --json FILE", "signalbox event publish order.created")
    said = {
        "source": source, "subject": subject, "data": data, "id": id_, "correlationid": correlationid,
        "partitionkey": partitionkey, "requires": requires, "expires": expires, "ext": ext,
    }  # fmt: skip
    if not json:
        event = made_of(type_, said)
    else:
        _alone({name: value for name, value in said.items() if value not in (None, [])})
        try:
            event = bus.from_json(read_text(json))
        except bus.InvalidEvent as error:
            raise Usage(str(error)) from error
    publish_one(resolve(data_dir), event, acks, output)


def _alone(said: dict[str, Any]) -> None:
    """Nothing may be said beside --json, where it would not count. Raises Usage that names all that was."""
    if not said:
        return
    own = [pair.partition("=")[0] for pair in said.get("ext", [])]
    own = [{"expires": "expirytime"}.get(name, name) for name in said if name != "ext"] + own
    options_ = ", ".join(f"--{name}" for name in said)
    raise Usage(
        f"{options_} {'goes' if len(said) == 1 else 'go'} with a TYPE: the object of --json says its own "
        f"{', '.join(f'`{name}`' for name in own)}"
    )


@app.command("import")
def import_(
    logs: Annotated[list[str], typer.Argument(metavar="LOG", help="CloudEvents JSON lines, .gz too; - for stdin.")],
    name: Annotated[str, typer.Option("--name", help="What `importof` says, else the file's name.")] = "",
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="FILE", help="For bad lines; else beside LOG.")
    ] = None,
    acks: Acks = "quorum",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Publish whole logs, and wait until every event is acked. Exit code 6 when some lines were not."""
    import bus
    from console import output as out
    from console.commands.publishing import reaching
    from console.fleetdir import resolve
    from console.importing import run
    from console.measure import many, rate

    with reaching():
        try:
            result = run(resolve(data_dir), logs, name, rejects, acks)
        except bus.InvalidEvent as error:
            raise Usage(f"--name {name}: {error}") from error
    value, unit = rate((result.imported - result.duplicates) / max(result.seconds, 1e-3))
    mark = "▲" if result.rejected else "●"
    fresh = result.imported - result.duplicates
    said = f"{mark} imported {many(fresh, 'event')}{', all acked,' if fresh else ''} in {result.seconds:.1f} s"
    said += f" ({value} {unit})" if fresh else ""
    if result.duplicates:
        said += f"; {many(result.duplicates, 'was', 'were')} there already, and not appended again"
    if result.rejected:
        said += f"\n{many(result.rejected, 'was', 'were')} not: {', '.join(result.rejects) or 'see above'}"
    out.show(out.Page(result, [result], above=said), out.Format(output))
    if result.rejected:
        message = f"not imported: {result.rejected:,} of {many(result.imported + result.rejected, 'line')}"
        raise (Partly if result.imported else Failure)(message, "Mend the rejects file and import that.")


@app.command("export")
def export(
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where to; - is stdout.")] = "-",
    internal: Internal = False,
    pattern: Annotated[str, typer.Option("--type", metavar="PATTERN", help="Only these types.")] = ">",
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="jsonl, parquet, csv or xes.")] = "jsonl",
    data_dir: DataDir = None,
    output: Output = "table",
    at: AsOf = None,
) -> None:
    """All that is archived by now, or was --at a moment, in journal order. -o is for the receipt of --out FILE.

    jsonl: CloudEvents JSON lines. parquet, csv: the columns of `events` (`signalbox sql`, \\d events). xes: a trace
    per saga, for process mining.
    """
    from console.commands.publishing import export_to
    from console.exporting import ALSO_CALLED, FORMATS
    from console.fleetdir import resolve

    _check_pattern(pattern)
    format_ = ALSO_CALLED.get(format_, format_)
    if format_ not in FORMATS:
        raise Usage(f"--format {format_}: one of {', '.join(FORMATS)}")
    if format_ == "parquet" and out == "-":
        raise Usage("Parquet is written to a file", "signalbox event export --format parquet --out events.parquet")
    export_to(resolve(data_dir), out, internal, pattern, format_, output, at)


@app.command("tail")
def tail(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Types: order.>, *.failed")] = ">",
    start: Annotated[str, typer.Option("--start", help="now, earliest, 14:03, -5m or an instant.")] = "now",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="End after so many; 0 is never.")] = 0,
    internal: Internal = False,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Events as they are committed, until Ctrl-C."""
    from console.commands.publishing import follow
    from console.fleetdir import resolve

    follow(resolve(data_dir), pattern, _start(start), limit, internal, output)


def _start(text: str) -> str:
    """Where to begin as the bus takes it; an instant may be written as for `--at`. Raises Usage."""
    import time

    import bus

    if text in ("now", "earliest"):
        return text
    return bus.format_time(options.instant("--start", text, time.time_ns()))


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="In id, source, subject or data.")] = "",
    type_: Annotated[str, typer.Option("--type", metavar="PATTERN", help="Types: order.>, *.failed")] = ">",
    subject: Annotated[str, typer.Option("--subject", help="Exactly this subject.")] = "",
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="1.5h, 14:03 or an instant.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="14:03, -5m or an instant.")] = None,
    limit: Limit = 50,
    internal: Internal = False,
    data_dir: DataDir = None,
    output: Output = "table",
    at: AsOf = None,
) -> None:
    """Archived events, newest first."""
    import time

    from console.commands.asking import show
    from console.commands.pages import events_page
    from controlplane.questions import AskEvents, Events

    _check_pattern(type_)
    now = time.time_ns()
    question = AskEvents(
        pattern=type_,
        text=text,
        subject=subject,
        since=None if since is None else options.instant("--since", since, now),
        until=None if until is None else options.instant("--until", until, now),
        internal=internal,
        limit=limit,
    )
    show(data_dir, output, question, Events, events_page, at=at)


@app.command("show")
def show_(
    id_: Annotated[str, typer.Argument(metavar="ID", help="An event's id, or @POSITION.")],
    data_dir: DataDir = None,
    output: Output = "table",
    at: AsOf = None,
) -> None:
    """One archived event, and what stands around it."""
    from console.commands.asking import show
    from console.commands.pages import event_page
    from controlplane.questions import AskEvent, EventDetail

    show(data_dir, output, AskEvent(id=id_), EventDetail, event_page, at=at)
