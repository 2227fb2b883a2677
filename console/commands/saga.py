"""Sagas: everything that happened about one subject or correlation."""

from typing import Annotated

import typer

from console.commands.options import AsOf, DataDir, Limit, Match, Output, Watch
from console.failures import Usage

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Sagas: what is under way, stuck, finished.")
STATES = ("open", "stuck", "finished", "failed", "all")


@app.command("list")
def list_(
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="open, stuck, finished, failed or all.")
    ] = "open",
    stuck: Annotated[bool, typer.Option("--stuck", help="The same as --state stuck.")] = False,
    match: Match = "",
    limit: Limit = 200,
    data_dir: DataDir = None,
    output: Output = "table",
    watch: Watch = False,
    at: AsOf = None,
) -> None:
    """The saga inbox, worst first."""
    from console.commands.asking import show
    from console.commands.pages import sagas_page
    from controlplane.questions import AskSagas, Sagas

    state = "stuck" if stuck else state
    if state not in STATES:
        raise Usage(f"--state {state}: one of {', '.join(STATES)}")
    show(data_dir, output, AskSagas(state=state, match=match, limit=limit), Sagas, sagas_page, watch, at=at)


@app.command("show")
def show_(
    saga: Annotated[str, typer.Argument(metavar="SAGA", help="Its correlation id, else its subject.")],
    limit: Limit = 500,
    data_dir: DataDir = None,
    output: Output = "table",
    watch: Watch = False,
    at: AsOf = None,
) -> None:
    """One saga: its steps, why it waits, what mends it."""
    from console.commands.asking import show
    from console.commands.pages import saga_page
    from controlplane.questions import AskSaga, Saga

    show(data_dir, output, AskSaga(saga=saga, limit=limit), Saga, saga_page, watch, at=at)
