"""Flows: source to type to group."""

import typer

from console.commands.options import AsOf, DataDir, Limit, Match, Output, Watch

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Flows: who says what to whom, how fast, how late.")


@app.callback()
def flows() -> None:
    """Flows: who says what to whom, how fast, how late."""


@app.command("list")
def list_(
    match: Match = "",
    limit: Limit = 200,
    data_dir: DataDir = None,
    output: Output = "table",
    watch: Watch = False,
    at: AsOf = None,
) -> None:
    """Flows, worst, then busiest."""
    from console.commands.asking import show
    from console.commands.pages import flows_page
    from controlplane.questions import AskFlows, Flows

    show(data_dir, output, AskFlows(match=match, limit=limit), Flows, flows_page, watch, at=at)
