"""The options that many commands share, and the shapes of times on the command line."""

import re
from pathlib import Path
from typing import Annotated

import typer

from console.failures import Usage


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
    str | None, typer.Option("--at", metavar="TIME|POSITION", help="As of then: 2026-03-01T12:00:00Z, -5m, or 120431.")
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


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


def instant(text: str, now: int) -> int:
    """Nanoseconds of `now`, a duration back (`-5m`, `-1h30m`) or RFC 3339. Raises Usage."""
    if text == "now":
        return now
    parts = _DURATION.findall(text)
    if text.startswith("-") and parts and "-" + "".join(number + unit for number, unit in parts) == text:
        return now - sum(int(float(number) * _UNITS_NS[unit]) for number, unit in parts)
    import bus

    try:
        return bus.parse_time(text)
    except ValueError as error:
        raise Usage(f"{text!r} is no instant: {error}", "Write -5m, -1h30m, now, or 2026-03-01T12:00:00Z.") from None


POSITION_MAX = 2**63 - 1


def position_or_instant(text: str, now: int) -> tuple[int | None, int | None]:
    """A journal position (`120431`, `120,431`, `@120431`), or an instant as `instant` takes it. Raises Usage."""
    plain = text.replace(",", "").removeprefix("@")
    if plain.isascii() and plain.isdigit():
        if len(plain) > len(str(POSITION_MAX)) or int(plain) > POSITION_MAX:
            raise Usage(f"{text} is beyond every journal", "signalbox status says where this one is.")
        return int(plain), None
    return None, max(0, instant(text, now))


def operator() -> str:
    """Who acts, for the journal: the login name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
