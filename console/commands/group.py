"""Consumer groups: who listens to what, how far they are, and what they did not get."""

from typing import Annotated

import typer

from console.commands.options import AsOf, DataDir, Output, Watch

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Consumer groups: how far each one is, and why.")


@app.command("list")
def list_(data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None) -> None:
    """All groups, worst first."""
    from console.commands.asking import show
    from console.commands.places import groups_page
    from controlplane.questions import AskGroups, Groups

    show(data_dir, output, AskGroups(), Groups, groups_page, watch, at=at)


@app.command("show")
def show_(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="A group's name.")],
    data_dir: DataDir = None,
    output: Output = "table",
    watch: Watch = False,
    at: AsOf = None,
) -> None:
    """One group, partition by partition."""
    from console.commands.asking import show
    from console.commands.places import group_page
    from controlplane.questions import AskGroups, Groups

    show(data_dir, output, AskGroups(group=group), Groups, group_page, watch, at=at)
