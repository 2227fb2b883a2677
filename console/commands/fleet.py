"""The fleet as a whole: `up`, `down`, `status`, `console`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from console.commands.agreeing import agree
from console.commands.options import AsOf, DataDir, DryRun, Output, Reason, Watch, Yes, operator
from console.failures import Failure, Partly, Unreachable, Usage
from console.measure import many

app = typer.Typer(rich_markup_mode=None)
DOWN_S = 30.0


@app.command()
def up(
    data_dir: DataDir = None,
    brokers: Annotated[int | None, typer.Option("--brokers", min=1, max=99, help="Local brokers to run.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Stay in the foreground until SIGTERM.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the fleet is ready.")] = False,
    take_over: Annotated[bool, typer.Option("--take-over", help="Also with an older journal, beside a copy.")] = False,
    retention_seconds: Annotated[
        int | None, typer.Option("--retention-seconds", min=0, help="Brokers trim older events, once archived.")
    ] = None,
    retention_bytes: Annotated[
        int | None, typer.Option("--retention-bytes", min=0, help="A partition's most bytes in a broker.")
    ] = None,
    journal_retention_seconds: Annotated[
        int | None, typer.Option("--journal-retention-seconds", min=0, help="The journal drops older segments.")
    ] = None,
    journal_retention_bytes: Annotated[
        int | None, typer.Option("--journal-retention-bytes", min=0, help="The journal's most bytes.")
    ] = None,
    partitioning: Annotated[
        str | None, typer.Option("--partitioning", metavar="hash|semantic|adaptive", help="How partitions are used.")
    ] = None,
    partition_rules: Annotated[
        Path | None, typer.Option("--partition-rules", metavar="FILE", help="A new fleet's rules for keys, as TOML.")
    ] = None,
    locality: Annotated[
        str | None, typer.Option("--locality", metavar="NAME", help="Where these brokers are: a rack, a zone.")
    ] = None,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """Start a fleet, or come back to its brokers. On a terminal it opens the console; the fleet ends with it.

    Retention is 0, without end, unless a flag, SIGNALBOX_RETENTION_SECONDS and so on, or signalbox.toml says otherwise.
    """
    from console.fleetdir import option_of, resolve
    from console.planeprocess import Partitioning, Retention, command

    if headless and detach:
        raise Usage("--headless stays and --detach returns: take one")
    if take_over and not reason:
        raise Usage("--take-over needs a --reason", "It is kept in the journal.")
    folder = resolve(data_dir).data_dir
    tied = not detach and not headless and sys.stdin.isatty() and sys.stdout.isatty()
    line = command(
        folder,
        brokers,
        while_stdin=tied,
        take_over=take_over,
        reason=reason,
        retention=Retention.of(retention_seconds, retention_bytes, journal_retention_seconds, journal_retention_bytes),
        partitioning=Partitioning.of(partitioning, partition_rules, locality),
    )
    if detach:
        _detach(folder, line, output)
    elif tied:
        _with_console(folder, line)
    else:
        from console.output import say

        say(f"a fleet in {folder}, until SIGTERM or Ctrl-C; see `signalbox status{option_of(folder)}`")
        os.execv(line[0], line)  # noqa: S606 - this very process becomes the control plane


def _detach(folder: Path, line: list[str], format: str) -> None:
    from console.fleetdir import option_of
    from console.output import Format, Page, show
    from console.planeprocess import PlaneProcess
    from console.terminal import signals_interrupt

    with signals_interrupt():
        plane = PlaneProcess(line, folder, tied=False)
        try:
            status = plane.wait_ready()
        except (Failure, KeyboardInterrupt):
            plane.process.terminate()
            raise
    there = status.controlplane
    record = {"controlplane": there, "brokers": status.brokers, "data_dir": str(folder)}
    said = f"● up  {many(len(status.brokers), 'broker')}, pid {there.pid}, {there.url}"
    said += f"\n  signalbox status{option_of(folder)}    signalbox down{option_of(folder)}"
    show(Page(record, [record], above=said), Format(format))


def _with_console(folder: Path, line: list[str]) -> None:
    from console.output import say
    from console.planeprocess import PlaneProcess
    from console.terminal import run_console, signals_interrupt

    with signals_interrupt():
        plane = PlaneProcess(line, folder, tied=True)
        try:
            status = plane.wait_ready()
            run_console(status.controlplane.url, folder.name)
        finally:
            say("ending the fleet …")
            plane.end()


@app.command()
def down(
    data_dir: DataDir = None, dry_run: DryRun = False, yes: Yes = False, reason: Reason = "", output: Output = "table"
) -> None:
    """End the fleet: brokers first, then the control plane. Its data stays."""
    from console.fleetdir import brokers_of, option_of, plane_of, resolve
    from console.output import Format, Page, show

    fleet = resolve(data_dir)
    plane = plane_of(fleet) if not fleet.url else None
    left = brokers_of(fleet) if not fleet.url else []
    if plane is None and not left and not fleet.url:
        raise Unreachable(f"the fleet in {fleet.data_dir} is not running", "Nothing was done.")
    pids = [record["pid"] for record in [*left, plane] if record and record["pid"]]
    what = ", ".join(
        [str(record.get("id", "?")) for record in left] + (["control plane"] if plane or fleet.url else [])
    )
    if dry_run:
        record = {"would_end": pids, "ended": []}
        show(Page(record, [record], above=f"would end {what}  pids {pids}"), Format(output))
        return
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Usage("without a terminal to ask on, down needs --yes", "--dry-run shows what it would end.")
    if not yes:
        agree(f"End {what}?", "nothing was ended")
    pids = _end_by_plane(fleet, reason) if plane or fleet.url else _end_brokers(left)
    record = {"would_end": [], "ended": pids}
    said = f"○ down  {many(len(pids), 'process', 'processes')} ended\n  signalbox up{option_of(fleet.data_dir)}"
    show(Page(record, [record], above=said), Format(output))


def _end_by_plane(fleet: Any, reason: str) -> list[int]:
    from console.commands.asking import ask
    from controlplane.questions import Down, Stopping

    body, _ = ask(fleet, Down(by=operator(), reason=reason), Stopping, timeout=DOWN_S)
    _wait_gone(body.pids)
    return body.pids


def _end_brokers(left: list[dict[str, Any]]) -> list[int]:
    """Brokers whose plane is gone. Each was recognised by pid and start time a moment ago."""
    import signal

    pids = [int(record["pid"]) for record in left]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue  # it ended by itself meanwhile, which is what was wanted
        except PermissionError as error:
            raise Failure(
                f"may not end pid {pid}: it is another user's", "Ask as the user the fleet runs as."
            ) from error
    _wait_gone(pids)
    return pids


def _wait_gone(pids: list[int]) -> None:
    import psutil  # type: ignore[import-untyped]

    processes = []
    for pid in pids:
        try:
            processes.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue  # gone already
    _, alive = psutil.wait_procs(processes, timeout=DOWN_S)
    alive = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    if alive:
        raise Partly(f"still running after {DOWN_S:g} s: pids {[process.pid for process in alive]}", "See their logs.")


@app.command()
def status(data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None) -> None:
    """The fleet in one answer: control plane, brokers, partitions, counts."""
    from console.commands.asking import show
    from console.commands.pages import status_page
    from controlplane.questions import AskStatus, Status

    show(data_dir, output, AskStatus(), Status, status_page, watch, at=at)


@app.command()
def console(
    data_dir: DataDir = None,
    context: Annotated[str, typer.Option("--context", help="The name shown beside the brand.")] = "",
) -> None:
    """Open the board."""
    from console.fleetdir import question_url, resolve
    from console.terminal import console_command

    fleet = resolve(data_dir)
    line = console_command(question_url(fleet), context or fleet.data_dir.name)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Usage("the console needs a terminal", "In scripts: `signalbox status -o json`.")
    os.execv(line[0], line)  # noqa: S606 - this very process becomes the console
