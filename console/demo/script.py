"""The demo's log and its times.

The log has no times, only an order within each conversation. The rule that spreads it:

- Conversations begin `STAGGER_S` (4 s) apart, in the log's order.
- A message comes after the last one by the time to read that and to type its own text, at `CHARS_PER_S` (80) plus one
  second, at most `GAP_S_MAX` (30 s). What a terminal says (`exec.…`) comes one second after it was asked.
- A log whose events have a `time` keeps its own distances instead.

`--speed N` divides all of it by N. The events' `time` is the instant at which they are due; at full speed, where
everything is due at once, the whole play is laid into the past so that its last event is now. Round 2 and later of
`--repeat` begin when the conversations of the round before have all begun, with `-r2` added to every id and subject.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import bus
from console.failures import Failure
from console.logfile import Rejects, events

STAGGER_S = 4.0
CHARS_PER_S = 80.0
GAP_S_MAX = 30.0
TERMINAL_GAP_S = 1.0
DATA_FILE = "whowhen_algorithm.jsonl.gz"
_SECOND = 1_000_000_000


class Line(NamedTuple):
    """One event and when it is said: `due` in ns from the beginning of the play at speed 1."""

    due: int
    event: bus.Event


@dataclass(frozen=True)
class Script:
    """One round of the play, by `due`. `round_ns` after one round begins, the next one does."""

    lines: list[Line]
    round_ns: int
    sources: list[str]

    @property
    def span_ns(self) -> int:
        """From the first event to the last."""
        return self.lines[-1].due

    def rounds(self, repeat: int) -> Iterator[Line]:
        """All rounds merged, by `due`: one begins while the last conversations of the one before go on."""
        return merge(*(self._round(number) for number in range(1, repeat + 1)), key=lambda line: line.due)

    def _round(self, number: int) -> Iterator[Line]:
        shift = (number - 1) * self.round_ns
        for due, event in self.lines:
            yield Line(due + shift, event if number == 1 else again(event, number))


def again(event: bus.Event, number: int) -> bus.Event:
    """The same event in a later round: fresh id, fresh subject, fresh correlation."""
    mark = f"-r{number}"
    return event.replace(
        id=event.id + mark,
        subject=event.subject + mark if event.subject else None,
        correlationid=event.correlationid + mark if event.correlationid else None,
    )


def load(log: str | None) -> Script:
    """The log that ships with the package, or another one. Raises Failure, NotFound."""
    if log is None:
        with resources.as_file(resources.files("console.demo") / "data" / DATA_FILE) as path:
            return script(_all(str(path)))
    return script(_all(log))


def _all(log: str) -> list[bus.Event]:
    rejects = Rejects(Path("/dev/null"))
    found = list(events(log, rejects))
    if not found:
        raise Failure(f"{log} holds no event", "It should be CloudEvents, one JSON object a line.")
    return found


def script(found: list[bus.Event]) -> Script:
    """Events with the times of the rule above."""
    sources = sorted({event.source for event in found})
    if all(event.time is not None for event in found):
        begin = min(event.time or 0 for event in found)
        lines = [Line((event.time or 0) - begin, event) for event in found]
        round_ns = max(line.due for line in lines) + int(STAGGER_S * _SECOND)
    else:
        lines = _spread(found)
        round_ns = int(STAGGER_S * _SECOND) * len({event.subject for event in found})
    # Sorting is stable: what is due together keeps the log's order.
    return Script(sorted(lines, key=lambda line: line.due), round_ns, sources)


def _spread(found: list[bus.Event]) -> list[Line]:
    now: dict[str, float] = {}
    chars_before: dict[str, int] = {}
    lines = []
    for event in found:
        subject = event.subject or event.source
        if subject not in now:
            now[subject] = len(now) * STAGGER_S
        elif event.type.startswith("exec."):
            now[subject] += TERMINAL_GAP_S
        else:
            chars = chars_before[subject] + len(event.payload)
            now[subject] += min(GAP_S_MAX, 1.0 + chars / CHARS_PER_S)
        chars_before[subject] = len(event.payload)
        lines.append(Line(int(now[subject] * _SECOND), event))
    return lines
