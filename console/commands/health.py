"""Health: the score, and a check that monitoring systems understand."""

import typer

from console.commands.options import AsOf, DataDir, Output, Watch
from console.failures import Ended

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Health: the score and what it is made of.")
VERDICTS = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}


@app.command("show")
def show_(data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None) -> None:
    """The score and every penalty; they add up to 100."""
    from console.commands.asking import show
    from console.commands.pages import health_page
    from controlplane.questions import AskHealth, Health

    show(data_dir, output, AskHealth(), Health, health_page, watch, at=at)


@app.command("check")
def check(data_dir: DataDir = None, output: Output = "table", at: AsOf = None) -> None:
    """One line, and exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    from console.commands.asking import show
    from controlplane.questions import AskHealth, Health, Told

    def line(body: Health, told: Told) -> "Page":
        score = "" if body.score is None else f" {body.score} of 100"
        worst = f": {body.penalties[0].what}" if body.penalties else ""
        more = f" and {len(body.penalties) - 1} more" if len(body.penalties) > 1 else ""
        return Page(body, [body], above=f"{body.state}{score}{worst}{more}")

    from console.output import Page

    body = show(data_dir, output, AskHealth(), Health, line, at=at)
    raise Ended(VERDICTS[body.state])
