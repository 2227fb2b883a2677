"""`bench`: what a fleet does on this machine."""

import sys
from typing import Annotated

import typer

from console.commands.agreeing import agree
from console.commands.options import DataDir, DryRun, Output, Yes
from console.failures import Usage

app = typer.Typer(rich_markup_mode=None)


@app.command()
def bench(
    benches: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BENCH]...", help="publish, consume, latency, calls, failover, or all of them: all."),
    ] = None,
    own: Annotated[bool, typer.Option("--own", help="On a fleet made for it and thrown away.")] = False,
    events: Annotated[int, typer.Option("--events", min=100, max=5_000_000, help="Events of each run.")] = 100_000,
    size: Annotated[int, typer.Option("--size", min=32, max=900_000, help="Bytes of each payload.")] = 128,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Events for each publish_many; 0: all.")] = 0,
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=4_096, help="Tasks that await publish.")] = 256,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3_600, help="Of the latency load.")] = 10.0,
    rate: Annotated[int, typer.Option("--rate", min=1, max=1_000_000, help="Its events a second.")] = 5_000,
    runs: Annotated[int, typer.Option("--runs", min=1, max=1_000, help="Runs of what is repeated.")] = 3,
    calls: Annotated[int, typer.Option("--calls", min=16, max=1_000_000, help="Calls of each run.")] = 5_000,
    kills: Annotated[int, typer.Option("--kills", min=1, max=10_000, help="Leaders to kill.")] = 20,
    brokers: Annotated[int, typer.Option("--brokers", min=1, max=9, help="Brokers of a fleet of its own.")] = 3,
    acks: Annotated[str, typer.Option("--acks", metavar="ACKS", help="quorum, leader or none.")] = "quorum",
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = "table",
) -> None:
    """Measure publish, consume, latency and calls of the fleet, and failover of one made for it.

    On a running fleet the events stay in its log; it says which. Ctrl-C ends it with the figures so far, exit code 6.
    """
    from console.bench.plan import ACKS, BENCHES, USUAL, Plan
    from console.bench.runner import planned, run
    from console.fleetdir import question_url, resolve
    from console.output import Format, say, show, table_of

    unknown = [name for name in benches or [] if name not in (*BENCHES, "all")]
    if unknown:
        raise Usage(f"there is no bench {', '.join(unknown)}", f"There are: {', '.join(BENCHES)}, all.")
    if acks not in ACKS:
        raise Usage(f"--acks {acks}: one of {', '.join(ACKS)}")
    if data_dir is not None and own:
        raise Usage("--own measures a fleet made for it and --data-dir another: take one")
    chosen = BENCHES if "all" in (benches or []) else tuple(dict.fromkeys(benches or USUAL))
    if "failover" in chosen and brokers < 3:
        raise Usage(f"--brokers {brokers}: failover needs 3 at least, as a leader's loss leaves no quorum of fewer")
    plan = Plan(chosen, events, size, batch, tasks, seconds, rate, runs, calls, kills, acks=acks, brokers=brokers)
    home = None if own or chosen == ("failover",) else resolve(data_dir)
    asks = home is not None and not yes
    if asks and not (dry_run or (sys.stdin.isatty() and sys.stderr.isatty())):
        raise Usage("without a terminal to ask on, bench needs --yes", "--dry-run shows what it would do; or --own.")
    if home is not None and (dry_run or asks):
        question_url(home)  # whether it lives, before anything is said of it; else the measurement finds out
    if dry_run:
        show(planned(plan, home), Format(output))
        return
    if asks:
        say(table_of(planned(plan, home), None, False).rstrip())
        agree("Measure?", "nothing was done")
    run(plan, home, output)
