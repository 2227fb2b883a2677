"""Real planes whose folds have changed, and real kills: answers meanwhile, the rest in a turn, and it all verifies."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bus
from controlplane.questions import (
    AskDeadGroups,
    AskDeadLetters,
    AskSagas,
    AskVerify,
    DeadGroups,
    DeadLetters,
    Redrive,
    Redriven,
    Refusal,
    Sagas,
    Status,
    Verified,
)
from tests.chaos.live import ROOT, LiveFleet, numbered, until


class ChangedFleet(LiveFleet):
    """A fleet whose planes are those of `changed`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--partitions", "4")
        self.gate = folder.with_name("gate")
        self.changed = "none"

    def start(self) -> None:
        own = ["--data-dir", str(self.directory.root), "--while-stdin", *self.options]
        self.plane = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.changed", self.changed, str(self.gate), *own],
            cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def kill_and_start(self) -> None:
        self.kill_plane()
        assert self.plane is not None
        for stream in (self.plane.stdin, self.plane.stderr):
            assert stream is not None
            stream.close()
        self.start()

    async def publish(self, count: int, first: int) -> None:
        """Events of fifty sagas, acked."""
        async with bus.connect(data_dir=self.directory.root) as fleet:
            await fleet.publish_many(numbered(count, first))

    async def archived(self, count: int) -> None:
        await until(f"{count} events are archived", lambda: asyncio.to_thread(self._has, count))

    def _has(self, count: int) -> bool:
        status = self.status()
        return status is not None and (status.counts.events or 0) >= count

    def snapshots(self) -> int:
        """How many there are."""
        return len(list((self.directory.journal / "snapshots").glob("*.snapshot")))


@contextmanager
def changed_fleet(folder: Path) -> Iterator[ChangedFleet]:
    fleet = ChangedFleet(folder)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.clean_up()


async def verified(fleet: ChangedFleet) -> Verified:
    body = await asyncio.to_thread(fleet.ask, AskVerify(), 120.0)
    assert isinstance(body, Verified)
    return body


async def test_a_plane_with_changed_folds_serves_at_once_and_has_them_later(tmp_path: Path) -> None:
    with changed_fleet(tmp_path / "data") as fleet:
        await fleet.ready()
        await fleet.publish(300, 0)
        await fleet.archived(300)
        await until("a snapshot was taken", lambda: fleet.snapshots() > 1)

        fleet.changed = "sagas"
        fleet.kill_and_start()
        status = await fleet.ready()
        rebuilding(status)
        await fleet.publish(100, 300)
        await fleet.archived(400)
        refused = fleet.ask(AskSagas())
        assert isinstance(refused, Refusal) and "sagas, health, history are folded again" in refused.message

        # It dies while it folds again, and begins again.
        fleet.kill_and_start()
        status = await fleet.ready()
        rebuilding(status)
        await fleet.publish(100, 400)
        await fleet.archived(500)

        fleet.gate.touch()
        status = await until("all is folded again", lambda: asyncio.to_thread(whole, fleet))
        sagas = fleet.ask(AskSagas())
        assert isinstance(sagas, Sagas) and sagas.matched == sagas.counts.sagas_open == 50
        assert status.counts.score is not None
        found = await verified(fleet)
        assert found.same, found.divergence
        assert 0 < found.older < found.entries
        assert len(fleet.exported()) == 500

        # And once more, with nothing changed: it is all there.
        fleet.gate.unlink()
        fleet.kill_and_start()
        status = await fleet.ready()
        assert status.controlplane.rebuilding == []
        assert (await verified(fleet)).same
        assert fleet.end() == 0


def rebuilding(status: Status) -> None:
    plane, counts = status.controlplane, status.counts
    assert plane.rebuilding == ["sagas", "health", "history"]
    assert plane.refolded < plane.position
    assert (counts.sagas_open, counts.score, counts.health) == (None, None, "UNKNOWN")
    assert counts.events is not None


def whole(fleet: ChangedFleet) -> Status | None:
    status = fleet.status()
    known = status is not None and not status.controlplane.rebuilding and status.counts.score is not None
    return status if known else None


async def test_what_was_decided_and_not_carried_is_carried_by_the_next_plane(tmp_path: Path) -> None:
    """The brokers stand still while it is decided, so that nothing can be published before the plane dies."""
    with changed_fleet(tmp_path / "data") as fleet:
        await fleet.ready()
        async with bus.connect(data_dir=fleet.directory.root) as agents:
            await agents.publish_many(numbered(5))
            async with agents.subscribe("load.>", group="coder", start="earliest", max_deliver=1) as deliveries:
                for _ in range(5):
                    await (await anext(deliveries)).terminate("not today")
        groups = await until("five letters wait", lambda: asyncio.to_thread(waiting, fleet, 5))
        pids = [fleet.broker(broker).pid for broker in fleet.directory.brokers()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            decided = fleet.ask(Redrive([groups.rows[0].id]))
            assert isinstance(decided, Redriven) and len(decided.ids) == 5
            fleet.kill_and_start()
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        await fleet.ready()
        await until("all are redriven", lambda: asyncio.to_thread(redriven, fleet, groups.rows[0].id, 5))
        assert (await verified(fleet)).same
        assert fleet.end() == 0


def waiting(fleet: ChangedFleet, count: int) -> DeadGroups | None:
    body = fleet.ask(AskDeadGroups())
    return body if isinstance(body, DeadGroups) and body.waiting == count else None


def redriven(fleet: ChangedFleet, group: str, count: int) -> bool:
    body = fleet.ask(AskDeadLetters(group))
    return isinstance(body, DeadLetters) and [letter.state for letter in body.letters] == ["redriven"] * count
