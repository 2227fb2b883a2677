"""Starting a control plane as a process of its own, and waiting until its fleet is ready."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from console.failures import Failure, Usage
from console.fleetdir import Fleet, plane_of
from console.limits import PLANE_SAID_BYTES_MAX
from console.link import Link, NoAnswer
from console.output import say
from console.settings import number_setting, path_setting, setting
from console.terminal import PYTHON
from controlplane.questions import AskStatus, Status

READY_S = 60.0
ENDING_S = 30.0
_LOOK_S = 0.05


class Partitioning(NamedTuple):
    """How keys find their partitions, and where the local brokers are; "" and None: as it was, or the default."""

    strategy: str
    rules: Path | None
    locality: str

    @classmethod
    def of(cls, strategy: str | None = None, rules: Path | None = None, locality: str | None = None) -> "Partitioning":
        """The settings that hold, where no flag is given. Raises Usage."""
        return cls(
            setting("partitioning", strategy), path_setting("partition_rules", rules), setting("locality", locality)
        )

    def flags(self) -> list[str]:
        """Of the control plane's command line."""
        told = {"--partitioning": self.strategy, "--partition-rules": self.rules, "--locality": self.locality}
        return [f"{flag}={value}" for flag, value in told.items() if value]


class Retention(NamedTuple):
    """For how long and how much is kept: of a partition in a broker, and of the journal; 0 without end."""

    seconds: int = 0
    bytes: int = 0
    journal_seconds: int = 0
    journal_bytes: int = 0

    @classmethod
    def of(
        cls,
        seconds: int | None = None,
        bytes: int | None = None,
        journal_seconds: int | None = None,
        journal_bytes: int | None = None,
    ) -> "Retention":
        """The settings that hold, where no flag is given. Raises Usage."""
        given = (seconds, bytes, journal_seconds, journal_bytes)
        return cls(*(number_setting(name, value) for name, value in zip(_RETENTION, given, strict=True)))

    def flags(self) -> list[str]:
        """Of the control plane's command line."""
        told = zip(_RETENTION, self, strict=True)
        return [f"--{name.replace('_', '-')}={value}" for name, value in told if value]


_RETENTION = ("retention_seconds", "retention_bytes", "journal_retention_seconds", "journal_retention_bytes")
KEEPS_ALL = Retention()
ANY_PARTITIONING = Partitioning("", None, "")


def command(
    data_dir: Path,
    brokers: int | None = None,
    while_stdin: bool = False,
    take_over: bool = False,
    reason: str = "",
    retention: Retention = KEEPS_ALL,
    partitioning: Partitioning = ANY_PARTITIONING,
) -> list[str]:
    """The command line of a control plane."""
    line = [*PYTHON, "controlplane", "--data-dir", str(data_dir)]
    if brokers is not None:
        line += ["--brokers", str(brokers)]
    line += retention.flags() + partitioning.flags()
    if while_stdin:
        line.append("--while-stdin")
    if take_over:
        line += ["--take-over", "--reason", reason]
    return line


class PlaneProcess:
    """A control plane that this process started.

    With `tied`, the fleet ends when this process does, however that happens: the plane holds the other end of a pipe.
    Without, it goes on in a session of its own.
    """

    def __init__(self, line: list[str], data_dir: Path, tied: bool) -> None:
        self.data_dir = data_dir
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )

    def wait_ready(self, on_progress: Callable[[Status], None] | None = None, timeout: float = READY_S) -> Status:
        """The first status that `is_ready`; what the plane noted is said. Raises Failure in its words."""
        deadline = time.monotonic() + timeout
        link: Link | None = None
        seen: Status | None = None
        try:
            while time.monotonic() < deadline:
                self._look()
                if link is None:
                    try:
                        plane = plane_of(Fleet(self.data_dir))
                    except Failure:
                        continue  # damaged or not to be read: the plane writes it anew, or ends and says why
                    if plane is not None and plane.get("pid") == self.process.pid and plane.get("url"):
                        link = Link(str(plane["url"]))
                    continue
                try:
                    body = link.ask(AskStatus(), timeout=2.0).body
                except NoAnswer:
                    continue
                if isinstance(body, Status):
                    seen = body
                    if on_progress is not None:
                        on_progress(body)
                    if is_ready(body):
                        for line in self._said():
                            say(f"signalbox: {line}")
                        return body
        finally:
            if link is not None:
                link.close()
        raise Failure(
            f"the fleet in {self.data_dir} was not ready within {timeout:g} s: {_missing(seen)}",
            f"See {self.data_dir / 'plane.log'}, and `signalbox doctor`.",
        )

    def end(self) -> int:
        """End a tied fleet and wait for it; the plane's exit code."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            return self.process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self.process.terminate()
        try:
            return self.process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _look(self) -> None:
        """Wait a moment; raises Failure if the process has ended by then, Usage where its settings are wrong."""
        try:
            code = self.process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            return
        said = self._said()
        if code == Usage.code:
            raise Usage(said[-1].rpartition(": error: ")[2] if said else "the control plane refuses its settings")
        raise Failure(said[-1] if said else f"the control plane ended with code {code}", _hint(self.data_dir))

    def _said(self) -> list[str]:
        """The lines of its stderr, read without moving the place that the plane writes at."""
        errors = self._errors.fileno()
        start = max(0, os.fstat(errors).st_size - PLANE_SAID_BYTES_MAX)
        return os.pread(errors, PLANE_SAID_BYTES_MAX, start).decode(errors="replace").strip().splitlines()


def is_ready(status: Status) -> bool:
    """Whether it runs, every broker of its own is up, every partition led, and its health known, or folded again."""
    return (
        status.controlplane.state == "running"
        and bool(status.brokers)
        and all(broker.joined or broker.state in ("up", "slow", "full") for broker in status.brokers)
        and all(partition.leader for partition in status.partitions)
        and (status.counts.score is not None or bool(status.controlplane.rebuilding))
    )


def _missing(status: Status | None) -> str:
    if status is None:
        return "its control plane does not answer"
    down = [broker.id for broker in status.brokers if broker.state not in ("up", "slow", "full")]
    unled = [partition.partition for partition in status.partitions if not partition.leader]
    return (
        f"brokers not up: {', '.join(down) or 'none'}; partitions without a leader: {len(unled)}; "
        f"the control plane is {status.controlplane.state}, its health {status.counts.health}"
        + (f": {status.controlplane.why}" if status.controlplane.why else "")
    )


def _hint(data_dir: Path) -> str:
    """Where to look further; the log is of no use where another plane writes it."""
    log = data_dir / "plane.log"
    try:
        if plane_of(Fleet(data_dir)) is not None:
            return "signalbox status"
    except Failure:
        return f"See {log}."  # plane.json is damaged
    return f"See {log}." if log.exists() else ""
