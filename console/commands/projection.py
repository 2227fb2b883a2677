"""Projections: read models of your own, each a Python class with `evolve` or a view in SQL."""

from pathlib import Path
from typing import Annotated

import typer

from console.commands.options import AsOf, DataDir, DryRun, Output, Reason, WaitS, Watch, Yes, operator
from console.failures import Failure, NotFound, Usage
from console.limits import VIEW_FILE_BYTES_MAX

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Projections: read models of your own, Python classes or views."
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A projection's name.")]
_EXAMPLE = "signalbox projection add totals --file totals.py:Totals"


@app.command("list")
def list_(data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None) -> None:
    """All projections: what they are, how far, and what keeps them."""
    from console.commands.asking import show
    from console.commands.projectionpages import projections_page
    from controlplane.questions import AskProjections, Projections

    show(data_dir, output, AskProjections(), Projections, projections_page, watch, at=at)


@app.command("show")
def show_(name: Name, data_dir: DataDir = None, output: Output = "table", at: AsOf = None) -> None:
    """One projection: which code it is, since when and why, and what broke it."""
    from console.commands.asking import show
    from console.commands.projectionpages import projection_page
    from controlplane.questions import AskProjections, Projections

    show(data_dir, output, AskProjections(name), Projections, projection_page, at=at)


@app.command("rows")
def rows(
    name: Name,
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--after",
            metavar="POSITION|PARTITION=OFFSET",
            help="Wait until it has this: 120431, or a receipt's p07=12.",
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Wait so long at most.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many rows.")] = 1_000,
    data_dir: DataDir = None,
    output: Output = "table",
    at: AsOf = None,
) -> None:
    """What a projection holds, and the position that it holds at."""
    from console.commands.asking import ANSWER_S, body_of, moment, told
    from console.commands.projectionpages import awaited, show_rows
    from console.fleetdir import question_url, resolve
    from console.link import Link
    from console.output import Format
    from controlplane.questions import AskProjection, ProjectionRows

    position, offsets = awaited(after or [])
    question = AskProjection(name, position, offsets, round((timeout or 0) * 1000), limit)
    with Link(question_url(resolve(data_dir))) as link:
        answer = told(link, question, ANSWER_S, at=moment(at))
    show_rows(answer, body_of(answer, ProjectionRows), Format(output))


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called.")],
    sql: Annotated[Path | None, typer.Argument(metavar="[FILE.sql]", help="A file with the SELECT of a view.")] = None,
    class_: Annotated[
        str, typer.Option("--class", metavar="MODULE:CLASS", help="A class that the control plane's Python can import.")
    ] = "",
    file: Annotated[str, typer.Option("--file", metavar="FILE.py:CLASS", help="A class in a file of yours.")] = "",
    view: Annotated[str, typer.Option("--view", metavar="SELECT", help="A view: see `signalbox sql` for tables.")] = "",
    pattern: Annotated[
        str, typer.Option("--pattern", metavar="PATTERN", help="The types that a class gets, instead of its own.")
    ] = "",
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 300.0,
    output: Output = "table",
) -> None:
    """Register a projection, in place of any other of this name; a class is built from the journal's start.

    It is loaded where the control plane runs, as the control plane's user, in a process of its own: your own code, with
    bounds on memory and time, and no sandbox. A file is taken only if nobody else may write it.
    """
    from console.commands.projecting import pull
    from controlplane.questions import Project

    given = [each for each in (class_, file, view, str(sql or "")) if each]
    if len(given) != 1:
        raise Usage("one of --class, --file, --view and a file of SQL", _EXAMPLE)
    target, read = class_, ""
    if file:
        path, colon, cls = file.rpartition(":")
        if not colon or not path or not cls:
            raise Usage(f"--file {file}: which class in it?", _EXAMPLE)
        target = f"{Path(path).expanduser().absolute()}:{cls}"
    elif sql is not None:
        target, read = _select(sql), str(sql.absolute())
    elif view:
        target = view
    kind = "view" if view or sql is not None else "class"
    order = Project("add", name, kind, target, pattern, read, reason=reason, by=operator())
    pull(order, "adding", data_dir, output, dry_run, yes, wait if kind == "class" else 0)


@app.command("rebuild")
def rebuild(
    name: Name,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 300.0,
    output: Output = "table",
) -> None:
    """Load a class anew, as its file is now, and build it from the journal's start."""
    from console.commands.projecting import pull
    from controlplane.questions import Project

    order = Project("rebuild", name, reason=reason, by=operator())
    pull(order, "rebuilding", data_dir, output, dry_run, yes, wait)


@app.command("remove")
def remove(
    name: Name,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """End a projection, and forget what it holds. Events stay as they are."""
    from console.commands.projecting import pull
    from controlplane.questions import Project

    order = Project("remove", name, reason=reason, by=operator())
    pull(order, "removing", data_dir, output, dry_run, yes, 0)


def _select(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(VIEW_FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}") from error
    if len(text) > VIEW_FILE_BYTES_MAX:
        raise Usage(f"{path} is longer than {VIEW_FILE_BYTES_MAX:,} characters")
    return text.strip().removesuffix(";").rstrip()
