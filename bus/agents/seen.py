"""Which events were handled already: a window over the last ones of a group. Pure.

| an event is | until |
|---|---|
| running | `end`: done, or not, as when its handler failed: then it is as if it had never come |
| done | `most` others have been done after it |

It is known by (source, id), as CloudEvents have it.
"""

from typing import NamedTuple

from bus.agents.limits import SEEN_EVENTS_MAX
from bus.event import Event

NEW, RUNNING, DONE = "new", "running", "done"


class Key(NamedTuple):
    """What makes two events the same one."""

    source: str
    id: str


def key_of(event: Event) -> Key:
    """An event's."""
    return Key(event.source, event.id)


class Seen:
    """See the module."""

    def __init__(self, most: int = SEEN_EVENTS_MAX) -> None:
        self._most = most
        self._running: set[Key] = set()
        self._done: dict[Key, None] = {}

    def begin(self, key: Key) -> str:
        """What is known of an event that came: NEW, and it is running from now on, or RUNNING, or DONE."""
        if key in self._running:
            return RUNNING
        if key in self._done:
            return DONE
        self._running.add(key)
        return NEW

    def end(self, key: Key, done: bool) -> None:
        """It runs no longer; if it is done it will not be again."""
        self._running.discard(key)
        if done:
            self._done[key] = None
            if len(self._done) > self._most:
                del self._done[next(iter(self._done))]

    def __len__(self) -> int:
        return len(self._done)
