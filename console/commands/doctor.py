"""`doctor`: is this machine fit, and is the fleet well; every finding with what to do."""

from typing import Annotated, Any

import typer

from console.commands.options import DataDir, DryRun, Output, Reason, Yes
from console.failures import Failure, Usage

app = typer.Typer(rich_markup_mode=None)


@app.command()
def doctor(
    data_dir: DataDir = None,
    rebuild_journal: Annotated[
        bool, typer.Option("--rebuild-journal", help="Make damaged segments again, of the copy and the brokers' logs.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """Look over this machine and the fleet. Exit code 1 when something is broken."""
    if rebuild_journal:
        from console.commands.rebuilding import rebuild

        rebuild(data_dir, output, dry_run, yes, reason)
        return
    if dry_run or yes or reason:
        raise Usage("--dry-run, --yes and --reason belong to --rebuild-journal", "Doctor alone changes nothing.")
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
