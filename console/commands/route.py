"""Routing: content rules, where an event goes and why, and what other rules would have done."""

import time
from pathlib import Path
from typing import Annotated

import typer

from console.commands.options import AsOf, DataDir, DryRun, Output, Reason, Watch, Yes, instant, operator
from console.failures import Usage

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Routing: content rules; where an event goes, and why."
)
_EXAMPLE = "signalbox route add large --types order.created --when 'data.total > 1000' --to capability:review"
Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="Try them on what was recorded since then: 1.5h, 14:03, 2d.")
]


def _tried(since: str) -> int:
    """How far back rules are tried, ns. Raises Usage."""
    now = time.time_ns()
    if (back := now - instant("--since", since, now)) <= 0:
        raise Usage(f"--since {since}: nothing was recorded since then", "signalbox route test RULES --since 1h")
    return back


@app.command("list")
def list_(data_dir: DataDir = None, output: Output = "table", watch: Watch = False, at: AsOf = None) -> None:
    """The rules in force, in order, how often each matched, and the work that waits."""
    from console.commands.asking import show
    from console.commands.routepages import routes_page
    from controlplane.questions import AskRoutes, Routes

    show(data_dir, output, AskRoutes(), Routes, routes_page, watch, at=at)


@app.command("explain")
def explain(
    event: Annotated[
        str,
        typer.Argument(metavar="EVENT", help="A recorded one's id or @position; or a file of CloudEvents JSON, or -."),
    ],
    data_dir: DataDir = None,
    output: Output = "table",
    at: AsOf = None,
) -> None:
    """Where an event goes: winner, losers and scores, and what each rule says. Nothing is published."""
    from console.commands.asking import show
    from console.commands.routefiles import event_text
    from console.commands.routepages import explained_page
    from controlplane.questions import AskRoute, RouteExplained

    show(data_dir, output, AskRoute(event_text(event)), RouteExplained, explained_page, at=at)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The rule's name; one of that name is replaced.")] = "",
    types: Annotated[str, typer.Option("--types", metavar="PATTERN", help="The types it is for.")] = "",
    when: Annotated[
        str, typer.Option("--when", metavar="CEL", help="A condition on event and data, such as data.total > 1000.")
    ] = "",
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="RECIPIENT", help="agent/NAME or capability:NAME; may come again."),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Where it matches, no further rule is asked.")] = False,
    before: Annotated[str, typer.Option("--before", metavar="RULE", help="A new one stands before this one.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Rules as TOML: [[rule]] tables, and default.")
    ] = None,
    no_capable: Annotated[
        str | None,
        typer.Option("--no-capable", metavar="POLICY", help="Work that nobody can do: wait, dead-letter or escalate."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Those in the file are all that there are.")] = False,
    since: Since = "1h",
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """Add content rules, or change them; tried first on what was recorded of late.

    A rule is for the types of a pattern, and matches where its condition holds: CEL over `event`, the attributes, and
    `data`. All that match say to whom an event goes; the default is for events whose type a rule names and that none
    of them matches.
    """
    from console.commands.routefiles import read_rules
    from console.commands.routing import pull
    from controlplane.questions import RuleText, SetRoutes

    alone = (name, types, when, before) != ("", "", "", "") or bool(to) or stop
    if alone == (file is not None) and (alone or no_capable is None):
        raise Usage("either one rule by its options, or --file", _EXAMPLE)
    if file is not None:
        given = read_rules(file)
        policy = given.no_capable if no_capable is None else no_capable
        order = SetRoutes("add", given.rules, default=given.default, whole=replace, no_capable=policy)
    elif not alone:
        order = SetRoutes("add", no_capable=no_capable)
    else:
        if replace:
            raise Usage("--replace goes with --file", "signalbox route add --file rules.toml --replace")
        missing = [option for option, value in (("NAME", name), ("--types", types), ("--to", to)) if not value]
        if missing:
            raise Usage(f"a rule has {', '.join(missing)}, too", _EXAMPLE)
        order = SetRoutes("add", [RuleText(name, types, to or [], when, stop)], before=before, no_capable=no_capable)
    pull(order, "adding", _tried(since), data_dir, output, dry_run, yes, reason, operator())


@app.command("remove")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Rules.")],
    since: Since = "1h",
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """Remove content rules. What went by them already stays where it is."""
    from console.commands.routing import pull
    from controlplane.questions import SetRoutes

    order = SetRoutes("remove", names=names)
    pull(order, "removing", _tried(since), data_dir, output, dry_run, yes, reason, operator())


@app.command("test")
def test(
    rules: Annotated[Path, typer.Argument(metavar="RULES", help="All rules, as TOML: [[rule]] tables, and default.")],
    since: Since = "1h",
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Try rules on recorded events, in place of those in force: what each would match, and what would change."""
    from console.commands.asking import LONG_ANSWER_S, ask
    from console.commands.routefiles import read_rules
    from console.commands.routepages import show_tried
    from console.fleetdir import resolve
    from controlplane.questions import RoutesTried, TryRoutes

    given = read_rules(rules)
    question = TryRoutes(given.rules, given.default or [], _tried(since))
    body, answer = ask(resolve(data_dir), question, RoutesTried, LONG_ANSWER_S, "trying")
    show_tried(body, answer, output)
