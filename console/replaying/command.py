"""`replay run` from the order to its end: count, show, ask, run, and say how to go on."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from console import output as out
from console.commands.agreeing import agree, agree_by_number
from console.commands.asking import LONG_ANSWER_S, body_of, stamp, told
from console.commands.publishing import reaching
from console.failures import INTERRUPTED, Ended, Failure, NotFound, Partly, Usage
from console.fleetdir import Fleet, question_url
from console.importing import connect
from console.limits import NUMBER_TYPED_FROM, REPLAY_PAGE
from console.link import Link
from console.measure import many
from console.progress import Progress
from console.replaying import shadow
from console.replaying.control import Control, listening
from console.replaying.pages import left_out_text, page, plan_text, result_text
from console.replaying.plan import Order, Replayed, planned
from console.replaying.runner import Runner
from console.replaying.sinks import Sink, ToFleet, to_file
from controlplane.questions import AskGroups, AskSlice, AskSlicePage, Groups, Slice, Sliced, SlicePage


def run(order: Order, fleet: Fleet, format: str, dry_run: bool, yes: bool) -> None:
    """The whole of it. Raises Usage, NotFound for an empty slice, Partly when some of it was not done."""
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if order.to == "file":
        yes = True  # nothing that runs is touched
    elif not (dry_run or yes or asks):
        raise Usage("without a terminal to ask on, replay run needs --yes", "--dry-run shows what it would do.")
    if order.to == "shadow":
        shadow.check(Path(order.where), fleet)
    # With times that move, an event's end moves along; a file delivers nothing.
    expired_at = None if order.restamp or order.to == "file" else time.time_ns()
    with Link(question_url(fleet)) as link:
        answer = told(link, AskSlice(order.slice, expired_at), LONG_ANSWER_S, label="counting")
        sliced = body_of(answer, Sliced)
        if not sliced.events:
            left = left_out_text(sliced.left_out)
            raise NotFound(
                "no event in that slice is one to replay" + (f" (left out: {left})" if left else ""),
                "`signalbox event search` shows what there is.",
            )
        _check_room(link, order)
        groups = body_of(told(link, AskGroups()), Groups).rows
        result = planned(order, sliced, groups, dry_run)
        if dry_run:
            shown = page(result, f"{plan_text(order, result)}\n  dry run: nothing was done")
            shown.stamp = stamp(answer)
            out.show(shown, out.Format(format))
            return
        out.say(plan_text(order, result))
        if not yes:
            _confirm(result)
        _go(order, sliced, result, fleet, link, expired_at)
    _tell(result, format)


def _check_room(link: Link, order: Order) -> None:
    """A prefix is for replays alone, unless asked twice: raises Usage when other events have types under it."""
    if order.to != "prefix" or order.live:
        return
    there = body_of(told(link, AskSlice(Slice(pattern=f"{order.where}>")), LONG_ANSWER_S), Sliced)
    if there.events:
        example = next(iter(there.types))
        live = many(there.events, "live event has its type", "live events have their types")
        raise Usage(
            f"--prefix {order.where} is where {live}, {example} for one",
            "Choose a prefix that nobody publishes under; if it has to be this one, add --live and a --reason.",
        )


def _confirm(result: Replayed) -> None:
    """Ask on the terminal; into live types, or for very many, by typing the number. Raises Failure."""
    if result.live or result.events >= NUMBER_TYPED_FROM:
        agree_by_number(f"Type {result.events} to replay them", result.events, "nothing was replayed")
    else:
        agree(f"Replay these {result.events:,}?", "nothing was replayed")


def _go(order: Order, sliced: Sliced, result: Replayed, fleet: Fleet, link: Link, expired_at: int | None) -> None:
    """Run it; the result is filled in. Raises Failure where it could not even begin."""

    def pages(after: int) -> SlicePage:
        question = AskSlicePage(order.slice, sliced.up_to, after, expired_at, REPLAY_PAGE)
        return body_of(told(link, question, LONG_ANSWER_S), SlicePage)

    home = fleet
    if order.to == "shadow":
        home = shadow.start(Path(order.where), order.brokers, fleet, order.name)
    progress = Progress(f"replay {order.name}", result.events)

    async def go() -> None:
        try:
            async with _sink(order, home) as sink:
                await _watched(Runner(order, order.stamp(sliced, time.time_ns()), pages, sink, result), progress)
        finally:
            link.close()  # so that a page that is on its way keeps nobody waiting

    try:
        with reaching():
            asyncio.run(go())
    finally:
        progress.close()
    result.seconds = progress.seconds
    _look_back(order, result)


@asynccontextmanager
async def _sink(order: Order, home: Fleet) -> AsyncIterator[Sink]:
    if order.to == "file":
        with to_file(order.where) as file:
            yield file
        return
    async with connect(home) as client:
        yield ToFleet(client)


async def _watched(runner: Runner, progress: Progress) -> None:
    """The run, with the bar, the keys and the signals."""
    keys = sys.stdin.isatty() and sys.stderr.isatty()

    def draw(done: int, at_once: bool = False) -> None:
        said = "paused, p goes on" if control.paused else "p pauses, q stops" if keys else ""
        progress.advance(done, text=said, at_once=at_once)

    control = runner.control = Control(on_change=lambda: draw(runner.done, at_once=True))
    with listening(control, keys):
        await runner.run(draw)


def _look_back(order: Order, result: Replayed) -> None:
    """What is left to do, and how."""
    done = result.published + result.duplicates + result.refused
    if result.ended == "done":
        if done != result.events:
            result.error = f"the journal had {done:,} of the {many(result.events, 'event')} that had been counted"
    elif result.reached < result.last:
        result.go_on = order.go_on(result.reached + 1 if result.reached else result.first, result.last)


def _tell(result: Replayed, format: str) -> None:
    """Show it, and end with the right code."""
    said = result_text(result)
    if result.to == "file" and result.where == "-":
        out.say(said)
    else:
        out.show(page(result, said), out.Format(format))
    done = result.published + result.duplicates
    if result.ended == "interrupted" and not done:
        raise Ended(INTERRUPTED)
    if result.refused and not result.error:
        result.error = f"refused: {result.refused:,} of {many(result.events, 'event')}"
    if result.error or result.ended == "interrupted":
        message = result.error or f"interrupted after {done:,} of {many(result.events, 'event')}"
        # How to go on was just said, with all the rest.
        raise (Partly if done else Failure)(message)
