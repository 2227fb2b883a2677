"""Consumer groups: who listens to what, how far they are, what they did not get; and what operators change of them."""

from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.options import AsOf, DataDir, DryRun, Output, Reason, WaitS, Watch, Yes
from console.failures import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.commands.operating import Step
    from console.link import Link
    from controlplane.questions import Operated

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


@app.command("update")
def update(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="A group's name.")],
    ack_wait: Annotated[
        float | None, typer.Option("--ack-wait", metavar="SECONDS", help="An unsettled event comes again after it.")
    ] = None,
    max_deliver: Annotated[
        int | None, typer.Option("--max-deliver", metavar="N", help="So many attempts, then it is a dead letter.")
    ] = None,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 10.0,
    output: Output = "table",
) -> None:
    """Change what a group's members agreed on while they go on; from then on it holds whatever a member comes with."""
    from console.commands.operating import Lever, pull

    changes: dict[str, int] = {}
    if ack_wait is not None:
        changes["ack_wait_ms"] = round(ack_wait * 1000)
    if max_deliver is not None:
        changes["max_deliver"] = max_deliver
    if not changes:
        raise Usage("name what is to change: --ack-wait, --max-deliver", f"signalbox group show {group} has what is.")
    lever = Lever("update_group", [group], f"updating {group}", _updated(group, changes), changes=changes)
    pull(lever, data_dir, output, dry_run, yes, reason, wait)


@app.command("remove")
def remove(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="A group's name.")],
    pattern: Annotated[
        bool, typer.Option("--pattern", help="GROUP stands for many: * for any characters, ? for one.")
    ] = False,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 10.0,
    output: Output = "table",
) -> None:
    """Forget groups that nobody serves any more. Events stay in the log; members that are there are told, and end."""
    from console.commands.operating import Lever, pull

    lever = Lever("remove_group", [group], f"removing {group}", _changed, pattern=pattern)
    pull(lever, data_dir, output, dry_run, yes, reason, wait)


def _updated(group: str, changes: dict[str, int]) -> "Callable[[Link, Operated], Step]":
    """As `_changed`, and whether the group is shown with these settings: brokers tell them a moment later."""

    def look(link: "Link", order: "Operated") -> "Step":
        from console.commands.asking import body_of, told
        from controlplane.questions import AskGroups, Groups

        step = _changed(link, order)
        if not step.over:
            return step
        rows = [row for row in body_of(told(link, AskGroups()), Groups).rows if row.group == group]
        shown = [row.settings for row in rows if row.settings is not None]
        return step._replace(over=all(getattr(one, field) == changes[field] for one in shown for field in changes))

    return look


def _changed(link: "Link", order: "Operated") -> "Step":
    """Whether it is so at every partition."""
    from console.commands.asking import body_of, told
    from console.commands.operating import Step
    from controlplane.questions import AskGroups, Groups

    groups = list(dict.fromkeys(order.touched))
    changing = {change.group for change in body_of(told(link, AskGroups()), Groups).changing}
    left = [group for group in groups if any(group == name or group.startswith(f"{name} ") for name in changing)]
    waits = "waits for the leaders of all partitions: signalbox partition list" if left else ""
    return Step(len(groups) - len(left), len(groups), waits, not left)
