"""One settings struct for one plane process, passed in, never a global."""

import msgspec

from bus import limits as bus_limits
from bus.semantic import Rule

BROKERS_DEFAULT = 3


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a plane is started with; the flags of `python -m controlplane`."""

    data_dir: str
    brokers: int | None = None
    """Local brokers to run; None: as many as the fleet has, three for a new one."""
    partitions: int = bus_limits.PARTITIONS_DEFAULT
    """Of a new fleet; an old one keeps its own."""
    port: int = 0
    """Where questions are answered; 0: where they were answered last, else a free one."""
    advertise: dict[str, str] = {}
    """Broker id -> the tcp://HOST:PORT that others reach it at, where that is not where it listens."""
    while_stdin: bool = False
    """End the fleet when standard input reaches its end."""
    retention_seconds: int = 0
    """Local brokers trim older records, once they are archived; 0: never."""
    retention_bytes: int = 0
    """Local brokers trim the oldest records of a partition beyond so many bytes; 0: they keep any number."""
    journal_retention_seconds: int = 0
    """The journal lets go of older segments; 0: never."""
    journal_retention_bytes: int = 0
    """The journal lets go of its oldest segments beyond so many bytes; 0: it keeps any number."""
    partitioning: str = ""
    """hash, semantic or adaptive; "": as it was, hash for a new fleet."""
    rules: list[Rule] | None = None
    """Of a new fleet's partitioning, or those that an old one must have; None: none were given."""
    locality: str = ""
    """Where the local brokers are: a rack, a zone, a region; "": nowhere in particular."""
    take_over: bool = False
    """Go on although the journal is older than brokers or its mark know, or the fleet lives in another directory."""
    reason: str = ""

    def broker_options(self, broker: str) -> list[str]:
        """The flags of a local broker's process beside its name and place."""
        options = ["--retention-seconds", str(self.retention_seconds), "--retention-bytes", str(self.retention_bytes)]
        options += ["--locality", self.locality]
        url = self.advertise.get(broker)
        return [*options, "--advertise", url] if url else options
