"""The command line's root: `signalbox NOUN VERB`. Parses, calls one function of `console.commands`, ends with its code.

Exit codes: 0 ok, 1 failed, 2 usage, 3 no fleet answers, 4 not found, 5 denied, 6 partly done (`console.failures`).
`health check` speaks 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN instead, and 3 for wrong usage too.
"""

import os
import sys
from difflib import get_close_matches
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from console.commands import (
    agent,
    bench,
    broker,
    demo,
    dlq,
    doctor,
    event,
    fleet,
    flow,
    group,
    health,
    partition,
    projection,
    replay,
    route,
    saga,
    sql,
)
from console.commands.options import Command, DataDir
from console.failures import INTERRUPTED, Ended, Failure
from console.output import say

READER_GONE = 141
HEALTH_UNKNOWN = 3


class Noun(TyperGroup):
    """A group of commands that names them all when it is asked for one that it has not."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args and args[0][:1] != "-" and self.get_command(ctx, args[0]) is None:
            near = get_close_matches(args[0], self.commands)
            meant = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{meant} There are: {', '.join(self.commands)}.")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="signalbox",
    cls=Noun,
    help="One board and all the levers for fleets of AI agents that talk through events.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for alone in (fleet.app, demo.app, doctor.app, bench.app, sql.app):
    app.registered_commands.extend(alone.registered_commands)
for name, commands in {
    "agent": agent.app,
    "event": event.app,
    "flow": flow.app,
    "group": group.app,
    "saga": saga.app,
    "dlq": dlq.app,
    "health": health.app,
    "replay": replay.app,
    "broker": broker.app,
    "partition": partition.app,
    "projection": projection.app,
    "route": route.app,
}.items():
    app.add_typer(commands, name=name, cls=Noun)
for each in (app, *(noun.typer_instance for noun in app.registered_groups)):
    for command in each.registered_commands if each is not None else ():
        if not issubclass(command.cls or TyperCommand, Command):
            command.cls = Command


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"signalbox {version('signalbox')}")
        raise typer.Exit


@app.callback()
def root(
    data_dir: DataDir = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """One board and all the levers for fleets of AI agents that talk through events."""


def run(arguments: list[str]) -> int:
    """Run one command line; the exit code."""
    checking = arguments[:2] == ["health", "check"]
    try:
        app(arguments, prog_name="signalbox")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        return HEALTH_UNKNOWN if checking and code else code
    except Ended as ended:
        return ended.code
    except Failure as failure:
        say(f"signalbox: {failure}" + (f"\n  {failure.hint}" if failure.hint else ""))
        return HEALTH_UNKNOWN if checking else failure.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough, `head` say; Python must not try to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return 0


def main() -> NoReturn:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))
