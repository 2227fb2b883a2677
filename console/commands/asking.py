"""A question from the command line: find the fleet, ask, turn refusals into exit codes, show the page, watch."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from console import output
from console.commands import options
from console.failures import BY_REFUSAL, Failure, Unreachable, Usage
from console.fleetdir import Fleet, question_url, resolve
from console.link import Link, NoAnswer
from console.measure import DAY, clock, day
from console.moments import of_then
from console.output import Format, Page
from console.progress import Progress
from controlplane import questions

Body = TypeVar("Body")
ANSWER_S = 5.0
LONG_ANSWER_S = 120.0
WATCH_S = 1.0


def moment(text: str | None) -> questions.At | None:
    """What `--at` names; None when it is not given. Raises Usage."""
    return None if text is None else options.moment(text, time.time_ns())


def told(
    link: Link,
    question: questions.Question,
    timeout: float = ANSWER_S,
    label: str = "",
    at: questions.At | None = None,
) -> questions.Told:
    """The answer, `at` a moment when one is given, progress shown meanwhile when there is a `label`.

    Raises a Failure for a refusal or no answer.
    """
    progress = Progress(label, unit="entries") if label else None

    def step(work: questions.Progress) -> None:
        if progress is not None:
            progress.advance(work.done, work.total, work.text)

    try:
        answer = link.ask(question, timeout, step, at)
    except NoAnswer as error:
        raise Unreachable(str(error), "See `signalbox doctor`; `signalbox up` starts it again.") from error
    finally:
        if progress is not None:
            progress.close()
    if isinstance(answer.body, questions.Refusal):
        refusal = answer.body
        message = of_then(refusal.message) if answer.past else refusal.message
        raise BY_REFUSAL.get(refusal.code, Failure)(message, refusal.hint)
    return answer


def ask(
    fleet: Fleet,
    question: questions.Question,
    kind: type[Body],
    timeout: float = ANSWER_S,
    label: str = "",
    at: questions.At | None = None,
) -> tuple[Body, questions.Told]:
    """One question on a line of its own; `kind` is the answer that is due."""
    with Link(question_url(fleet)) as link:
        answer = told(link, question, timeout, label, at)
    return body_of(answer, kind), answer


def body_of(answer: questions.Told, kind: type[Body]) -> Body:
    """The body, if it is what was asked for."""
    if not isinstance(answer.body, kind):
        raise Failure(f"asked for {kind.__name__}, and the control plane answered {type(answer.body).__name__}")
    return answer.body


def stamp(answer: questions.Told) -> dict[str, int]:
    """Where an answer holds, as JSON has it."""
    place = {"position": answer.position, "recorded": answer.recorded}
    return place | ({"rebuilding": True} if answer.rebuilding else {})


def finished(page: Page, answer: questions.Told) -> Page:
    """The page with where its answer holds, and a heading that says so when that is in the past."""
    page.stamp = stamp(answer)
    if answer.past:
        page.as_of = as_of(answer, time.time_ns())
    return page


def begins(position: int) -> str:
    """What is missing of events and facts: retention let go of those up to this position."""
    return f"▲ the journal begins after position {position:,}: retention let go of what was before"


def as_of(answer: questions.Told, now: int) -> str:
    """`as of 14:03:12.123, position 120,431`, UTC as all clocks here, with the day when it is not today's."""
    if not answer.position:
        return "as of before the first entry: nothing was there yet"
    date = "" if answer.recorded // DAY == now // DAY else f"{day(answer.recorded)} "
    return f"as of {date}{clock(answer.recorded, 3)}, position {answer.position:,}"


def show(
    data_dir: Path | None,
    format: str,
    question: questions.Question,
    kind: type[Body],
    view: Callable[[Body, questions.Told], Page],
    watch: bool = False,
    timeout: float = ANSWER_S,
    label: str = "",
    at: str | None = None,
) -> Any:
    """Ask, show, and with `watch` again each second until Ctrl-C. The last body is returned.

    `at`, a position or a time as text, is the moment that is asked as of. Raises Usage when there is no such one.
    """
    if at is not None and watch:
        raise Usage("--watch follows the present, --at names a moment of the past: one of them")
    then = moment(at)
    fleet = resolve(data_dir)
    if not watch:
        if then is not None:
            timeout, label = LONG_ANSWER_S, "going back"
        body, answer = ask(fleet, question, kind, timeout, label, then)
        output.show(finished(view(body, answer), answer), Format(format))
        return body
    return _watch(fleet, Format(format), question, kind, view)


def _watch(
    fleet: Fleet,
    format: Format,
    question: questions.Question,
    kind: type[Body],
    view: Callable[[Body, questions.Told], Page],
) -> Any:
    redraw = format is Format.table and sys.stdout.isatty()
    body = None
    with Link(question_url(fleet)) as link:
        try:
            while True:
                answer = told(link, question)
                body = body_of(answer, kind)
                if redraw:
                    output.write("\x1b[H\x1b[2J")
                output.show(finished(view(body, answer), answer), format)
                time.sleep(WATCH_S)
        except KeyboardInterrupt:
            return body
