"""What keeps a plane from going on with the wrong data: a copy of a directory that lives, or a journal that is too old.

| what there is | how it is known | said as |
|---|---|---|
| another plane in this directory | it holds the lock (`Directory.claim`) | DirectoryLocked |
| a copied directory, the other one is up | who its files name answers, though the lock is free | LivesElsewhere |
| an older journal in the place of this one | `journal.mark` is beyond its end | TakeOverNeeded |
| the same after another plane's start | brokers obey a greater epoch, or another uuid | TakeOverNeeded |

`--take-over --reason` goes on all the same, and its reason is journaled with what it was said about.
"""

import asyncio
import os
from collections.abc import Iterable

from bus.client.operator import Operator
from bus.errors import BusError
from controlplane import limits, processes
from controlplane.directory import Directory, FleetFile, alive
from controlplane.errors import LivesElsewhere, TakeOverNeeded
from controlplane.journal import Journal

HOW = "signalbox up --take-over --reason WHY"


def older(directory: Directory, journal: Journal) -> TakeOverNeeded | None:
    """What is wrong if this journal ends before the one did that was here last."""
    mark = directory.mark()
    if mark is None or mark.step <= journal.step:
        return None
    return TakeOverNeeded(
        f"the journal in {directory.journal} ends at position {journal.position:,}, and had come to "
        f"{mark.position:,}: an older copy was put in its place, or its end is missing. Put the newer one back, or "
        "see what its copy in the brokers has of that end: signalbox doctor --rebuild-journal --dry-run. To go "
        f"on with this one: {HOW}. Then positions after {journal.position:,} are given out anew: events that the "
        "brokers still have are archived again, and what else was journaled there is lost, such as decisions"
    )


async def elsewhere(directory: Directory, file: FleetFile, operator: Operator) -> LivesElsewhere | None:
    """Who of this fleet lives that was not started here. To be asked by the holder of the directory's lock."""
    plane = directory.plane()
    if plane is not None and plane.pid != os.getpid() and alive(plane.pid, plane.started):
        return _elsewhere(directory, file, f"its control plane has pid {plane.pid}", plane.url)
    places = list(_places(directory, file))
    answers = await asyncio.gather(*(_lives(operator, url, file.fleet) for _, url in places))
    for (who, url), lives in zip(places, answers, strict=True):
        if lives:
            return _elsewhere(directory, file, f"{who} answers at {url}", url)
    return None


def _places(directory: Directory, file: FleetFile) -> Iterable[tuple[str, str]]:
    """Who may be found at which address, by the files of this directory."""
    if file.plane_url:
        yield "its control plane", file.plane_url
    for broker in directory.brokers():
        known = directory.broker_file(broker)
        if known is not None and not processes.is_locked(directory.broker(broker)):
            yield f"its broker {broker}", known.listens or known.url


async def _lives(operator: Operator, url: str, fleet: str) -> bool:
    """Whether a process of this fleet answers there."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    within = limits.GREETING_MS_MAX / 1000
    try:
        # Where nobody listens any more that is known at once; ZeroMQ would wait for somebody to come.
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), within)
        writer.close()
        found = await operator.open(url, within)
    except (BusError, OSError, ValueError, TimeoutError):
        return False
    lives: bool = found.welcome.fleet == fleet
    found.close()
    return lives


def _elsewhere(directory: Directory, file: FleetFile, who: str, url: str) -> LivesElsewhere:
    return LivesElsewhere(
        f"fleet {file.fleet} is up already, and not from {directory.root}: {who}. One of two directories is a copy. "
        f"End that one first: SIGNALBOX_URL={url} signalbox down. To go on beside it, as two fleets that know nothing "
        f"of each other: {HOW}"
    )
