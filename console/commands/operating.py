"""Levers on brokers and partitions: show the exact set, ask, decide on that set, and follow it to its end.

What was decided goes on in the fleet whether or not anyone waits for it: Ctrl-C, or `--wait 0`, leaves it going.
"""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from console import output
from console.commands.agreeing import agree
from console.commands.asking import body_of, stamp, told
from console.commands.options import operator
from console.commands.places import operated_page
from console.failures import Failure, Partly, Usage
from console.fleetdir import question_url, resolve
from console.link import Link
from console.progress import Progress
from controlplane.questions import AskPartitions, Operate, Operated, Partitions, Verb

LOOK_S = 0.5


class Step(NamedTuple):
    """How far it is. `over` says that it goes no further; `failed` why it did not get where it should."""

    done: int
    total: int
    text: str
    over: bool
    failed: str = ""


Look = Callable[[Link, Operated], Step]


class Lever(NamedTuple):
    """One command's lever. `doing` heads the progress, `look` asks how far it is; None: it is done when decided."""

    verb: Verb
    targets: list[str]
    doing: str
    look: Look | None = None
    to: str = ""
    changes: Mapping[str, int] = MappingProxyType({})
    pattern: bool = False

    def order(self, **more: Any) -> Operate:
        """The question that pulls it."""
        return Operate(self.verb, self.targets, self.to, changes=dict(self.changes), pattern=self.pattern, **more)


def pull(
    lever: Lever, data_dir: Path | None, format: str, dry_run: bool, yes: bool, reason: str, wait: float = 0.0
) -> None:
    """The whole of it. Raises Usage without a terminal to ask on, Partly when `wait` seconds did not do."""
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if not (dry_run or yes or asks):
        raise Usage(f"without a terminal to ask on, {lever.doing} needs --yes", "--dry-run shows the exact set first.")
    with Link(question_url(resolve(data_dir))) as link:
        answer = told(link, lever.order(dry_run=True))
        planned = body_of(answer, Operated)
        if not dry_run and planned.touched:
            if not yes:
                output.say(output.table_of(operated_page(planned, asking=True), None, False))
                agree(f"{lever.doing[0].upper()}{lever.doing[1:]}: these {len(planned.touched)}?")
            answer = told(link, lever.order(reason=reason, by=operator(), expected=planned.touched))
            planned = body_of(answer, Operated)
            if lever.look is not None and wait:
                _follow(link, lever, planned, lever.look, wait)
    if not planned.touched:
        planned.dry_run = dry_run  # there was nothing to order
    page = operated_page(planned)
    page.stamp = stamp(answer)
    output.show(page, output.Format(format))


def _follow(link: Link, lever: Lever, planned: Operated, look: Look, wait: float) -> None:
    progress = Progress(lever.doing, unit="moves")
    try:
        while True:
            step = look(link, planned)
            progress.advance(step.done, step.total, step.text)
            if step.over:
                break
            if progress.seconds > wait:
                raise Partly(
                    f"{lever.doing}: {step.done} of {step.total} after {wait:g} s; {step.text or 'it goes on'}",
                    "It goes on without this command.",
                )
            time.sleep(LOOK_S)
    finally:
        progress.close()
    if step.failed:
        raise (Partly if step.done else Failure)(step.failed, "See `signalbox broker list`.")


def rebalanced(link: Link, order: Operated) -> Step:
    """How far the plan of moves is."""
    body = body_of(told(link, AskPartitions()), Partitions)
    plan = body.plan
    if plan is None:
        return Step(0, len(order.moves), "", False)
    waits = f"waits: {body.ailment}" if body.ailment else ""
    failed = "it was stopped" if plan.ended == "stopped" else ""
    return Step(plan.made, len(plan.moves), waits, bool(plan.ended), failed)
