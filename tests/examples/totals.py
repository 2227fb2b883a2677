"""A projection: how many orders of each customer, for how much."""

from typing import Any

from controlplane.projecting import Happened, Projection


class Totals(Projection):
    """A key for each subject."""

    pattern = "order.created"

    def evolve(self, state: dict[Any, Any], event: Happened) -> None:
        """One order more."""
        known = state.get(event.subject, {"orders": 0, "total": 0})
        state[event.subject] = {"orders": known["orders"] + 1, "total": known["total"] + event.data["total"]}
