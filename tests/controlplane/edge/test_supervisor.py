"""The supervisor: what becomes of a broker that cannot be kept is a fact, whatever the reason."""

import asyncio
import errno
import fcntl
import os
from pathlib import Path
from typing import Any, cast

import msgspec
import psutil  # type: ignore[import-untyped]
import zmq

from controlplane.directory import BrokerFile, Directory
from controlplane.facts import BrokerLost, Fact
from controlplane.supervisor import Supervisor


class Broken:
    """An operator on a machine that has no sockets left."""

    async def open(self, url: str, within: float) -> None:
        raise zmq.ZMQError(errno.EMFILE)


async def test_a_broker_that_cannot_be_greeted_for_whatever_reason_is_lost_and_reported(tmp_path: Path) -> None:
    directory, reported = Directory(tmp_path), asyncio.Queue[Fact]()
    folder = directory.broker("b1")
    folder.mkdir(parents=True)
    file = BrokerFile("b1", "f", "tcp://127.0.0.1:1", os.getpid(), psutil.Process().create_time(), "store")
    (folder / "broker.json").write_bytes(msgspec.json.encode(file))
    supervisor = Supervisor(directory, cast(Any, Broken()), "f", 1, reported.put_nowait, lambda error: None)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        supervisor.ensure("b1")
        fact = await asyncio.wait_for(reported.get(), 10.0)
    assert isinstance(fact, BrokerLost) and fact.why.startswith("ZMQError: ")
    await supervisor.leave()
