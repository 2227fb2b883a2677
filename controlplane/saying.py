"""What the plane itself says on the bus: events of source `signalbox/plane`, which is its own alone. Pure."""

from typing import Any

import msgspec

from controlplane.facts import PublishEvent

PLANE_SOURCE = "signalbox/plane"


def say(type: str, data: Any, key: str, **attributes: str | bool) -> PublishEvent:
    """The intent to publish an event of `type` with JSON `data`, ordered by `key` (its `partitionkey`).

    It has no subject, so that it belongs to no saga unless `attributes` (`subject`, `correlationid`, `causationid`,
    `traceparent`, `priority`, extensions) say so; empty ones are left out. The step gives it its id.
    """
    event: dict[str, Any] = {"specversion": "1.0", "type": type, "source": PLANE_SOURCE, "partitionkey": key}
    event |= {name: value for name, value in attributes.items() if value}
    return PublishEvent("", msgspec.json.encode(event | {"data": data}))
