"""Nine bad inputs, each through the outermost interface that can have it: its own named error, whose fault it is, the
thing it names, and what to do. Nothing that was refused is in the log, and the broker serves on.

| bad input | seen at | named |
|---|---|---|
| oversized event | `publish` | EventTooLarge, yours |
| unknown partition | `read` from a cursor; a raw publish | UnknownPartition, yours |
| stale epoch | a plane's verb; a leader's ship | StaleEpoch, ours; a refusal that names the greater epoch |
| wrong checksum | a shipped record | CorruptRecord, ours |
| duplicate sequence | a raw publish | the original's placement; DuplicateSequence, yours, when it is another batch |
| sequence gap | a raw publish; a session's frames | OutOfSequence, ours; Bye "gap" |
| pattern that matches nothing | `subscribe`, `read` | InvalidPattern, yours, if it is none; else told by `group list` |
| group name clash | `subscribe` | GroupConflict, yours, with the field |
| clock far off | `publish` | ClockFarOff, yours; a broker's own clock is a finding of health |
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

import bus
from bus import batch, limits, wire
from bus.errors import BY_CODE, BusError, ClientError, FleetError
from bus.record import EVENTS, Header, seal
from tests.bus.rig import Peer, Rig, publish, rig

pytestmark = pytest.mark.fleet
PRODUCER = b"p" * 16
BODY = batch.encode([bus.Event(type="a.b", source="s", id=f"id-{number}") for number in range(3)])
OTHER = batch.encode([bus.Event(type="a.b", source="s", id=f"other-{number}") for number in range(3)])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("bad"), partitions=2, brokers=2) as made:
        for partition in range(2):
            made.elect(partition)
        yield made


class Bad(NamedTuple):
    """What is done, the error that is due, whose fault, and the words that name the thing and say what to do."""

    name: str
    act: Callable[[Rig], Awaitable[BusError]]
    error: type[BusError]
    fault: type[BusError]
    words: tuple[str, ...]


def error_of(code: str, message: str, detail: str = "") -> BusError:
    """A refusal on the wire as the exception that a client makes of it."""
    error = BY_CODE[code](message)
    if isinstance(error, bus.GroupConflict):
        error.field = detail
    return error


@asynccontextmanager
async def connected(fleet: Rig) -> AsyncIterator[bus.Fleet]:
    async with bus.connect([process.url for process in fleet.processes.values()]) as client:
        yield client


def leader_of(fleet: Rig, partition: int = 0) -> Peer:
    return fleet.client(fleet.seats[partition].leader)


def refusal(fleet: Rig, partition: int, body: bytes, **given: object) -> BusError:
    outcome = publish(leader_of(fleet), partition, body, 3, **given)  # type: ignore[arg-type]
    assert outcome.code, "it was appended"
    return error_of(outcome.code, outcome.message)


async def caught(work: Awaitable[object]) -> BusError:
    with pytest.raises(BusError) as error:
        await work
    return error.value


# ------------------------------------------------------------------------------------------------ the nine


async def oversized(fleet: Rig) -> BusError:
    async with connected(fleet) as client:
        big = bus.Event(type="a.b", source="s", id="big", data="x" * limits.EVENT_BYTES_MAX)
        return await caught(client.publish(big))


async def unknown_partition(fleet: Rig) -> BusError:
    return refusal(fleet, 99, BODY)


async def unknown_partition_in_a_cursor(fleet: Rig) -> BusError:
    async with connected(fleet) as client:
        return await caught(anext(client.read(start={99: 0})))


async def stale_epoch(fleet: Rig) -> BusError:
    plane, (epoch, uuid) = fleet.planes["b1"], fleet.claim
    plane.say(wire.Offer(plane.number(), epoch - 1, uuid, 0, 99))
    fault, _ = plane.hear(wire.Fault)
    return error_of(fault.code, fault.message)


async def wrong_checksum(fleet: Rig) -> BusError:
    seat = fleet.seats[0]
    follower = next(broker for broker in seat.replicas if broker != seat.leader)
    peer = fleet.peer(follower, role="broker", name=seat.leader)
    peer.welcomed()
    damaged = seal(Header(EVENTS, 0, seat.epoch, 0, 3, 1), BODY)[:-1] + b"X"
    peer.say(wire.Ship(0, seat.epoch, seat.leader, -1, 0, 0), [damaged])
    fault, _ = peer.hear(wire.Fault)
    peer.close()
    return error_of(fault.code, fault.message)


async def wrong_checksum_of_a_body(fleet: Rig) -> BusError:
    return refusal(fleet, 0, BODY[:-1])


async def duplicate_sequence(fleet: Rig) -> BusError:
    peer = leader_of(fleet)
    first = publish(peer, 0, BODY, 3, producer=PRODUCER)
    assert publish(peer, 0, BODY, 3, producer=PRODUCER) == first, "a repetition gets the original's placement"
    return refusal(fleet, 0, OTHER, producer=PRODUCER)


async def sequence_gap(fleet: Rig) -> BusError:
    publish(leader_of(fleet), 0, BODY, 3, producer=b"g" * 16)
    return refusal(fleet, 0, BODY, producer=b"g" * 16, sequence=2)


async def frames_gap(fleet: Rig) -> BusError:
    peer = leader_of(fleet)
    peer.session.sent += 1
    peer.say(wire.Describe(1, []))
    bye, _ = peer.hear(wire.Bye)
    assert bye.code == "gap"
    peer.close()
    return bus.ProtocolError(bye.reason)


async def no_pattern(fleet: Rig) -> BusError:
    async with connected(fleet) as client:
        with pytest.raises(bus.InvalidPattern):
            client.read("a..b")
        with pytest.raises(bus.InvalidPattern) as error:
            client.subscribe("a.>.b", group="g")
        return error.value


async def group_clash(fleet: Rig) -> BusError:
    async with connected(fleet) as client, client.subscribe("a.>", group="clash"):
        error = await caught(client.subscribe("b.>", group="clash").__aenter__())
        assert isinstance(error, bus.GroupConflict) and error.field == "pattern"
        return error


async def clock_far_off(fleet: Rig) -> BusError:
    async with connected(fleet) as client:
        ahead = time.time_ns() + (limits.EVENT_AHEAD_MS_MAX + 60_000) * 1_000_000
        soon = time.time_ns() + (limits.EVENT_AHEAD_MS_MAX - 60_000) * 1_000_000
        await client.publish(bus.Event(type="a.b", source="s", id="soon", time=soon))
        imported = bus.Event(type="a.b", source="s", id="log", time=ahead, extensions={"importof": "a log"})
        await client.publish(imported)
        return await caught(client.publish(bus.Event(type="a.b", source="s", id="ahead", time=ahead)))


NINE = [
    Bad("oversized event", oversized, bus.EventTooLarge, ClientError, ("bytes", str(limits.EVENT_BYTES_MAX))),
    Bad("unknown partition", unknown_partition, bus.UnknownPartition, ClientError, ("partition 99", "has 2")),
    Bad("unknown partition in a cursor", unknown_partition_in_a_cursor, bus.UnknownPartition, ClientError,
        ("partition 99", "has 2")),
    Bad("stale epoch", stale_epoch, bus.StaleEpoch, FleetError, ("Offer", "plane epoch 0", "obeys epoch 1")),
    Bad("wrong checksum", wrong_checksum, bus.CorruptRecord, FleetError, ("checksum",)),
    Bad("wrong checksum of a body", wrong_checksum_of_a_body, bus.CorruptRecord, FleetError, ("batch",)),
    Bad("duplicate sequence", duplicate_sequence, bus.DuplicateSequence, ClientError,
        (PRODUCER.hex(), "number 0", "a producer id of its own")),
    Bad("sequence gap", sequence_gap, bus.OutOfSequence, FleetError, (("g" * 16).encode().hex(), "1 is due")),
    Bad("gap in a session", frames_gap, bus.ProtocolError, FleetError, ("due",)),
    Bad("pattern that is none", no_pattern, bus.InvalidPattern, ClientError, ("'a.>.b'", "`>` last")),
    Bad("group name clash", group_clash, bus.GroupConflict, ClientError, ("clash", "pattern")),
    Bad("clock far off", clock_far_off, bus.ClockFarOff, ClientError, ("'ahead'", "set the clock")),
]  # fmt: skip


@pytest.mark.parametrize("bad", NINE, ids=lambda bad: bad.name)
async def test_a_bad_input_has_its_own_named_error(fleet: Rig, bad: Bad) -> None:
    error = await bad.act(fleet)
    assert type(error) is bad.error and isinstance(error, bad.fault), repr(error)
    for word in bad.words:
        assert word in str(error), str(error)
    assert not {"big", "ahead", "other-0"} & {event.id async for event in _all(fleet)}, "it was appended"


async def _all(fleet: Rig) -> AsyncIterator[bus.Event]:
    async with connected(fleet) as client:
        async for event in client.read():
            yield event


async def test_a_pattern_that_matches_nothing_is_legal_and_waits(fleet: Rig) -> None:
    """That nothing was ever published that it matches is told by `group list` (tests/controlplane/test_listeners)."""
    async with connected(fleet) as client:
        assert [event async for event in client.read("nobody.says.this")] == []
        async with client.subscribe("nobody.says.this", group="early") as deliveries:
            await client.publish(bus.Event(type="nobody.says.this", source="s", id="late"))
            delivery = await anext(deliveries)
            assert delivery.event.id == "late"
            await delivery.ack()
