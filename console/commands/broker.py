"""Brokers: what each one leads, holds and carries, and taking one out of the line for a while."""

from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.options import DataDir, DryRun, Output, Reason, Watch, Yes
from console.failures import Usage

if TYPE_CHECKING:
    from console.commands.operating import Step
    from console.link import Link
    from controlplane.questions import Operated

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Brokers: list, drain, restart one by one.")
Id = Annotated[str, typer.Argument(metavar="BROKER", help="A broker's id, such as b1.")]
WaitS = Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="Follow it so long; 0: not at all.")]


@app.command("list")
def list_(data_dir: DataDir = None, output: Output = "table", watch: Watch = False) -> None:
    """All brokers, with what they lead and what should be theirs."""
    from console.commands.asking import show
    from console.commands.places import brokers_page
    from controlplane.questions import AskBrokers, Brokers

    show(data_dir, output, AskBrokers(), Brokers, brokers_page, watch)


@app.command("show")
def show_(broker: Id, data_dir: DataDir = None, output: Output = "table", watch: Watch = False) -> None:
    """One broker, and the partitions that depend on it."""
    from console.commands.asking import show
    from console.commands.places import broker_page
    from controlplane.questions import AskBrokers, Brokers

    show(data_dir, output, AskBrokers(broker=broker), Brokers, broker_page, watch)


@app.command("drain")
def drain(
    broker: Id,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 60.0,
    output: Output = "table",
) -> None:
    """Move all leaderships off a broker and keep it from leading, until it is revived. It goes on as a follower."""
    from console.commands.operating import Lever, pull

    pull(Lever("drain", [broker], f"draining {broker}", _drained), data_dir, output, dry_run, yes, reason, wait)


@app.command("revive")
def revive(
    broker: Id,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """End a drain: the broker may lead again, and gets its leaderships back once all is well."""
    from console.commands.operating import Lever, pull

    pull(Lever("revive", [broker], f"reviving {broker}"), data_dir, output, dry_run, yes, reason)


@app.command("restart")
def restart(
    brokers: Annotated[list[str] | None, typer.Argument(metavar="[BROKER]…", help="In this order.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All brokers.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Restart no further broker.")] = False,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 900.0,
    output: Output = "table",
) -> None:
    """Restart brokers one after the other: each gives its leaderships away, ends, and is back in sync before the next.

    Where a partition would lose its quorum it waits, and in the end gives up.
    """
    from console.commands.operating import Lever, pull

    if sum((bool(brokers), all_, stop)) != 1:
        raise Usage("name brokers, or --all, or --stop", "signalbox broker list")
    if stop:
        pull(Lever("restart_stop", [], "stopping the restart"), data_dir, output, dry_run, yes, reason)
    else:
        lever = Lever("restart", brokers or [], "restarting", _restarted)
        pull(lever, data_dir, output, dry_run, yes, reason, wait)


def _drained(link: "Link", order: "Operated") -> "Step":
    from console.commands.asking import body_of, told
    from console.commands.operating import Step
    from console.commands.places import names
    from controlplane.questions import AskBrokers, Brokers

    if not order.moves:
        return Step(0, 0, "", True)
    row = body_of(told(link, AskBrokers(broker=order.moves[0].leader)), Brokers).rows[0]
    left, total = len(row.leads), len(order.moves)
    return Step(max(0, total - left), total, f"it still leads {names(row.leads)}" if left else "", not left)


def _restarted(link: "Link", order: "Operated") -> "Step":
    from console.commands.asking import body_of, told
    from console.commands.operating import Step
    from controlplane.questions import AskBrokers, Brokers

    now = body_of(told(link, AskBrokers()), Brokers).restart
    if now is None:
        return Step(0, len(order.touched), "", False)
    done, total = len(now.done), len(now.brokers)
    if now.ended == "done":
        return Step(total, total, "", True)
    failed = f"{now.why or 'it was stopped'}; restarted {', '.join(now.done) or 'none'}" if now.ended else ""
    return Step(done, total, f"at {now.brokers[done]}" if done < total else "", bool(now.ended), failed)
