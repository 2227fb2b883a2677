"""The `fleet.json` that a plane begins with: a new fleet's, or an old one's as it is asked for."""

import uuid

from bus import limits as bus_limits
from controlplane.config import Config
from controlplane.directory import FleetFile
from controlplane.fold import Heart
from controlplane.partitioning import changed_strategy, strategy_of
from controlplane.roster import partitions_of, plane_of


def founded(config: Config, heart: Heart) -> FleetFile:
    """A new fleet; or one whose fleet.json went missing, as its journal has it."""
    fleet = plane_of(heart.states["fleet"])
    partitions = len(partitions_of(heart.states["fleet"])) or config.partitions
    if fleet.fleet:
        file = FleetFile(fleet.fleet, partitions, fleet.slots, "", [])
        return as_asked(config, heart, file)
    rules = config.rules or []
    return FleetFile(
        str(uuid.uuid4()), partitions, bus_limits.SLOTS, "", [], strategy_of(config.partitioning, rules), rules
    )


def as_asked(config: Config, heart: Heart, file: FleetFile) -> FleetFile:
    """An old fleet with the strategy that is asked for. The journal knows best how it was born, then fleet.json."""
    fleet = plane_of(heart.states["fleet"])
    if fleet.fleet == file.fleet:
        file.strategy, file.rules = fleet.strategy, fleet.rules
    file.strategy = changed_strategy(config.partitioning, config.rules, file.strategy, file.rules)
    return file


def port_of(url: str) -> int:
    """The port of a URL; 0 where it has none."""
    port = url.rpartition(":")[2]
    return int(port) if port.isdigit() else 0
