"""Facts about consumer groups: what operators decided of them, and that it is so. Part of the union in `facts`."""

from controlplane.journaled import Fact


class GroupsRemoved(Fact, frozen=True):
    """An operator removes these groups: their definitions, and what they had not settled is given to nobody.

    `waiting`: how many events that were, of all of them together, as far as was known.
    """

    groups: list[str]
    waiting: int = 0
    by: str = ""
    reason: str = ""


class GroupUpdated(Fact, frozen=True):
    """An operator sets these settings of a group, by their names in `bus.wire.GroupSettings`."""

    group: str
    changes: dict[str, int]
    by: str = ""
    reason: str = ""


class GroupChanged(Fact, frozen=True):
    """What was decided of a group at position `cause` is committed at every partition."""

    group: str
    cause: int
