"""`doctor`: is this machine fit, and is the fleet well; every finding with what to do."""

from typing import Any

import typer

from console.commands.options import DataDir, Output
from console.failures import Failure

app = typer.Typer(rich_markup_mode=None)


@app.command()
def doctor(data_dir: DataDir = None, output: Output = "table") -> None:
    """Look over this machine and the fleet. Exit code 1 when something is broken."""
    from console.checkup import examine
    from console.fleetdir import resolve
    from console.output import GLYPHS, Column, Format, Page, show

    findings = examine(resolve(data_dir))
    columns: list[Column] = [
        Column("", lambda f: GLYPHS[f["severity"]]),
        Column("check", lambda f: f["check"]),
        Column("found", lambda f: f["found"], flex=True),
        Column("do", lambda f: f["mend"], flex=True),
    ]
    record: dict[str, Any] = {"findings": findings}
    show(Page(record, findings, columns), Format(output))
    broken = [finding["check"] for finding in findings if finding["severity"] == "bad"]
    if broken:
        raise Failure(f"broken: {', '.join(broken)}")
