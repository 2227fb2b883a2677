"""What holders of leases say, and what the plane said to them, in few words."""

from typing import Any

from bus import lease as rules
from controlplane.limits import LEASE_SLACK_MS
from tests.controlplane.coordinated import Saying, Told

TTL = 5_000
ENDS = TTL + LEASE_SLACK_MS


def requested(lease: str, by: str = "agent/a", resource: str = "r", **more: Any) -> Saying:
    return rules.REQUESTED, by, {"lease": lease, "resource": resource, "ttl_ms": TTL} | more


def renewed(lease: str, token: int, by: str = "agent/a", resource: str = "r", renewal: int = 1) -> Saying:
    return rules.RENEWED, by, {"lease": lease, "resource": resource, "token": token, "renewal": renewal}


def released(lease: str, token: int = 0, by: str = "agent/a", resource: str = "r", asked: int = 0) -> Saying:
    return rules.RELEASED, by, {"lease": lease, "resource": resource, "token": token, "asked": asked}


def told(said: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str, str]]:
    """Last token of the type, lease, why."""
    return [(type.partition(".")[2], data["lease"], data.get("why", "")) for type, data in said]


def holders(plane: Told, resource: str = "r") -> set[str]:
    return {id for id, lease in plane.leases().items("lease") if lease.token and lease.resource == resource}
