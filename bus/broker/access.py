"""Who may publish, subscribe and operate. Without keys the loopback may do everything but what is the plane's own."""

from bus.errors import AccessDenied, UnknownPartition
from bus.event import is_reserved, reserved

PLANE = "plane"
VERBS = frozenset({"publish", "subscribe", "operate"})


def authorise(principal: str, verb: str, topic: str, source: str = "") -> None:
    """Raise AccessDenied unless `principal` may do `verb` (publish, subscribe, operate) on `topic`.

    For publish, `topic` is the event's type and `source` its source; for subscribe, a pattern; for operate, the verb of
    the plane. `signalbox/<broker id>` is the broker itself, which may publish what is reserved.
    """
    if verb == "operate":
        if principal != PLANE:
            raise AccessDenied(f"{topic} is for the control plane; claim this broker first")
    elif (
        verb == "publish"
        and is_reserved(topic, source)
        and principal != PLANE
        and not principal.startswith("signalbox/")
    ):
        raise reserved(topic, source)
    elif verb not in VERBS:
        raise AccessDenied(f"{verb!r} is no verb of access")


def unknown(partition: int, partitions: int) -> UnknownPartition:
    """The error for a partition that does not exist, as far as whoever named it may know."""
    return UnknownPartition(f"partition {partition} does not exist; this fleet has {partitions}")
