"""The lever on content rules: show what would change and what it would have done, ask, and decide on just that."""

import sys
from pathlib import Path

import msgspec

from console import output
from console.commands.agreeing import agree
from console.commands.asking import LONG_ANSWER_S, body_of, stamp, told
from console.commands.routepages import changed_page
from console.failures import Usage
from console.fleetdir import question_url, resolve
from console.link import Link
from controlplane.questions import RoutesChanged, SetRoutes


def pull(
    order: SetRoutes, doing: str, since: int, data_dir: Path | None, format: str, dry_run: bool, yes: bool,
    reason: str, by: str,
) -> None:  # fmt: skip
    """The whole of it. Raises Usage without a terminal to ask on."""
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if not (dry_run or yes or asks):
        raise Usage(f"without a terminal to ask on, {doing} needs --yes", "--dry-run shows what it would change first.")
    with Link(question_url(resolve(data_dir))) as link:
        tries = since if dry_run or not yes else 0
        plan = msgspec.structs.replace(order, dry_run=True, since=tries)
        answer = told(link, plan, LONG_ANSWER_S, "trying" if tries else "")
        planned = body_of(answer, RoutesChanged)
        if not dry_run and planned.touched:
            if not yes:
                output.say(output.table_of(changed_page(planned), None, False))
                agree(f"{doing[0].upper()}{doing[1:]}: this?")
            final = msgspec.structs.replace(order, reason=reason, by=by, expected=planned.version)
            answer = told(link, final)
            planned = body_of(answer, RoutesChanged)
    page = changed_page(planned)
    page.stamp = stamp(answer)
    output.show(page, output.Format(format))
