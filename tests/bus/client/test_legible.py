"""Text that UTF-8 cannot carry, as the names of files may be: refused where it names something, told where it can."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bus
from bus.attributes import legible
from tests.bus.rig import rig

LONE = "caf\udce9"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig(tmp_path_factory.mktemp("legible"), partitions=1, brokers=1) as made:
        made.elect(0)
        yield made.processes["b1"].url


@given(st.text(st.characters()) | st.just(LONE), st.integers(0, 20))
def test_legible_text_can_be_sent_and_is_what_it_was_where_it_could_be(text: str, most: int) -> None:
    said = legible(text, most)
    assert len(said) <= most
    said.encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert said == text[:most]


async def test_what_an_agent_raised_is_told_and_its_session_lives(url: str) -> None:
    async def answer(payload: Any, context: bus.CallContext) -> Any:
        if payload == "raise":
            raise FileNotFoundError(LONE)
        return payload

    async with bus.connect(url) as fleet, fleet.answers("agent/a", answer):
        with pytest.raises(bus.CallFailed, match=r"FileNotFoundError: caf\\udce9"):
            await fleet.call("agent/a", "raise", timeout=20)
        assert await fleet.call("agent/a", "on", timeout=20) == "on"


async def test_a_settlement_says_why_whatever_the_text_is_and_its_session_lives(url: str) -> None:
    async with bus.connect(url) as fleet, fleet.subscribe("told.>", group="told", start="earliest") as work:
        connections = {id(one) for one in fleet.cluster._connections.values()}
        await fleet.publish(bus.Event(type="told.once", source="agent/a"))
        async with asyncio.timeout(20):
            first = await anext(work)
            with pytest.raises(bus.ClientError, match="is no text"):
                first.nack(error=ValueError("not a text"))  # type: ignore[arg-type]
            await first.nack(error=LONE)
            again = await anext(work)
            assert again.attempt == 2
            await again.terminate(LONE)
        async with asyncio.timeout(20):
            letters = [one async for one in fleet.read("signalbox.deadletter")]
        assert {id(one) for one in fleet.cluster._connections.values()} == connections
    assert letters[-1].data["error"] == "caf\\udce9"


async def test_names_and_patterns_of_it_are_refused(url: str) -> None:
    with pytest.raises(bus.ClientError, match="name"):
        bus.connect(url, name=LONE)
    async with bus.connect(url) as fleet:
        for refused in (lambda: fleet.read(LONE), lambda: fleet.subscribe(LONE, group="g")):
            with pytest.raises(bus.InvalidPattern):
                refused()
        with pytest.raises(bus.ClientError, match="group"):
            fleet.subscribe("a", group=LONE)
