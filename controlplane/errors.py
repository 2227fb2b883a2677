"""What the control plane refuses or cannot do. Each message is one line that names the thing and says what to do.

PlaneError
├── DirectoryLocked      another plane lives in this data directory
├── NoPermission         the directory or a file in it cannot be written
├── DiskFull             no room for the journal, or to begin with
├── PortInUse            the port that was asked for is taken
├── TakeOverNeeded       the brokers obeyed a newer plane than this journal knows
├── LivesElsewhere       the fleet is up already, in the directory that this one is a copy of
├── WrongFleet           a directory, journal or broker of another fleet
├── PartitioningFixed   a strategy or rules under which keys of this fleet would get other homes
├── CorruptJournal       the journal does not hold what it must
├── BeforeJournal        what is asked for was before the journal begins: retention let go of it
├── BrokersRun           a journal cannot be rebuilt while its brokers run
├── NotRebuilt           a segment that cannot be rebuilt from what is there
├── CopyUnreadable       a piece of the journal's copy that is damaged, or of another version
├── SnapshotUnusable     a snapshot that is damaged, or of other folds; the journal is read further back instead
├── RecordsMissing       a partition's log begins after the offset that the journal needs next
├── BadSetting           a setting of the folds that there is not, or that takes another value
├── FactUnreadable       a journaled fact that no version of this program can read (`kind`)
├── SqlRefused          a query that is no SELECT over the documented tables, or that DuckDB refuses
├── WorkerEnded         a worker process is gone, and what it was asked with it
│   └── SqlWorkerEnded      the one that runs queries
├── ProjectionRefused   code or a view that cannot be a projection
└── StepMismatch         a journaled step does not follow the one before it (`expected`, `found`)
"""


class PlaneError(Exception):
    """Anything that keeps the control plane from doing its work."""


class DirectoryLocked(PlaneError):
    """A live plane holds the data directory's lock."""


class NoPermission(PlaneError):
    """The operating system refuses to write where the plane must."""


class DiskFull(PlaneError):
    """There is no room; it goes on by itself when there is."""


class PortInUse(PlaneError):
    """The port that was asked for is taken."""


class TakeOverNeeded(PlaneError):
    """The brokers know a newer plane than the journal: it was lost in part, or is a copy."""


class LivesElsewhere(PlaneError):
    """Processes of this fleet live that were not started in this directory."""


class WrongFleet(PlaneError):
    """Something belongs to another fleet."""


class PartitioningFixed(PlaneError):
    """Keys would get other homes than they have had since the fleet's birth."""


class CorruptJournal(PlaneError):
    """A journal that opens but does not hold together."""


class BeforeJournal(PlaneError):
    """Retention let go of it, perhaps while it was read."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the journal begins after position {position:,}: retention let go of what was before")
        self.position = position


class BrokersRun(PlaneError):
    """Local brokers still run, and what is to be read is theirs."""


class NotRebuilt(PlaneError):
    """Neither the segment itself nor the copy has the steps that are needed."""


class CopyUnreadable(PlaneError):
    """A record of the reserved partition that does not hold steps of a journal."""

    def __init__(self, why: str) -> None:
        super().__init__(f"a record of the journal's copy cannot be read: {why}")


class SnapshotUnusable(PlaneError):
    """A snapshot that does not hold what it must; nothing is lost, as it can be made from the journal."""


class RecordsMissing(PlaneError):
    """What the journal needs next is gone from the brokers."""


class SqlRefused(PlaneError):
    """A query cannot be run; the message says why and, where that is known, at which place in it."""


class WorkerEnded(PlaneError):
    """A worker process ended, or was ended, before it answered."""


class SqlWorkerEnded(WorkerEnded):
    """The SQL worker ended, or was ended, before it answered."""


class ProjectionRefused(PlaneError):
    """What was named is no projection: no such code, not to be trusted, it does not load, no SELECT."""


class BadSetting(PlaneError):
    """A setting that nobody has, or a value that it does not take."""


class FactUnreadable(PlaneError):
    """A journaled fact of an unknown kind: start the Signalbox that wrote it, or a newer one."""

    def __init__(self, kind: str, why: str, position: int = 0) -> None:
        """`position` 0: nobody knows where it stands."""
        where = f" at position {position:,}" if position else ""
        super().__init__(
            f"journaled fact {kind!r}{where} cannot be read: {why}; start the newer Signalbox that wrote it"
        )
        self.kind = kind
        self.why = why
        self.position = position


class StepMismatch(PlaneError):
    """A journaled step does not begin where the one before it ended: a piece of the journal is missing."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"a step begins at position {found}, but {expected} is next: part of the journal is missing")
        self.expected = expected
        self.found = found


class FoldRebuilding(PlaneError):
    """A fold that an answer needs is folded again and not there yet."""

    def __init__(self, fold: str) -> None:
        super().__init__(f"the fold {fold} is folded again, and not there yet")
        self.fold = fold
