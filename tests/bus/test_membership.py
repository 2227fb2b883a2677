"""Real brokers and who is a member: strangers are refused, a removed one is told; and what each `acks` promises."""

from pathlib import Path

import pytest

from bus import wire
from bus.client.fleet import connect
from bus.event import Event
from tests.bus.rig import FLEET, Rig, until
from tests.bus.test_groups_fleet import urls

pytestmark = pytest.mark.fleet


def test_only_members_are_listened_to_as_brokers_and_a_removed_one_is_told(rigged: Rig) -> None:
    first = rigged.peer("b1", role="broker", name="b9")
    assert first.welcomed().partitions == 2, "before any topology nobody is a stranger"
    rigged.elect(0)
    stranger = rigged.peer("b1", role="broker", name="b9")
    bye, _ = stranger.hear(wire.Bye)
    assert bye.code == "denied" and "b9 is no member of fleet rig" in bye.reason
    assert rigged.peer("b1", role="broker", name="b2").welcomed().broker == "b1"
    assert rigged.peer("b1", role="client", name="b9").welcomed().broker == "b1", "clients need not be members"

    rigged.version += 1
    nodes = [wire.Node(name, one.url, rigged.stores[name]) for name, one in rigged.processes.items() if name != "b3"]
    told = wire.Topology(rigged.version, FLEET, 4096, nodes, list(rigged.seats.values()))
    rigged.planes["b3"].say(wire.Spread(*rigged.claim, told))
    until(lambda: "b3 is no member of fleet rig any more" in rigged.processes["b3"].log.read_text())


async def test_each_acks_says_in_the_receipt_what_it_promises(rigged: Rig) -> None:
    for partition in range(rigged.partitions):
        rigged.elect(partition)
    async with connect(urls(rigged)) as fleet:
        said = {
            acks: await fleet.publish(Event(type="a.b", id=acks, subject="s"), acks=acks)
            for acks in ("quorum", "leader", "none")
        }
        assert {acks: one.replicas for acks, one in said.items()} == {"quorum": 2, "leader": 1, "none": 0}
        for acks, words in (("quorum", "disks of 2 brokers"), ("leader", "only"), ("none", "nothing is promised")):
            assert said[acks].guarantee.startswith(f"{acks}: ") and words in said[acks].guarantee
        assert [receipt.replicas for receipt in await fleet.publish_many([Event(type="a.b")] * 3, acks="leader")] == [
            1
        ] * 3
        await fleet.publish(Event(type="a.b", id="last", subject="s"))
        found = [event.id async for event in fleet.read("a.b", start="earliest") if event.subject == "s"]
        assert found == ["quorum", "leader", "none", "last"]


@pytest.fixture
def rigged(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Rig(tmp_path)
    yield made
    made.close()
