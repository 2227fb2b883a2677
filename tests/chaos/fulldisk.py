"""A journal whose disk is full, at every instant that hurts: `python -m tests.chaos.fulldisk`, as root of a namespace.

The journal's folder is a small disk of its own (tmpfs), so that brokers have room all the time. At each moment of
`MOMENTS` the rest of it is taken at once; the plane then says so in every answer, brokers ack on, and once there is
room again everything goes on by itself. Once it is killed meanwhile and started again. Nothing is lost, and the journal
verifies. `command` gives the whole command line, with a mount namespace that ends with it. Exit 1 at a violation.
"""

import argparse
import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

from console.checkup import examine
from console.fleetdir import Fleet
from controlplane import segments
from controlplane.questions import AskHealth, AskVerify, Health, Status, Verified
from tests.chaos.live import LiveFleet, live_fleet, until
from tests.chaos.planekills import FLEET, ODD, Publisher, archived, begun, dense, wait_for

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
DISK_MB = 48
MOMENTS = ("commit", "rotation", "sealing", "parquet", "snapshot")
KILLED_AT = "sealing"
ACKED_MEANWHILE = 500
FULL_S = 60.0
BLOCK = 64 * 1024


def command(folder: Path) -> list[str]:
    """The command line of one run in an empty folder."""
    return [*NAMESPACE, sys.executable, "-m", "tests.chaos.fulldisk", str(folder)]


def is_possible() -> bool:
    """Whether this machine lets anyone mount a disk of his own."""
    try:
        tried = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    except OSError:
        return False
    return tried.returncode == 0


class Ballast:
    """A file that takes what is left of a disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def fill(self) -> None:
        """Take all of it."""
        with self._path.open("ab", buffering=0) as file:
            for size in (BLOCK, 4096, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def release(self) -> None:
        """Give it back."""
        self._path.unlink()


async def said_everywhere(live: LiveFleet) -> list[str]:
    """Waits until status says that the journal is full; which answers do not say so."""

    def full() -> Status | None:
        told = live.status()
        return told if told is not None and told.controlplane.state == "full" else None

    status = await until("status says full", lambda: asyncio.to_thread(full), within=FULL_S)
    found = [] if "no room for the journal" in status.controlplane.why else [f"status: {status.controlplane.why!r}"]
    health = await asyncio.to_thread(live.ask, AskHealth())
    if not isinstance(health, Health) or health.state != "CRITICAL":
        found.append(f"health: {health}")
    elif health.penalties[0].what != "the journal cannot be written":
        found.append(f"health begins with {health.penalties[0]}")
    findings = {each["check"]: each for each in await asyncio.to_thread(examine, Fleet(live.directory.root))}
    answers = findings["answers"]
    if answers["severity"] != "bad" or "no room for the journal" not in answers["found"] or not answers["mend"]:
        found.append(f"doctor: {answers}")
    return found


async def fill_at(moment: str, live: LiveFleet, ballast: Ballast, publisher: Publisher) -> list[str]:
    """One full disk, from its beginning to its end."""
    came = await asyncio.to_thread(wait_for, begun(moment, live.directory.journal))
    await asyncio.to_thread(ballast.fill)
    try:
        found = [f"{moment}: {each}" for each in await said_everywhere(live)]
        if moment == KILLED_AT:
            live.kill_plane()
            live.said()
            live.start()
            found += [f"{moment}, killed: {each}" for each in await said_everywhere(live)]
        acked = len(publisher.acked)
        await until("brokers ack on", lambda: len(publisher.acked) > acked + ACKED_MEANWHILE, within=FULL_S)
    finally:
        ballast.release()
    await live.ready()
    sys.stdout.write(f"full at {moment}{'' if came else ' (which did not come)'}\n")
    sys.stdout.flush()
    return found


def sealed(journal: Path) -> bool:
    """Whether what could not be sealed for want of room has been by now: one segment is open, and one made ready."""
    return sum(segments.form_of(path) == segments.OPEN for path in segments.listed(journal)) <= 2


async def run(root: Path) -> list[str]:
    """What is wrong after all moments."""
    with live_fleet(root, *FLEET, odd=[*ODD, "--limit=SEALING_RETRY_MS=2000"]) as live:
        await live.ready()
        publisher, ballast, found = Publisher(), Ballast(live.directory.journal), list[str]()
        publishing = asyncio.create_task(publisher.run(root))
        try:
            for moment in MOMENTS:
                found += await fill_at(moment, live, ballast, publisher)
        finally:
            publisher.stopping = True
            await publishing
        await until("all elders are sealed", lambda: sealed(live.directory.journal), within=FULL_S)
        archive = Counter(event["id"] for event in await asyncio.to_thread(live.exported))
        verified = await asyncio.to_thread(live.ask, AskVerify(), 120.0)
        if not isinstance(verified, Verified) or not verified.same:
            found.append(f"the journal does not verify: {verified}")
        if live.end() != 0:
            found.append("the plane did not end well")
    log = live.directory.log.read_text()
    found += [f"plane.log has a {sign}" for sign in ("Traceback", "journal fails", "differs") if sign in log]
    sys.stdout.write(f"{len(publisher.acked):,} acked, {len(archive):,} archived\n")
    return found + archived(archive, publisher) + await asyncio.to_thread(dense, live.directory.journal)


def main() -> int:
    """The exit code of one run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.fulldisk", description="A journal on a full disk.")
    parser.add_argument("folder", type=Path, help="an empty one")
    folder: Path = parser.parse_args().folder
    journal = folder / "journal"
    journal.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(journal)], check=True)
    found = asyncio.run(run(folder))
    sys.stdout.writelines(f"VIOLATION: {each}\n" for each in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
