"""`replay run`: its options, and what they have to be."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from console.commands.options import DataDir, DryRun, Output, Reason, Yes, moment
from console.failures import Usage

if TYPE_CHECKING:
    from console.replaying.plan import To

Value = TypeVar("Value")
Pattern = Annotated[str, typer.Option("--type", metavar="PATTERN", help="Only these types: order.>, *.failed")]
Subject = Annotated[str, typer.Option("--subject", help="Only exactly this subject.")]
Saga = Annotated[str, typer.Option("--saga", help="Only this saga's events.")]
Begin = Annotated[
    str,
    typer.Option("--from", "--since", metavar="TIME|POSITION", help="From here on: 1h, 14:03, an instant or 120431."),
]
End = Annotated[
    str, typer.Option("--to", "--until", metavar="TIME|POSITION", help="Up to here; without it, all until now.")
]
Out = Annotated[str, typer.Option("--out", metavar="FILE", help="To JSON lines; - is stdout.")]
Prefix = Annotated[str, typer.Option("--prefix", help="To types under it, here: replay makes replay.order.paid.")]
Shadow = Annotated[Path | None, typer.Option("--shadow", metavar="DIR", help="To a fleet of its own, started there.")]
Live = Annotated[bool, typer.Option("--live", help="To the types they had, here: needs a --reason.")]
Name = Annotated[str, typer.Option("--name", help="The run's; again under one name, nothing is doubled.")]
Speed = Annotated[str, typer.Option("--speed", metavar="N|max", help="So many times the recorded pace.")]
ClockBy = Annotated[str, typer.Option("--clock", metavar="appended|time", help="What the pace is by; else what fits.")]
Restamped = Annotated[bool, typer.Option("--restamp", help="Times are made new, expiry with them; else kept.")]
StopAt = Annotated[str, typer.Option("--stop-at", metavar="TIME|POSITION", help="Stop behind this place of the slice.")]
StopAfter = Annotated[int, typer.Option("--limit", "-n", min=0, help="Stop after so many; 0 is never.")]
Brokers = Annotated[int, typer.Option("--brokers", min=1, max=9, help="Of a new shadow fleet.")]


def run(
    pattern: Pattern = ">",
    subject: Subject = "",
    saga: Saga = "",
    begin: Begin = "",
    end: End = "",
    out: Out = "",
    prefix: Prefix = "",
    shadow: Shadow = None,
    live: Live = False,
    name: Name = "",
    speed: Speed = "max",
    clock: ClockBy = "",
    restamp: Restamped = False,
    stop_at: StopAt = "",
    limit: StopAfter = 0,
    brokers: Brokers = 3,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """Publish recorded events again: to a file, under a prefix, into a shadow fleet or, asked twice, into live types.

    The exact count is shown first. Order is the journal's, a key's kept. Each event says where it is from (replayrun,
    replayof, replaytime, replayposition, replaypartition, replayoffset). p or SIGUSR1 pauses and goes on; q or Ctrl-C
    stops, and says how to go on (exit code 6).

    Never replayed, and counted: the plane's own, lifecycles, redriven copies, what a replay published, and what has
    expired (but to a file, and with --restamp). Imported events are replayed as others are. Under a prefix subjects,
    correlations and keys get it too, so that no saga that is there moves; sagas.end_types may name the ends of the new
    ones. A shadow fleet goes on until `signalbox down --data-dir DIR`.
    """
    from console.fleetdir import resolve
    from console.replaying import plan
    from console.replaying.command import run as replay
    from controlplane.questions import Slice

    now = time.time_ns()
    to, where = _where(out, prefix, shadow, live, reason)
    stop_position, stop_instant = _place(stop_at, now)
    fleet = resolve(data_dir)
    named = {"--type": pattern if pattern != ">" else "", "--subject": subject, "--saga": saga}
    order = plan.Order(
        name=_checked("--name", name, plan.name_of) if name else f"r{now // 1_000_000}",
        to=to,
        where=where,
        slice=Slice(_pattern(pattern), subject, saga, *_span(begin, end, now)),
        speed=_checked("--speed", speed, plan.speed_of),
        clock=_checked("--clock", clock, plan.clock_of),
        restamp=restamp,
        reason=reason,
        limit=limit,
        stop_position=stop_position,
        stop_instant=stop_instant,
        brokers=brokers,
        live=live,
        words=_words(named | {"--data-dir": str(fleet.data_dir) if data_dir is not None else ""}),
    )
    replay(order, fleet, output, dry_run, yes)


def _where(out: str, prefix: str, shadow: Path | None, live: bool, reason: str) -> "tuple[To, str]":
    """Where it goes, one place. Raises Usage."""
    from console.replaying.plan import prefix_of

    chosen = sum([bool(out), bool(prefix), shadow is not None])
    if chosen > 1 or (chosen == 0 and not live) or (live and (out or shadow is not None)):
        what = "one place at a time" if chosen else "say where to"
        raise Usage(
            f"{what}: --out FILE, --prefix PREFIX, --shadow DIR, or --live",
            "signalbox replay run --type 'order.>' --since -1h --prefix replay --dry-run",
        )
    if live and not reason:
        raise Usage(
            "--live publishes into live types, where whoever listens acts on it again: it needs a --reason",
            "It is kept in every event. To try it out: --prefix or --shadow.",
        )
    if out:
        return "file", out
    if prefix:
        return "prefix", _checked("--prefix", prefix, prefix_of)
    return ("live", "") if shadow is None else ("shadow", str(shadow.expanduser().absolute()))


def _checked(option: str, text: str, read: Callable[[str], Value]) -> Value:
    """What a text means. Raises Usage that names the option."""
    try:
        return read(text)
    except ValueError as error:
        raise Usage(f"{option} {text!r} {error}") from None


def _pattern(text: str) -> str:
    import bus

    if not bus.is_pattern(text):
        raise Usage(f"--type {text!r} is not a pattern", "Tokens between dots, `*` for one, `>` last for the rest.")
    return text


def _place(text: str, now: int) -> tuple[int | None, int | None]:
    """Position and instant, one of them; neither for no text. Raises Usage."""
    if not text:
        return None, None
    at = moment(text, now)
    return at.position, at.instant


def _span(begin: str, end: str, now: int) -> tuple[int | None, int | None, int | None, int | None]:
    """From where to where, as `_place` has them. Raises Usage when it ends before it begins, as far as both compare."""
    first, last = _place(begin, now), _place(end, now)
    if any(a is not None and b is not None and b < a for a, b in zip(first, last, strict=True)):
        raise Usage(f"--to {end} is before --from {begin}", "The slice has both ends in it.")
    return *first, *last


def _words(named: dict[str, str]) -> tuple[str, ...]:
    """Options that were given, as words."""
    return tuple(word for option, value in named.items() if value for word in (option, value))
