"""A fold that breaks: its first version does not know what to do with an event of type `BREAKS`."""

from types import MappingProxyType

from controlplane import plane
from controlplane.facts import Rows
from controlplane.fold import Entry, Fold, KeyedState, World

BREAKS = "brittle.break"


class Brittle(Fold):
    """Counts events by type."""

    name = "brittle"
    follows = (Rows,)
    tables = MappingProxyType({"type": int})

    def __init__(self, version: int) -> None:
        self.version = version

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        rows = entry.fact
        if not isinstance(rows, Rows):
            return
        for name in rows.types:
            if self.version == 1 and name == BREAKS:
                raise ValueError("what is this?")
            state.put("type", name, state.get("type", name, 0) + 1)


def plant(version: int) -> None:
    """From here on every plane of this process has it among its folds."""
    usual = plane.folds
    plane.folds = lambda: [*usual(), Brittle(version)]
