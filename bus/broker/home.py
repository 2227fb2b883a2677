"""A broker's folder: the flock that makes it the only one there, and broker.json, which says where it listens."""

import contextlib
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from bus.errors import FleetError


class Home:
    """The folder of one broker, locked while this object is open. Raises FleetError when it cannot be had."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FleetError(f"{directory}: {error.strerror}; give --dir a folder that may be written") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise FleetError(
                f"{directory} is in use by another broker; end it, or give --dir another folder"
            ) from error

    def __enter__(self) -> "Home":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def former_port(self) -> int:
        """The port of the last run, or 0 when nothing sensible is written down."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            told = json.loads((self.directory / "broker.json").read_text())
            port = int(str(told.get("listens", told["url"])).rsplit(":", 1)[1])
            return port if 0 < port < 65_536 else 0
        return 0

    def announce(self, facts: dict[str, Any]) -> None:
        """Write broker.json, all of it or nothing: readers never see half a file."""
        draft = self.directory / "broker.json.draft"
        try:
            with draft.open("w") as file:
                json.dump(facts, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.directory / "broker.json")
        except OSError as error:
            raise FleetError(f"{draft}: {error.strerror}; make room or mend the permissions") from error
