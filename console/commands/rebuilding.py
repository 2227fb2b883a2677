"""`doctor --rebuild-journal`: the damaged segments of a journal that nobody runs, made again.

The work is a process's (`python -m controlplane.rebuild`): DuckDB is not loaded here.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from console.commands.agreeing import agree
from console.commands.options import operator
from console.failures import Failure, Partly, Usage
from console.fleetdir import brokers_of, plane_of, resolve
from console.limits import MISSING_SHOWN_MAX, PLANE_SAID_BYTES_MAX
from console.measure import many
from console.output import Column, Format, Page, say, show, table_of
from console.terminal import PYTHON


def rebuild(data_dir: Path | None, format: str, dry_run: bool, yes: bool, reason: str) -> None:
    """The whole of it. Raises Usage without a terminal to ask on, Partly where something is missing for good."""
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if not (dry_run or yes or asks):
        raise Usage("without a terminal to ask on, this needs --yes", "--dry-run shows the exact set first.")
    fleet = resolve(data_dir)
    if fleet.url:
        raise Usage("a journal is rebuilt where it is", "Name its directory with --data-dir, without SIGNALBOX_URL.")
    if plane_of(fleet) is not None or brokers_of(fleet):
        raise Failure(f"the fleet in {fleet.data_dir} runs, and its files are its own", "signalbox down")
    report = ask(fleet.data_dir, "--dry-run")
    if not dry_run and report["rebuilt"]:
        if not yes:
            say(table_of(page_of(report), None, False))
            agree(f"Make these {len(report['rebuilt'])} again?")
        planned = report["rebuilt"]
        report = ask(fleet.data_dir, "--by", operator(), "--reason", reason)
        if [one["segment"] for one in report["rebuilt"]] != [one["segment"] for one in planned]:
            raise Partly("other segments were made again than were shown", "See the journal's folder `damaged`.")
    show(page_of(report), Format(format))
    if not dry_run and (report["lost"] or any(one["missing"] for one in report["rebuilt"])):
        raise Partly("what nobody had any more is missing, as shown", "signalbox up")


def ask(folder: Path, *flags: str) -> dict[str, Any]:
    """What that process says. Raises Failure in its words."""
    line = [*PYTHON, "controlplane.rebuild", "--data-dir", str(folder), *flags]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr[-PLANE_SAID_BYTES_MAX:].decode(errors="replace").strip().splitlines()
        raise Failure(said[-1] if said else f"it ended with code {done.returncode}")
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def page_of(report: dict[str, Any]) -> Page:
    """Segments that were, or would be, made again, and all that is missing."""
    columns: list[Column] = [
        Column("segment", lambda one: f"{one['segment']:06d}"),
        Column("why", lambda one: one["why"], flex=True),
        Column("positions", lambda one: f"{one['first']:,}–{one['last']:,}" if one["steps"] else "none"),
        Column("events", lambda one: f"{one['events']:,}", "r"),
        Column("missing", lambda one: f"{sum(each['count'] for each in one['missing']):,}", "r"),
        Column("moved to", lambda one: one["aside"] or one["file"] or "–"),
    ]
    return Page(report, report["rebuilt"], columns, above=_above(report), below=_below(report))


def _above(report: dict[str, Any]) -> str:
    count, sound = len(report["rebuilt"]), len(report["sound"])
    if not count:
        return f"● the journal holds together: {many(sound, 'segment')}, to position {report['position']:,}"
    done = "would be made again" if report["dry_run"] else "made again"
    stores = ", ".join(report["brokers"]) or "no broker's store"
    done = f"{count} of {many(count + sound, 'segment')} {done}, of {stores}"
    return f"{done}; the journal then ends at {report['position']:,}"


def _below(report: dict[str, Any]) -> str:
    lines = [
        f"missing: p{each['partition']:02d} offsets {each['first']:,} to {each['first'] + each['count'] - 1:,}, "
        f"at position {each['position']:,}: retention took these events; their positions stay"
        for one in report["rebuilt"]
        for each in one["missing"]
    ]
    if len(lines) > MISSING_SHOWN_MAX:
        lines[MISSING_SHOWN_MAX:] = [
            f"… and {many(len(lines) - MISSING_SHOWN_MAX, 'more stretch', 'more stretches')}: -o json"
        ]
    lines += [f"lost: {line}" for line in report["lost"]]
    if report["open_end"]:
        lines.append(f"the copy ends at position {report['position']:,}: facts after that, if there were any, are lost")
    lines += [f"{broker}: its store cannot be read: {why}" for broker, why in report["unreadable"].items()]
    if report["rebuilt"] and not report["dry_run"]:
        lines.append("signalbox up   (with --take-over --reason, if it says that brokers knew a newer plane)")
    return "\n".join(lines)
