"""Agents: who is there and how each one fares; taking one out of the work, and giving it back."""

from typing import Annotated

import typer

from console.commands.options import AsOf, DataDir, DryRun, Limit, Match, Output, Reason, Watch, Yes
from console.failures import Usage

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Agents: list, show, quarantine, release.")
STATES = ("all", "live", "out", "left")
SORTS = ("worst", "name", "load", "errors", "behind", "seen")
Names = Annotated[
    list[str], typer.Argument(metavar="AGENT…", help="Names or sources, such as planner or agent/planner.")
]


@app.command("list")
def list_(
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="all, live, out (suspected, failed, quarantined) or left.")
    ] = "all",
    capability: Annotated[
        str, typer.Option("--capability", metavar="NAME", help="Only agents that say they have this one.")
    ] = "",
    match: Match = "",
    sort: Annotated[
        str, typer.Option("--sort", metavar="BY", help="worst, name, load, errors, behind or seen.")
    ] = "worst",
    limit: Limit = 200,
    data_dir: DataDir = None,
    output: Output = "table",
    watch: Watch = False,
    at: AsOf = None,
) -> None:
    """All agents, worst first: state, load, what they can do, errors in percent of the newest, how far behind."""
    from console.commands.agentpages import agents_page
    from console.commands.asking import show
    from controlplane.questions import Agents, AskAgents

    if state not in STATES:
        raise Usage(f"--state {state}: one of {', '.join(STATES)}")
    if sort not in SORTS:
        raise Usage(f"--sort {sort}: one of {', '.join(SORTS)}")
    question = AskAgents(state, match, capability, sort, 0, limit)
    show(data_dir, output, question, Agents, agents_page, watch, at=at)


@app.command("show")
def show_(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Its name or source.")],
    data_dir: DataDir = None,
    output: Output = "table",
    watch: Watch = False,
    at: AsOf = None,
) -> None:
    """One agent: its record, the states it was in, the groups that it serves, and why it is out."""
    from console.commands.agentpages import agent_page
    from console.commands.asking import show
    from controlplane.questions import Agent, AskAgent

    show(data_dir, output, AskAgent(agent), Agent, agent_page, watch, at=at)


@app.command("quarantine")
def quarantine(
    agents: Names,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """Dispatch no more work to agents, through all their restarts, until they are released.

    Work that was dispatched there and is not done goes to others. Groups that an agent has joined itself go on
    delivering to it: end it to stop that.
    """
    from console.commands.operating import Lever, pull

    pull(Lever("quarantine", agents, "quarantining"), data_dir, output, dry_run, yes, reason)


@app.command("release")
def release(
    agents: Names,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = "table",
) -> None:
    """End a quarantine: the agents may be given work again."""
    from console.commands.operating import Lever, pull

    pull(Lever("release", agents, "releasing"), data_dir, output, dry_run, yes, reason)
