"""The data directory: who may live in it, and what it tells others.

    DIR/lock             flock held by the plane for its life; the kernel drops it however the plane ends
    DIR/fleet.json       what connect() and the command line read: fleet id, partitions, the plane's and brokers' urls
    DIR/plane.json       the living plane: pid and start time (a pid alone says nothing: numbers are used again)
    DIR/journal.mark         how far the journal has come, so that an older one in its place is known by it
    DIR/plane.log, DIR/journal/, DIR/brokers/<id>/
    DIR/sql/             the SQL worker's log, and what it spills

Files are replaced whole (write, fsync, rename), so a reader sees the old or the new one, never half.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil  # type: ignore[import-untyped]

from bus.semantic import Rule
from controlplane.errors import DirectoryLocked, DiskFull, NoPermission, PlaneError, WrongFleet

File = TypeVar("File", bound=msgspec.Struct)

START_SLACK_S = 1.0
"""Two start times of one process, read by different clocks, differ by less."""


class BrokerAddress(msgspec.Struct):
    """Where a broker listens."""

    id: str
    url: str


class FleetFile(msgspec.Struct):
    """`fleet.json`. `fleet` is its id for life; partitions, slots and rules are fixed at birth."""

    fleet: str
    partitions: int
    slots: int
    plane_url: str
    brokers: list[BrokerAddress]
    strategy: str = "hash"
    rules: list[Rule] = []


class PlaneFile(msgspec.Struct):
    """`plane.json`. `started` is the process's creation time in seconds since 1970."""

    pid: int
    started: float
    url: str
    epoch: int
    uuid: str


class BrokerFile(msgspec.Struct):
    """`brokers/<id>/broker.json`, written by the broker once it listens. `url` is where others reach it."""

    id: str
    fleet: str
    url: str
    pid: int
    started: float
    store: str
    listens: str = ""


class Mark(msgspec.Struct):
    """`journal.mark`: the last position and step of the journal, a second ago at most."""

    position: int
    step: int


def explained(error: OSError, path: Path) -> PlaneError:
    """The operating system's refusal as one clear line."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NoPermission(
            f"cannot write {path}: {os.strerror(error.errno)}. "
            "Give this user the directory, or name another with --data-dir."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room at {path}: {os.strerror(error.errno)}. Free some space there; nothing was lost.")
    return PlaneError(f"cannot use {path}: {error.strerror or error}. Name another directory with --data-dir.")


def alive(pid: int, started: float) -> bool:
    """Whether the very process that had this pid at that start time still runs (a zombie does not)."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < START_SLACK_S
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


class Directory:
    """One data directory. Reading needs nothing; writing needs `claim` first."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self._lock = -1

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def log(self) -> Path:
        return self.root / "plane.log"

    def broker(self, broker: str) -> Path:
        return self.root / "brokers" / broker

    def claim(self) -> None:
        """Make the directory and take its lock for the life of this process.

        Raises DirectoryLocked, NoPermission, DiskFull.
        """
        try:
            for folder in (self.root, self.journal, self.root / "brokers"):
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise explained(error, self.root) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            holder = self.plane()
            who = f"the control plane with pid {holder.pid}" if holder else "a control plane that is just starting"
            raise DirectoryLocked(
                f"{self.root} is in use by {who}. See `signalbox status`; "
                "end it with `signalbox down`, or name another with --data-dir."
            ) from error
        self._lock = descriptor

    def release(self) -> None:
        """Give the lock back, and take `plane.json` away: the plane has ended cleanly."""
        if self._lock >= 0:
            (self.root / "plane.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def fleet(self) -> FleetFile | None:
        """The fleet that lives here, or None for an empty directory. Raises WrongFleet for a file of another make."""
        return self._read(self.root / "fleet.json", FleetFile)

    def write_fleet(self, fleet: FleetFile) -> None:
        self._write(self.root / "fleet.json", fleet)

    def plane(self) -> PlaneFile | None:
        """What the last plane wrote; it may be dead: ask `alive`. None when it is damaged: a plane writes it anew."""
        try:
            return self._read(self.root / "plane.json", PlaneFile)
        except WrongFleet:
            return None

    def write_plane(self, plane: PlaneFile) -> None:
        self._write(self.root / "plane.json", plane)

    def mark(self) -> Mark | None:
        """How far the journal had come; None where that is not known."""
        try:
            return self._read(self.root / "journal.mark", Mark)
        except WrongFleet:
            return None

    def write_mark(self, mark: Mark) -> None:
        """Without waiting for the disk: what is lost of it only makes it older."""
        self._write(self.root / "journal.mark", mark, sync=False)

    def broker_file(self, broker: str) -> BrokerFile | None:
        """What the broker wrote when it last listened, or None; also when that is damaged: it is written anew."""
        try:
            return self._read(self.broker(broker) / "broker.json", BrokerFile)
        except WrongFleet:
            return None

    def brokers(self) -> list[str]:
        """The ids of brokers that have a folder here, in order."""
        try:
            return sorted(path.name for path in (self.root / "brokers").iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _read(self, path: Path, kind: type[File]) -> File | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise explained(error, path) from error
        except msgspec.DecodeError as error:
            raise WrongFleet(
                f"{path} is not a file of this version: {error}. Move it away, or name another directory."
            ) from error

    def _write(self, path: Path, content: msgspec.Struct, sync: bool = True) -> None:
        fresh = path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise explained(error, path) from error
