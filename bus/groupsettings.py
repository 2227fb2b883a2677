"""What a group may be, what its members must agree on, and what an operator may change while they go on. Pure.

The first member's settings make the group; each other member must come with the same ones, or it gets GroupConflict.
An operator changes `CHANGEABLE` ones at all partitions. They are `governed` from then on: whatever a member comes with,
the operator's value holds, and the member is told. So programs need not be changed at the same moment, nor started
again; what a program says counts again when the group is removed and made anew.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from bus import limits
from bus.errors import ClientError, GroupConflict
from bus.holdback import GAPS, GROUP_LATE
from bus.topic import check_pattern
from bus.wire import GroupSettings

ORDERS = ("none", "strict", "timestamp", "causal")
"""What a group's order can be."""
CHANGEABLE = ("ack_wait_ms", "max_deliver")
"""What an operator may change. The rest says which events a group gets, and in what order: another one is another
group."""
_AGREED = ("pattern", "order", "ack_wait_ms", "max_deliver", "park", "lateness_ms", "late", "gap")


def check_settings(group: str, settings: GroupSettings) -> None:
    """Refuse what no group can be: raises ClientError, which names the field and its bounds."""
    if not 0 < len(group) <= limits.GROUP_NAME_CHARS_MAX:
        raise ClientError(f"group: a name of {len(group)} characters; 1 to {limits.GROUP_NAME_CHARS_MAX} are possible")
    check_pattern(settings.pattern)
    if settings.order not in ORDERS:
        raise ClientError(f"order={settings.order!r} is not supported; group {group} can have {', '.join(ORDERS)}")
    if settings.park and settings.order != "strict":
        raise ClientError(f"park: only a group with order='strict' parks keys, and {group} has {settings.order!r}")
    _check_hold_back(group, settings)
    if not 0 < settings.ack_wait_ms <= limits.GROUP_DELAY_MS_MAX:
        raise ClientError(f"ack_wait: {settings.ack_wait_ms} ms; 1 to {limits.GROUP_DELAY_MS_MAX} are possible")
    if not 0 < settings.max_deliver <= limits.GROUP_DELIVER_ATTEMPTS_MAX:
        raise ClientError(f"max_deliver: {settings.max_deliver}; 1 to {limits.GROUP_DELIVER_ATTEMPTS_MAX} are possible")


def _check_hold_back(group: str, settings: GroupSettings) -> None:
    order = settings.order
    late = GROUP_LATE if order == "timestamp" else ("",)
    gap = GAPS if order == "causal" else ("",)
    lateness_ms = limits.LATENESS_MS_MAX if order in ("timestamp", "causal") else 0
    for field, value, legal in (("late", settings.late, late), ("gap", settings.gap, gap)):
        if value not in legal:
            raise ClientError(
                f"{field}={value!r}: group {group} with order={order!r} can have {', '.join(legal) or None}"
            )
    if not 0 <= settings.lateness_ms <= lateness_ms:
        raise ClientError(f"lateness: {settings.lateness_ms} ms; with order={order!r}, 0 to {lateness_ms} are possible")


def check_same(group: str, known: GroupSettings, coming: GroupSettings) -> None:
    """A member must agree with its group, but for `start`, which counts for the first only, and for what an operator
    has set: raises GroupConflict."""
    for field in _AGREED:
        has, wants = getattr(known, field), getattr(coming, field)
        if has != wants and field not in known.governed:
            name = field.removesuffix("_ms")
            mend = f"; `signalbox group update` changes {name} for all" if field in CHANGEABLE else ""
            raise GroupConflict(f"group {group} has {field}={has!r}, and the member came with {wants!r}{mend}", name)


def changed(group: str, settings: GroupSettings, changes: Mapping[str, int]) -> GroupSettings:
    """The settings after an operator's changes, governed from then on. Raises ClientError, which names the field."""
    for field in changes:
        if field not in CHANGEABLE:
            names = ", ".join(name.removesuffix("_ms") for name in CHANGEABLE)
            raise ClientError(
                f"{field}: of group {group} {names} may be changed; for another {field}, make another group"
            )
    governed = tuple(field for field in CHANGEABLE if field in settings.governed or field in changes)
    after = replace(settings, **changes, governed=governed)
    check_settings(group, after)
    return after
