"""Dead letters: what killed them, and the one lever, redrive."""

import sys
from typing import Annotated

import typer

from console.commands.options import AsOf, DataDir, DryRun, Limit, Match, Output, Reason, Watch, Yes, operator
from console.failures import Usage

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Dead letters: what died where, and why.")
IDS_SHOWN = 20


@app.command("list")
def list_(
    match: Match = "",
    limit: Limit = 200,
    data_dir: DataDir = None,
    output: Output = "table",
    watch: Watch = False,
    at: AsOf = None,
) -> None:
    """Dead letters grouped by what killed them, worst first."""
    from console.commands.asking import show
    from console.commands.pages import dead_groups_page
    from controlplane.questions import AskDeadGroups, DeadGroups

    show(data_dir, output, AskDeadGroups(match=match, limit=limit), DeadGroups, dead_groups_page, watch, at=at)


@app.command("show")
def show_(
    target: Annotated[str, typer.Argument(metavar="ID", help="A group (g-…) or one dead letter.")],
    limit: Limit = 50,
    data_dir: DataDir = None,
    output: Output = "table",
    at: AsOf = None,
) -> None:
    """One group's dead letters, newest first, with the attempts and the event of the newest."""
    from console.commands.asking import show
    from console.commands.pages import dead_letters_page
    from controlplane.questions import AskDeadLetters, DeadLetters

    show(data_dir, output, AskDeadLetters(target=target, limit=limit), DeadLetters, dead_letters_page, at=at)


@app.command("redrive")
def redrive(
    targets: Annotated[list[str], typer.Argument(metavar="ID", help="Groups (g-…) or dead letters.")],
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """Publish the originals again, each for the one group that it died in."""
    from console import output as out
    from console.commands.agreeing import agree
    from console.commands.asking import body_of, stamp, told
    from console.fleetdir import question_url, resolve
    from console.link import Link
    from controlplane.questions import Redrive, Redriven

    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if not (dry_run or yes or asks):
        raise Usage("without a terminal to ask on, redrive needs --yes", "--dry-run shows the exact set first.")
    with Link(question_url(resolve(data_dir))) as link:
        answer = told(link, Redrive(targets, dry_run=True))
        wanted = body_of(answer, Redriven)
        if not dry_run and wanted.ids:
            if not yes:
                out.say(_set(wanted.ids, wanted.groups))
                agree(f"Redrive these {len(wanted.ids)}?", "nothing was redriven")
            order = Redrive(targets, reason=reason, by=operator(), expected=wanted.ids)
            answer = told(link, order)
            wanted = body_of(answer, Redriven)
    said = "nothing waits there to be redriven"
    if wanted.ids:
        verb = "would redrive" if wanted.dry_run else "redriven"
        said = f"{verb} {_set(wanted.ids, wanted.groups)}"
    if not wanted.dry_run:
        said += f"\ndecided at {wanted.position:,}\n  signalbox dlq list"
    out.show(out.Page(wanted, [wanted], above=said, stamp=stamp(answer)), out.Format(output))


def _set(ids: list[str], groups: list[str]) -> str:
    more = f"\n  … and {len(ids) - IDS_SHOWN:,} more (-o json names all)" if len(ids) > IDS_SHOWN else ""
    return f"{len(ids):,} for {', '.join(groups)}\n" + "\n".join(f"  {id}" for id in ids[:IDS_SHOWN]) + more
