"""The options that many commands share, and the shapes of times on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from console.failures import Usage

if TYPE_CHECKING:
    from controlplane.questions import At


class Command(TyperCommand):
    """A command whose usage line writes what is required as man pages do, `show AGENT`: Typer says `{AGENT}`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = super().collect_usage_pieces(ctx)
        return [piece[1:-1] if piece[:1] == "{" and piece[-1:] == "}" else piece for piece in pieces]


def _format(text: str) -> str:
    if text not in ("table", "json", "ndjson", "csv"):
        raise typer.BadParameter("one of table, json, ndjson, csv")
    return text


def _data_dir(context: typer.Context, value: Path | None) -> Path | None:
    """The option may stand before the command too."""
    found = value or context.find_root().params.get("data_dir")
    return Path(found) if found else None


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="The fleet's data directory.", show_default=False, callback=_data_dir
    ),
]
Output = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FORMAT", help="table, json, ndjson or csv.", callback=_format),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Again each second, until Ctrl-C.")]
AsOf = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME|POSITION", help="As of then: 14:03, -5m, 2026-03-01T12:00:00Z, or 120431."),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many rows.")]
Match = Annotated[str, typer.Option("--match", metavar="TEXT", help="Only rows that contain this.")]
Internal = Annotated[
    bool, typer.Option("--internal", help="Lifecycle, dead letters, redriven and signalbox.> events too.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the exact set; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the journal.")]
WaitS = Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="Follow it so long; 0: not at all.")]


def partition_number(text: str) -> int:
    """A partition's number, bare or as everything prints it: 7 or p07."""
    digits = text.removeprefix("p")
    if not digits.isascii() or not digits.isdigit():
        raise typer.BadParameter(f"{text!r} is no partition; they are called p00, p01 … or 0, 1 …")
    return int(digits)


def instant(option: str, text: str, now: int) -> int:
    """As `moments.instant`, what an option was given. Raises Usage."""
    from console import moments

    try:
        return moments.instant(text, now)
    except ValueError as error:
        raise Usage(f"{option} {error}") from error


def duration(option: str, text: str) -> int:
    """As `moments.duration`, what an option was given. Raises Usage."""
    from console import moments

    try:
        return moments.duration(text)
    except ValueError as error:
        raise Usage(f"{option} {error}") from error


def moment(text: str, now: int) -> "At":
    """As `moments.moment`. Raises Usage."""
    from console import moments

    try:
        return moments.moment(text, now)
    except ValueError as error:
        raise Usage(str(error)) from error


def operator() -> str:
    """Who acts, for the journal: the login name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
