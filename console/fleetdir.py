"""Which fleet a command means, and whether it lives.

A flag beats the environment, which beats `./signalbox.toml`, then the user's `signalbox/config.toml`, then the default:

1. `--data-dir DIR`
2. `SIGNALBOX_URL` (addresses of brokers or of the control plane), `SIGNALBOX_DATA_DIR`
3. `data_dir = "…"` in `signalbox.toml` here, then in the user's XDG config directory
4. `signalbox` in the user's XDG state directory

A directory is read as files only: `fleet.json` says where the control plane answers, `plane.json` whether it lives.
"""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.failures import Failure, Unreachable
from console.settings import from_files

FIND_S = 5.0
KNOCK_S = 1.0
START_SLACK_S = 1.0
"""Two start times of one process, read by different clocks, differ by less."""


@dataclass(frozen=True)
class Fleet:
    """A fleet that is meant: its directory, or `url` when it was named by addresses alone."""

    data_dir: Path
    url: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return self.url or str(self.data_dir)


def resolve(data_dir: Path | None = None) -> Fleet:
    """The fleet that is meant. Raises Usage for a settings file that cannot be read."""
    if data_dir is not None:
        return Fleet(data_dir.expanduser().absolute())
    url = os.environ.get("SIGNALBOX_URL", "")
    named = os.environ.get("SIGNALBOX_DATA_DIR")
    if url or named:
        return Fleet(Path(named).expanduser().absolute() if named else state_dir(), url)
    found = from_files("data_dir")
    return Fleet(state_dir() if found is None else (found[0].parent / Path(found[1]).expanduser()).absolute())


def state_dir() -> Path:
    """`signalbox` in the user's XDG state directory."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "signalbox"


def read(path: Path) -> dict[str, Any] | None:
    """One of a data directory's JSON files, or None where there is none. Raises Failure."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}", "Ask as the user that the fleet runs as.") from error
    except ValueError as error:
        raise Failure(f"{path} is damaged: {error}", "`signalbox up` writes it anew.") from error
    if not isinstance(found, dict):
        raise Failure(f"{path} is damaged: it is no object", "`signalbox up` writes it anew.")
    return found


def alive(record: dict[str, Any] | None) -> bool:
    """Whether the very process that wrote `plane.json` or `broker.json` still runs (a zombie does not)."""
    if not record:
        return False
    pid, started = record.get("pid"), record.get("started")
    if not isinstance(pid, int) or pid <= 0 or not isinstance(started, int | float):
        return False
    import psutil  # type: ignore[import-untyped]

    if started > 1e12:
        started = started / 1e9
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < START_SLACK_S
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def plane_of(fleet: Fleet) -> dict[str, Any] | None:
    """`plane.json` of the fleet, if that process still lives.

    When it is damaged and somebody listens where `fleet.json` says, that is the plane, of a `pid` 0 (unknown).
    """
    try:
        found = read(fleet.data_dir / "plane.json")
    except Failure:
        url = _former_url(fleet)
        if url is None:
            raise
        return {"pid": 0, "url": url}
    return found if alive(found) else None


def _former_url(fleet: Fleet) -> str | None:
    """Where `fleet.json` says that the plane answers, if somebody does."""
    url = (read(fleet.data_dir / "fleet.json") or {}).get("plane_url")
    return str(url) if url and _listens(url) else None


def brokers_of(fleet: Fleet) -> list[dict[str, Any]]:
    """`broker.json` of every broker in the directory that still lives, by id."""
    from console.output import say

    found: list[dict[str, Any]] = []
    for path in sorted((fleet.data_dir / "brokers").glob("*/broker.json")):
        try:
            record = read(path)
        except Failure as failure:
            say(f"signalbox: {failure}; whether its broker lives is not known")
            continue
        if record and alive(record):
            found.append(record)
    return found


def question_url(fleet: Fleet) -> str:
    """Where the fleet's control plane answers. Raises Unreachable, saying what was found instead."""
    if fleet.url:
        return _from_addresses(fleet.url)
    try:
        plane = read(fleet.data_dir / "plane.json")
    except Failure:
        plane = plane_of(fleet)
    if plane is not None and _listens(plane.get("url")):
        return str(plane["url"])
    start = f"signalbox up{option_of(fleet.data_dir)}"
    if not (fleet.data_dir / "fleet.json").exists():
        raise Unreachable(
            f"no fleet in {fleet.data_dir}",
            f"Start one with `signalbox up{option_of(fleet.data_dir)}`, or name one with --data-dir.",
        )
    left = brokers_of(fleet)
    if left:
        raise Unreachable(
            f"the control plane of {fleet.data_dir} is gone; {len(left)} of its brokers go on without it",
            f"`{start}` starts it again and takes them over.",
        )
    raise Unreachable(f"the fleet in {fleet.data_dir} is not running", f"Start it with `{start}`.")


def option_of(folder: Path) -> str:
    """The option to add to a command that is shown, so that pasted it means the fleet there and no other."""
    return "" if folder == resolve().data_dir else f" --data-dir {shlex.quote(str(folder))}"


def _listens(url: object) -> bool:
    """Whether somebody listens there: as telling as the process's start time, and quicker to find out."""
    import socket

    host, colon, port = str(url).removeprefix("tcp://").rpartition(":")
    if not colon or not port.isdigit():
        return False
    try:
        with socket.create_connection((host, int(port)), KNOCK_S):
            return True
    except OSError:
        return False


def _from_addresses(urls: str) -> str:
    """Any broker, or the plane itself, knows where the plane answers."""
    import asyncio

    import bus

    async def look() -> str:
        async with bus.connect(urls) as fleet:
            return str(fleet.topology.plane_url)

    try:
        url = asyncio.run(asyncio.wait_for(look(), FIND_S))
    except (bus.BusError, TimeoutError) as error:
        why = str(error) or f"no answer within {FIND_S:g} s"
        raise Unreachable(f"nothing answers at {urls}: {why}", "See SIGNALBOX_URL.") from error
    if not url:
        raise Unreachable(f"{urls} answers, but its control plane is away", "Start it with `signalbox up`.")
    return url
