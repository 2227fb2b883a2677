"""Who may publish, subscribe and operate. Without keys the loopback may do everything but what is the plane's own."""

from bus.attributes import Extension
from bus.errors import AccessDenied, UnknownPartition
from bus.event import is_reserved, reserved
from bus.redriven import is_redriven, refusal

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
    elif verb == "publish" and is_reserved(topic, source) and not may_say_all(principal):
        raise reserved(topic, source)
    elif verb not in VERBS:
        raise AccessDenied(f"{verb!r} is no verb of access")


def authorise_extensions(principal: str, extensions: dict[str, Extension]) -> None:
    """Raise AccessDenied unless `principal` may publish an event that has these."""
    if is_redriven(extensions) and not may_say_all(principal):
        raise refusal()


def may_say_all(principal: str) -> bool:
    """Whether it is the control plane or a broker, who say what nobody else may."""
    return principal == PLANE or principal.startswith("signalbox/")


def unknown(partition: int, partitions: int) -> UnknownPartition:
    """The error for a partition that does not exist, as far as whoever named it may know."""
    return UnknownPartition(f"partition {partition} does not exist; this fleet has {partitions}")
