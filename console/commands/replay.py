"""Replay: the journal again, to prove it or to look back."""

import re
import time
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from console.commands.options import DataDir, Output, instant
from console.failures import Failure

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Replay: the journal again, to prove it or look back."
)

_DURATION_BACK = re.compile(r"-\d[\w.]*")


@app.command("verify")
def verify(data_dir: DataDir = None, output: Output = "table") -> None:
    """Run the journal again from its inputs and compare byte for byte. Exit code 1 when anything differs."""
    from console.commands.asking import LONG_ANSWER_S, show
    from console.output import Page
    from controlplane.questions import AskVerify, Told, Verified

    def page(body: Verified, told: Told) -> Page:
        said = f"{'● the same, byte for byte' if body.same else '■ not the same'}\n"
        said += f"{body.entries:,} entries of {body.events:,} events in {body.seconds:.2f} s\ndigest {body.digest}"
        if body.older:
            said += f"\n{body.older:,} entries of older fold versions were evolved as recorded"
        return Page(body, [body], above=said)

    body = show(data_dir, output, AskVerify(), Verified, page, timeout=LONG_ANSWER_S, label="verify")
    if not body.same:
        raise Failure(f"the journal differs: {body.divergence}", "Keep the data directory; this is a bug.")


class _MomentFirst(TyperCommand):
    """`replay at -5m`: a duration back is a moment, and no option is written like one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        moments = [word for word in args if _DURATION_BACK.fullmatch(word)]
        if moments and "--" not in args:
            args = [*(word for word in args if word not in moments), "--", *moments]
        return super().parse_args(ctx, args)


@app.command("at", cls=_MomentFirst)
def at(
    moment: Annotated[str, typer.Argument(metavar="TIME|POSITION", help="2026-03-01T12:00:00Z, -5m, or 120431.")],
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """The state as of then, rounded down to a step."""
    from console.commands.asking import LONG_ANSWER_S, show
    from console.commands.pages import past_page
    from controlplane.questions import AskAt, Past

    plain = moment.replace(",", "").removeprefix("@")
    if plain.isascii() and plain.isdigit():
        question = AskAt(position=int(plain))
    else:
        question = AskAt(instant=instant(moment, time.time_ns()))
    show(data_dir, output, question, Past, past_page, timeout=LONG_ANSWER_S, label="replay")
