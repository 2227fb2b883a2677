"""`demo`: real events through a real fleet, from nothing, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from console.commands.options import Output
from console.failures import Usage

app = typer.Typer(rich_markup_mode=None)


def _speed(text: str) -> float:
    """0 for full speed."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        raise Usage(f"--speed {text}: a number such as 20, or max") from None
    if not 0 <= speed < 1e9:
        raise Usage(f"--speed {text}: from 0 (full speed) up")
    return speed


@app.command()
def demo(
    speed: Annotated[
        str | None, typer.Option("--speed", metavar="N|max", help="So many times as fast as it was; max is at once.")
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, max=10_000, help="Play it so often, ids made fresh.")] = 1,
    for_: Annotated[float | None, typer.Option("--for", min=0.1, help="Publish for at most so many seconds.")] = None,
    log: Annotated[str | None, typer.Option("--log", metavar="FILE", help="Another log of CloudEvents lines.")] = None,
    brokers: Annotated[int, typer.Option("--brokers", min=1, max=9, help="Local brokers to run.")] = 3,
    headless: Annotated[bool, typer.Option("--headless", help="No console, also on a terminal.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Keep the fleet there, else it is thrown away.")
    ] = None,
    output: Output = "table",
) -> None:
    """126 real conversations of teams of LLM agents, every one of which failed its task, on a fleet of its own.

    On a terminal it opens the console on them (speed 20); without one it shows progress, a summary, and checks that
    what was archived is what was published. Exit code 1 if anything was lost.
    """
    import sys

    from console.demo.runner import Play, run

    screen = not headless and sys.stdin.isatty() and sys.stdout.isatty()
    chosen = _speed(speed) if speed is not None else (20.0 if screen else 0.0)
    run(Play(chosen, repeat, for_, log, brokers, data_dir, screen), output)
