"""Brokers: what each one leads, holds and carries; adding one, taking one out of the line for a while or for good."""

from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.options import AsOf, DataDir, DryRun, Output, Reason, WaitS, Watch, Yes
from console.failures import Failure, Usage

if TYPE_CHECKING:
    from console.commands.operating import Step
    from console.link import Link
    from controlplane.questions import Operated

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Brokers: list, add, drain, restart, remove.")
Id = Annotated[str, typer.Argument(metavar="BROKER", help="A broker's id, such as b1.")]


@app.command("list")
def list_(data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None) -> None:
    """All brokers, with what they lead and what should be theirs."""
    from console.commands.asking import show
    from console.commands.places import brokers_page
    from controlplane.questions import AskBrokers, Brokers

    show(data_dir, output, AskBrokers(), Brokers, brokers_page, watch, at=at)


@app.command("show")
def show_(
    broker: Id, data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None
) -> None:
    """One broker, and the partitions that depend on it."""
    from console.commands.asking import show
    from console.commands.places import broker_page
    from controlplane.questions import AskBrokers, Brokers

    show(data_dir, output, AskBrokers(broker=broker), Brokers, broker_page, watch, at=at)


@app.command("add")
def add(
    address: Annotated[
        str | None, typer.Argument(metavar="[tcp://127.0.0.1:PORT]", help="Where a broker runs that you started.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Start one more here; the same as no address.")] = False,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 30.0,
    output: Output = "table",
) -> None:
    """Add a broker: one that the control plane starts and looks after, or one that already runs at an address.

    An address where nobody answers is refused with the command line that starts a broker there.
    """
    from console.commands.operating import Lever, pull

    if local and address:
        raise Usage("--local starts a broker, an address joins one: give one of them", "signalbox broker add --help")
    lever = Lever("add", [address] if address else [], "adding a broker", _added)
    pull(lever, data_dir, output, dry_run, yes, reason, wait)


@app.command("remove")
def remove(
    broker: Id,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 600.0,
    output: Output = "table",
) -> None:
    """Remove a broker for good: it leads nothing more, its replicas move to others one by one, then it is forgotten.

    `signalbox broker revive` gives it up while replicas move.
    """
    from console.commands.operating import Lever, pull

    pull(Lever("remove", [broker], f"removing {broker}", _removed), data_dir, output, dry_run, yes, reason, wait)


@app.command("rebalance")
def rebalance(
    broker: Id,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: WaitS = 300.0,
    output: Output = "table",
) -> None:
    """Of what `partition rebalance` would move, only what goes to this broker or away from it."""
    from console.commands.asking import ask
    from console.commands.operating import Lever, pull, rebalanced
    from console.fleetdir import resolve
    from controlplane.questions import AskBrokers, Brokers, Operate, Operated

    fleet = resolve(data_dir)
    ask(fleet, AskBrokers(broker=broker), Brokers)
    plan, _ = ask(fleet, Operate("rebalance", dry_run=True), Operated)
    ours = [m for m in plan.moves if broker in (m.leader, m.to) or (broker in m.replicas) != (broker in m.target)]
    if plan.moves and not ours:
        raise Failure(f"nothing to move to or from {broker}", "signalbox partition rebalance --dry-run has the rest.")
    targets = [str(move.partition) for move in ours]
    pull(Lever("rebalance", targets, "rebalancing", rebalanced), data_dir, output, dry_run, yes, reason, wait)


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


def _added(link: "Link", order: "Operated") -> "Step":
    from console.commands.asking import body_of, told
    from console.commands.operating import Step
    from controlplane.questions import AskBrokers, Brokers

    id = order.touched[0].split()[0]
    row = next((row for row in body_of(told(link, AskBrokers()), Brokers).rows if row.id == id), None)
    if row is None:
        return Step(0, 1, "", False)
    return Step(int(row.state == "up"), 1, row.why or row.state, row.state in ("up", "slow"))


def _removed(link: "Link", order: "Operated") -> "Step":
    from console.commands.asking import body_of, told
    from console.commands.operating import Step
    from controlplane.questions import AskBrokers, Brokers

    total = max(1, len(order.moves))
    body = body_of(told(link, AskBrokers()), Brokers)
    # Who holds it is in the set that was shown; who does not hold anything is gone with the decision.
    row = next((row for row in body.rows if order.moves and row.id == _leaver(order)), None)
    if row is None:
        return Step(total, total, "", True)
    if not row.leaving:
        return Step(max(0, total - row.replicas), total, "", True, f"{row.id} was revived: it stays")
    waits = f"waits: {body.ailment}" if body.ailment else ""
    return Step(max(0, total - row.replicas), total, waits, False)


def _leaver(order: "Operated") -> str:
    """The broker that every move takes a replica from."""
    move = order.moves[0]
    return next((id for id in move.replicas if id not in move.target), "")


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
