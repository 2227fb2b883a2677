"""What one turn has to say to one peer, gathered into few frames. Pure.

A frame costs both sides more than a message: numbering, a queue, a wake-up. What is said before `take` leaves in one
frame, as long as it stays within the bounds of one. Only what comes often and has a short head is gathered; anything
else leaves by itself, in its place in the order.
"""

from bus import limits, wire

GATHERED = frozenset({wire.Ship, wire.Shipped, wire.Published, wire.Deliver, wire.Settled, wire.Records})
Said = tuple[wire.Message, "list[bytes] | tuple[bytes, ...]"]


class Outbox:
    """Messages that wait for the end of a turn, in order."""

    __slots__ = ("_alone", "_bytes", "_parts", "_said")

    def __init__(self) -> None:
        self._alone = False
        self._said: list[Said] = []
        self._parts = 1
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._said)

    def fits(self, message: wire.Message, blobs: "list[bytes] | tuple[bytes, ...]") -> bool:
        """Whether a message with these blobs may join the others."""
        return not self._said or (
            not self._alone
            and _is_gathered(message)
            and len(self._said) < limits.BUNDLE_MESSAGES_MAX
            and self._parts + len(blobs) < limits.FRAME_PARTS_MAX
            and self._bytes + sum(map(len, blobs)) <= limits.BUNDLE_BYTES_MAX
        )

    def add(self, message: wire.Message, blobs: "list[bytes] | tuple[bytes, ...]") -> None:
        """One more message; it must fit."""
        self._said.append((message, blobs))
        self._alone = not _is_gathered(message)
        self._parts += len(blobs)
        self._bytes += sum(map(len, blobs))

    def take(self) -> Said:
        """All of it as one message; the box is empty then."""
        said, self._said, self._parts, self._bytes = self._said, [], 1, 0
        return said[0] if len(said) == 1 else wire.bundled(said)


def _is_gathered(message: wire.Message) -> bool:
    """An answer that names repeats may have 20 bytes for each event: alone it fits a frame, 32 of them do not."""
    if type(message) is wire.Published:
        return not any(outcome.repeats for outcome in message.outcomes.values())
    return type(message) in GATHERED
