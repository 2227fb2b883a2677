"""Publish frames that are out, until their broker has answered every batch in them, or nobody waits for any. Pure.

A broker counts as busy with the frames that hold events of concurrent `publish` calls: others gather meanwhile.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from bus import limits
from bus.client.lane import Batch

Link = TypeVar("Link", bound=Hashable)


class Frame(Generic[Link]):
    """One of them, sent as request `number`. `pending`: section -> batch, of those that are not answered."""

    __slots__ = ("link", "number", "pending", "sections", "shared")

    def __init__(self, number: int, link: Link, batches: Sequence[Batch], shared: bool) -> None:
        self.number = number
        self.link = link
        self.sections = len(batches)
        self.pending = dict(enumerate(batches))
        self.shared = shared


class Frames(Generic[Link]):
    """All of one client. `forget(frame)` is told of each that is over."""

    def __init__(self, forget: Callable[[Frame[Link]], None]) -> None:
        self._forget = forget
        self._out: dict[int, Frame[Link]] = {}
        self._busy = Counter[Link]()

    def __len__(self) -> int:
        return len(self._out)

    def busy(self, link: Link) -> int:
        """With how many frames of concurrent calls a broker is busy."""
        return self._busy[link]

    def send(self, number: int, link: Link, batches: Sequence[Batch], shared: bool) -> Frame[Link]:
        """One more is out. `shared`: it holds events of concurrent calls."""
        frame = self._out[number] = Frame(number, link, batches, shared)
        if shared:
            self._busy[link] += 1
        return frame

    def over(self, frame: Frame[Link]) -> None:
        """It is answered, or its session is over, or nobody waits for it. Idempotent."""
        if self._out.pop(frame.number, None) is None:
            return
        if frame.shared:
            self._busy[frame.link] -= 1
            if not self._busy[frame.link]:
                del self._busy[frame.link]
        self._forget(frame)

    def drop_settled(self) -> None:
        """End those of whose batches none waits any more: they have expired, or were answered when sent again."""
        for frame in list(self._out.values()):
            if all(batch.settled for batch in frame.pending.values()):
                self.over(frame)


def parcels(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Batches for one broker, in order, as many to a frame as its bounds allow; one of them at least."""
    found: list[list[Batch]] = []
    room = 0
    for batch in batches:
        room -= len(batch.body)
        if not found or room < 0 or len(found[-1]) == limits.FRAME_PARTS_MAX - 1:
            found.append([])
            room = limits.PUBLISH_FRAME_BYTES_MAX - len(batch.body)
        found[-1].append(batch)
    return found
