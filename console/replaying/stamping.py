"""A recorded event -> the event that a replay publishes. Pure: the same run gives the same ids, however often it runs.

What it carries of its origin, as extension attributes:

| attribute | says |
|---|---|
| `replayrun` | the run that published it |
| `replayof` | the recorded event's id; `source` and type are its own |
| `replaytime` | its `time`, where it had one |
| `replayposition`, `replaypartition`, `replayoffset` | where it stands in the journal and in its partition |
| `replayreason` | why, if that was said |
| `replayrequires` | under a prefix: what it `requires`, which it does no more |

`id` and `causationid` are `[PREFIX]RUN/` and what they were: brokers know by source and id that an event of this run is
there already, and causes stay causes within the run. `deps` is left out, as its offsets are those of other events. An
`expirytime` moves with a `time` that is restamped. Under a prefix nothing is dispatched: a rehearsal is nobody's work.
"""

from typing import Any, NamedTuple

import bus
from controlplane.questions import REPLAY_RUN, Recorded

_LAST = (1 << 63) - 1
"""The last instant that an event can name, ns; what is to live for ever may expire about then."""


class Restamp(NamedTuple):
    """Times that were `first` become `anchor`, and `speed` times as far from it as from each other. Nanoseconds."""

    first: int
    anchor: int
    speed: float

    def __call__(self, instant: int) -> int:
        """Where an instant comes to."""
        return self.anchor + int((instant - self.first) / self.speed)


class Stamp(NamedTuple):
    """What becomes of each event. `importof`: the log that it is one of now, "" for none; None leaves it as it was."""

    run: str
    prefix: str = ""
    importof: str | None = None
    restamp: Restamp | None = None
    reason: str = ""

    def __call__(self, event: bus.Event, at: Recorded, now: int) -> bus.Event:
        """The event that is published at `now`, a restamped time of which is never later than that."""
        mark = f"{self.prefix}{self.run}/"
        changes: dict[str, Any] = {"id": mark + event.id, "deps": None, "extensions": self._extensions(event, at)}
        if event.causationid:
            changes["causationid"] = mark + event.causationid
        if self.restamp is not None and event.time is not None:
            time = min(now, self.restamp(event.time))
            changes["time"] = time
            if event.expirytime is not None:
                changes["expirytime"] = min(_LAST, event.expirytime - event.time + time)
        if not self.prefix:
            return event.replace(**changes)
        changes["type"] = self.prefix + event.type
        if event.requires:
            changes["requires"] = None
            changes["extensions"]["replayrequires"] = " ".join(event.requires)
        for name in ("subject", "correlationid"):
            if getattr(event, name):
                changes[name] = self.prefix + getattr(event, name)
        key = self.prefix + event.key
        replayed = event.replace(**changes)
        # A key may come from the subject of one event and from another attribute of the next: it stays one key.
        return replayed if replayed.key == key else replayed.replace(partitionkey=key)

    def _extensions(self, event: bus.Event, at: Recorded) -> dict[str, str | int | bool]:
        found = dict(event.extensions)
        log = found.get("importof", "")
        if self.importof:
            found["importof"] = f"{self.importof}/{log}" if log else self.importof
        elif self.importof is not None:
            found.pop("importof", None)
        found[REPLAY_RUN] = self.run
        found["replayof"] = event.id
        if event.time is not None:
            found["replaytime"] = event.time_text or bus.format_time(event.time)
        found["replayposition"] = str(at.position)
        found["replaypartition"] = at.partition
        found["replayoffset"] = str(at.offset)
        if self.reason:
            found["replayreason"] = self.reason
        return found
