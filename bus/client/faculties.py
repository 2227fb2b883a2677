"""What a fleet can do beside publishing and reading, each made when it is first used."""

from functools import cached_property
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from bus.client.ballots import Ballots
    from bus.client.fleet import Fleet
    from bus.client.leases import Leases


class Faculties:
    """Part of `Fleet`."""

    @cached_property
    def incarnations(self) -> dict[str, str]:
        """Source -> incarnation of each agent on this connection whose `joined` is in the log."""
        return {}

    @cached_property
    def ballots(self) -> "Ballots":
        """Proposals, votes and decisions among agents."""
        from bus.client.ballots import Ballots

        return Ballots(cast("Fleet", self))

    @cached_property
    def leases(self) -> "Leases":
        """Who may use a resource, and for how long."""
        from bus.client.leases import Leases

        return Leases(cast("Fleet", self))
