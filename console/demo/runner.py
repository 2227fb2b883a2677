"""The demo from beginning to end: a fleet of its own, the play, the check, and nothing left behind.

The control plane holds the other end of a pipe from this process, so that the fleet ends with it, however that happens.
Ctrl-C, SIGTERM and a closed terminal end the play early; the check and the summary still come.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console import output as out
from console.demo.check import Summary, archived_ids, compare, status, summary, text
from console.demo.script import Script, load
from console.demo.stage import Pace, Stage
from console.failures import INTERRUPTED, Ended, Failure
from console.link import Link
from console.measure import many
from console.planeprocess import PlaneProcess, command
from console.progress import Progress
from console.terminal import console_command, signals_interrupt

SETTLE_S = 10.0
LOOK_S = 0.2


@dataclass(frozen=True)
class Play:
    """What to play: speed 0 is full speed; `screen` opens the console on it."""

    speed: float
    repeat: int
    seconds: float | None
    log: str | None
    brokers: int
    data_dir: Path | None
    screen: bool


def run(play: Play, format: str) -> None:
    """Play and show the summary. Raises Failure when anything was lost."""
    script = load(play.log)
    folder = (
        play.data_dir.expanduser().absolute() if play.data_dir else Path(tempfile.mkdtemp(prefix="signalbox-demo-"))
    )
    began = time.monotonic()
    try:
        with signals_interrupt():
            shown, interrupted = _on_fleet(play, script, folder)
    finally:
        if play.data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    said = text(shown) + f"\nall in {time.monotonic() - began:.1f} s; the fleet has ended"
    if play.data_dir is not None:
        said += f", its data is in {folder}"
    out.show(out.Page(shown, [shown], above=said), out.Format(format))
    if interrupted:
        raise Ended(INTERRUPTED)
    if not shown.ok:
        raise Failure("archived is not what was published" if shown.archived != shown.published else shown.problems[0])


def _on_fleet(play: Play, script: Script, folder: Path) -> tuple[Summary, bool]:
    out.say(f"starting a control plane and {many(play.brokers, 'broker')} in {folder}")
    plane = PlaneProcess(command(folder, play.brokers, while_stdin=True), folder, tied=True)
    try:
        url = plane.wait_ready().controlplane.url
        with Link(url) as link:
            return _play(play, script, folder, link)
    finally:
        code = plane.end()
        if code != 0:
            out.say(f"the control plane ended with code {code}")


def _play(play: Play, script: Script, folder: Path, link: Link) -> tuple[Summary, bool]:
    """The summary, and whether the play was stopped by a signal."""
    there_before = archived_ids(link) if play.data_dir is not None else set()
    progress = Progress("publishing", len(script.lines) * play.repeat)
    pace = Pace(play.speed, play.repeat, play.seconds)
    stage = Stage(script, pace, (lambda _done, _total: None) if play.screen else progress.advance)
    interrupted = False
    try:
        asyncio.run(_with_screen(stage, folder, link.url) if play.screen else stage.run(folder))
    except KeyboardInterrupt:
        interrupted = True
        played_so_far = len(stage.played.published)
        out.say(f"stopped early, with {played_so_far:,} published")
    finally:
        progress.close()
    played = stage.played
    out.say(f"published {len(played.published):,}; waiting until all of it is archived, then comparing")
    verdict = compare(link, played.published, there_before)
    if interrupted:
        # What was under way when it was stopped may have been appended though its ack was not awaited.
        verdict.extra.clear()
        verdict.archived = min(verdict.archived, len(played.published))
    there = _settled(link, sum(group.given_up for group in played.groups))
    return summary(played, verdict, there), interrupted


async def _with_screen(stage: Stage, folder: Path, url: str) -> None:
    """Publish in the background while the console has the terminal; the play ends when the console does."""
    ended = asyncio.Event()
    process = await asyncio.create_subprocess_exec(*console_command(url, "demo"))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def watch() -> None:
        await process.wait()
        ended.set()

    try:
        await _both(stage.run(folder, ended), watch())
    finally:
        signal.signal(signal.SIGINT, before)
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        sys.stderr.write(f"the console ended with code {process.returncode}\n")


async def _both(*work: Coroutine[Any, Any, None]) -> None:
    """Run both; the first error ends the other."""
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)


def _settled(link: Link, dead: int) -> Any:
    """The status once the plane has counted the dead letters that the consumers made; at the latest after SETTLE_S."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        now = status(link)
        if ((now.counts.dead_letters or 0) >= dead and now.controlplane.behind == 0) or time.monotonic() > deadline:
            return now
        time.sleep(LOOK_S)
