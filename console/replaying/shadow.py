"""The shadow fleet of a replay: brokers and a plane of its own, in a directory of its own, until the operator ends it.

A directory is taken when it is new or empty, and marked; one with that mark is gone on with. No other is touched, so
that a slip of the keyboard never publishes into a fleet that somebody works with.
"""

import json
from pathlib import Path

from console.failures import Failure, Usage
from console.fleetdir import Fleet, alive, read
from console.output import say
from console.planeprocess import PlaneProcess, command
from console.terminal import signals_interrupt

MARK = "shadow.json"


def check(folder: Path, live: Fleet) -> bool:
    """Whether there is a shadow already; a new one may be made otherwise. Raises Usage where neither is so."""
    folder, home = folder.resolve(), live.data_dir.resolve()
    if folder == home or home in folder.parents or folder in home.parents:
        raise Usage(
            f"--shadow {folder} is the fleet that is replayed, or shares its directory", "Name a directory of its own."
        )
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise Usage(f"--shadow {folder} is no directory")
    if not (folder / MARK).exists():
        if any(folder.iterdir()):
            raise Usage(
                f"--shadow {folder} is not empty, and no replay made it", "Name a new directory, or an empty one."
            )
        return False
    known = read(folder / "fleet.json")
    if known is not None and known.get("fleet") == (read(home / "fleet.json") or {}).get("fleet"):
        raise Usage(f"--shadow {folder} holds a copy of the fleet that is replayed", "Name a directory of its own.")
    return True


def start(folder: Path, brokers: int, live: Fleet, run: str) -> Fleet:
    """The shadow, ready. One that runs already is used as it is. Raises Failure."""
    shadow = Fleet(folder)
    if alive(read(folder / "plane.json")):
        say(f"the shadow fleet in {folder} runs already")
        return shadow
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARK).exists():
            (folder / MARK).write_text(json.dumps({"of": live.name, "run": run}) + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(f"{folder} cannot be used: {error.strerror}", "Name another with --shadow.") from error
    known = (folder / "fleet.json").exists()
    say(f"the shadow fleet in {folder} goes on" if known else f"starting a shadow fleet in {folder}")
    with signals_interrupt():
        plane = PlaneProcess(command(folder, None if known else brokers), folder, tied=False)
        try:
            plane.wait_ready()
        except (Failure, KeyboardInterrupt):
            plane.process.terminate()
            raise
    return shadow
