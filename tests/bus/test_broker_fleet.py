"""Three real broker processes under a scripted plane: elections, kills, restarts, and nothing acked is lost."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import batch, wire
from bus.event import Event
from bus.record import unseal
from bus.store import DiskMedium
from bus.store.medium import Writes
from tests.bus.rig import FLEET, Peer, Rig, publish, rig, until

pytestmark = pytest.mark.fleet
PRODUCER = b"p" * 16


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as made:
        yield made


def body(name: str, count: int = 1, size: int = 10) -> bytes:
    """A batch whose events are called `name`/0, `name`/1, ..."""
    return batch.encode(
        [Event(type="t.e", source="s", id=f"{name}/{number}", data="x" * size) for number in range(count)]
    )


def ids(fleet: Rig, partition: int) -> list[str]:
    """The ids of every event that the leader gives to readers, in order."""
    peer = fleet.client(fleet.seats[partition].leader)
    peer.say(wire.Watch(1, partition, 0, 0, ">", True, 1 << 26))
    found: list[str] = []
    while True:
        records, blobs = peer.hear(wire.Records)
        for blob in blobs:
            found += batch.decode(unseal(blob)[1]).ids
        if records.next_offset >= records.high:
            peer.close()
            return found
        peer.say(wire.Credit(1, sum(map(len, blobs))))


def samples(fleet: Rig, partition: int) -> dict[str, wire.ReplicaSample]:
    """Every live broker's figures of one partition."""
    found = {}
    for name, plane in fleet.planes.items():
        sampled = plane.ask(wire.Sample(plane.number()), wire.Sampled)
        found[name] = sampled.replicas[partition]
    return found


def caught_up(fleet: Rig, partition: int) -> bool:
    """Whether every live replica holds, and knows to be committed, what the leader does."""
    return len({(sample.end, sample.high) for sample in samples(fleet, partition).values()}) == 1


def test_a_killed_leader_loses_nothing_that_was_acked_and_doubles_nothing_that_is_retried(fleet: Rig) -> None:
    fleet.elect(0)
    acked: list[str] = []
    sequence = 0
    for victim in ("b1", "b2", "b3"):
        if fleet.seats[0].leader != victim:
            fleet.elect(0, prefer=victim)
        leader = fleet.seats[0].leader
        peer = fleet.client(leader)
        for _ in range(5):
            outcome = publish(peer, 0, body(f"{sequence}"), 1, producer=PRODUCER, sequence=sequence)
            assert (outcome.code, outcome.replicas) == ("", 2)
            acked.append(f"{sequence}/0")
            sequence += 1
        section = wire.Section(0, PRODUCER, sequence, 1)
        peer.say(wire.Publish(peer.number(), "quorum", [section]), [body(f"{sequence}")])
        fleet.kill(leader)
        peer.close()
        fleet.elect(0)
        peer = fleet.client(fleet.seats[0].leader)
        retried = publish(peer, 0, body(f"{sequence}"), 1, producer=PRODUCER, sequence=sequence)
        assert retried.code == ""
        acked.append(f"{sequence}/0")
        sequence += 1
        peer.close()
        fleet.start(leader)
        fleet.spread()
        assert ids(fleet, 0) == acked
    until(lambda: caught_up(fleet, 0))


def test_what_only_a_dead_leader_had_is_cut_off_when_it_comes_back(fleet: Rig) -> None:
    fleet.elect(0, prefer="b1")
    leader = fleet.seats[0].leader
    peer = fleet.client(leader)
    assert publish(peer, 0, body("both"), 1).code == ""
    others = sorted(set(fleet.processes) - {leader})
    for other in others:
        fleet.kill(other)
    alone = publish(peer, 0, body("alone"), 1, acks="leader")
    assert (alone.code, alone.replicas) == ("", 1)
    fleet.kill(leader)
    for other in others:
        fleet.start(other)
    fleet.elect(0)
    peer = fleet.client(fleet.seats[0].leader)
    assert publish(peer, 0, body("later"), 1).code == ""
    fleet.start(leader)
    fleet.spread()
    until(lambda: leader in samples(fleet, 0) and caught_up(fleet, 0))
    fleet.elect(0, prefer=leader)
    assert fleet.seats[0].leader == leader
    assert ids(fleet, 0) == ["both/0", "later/0"]


def test_a_restarted_fleet_remembers_its_log_its_producers_and_its_promises(fleet: Rig) -> None:
    fleet.elect(0)
    peer = fleet.client(fleet.seats[0].leader)
    first = publish(peer, 0, body("a", 3), 3, producer=PRODUCER, sequence=0)
    epoch = fleet.seats[0].epoch
    names, urls, stores = sorted(fleet.processes), {n: p.url for n, p in fleet.processes.items()}, dict(fleet.stores)
    for name in names:
        fleet.kill(name)
    for name in names:
        fleet.start(name)
    assert fleet.stores == stores
    assert {name: process.url for name, process in fleet.processes.items()} == urls, "the former ports were free"
    lonely = fleet.client(fleet.seats[0].leader)
    assert publish(lonely, 0, body("b"), 1).code == "NotLeader", "a broker that starts leads nothing"
    assert lonely.ask(wire.Describe(1, []), wire.Described).extents == []
    plane = fleet.planes["b1"]
    stale = plane.ask(wire.Offer(plane.number(), *fleet.claim, 0, epoch), wire.Answered)
    assert (stale.accepted, stale.promised) == (False, epoch)
    fleet.elect(0)
    peer = fleet.client(fleet.seats[0].leader)
    again = publish(peer, 0, body("a", 3), 3, producer=PRODUCER, sequence=0)
    assert (again.base_offset, again.appended) == (first.base_offset, first.appended)
    assert publish(peer, 0, body("c"), 1, producer=PRODUCER, sequence=1).base_offset == 3
    assert ids(fleet, 0) == ["a/0", "a/1", "a/2", "c/0"]


def test_without_a_quorum_of_followers_publishes_are_refused_before_they_are_appended(fleet: Rig) -> None:
    fleet.elect(0)
    leader = fleet.seats[0].leader
    for other in sorted(set(fleet.processes) - {leader}):
        fleet.kill(other)
    plane, peer = fleet.planes[leader], fleet.client(leader)
    lag_ns = 2_000_000_000

    def lagging() -> bool:
        replica = plane.ask(wire.Sample(plane.number()), wire.Sampled).replicas[0]
        return min(replica.follower_lag_ns.values()) > lag_ns

    until(lagging)
    before = samples(fleet, 0)[leader].end
    outcome = publish(peer, 0, body("refused"), 1)
    assert outcome.code == "InsufficientReplicas"
    after = samples(fleet, 0)[leader]
    assert (after.end, after.refused) == (before, 1)


def test_all_partitions_share_the_brokers_and_one_request_may_name_many(tmp_path: Path) -> None:
    with rig(tmp_path, partitions=6) as fleet:
        for partition in range(6):
            fleet.elect(partition, replicas=["b1", "b2", "b3"], prefer="b2")
        peer = fleet.client("b2")
        sections = [wire.Section(partition, PRODUCER, 0, 2) for partition in range(6)]
        request = peer.number()
        peer.say(wire.Publish(request, "quorum", sections), [body(f"p{partition}", 2) for partition in range(6)])
        outcomes: dict[int, wire.Outcome] = {}
        while len(outcomes) < 6:
            outcomes |= peer.hear(wire.Published)[0].outcomes
        assert {outcome.code for outcome in outcomes.values()} == {""}
        assert [ids(fleet, partition)[0] for partition in range(6)] == [f"p{partition}/0" for partition in range(6)]


def test_a_full_store_refuses_and_everything_acked_can_still_be_read(tmp_path: Path) -> None:
    with rig(tmp_path, options=("--store-bytes-max", str(4 << 20))) as fleet:
        fleet.elect(0)
        peer = fleet.client(fleet.seats[0].leader)
        acked: list[str] = []
        for number in range(200):
            outcome = publish(peer, 0, body(f"{number}", size=100_000), 1)
            if outcome.code:
                break
            acked.append(f"{number}/0")
        assert outcome.code == "StorageFull"
        assert "make room" in outcome.message
        assert len(acked) > 5
        assert ids(fleet, 0) == acked


def test_a_disk_that_fails_while_it_writes_costs_the_leadership_and_nothing_that_was_acked(fleet: Rig) -> None:
    fleet.elect(0)
    leader = fleet.seats[0].leader
    process = fleet.processes[leader]
    acked = [f"{number}/0" for number in range(5)]
    peer = fleet.client(leader)
    for number in range(5):
        assert publish(peer, 0, body(f"{number}", size=50_000), 1).code == ""
    size = (process.directory / "store.lmdb" / "data.mdb").stat().st_size
    whole = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size, whole[1]))
    codes = [publish(peer, 0, body("unacked", size=200_000), 1, producer=PRODUCER).code for _ in range(2)]
    assert codes == ["OutcomeUnknown", "StorageFull"]
    assert fleet.planes[leader].hear(wire.Bye)[0].code == "closing", "the plane learns that it needs another leader"
    assert process.log.read_text().count("stepping down from every partition") == 1
    fleet.planes.pop(leader).close()
    fleet.elect(0)
    other = fleet.client(fleet.seats[0].leader)
    assert publish(other, 0, body("unacked", size=200_000), 1, producer=PRODUCER).code == ""
    assert ids(fleet, 0) == [*acked, "unacked/0"]
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, whole)
    until(lambda: "there is room again" in process.log.read_text())
    fleet.claim_again(leader)
    until(lambda: caught_up(fleet, 0))
    fleet.elect(0, prefer=leader)
    assert fleet.seats[0].leader == leader
    assert ids(fleet, 0) == [*acked, "unacked/0"]


def test_a_record_damaged_on_the_leaders_disk_is_named_and_the_rest_goes_on(fleet: Rig) -> None:
    fleet.elect(0, prefer="b1")
    leader = fleet.seats[0].leader
    late = next(name for name in fleet.processes if name != leader)
    fleet.kill(late)
    peer = fleet.client(leader)
    assert publish(peer, 0, body("before", size=3_000), 1).code == ""
    process = fleet.processes.pop(leader)
    fleet.planes.pop(leader).close()
    assert process.end() == 0
    medium = DiskMedium(process.directory / "store.lmdb")
    whole = medium.record(0, 1)
    medium.commit(Writes(records=[(0, 1, whole[:-1] + b"X")]))
    medium.close()
    fleet.start(leader)
    fleet.elect(0, prefer=leader)
    fleet.start(late)
    fleet.spread()
    log = fleet.processes[leader].log
    until(lambda: "partition 0 cannot be shipped from record" in log.read_text())
    peer = fleet.client(leader)
    assert publish(peer, 0, body("after"), 1).code == ""
    turns = samples(fleet, 0)[leader]
    assert turns.follower_lag_ns[late] < 2_000_000_000, "it is still told that its leader lives"
    assert log.read_text().count("cannot be shipped") == 1


def test_a_peer_that_never_reads_loses_its_session_and_nobody_else_waits(fleet: Rig) -> None:
    fleet.elect(0)
    leader = fleet.seats[0].leader
    greedy, good = fleet.client(leader), fleet.client(leader)
    endless = wire.GroupSettings(">", -1, 1_000, 1, order="x" * 10_000)
    for _ in range(60):
        for number in range(200):  # each answer holds the order that is none
            greedy.say(wire.Join(number, "g", 0, "m", endless, 1))
        assert publish(good, 0, body("x"), 1).code == ""
        if "does not take its frames" in fleet.processes[leader].log.read_text():
            break
    else:
        raise AssertionError("the greedy session never ended")
    greedy.close()


def test_sigterm_and_halt_say_bye_to_all_and_exit_0(fleet: Rig) -> None:
    client, other = fleet.client("b1"), fleet.client("b2")
    assert fleet.processes["b1"].end(signal.SIGTERM) == 0
    assert client.hear(wire.Bye)[0].code == "closing"
    fleet.planes["b2"].say(wire.Halt(*fleet.claim, "enough"))
    assert fleet.processes["b2"].process.wait(20) == 0
    bye = other.hear(wire.Bye)[0]
    assert (bye.code, "enough" in bye.reason) == ("closing", True)


def started(directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Start a broker that is expected to end by itself."""
    command = [sys.executable, "-m", "bus", "--dir", str(directory), "--id", "b1", "--fleet", FLEET, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def one_clear_line(ended: "subprocess.CompletedProcess[str]", *words: str) -> None:
    lines = ended.stderr.strip().splitlines()
    assert ended.returncode == 1 and len(lines) == 1, ended.stderr
    assert all(word in lines[0] for word in words), lines[0]


def test_what_keeps_a_broker_from_starting_is_one_clear_line(tmp_path: Path) -> None:
    with rig(tmp_path, brokers=1) as fleet:
        process = fleet.processes["b1"]
        one_clear_line(started(process.directory), "in use by another broker", "--dir")
        port = process.url.rsplit(":", 1)[1]
        one_clear_line(started(tmp_path / "other", "--port", port), f"port {port}", "in use")
        facts = json.loads((process.directory / "broker.json").read_text())
        assert (facts["id"], facts["fleet"], facts["url"]) == ("b1", FLEET, process.url)
        assert facts["url"].startswith("tcp://127.0.0.1:")
        process.kill()
    (tmp_path / "file").write_text("not a folder")
    one_clear_line(started(tmp_path / "file" / "b1"), "file", "--dir")
    (process.directory / "store.lmdb" / "data.mdb").write_bytes(b"damaged" * 4096)
    one_clear_line(started(process.directory), "store.lmdb")
    assert started(tmp_path / "b1", "--partitions", "0").returncode == 2


def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path: Path) -> None:
    with rig(tmp_path, brokers=1) as fleet:
        taken = fleet.processes["b1"].url
        facts = json.dumps({"url": taken})
        (tmp_path / "b2").mkdir()
        (tmp_path / "b2" / "broker.json").write_text(facts)
        assert fleet.start("b2").url != taken


def test_a_broker_of_another_fleet_is_refused(fleet: Rig) -> None:
    stranger = Peer(fleet.processes["b1"].url, fleet="elsewhere")
    bye = stranger.hear(wire.Bye)[0]
    assert bye.code == "denied" and "elsewhere" in bye.reason
    stranger.close()
