"""Replay: the journal again, to prove it, to look back, or to ask what would have been. `run` stands in `replayrun`."""

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from console.commands import options, replayrun
from console.commands.options import DataDir, Output
from console.failures import Failure, Usage
from console.limits import RULES_FILE_BYTES_MAX
from console.measure import many

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Replay: the journal again, to prove it, look back, ask what if, or publish what was.",
)

app.command("run")(replayrun.run)

_DURATION_BACK = re.compile(r"-\d[\w.]*")


@app.command("verify")
def verify(data_dir: DataDir = None, output: Output = "table") -> None:
    """Run the journal again from its inputs and compare byte for byte. Exit code 1 when anything differs."""
    from console.commands.asking import LONG_ANSWER_S, show
    from console.output import Page
    from controlplane.questions import AskVerify, Told, Verified

    def page(body: Verified, told: Told) -> Page:
        said = f"{'● the same, byte for byte' if body.same else '■ not the same'}\n"
        said += f"{many(body.entries, 'entry', 'entries')} of {many(body.events, 'event')} in {body.seconds:.2f} s\n"
        said += f"digest {body.digest}"
        if body.older:
            older = many(body.older, "entry of an older fold version was", "entries of older fold versions were")
            said += f"\n{older} evolved as recorded"
        if body.journal_from:
            said += f"\nfrom the state at position {body.journal_from:,} on: retention let go of what was before"
        return Page(body, [body], above=said)

    body = show(data_dir, output, AskVerify(), Verified, page, timeout=LONG_ANSWER_S, label="verify")
    if not body.same:
        missing = body.where is not None and body.where.what == "events"
        hint = "See `signalbox doctor`." if missing else "Keep the data directory; this is a bug."
        raise Failure(f"the journal differs: {body.divergence}", hint)


class _Moments(options.Command):
    """`replay at -5m`: a duration back is a moment, and no option is written like one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        args = [f"now{word}" if _DURATION_BACK.fullmatch(word) else word for word in args[:end]] + args[end:]
        return super().parse_args(ctx, args)


Moment = Annotated[str, typer.Argument(metavar="TIME|POSITION", help="14:03, -5m, 2026-03-01T12:00:00Z, or 120431.")]
Examples = Annotated[int, typer.Option("--limit", "-n", min=0, max=1_000, help="Examples of each kind.")]


@app.command("at", cls=_Moments)
def at(moment: Moment, data_dir: DataDir = None, output: Output = "table") -> None:
    """The state as of then, rounded down to a step."""
    from console.commands.asking import LONG_ANSWER_S, show
    from console.commands.pages import past_page
    from controlplane.questions import AskAt, Past

    show(data_dir, output, AskAt(*_moment(moment)), Past, past_page, timeout=LONG_ANSWER_S, label="replay")


@app.command("diff", cls=_Moments)
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A time or position, as for `replay at`.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    limit: Examples = 20,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """What differs in state between A and B: keys added, removed and changed, by fold and table."""
    from console.commands.asking import LONG_ANSWER_S, show
    from console.commands.replaypages import diff_page
    from console.output import Page
    from controlplane.questions import AskDiff, Diff, Told

    question = AskDiff(*_moment(first), *_moment(second), limit=limit)

    def page(body: Diff, told: Told) -> Page:
        return diff_page(body, told, question)

    show(data_dir, output, question, Diff, page, timeout=LONG_ANSWER_S, label="diff")


@app.command("what-if", cls=_Moments)
def what_if(
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting: sagas.stuck_after=60s, sagas.end_types=order.*.done."
        ),
    ] = None,
    rules: Annotated[Path | None, typer.Option("--rules", metavar="FILE", help="A TOML file of settings.")] = None,
    begin: Annotated[
        str,
        typer.Option("--from", "--since", metavar="TIME|POSITION", help="They hold from here on: 1h, 14:03 or 120431."),
    ] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME|POSITION", help="Up to here; without it, now.")] = "",
    limit: Examples = 5,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """The journal's inputs again under other settings, without effects: which facts would be gone, new or moved.

    Exit code 0 whatever differs. A rules file holds settings, for example [sagas] with stuck_after = "60s"; there are
    no other rules to change yet. After the horizon recorded replies may no longer answer what was asked.
    """
    from console.commands.asking import LONG_ANSWER_S, show
    from console.commands.replaypages import what_if_page
    from controlplane.questions import AskWhatIf, WhatIf

    settings = _settings(changes or [], rules)
    if not settings:
        raise Usage(
            "nothing to change: name a setting with --set, or a file of them with --rules",
            "signalbox replay what-if --set sagas.stuck_after=60s    With nothing changed it is `replay verify`.",
        )
    question = AskWhatIf(settings, *_moment(begin), *_moment(end), limit=limit)
    show(data_dir, output, question, WhatIf, what_if_page, timeout=LONG_ANSWER_S, label="what-if")


def _moment(text: str) -> tuple[int | None, int | None]:
    """Position and instant, one of them; neither for no text. Raises Usage."""
    if not text:
        return None, None
    at = options.moment(text, time.time_ns())
    return at.position, at.instant


def _settings(changes: list[str], rules: Path | None) -> dict[str, str]:
    """Those of the file, then those given, which win. Raises Usage."""
    given: dict[str, str] = {}
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign or not name.strip():
            raise Usage(f"--set {change!r} is no NAME=VALUE", "signalbox replay what-if --set sagas.stuck_after=60s")
        if name.strip() in given:
            raise Usage(f"{name.strip()} is set twice")
        given[name.strip()] = value.strip()
    said = {name.removesuffix("_ms") for name in given}
    filed = {} if rules is None else _flat("", _toml(rules), rules)
    return {name: value for name, value in filed.items() if name.removesuffix("_ms") not in said} | given


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        if path.stat().st_size > RULES_FILE_BYTES_MAX:
            raise Usage(f"{path} is larger than {RULES_FILE_BYTES_MAX:,} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path} is not TOML: {error}") from error


def _flat(prefix: str, table: dict[str, Any], path: Path) -> dict[str, str]:
    """Tables in tables as dotted names; a list of texts as one text with commas."""
    found: dict[str, str] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= _flat(f"{name}.", value, path)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            found[name] = ",".join(value)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            found[name] = str(value)
        else:
            raise Usage(f"{path}: {name} must be a text, a whole number or a list of texts, not {value!r}")
    return found
