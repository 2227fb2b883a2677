"""Partitions: who leads them and who should, moving them, and the last resort for one that cannot elect."""

from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.options import AsOf, DataDir, DryRun, Output, Reason, WaitS, Watch, Yes, partition_number
from console.failures import Usage

if TYPE_CHECKING:
    from console.commands.operating import Step
    from console.link import Link
    from controlplane.questions import Operated

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Partitions: list, rebalance, recover.")
Number = Annotated[int, typer.Argument(metavar="PARTITION", parser=partition_number, help="Its number: 7 or p07.")]


@app.command("list")
def list_(data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None) -> None:
    """All partitions, with their leaders, replicas and load."""
    from console.commands.asking import show
    from console.commands.places import partitions_page
    from controlplane.questions import AskPartitions, Partitions

    show(data_dir, output, AskPartitions(), Partitions, partitions_page, watch, at=at)


@app.command("show")
def show_(
    partition: Number, data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None
) -> None:
    """One partition."""
    from console.commands.asking import show
    from console.commands.places import partitions_page
    from controlplane.questions import AskPartitions, Partitions

    show(data_dir, output, AskPartitions(partition=partition), Partitions, partitions_page, watch, at=at)


@app.command("rebalance")
def rebalance(
    partition: Annotated[
        int | None, typer.Argument(metavar="[PARTITION]", parser=partition_number, help="This one alone.")
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="BROKER", help="Move the partition to this broker.")] = "",
    stop: Annotated[bool, typer.Option("--stop", help="Give up the plan that is under way.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="An adaptive fleet moves nothing by itself.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="It may again.")] = False,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 300.0,
    output: Output = "table",
) -> None:
    """Move leaderships, and replicas where brokers hold unequally many, to where there is room, by the load of the last
    two minutes. One partition at a time, and none while anything is not well.
    """
    from console.commands.operating import Lever, pull, rebalanced

    whole = [flag for flag, given in (("--stop", stop), ("--pause", pause), ("--resume", resume)) if given]
    if len(whole) > 1 or (whole and (to or partition is not None)):
        raise Usage(f"{whole[0]} is of the whole fleet, and stands alone", f"signalbox partition rebalance {whole[0]}")
    if to and partition is None:
        raise Usage("--to needs a partition", f"signalbox partition rebalance 3 --to {to}")
    if pause or resume:
        lever = Lever("rebalance_pause", [], "pausing") if pause else Lever("rebalance_resume", [], "resuming")
        pull(lever, data_dir, output, dry_run, yes, reason)
        return
    if stop:
        pull(Lever("rebalance_stop", [], "stopping the plan"), data_dir, output, dry_run, yes, reason)
        return
    targets = [] if partition is None else [str(partition)]
    lever = Lever("rebalance", targets, "rebalancing", rebalanced, to)
    pull(lever, data_dir, output, dry_run, yes, reason, wait)


@app.command("recover")
def recover(
    partition: Number,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="What only missing replicas held is lost for good.")
    ] = False,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 30.0,
    output: Output = "table",
) -> None:
    """Have a partition that cannot elect led by the greatest replica that is left. Says first what may be lost."""
    from console.commands.operating import Lever, pull

    if not dry_run and not (accept_loss and reason):
        raise Usage(
            "recover gives up events: it needs --accept-loss and --reason TEXT",
            f"signalbox partition recover {partition} --dry-run says what may be lost.",
        )
    lever = Lever("recover", [str(partition)], f"recovering p{partition:02d}", _recovered)
    pull(lever, data_dir, output, dry_run, yes, reason, wait)


def _recovered(link: "Link", order: "Operated") -> "Step":
    from console.commands.asking import body_of, told
    from console.commands.operating import Step
    from controlplane.questions import AskPartitions, Partitions

    number = int(order.touched[0].removeprefix("p"))
    row = body_of(told(link, AskPartitions(partition=number)), Partitions).rows[0]
    return Step(int(bool(row.leader)), 1, row.why, bool(row.leader))
