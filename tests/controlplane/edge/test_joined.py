"""Joined brokers: whatever keeps one from being greeted is reported, and it is dialled again."""

import asyncio
import errno
from typing import Any, cast

import pytest
import zmq

from controlplane import limits
from controlplane.facts import BrokerLost, Fact
from controlplane.joined import Joined


class Broken:
    """An operator on a machine that has no sockets left."""

    def __init__(self) -> None:
        self.dialled = 0
        self.again = asyncio.Event()

    async def open(self, url: str, within: float) -> None:
        self.dialled += 1
        if self.dialled == 3:
            self.again.set()
        raise zmq.ZMQError(errno.EMFILE)


async def test_a_broker_that_cannot_be_greeted_for_whatever_reason_is_reported_once_and_dialled_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "JOIN_DIAL_MS", 1)
    operator, reported = Broken(), asyncio.Queue[Fact]()
    joined = Joined(cast(Any, operator), 1, reported.put_nowait)
    joined.ensure("b1", "tcp://127.0.0.1:1")
    async with asyncio.timeout(10):
        await operator.again.wait()
    fact = reported.get_nowait()
    assert isinstance(fact, BrokerLost) and fact.id == "b1" and fact.why.startswith("ZMQError: ")
    assert reported.empty(), "the same reason is told once"
    assert "Traceback" in caplog.text, "the log says where to mend it"
    await joined.leave()
