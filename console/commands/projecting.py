"""Levers on projections: show the exact set, ask, decide on that set, and follow the building to its end.

What was decided goes on whether or not anyone waits for it: Ctrl-C, or `--wait 0`, leaves it going.
"""

import sys
import time
from pathlib import Path

import msgspec

from console import output
from console.commands.agreeing import agree
from console.commands.asking import body_of, stamp, told
from console.commands.projectionpages import projected_page
from console.failures import Failure, Partly, Usage
from console.fleetdir import question_url, resolve
from console.link import Link
from console.progress import Progress
from controlplane.questions import AskProjections, Project, Projected, Projections

LOOK_S = 0.5
LOADING_S = 90.0
"""How long it may take to load code, or to try a view."""


def pull(order: Project, doing: str, data_dir: Path | None, format: str, dry_run: bool, yes: bool, wait: float) -> None:
    """The whole of it. Raises Usage without a terminal to ask on, Partly when `wait` seconds did not do."""
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if not (dry_run or yes or asks):
        raise Usage(f"without a terminal to ask on, {doing} needs --yes", "--dry-run shows what it would do first.")
    with Link(question_url(resolve(data_dir))) as link:
        answer = told(link, msgspec.structs.replace(order, dry_run=True), LOADING_S)
        planned = body_of(answer, Projected)
        if not dry_run:
            if not yes:
                output.say(output.table_of(projected_page(planned), None, False))
                agree(f"{doing[0].upper()}{doing[1:]}: this?")
            answer = told(link, msgspec.structs.replace(order, expected=planned.touched), LOADING_S)
            planned = body_of(answer, Projected)
            if wait:
                _follow(link, order.name, doing, planned.position, wait)
    page = projected_page(planned)
    page.stamp = stamp(answer)
    output.show(page, output.Format(format))


def _follow(link: Link, name: str, doing: str, build: int, wait: float) -> None:
    progress = Progress(doing, unit="positions")
    try:
        while True:
            answer = told(link, AskProjections(name))
            row = body_of(answer, Projections).rows[0]
            if row.build != build or row.state == "following":
                return
            if row.state in ("quarantined", "standing"):
                raise Failure(f"projection {name}: {row.why}", f"signalbox projection show {name}")
            progress.advance(row.reached or 0, answer.position, row.why)
            if progress.seconds > wait:
                at = f"at {row.reached or 0:,} of {answer.position:,} after {wait:g} s"
                raise Partly(f"{doing} {name}: {at}", "It goes on without this command.")
            time.sleep(LOOK_S)
    finally:
        progress.close()
