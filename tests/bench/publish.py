"""Publish to quorum ack, on frames: three broker processes, twelve partitions, batches of 500 events of 128 bytes.

The publisher makes every event, encodes it and waits for its ack, with a window of batches per broker: what is left out
is only the public client above the frames.
"""

import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bus import batch, wire
from bus.event import Event
from bus.ids import new_id
from tests.bus.rig import FLEET, Peer, Rig, rig

EVENTS = 500
PAYLOAD = "x" * 126  # with the quotes of JSON, 128 bytes
PARTITIONS = 12
BATCHES = 800
WINDOW = 24
PROBES = 300
RUNS = 3


def body(first: int, count: int) -> bytes:
    """One batch: ten types, five sources, a subject each."""
    now = time.time_ns()
    return batch.encode(
        [
            Event(
                type=f"bench.step{number % 10}.done",
                source=f"agent/{number % 5}",
                id=new_id(),
                subject=f"case-{number}",
                time=now,
                data=PAYLOAD,
            )
            for number in range(first, first + count)
        ]
    )


def flood(
    fleet: Rig,
    peers: dict[str, Peer],
    producer: bytes,
    sequences: list[int],
    batches: int = BATCHES,
    made: Callable[[int, int], bytes] = body,
) -> float:
    """Events a second, all of them acked by quorum; `made(first, count)` gives a batch."""
    waiting = dict.fromkeys(peers, 0)
    began = time.monotonic()
    for number in range(batches):
        partition = number % PARTITIONS
        leader = fleet.seats[partition].leader
        peer = peers[leader]
        while waiting[leader] >= WINDOW or peer.socket.poll(0):
            waiting[leader] -= taken(peer)
        section = wire.Section(partition, producer, sequences[partition], EVENTS)
        sequences[partition] += 1
        peer.say(wire.Publish(peer.number(), "quorum", [section]), [made(number * EVENTS, EVENTS)])
        waiting[leader] += 1
    for leader, peer in peers.items():
        while waiting[leader]:
            waiting[leader] -= taken(peer)
    return batches * EVENTS / (time.monotonic() - began)


def taken(peer: Peer) -> int:
    """Wait for one Published; the sections it answers."""
    published, _ = peer.hear(wire.Published)
    failed = [outcome for outcome in published.outcomes.values() if outcome.code]
    if failed:
        raise RuntimeError(str(failed[0]))
    return len(published.outcomes)


def idle(peer: Peer, partition: int, producer: bytes, first: int) -> list[float]:
    """Milliseconds from publish to quorum ack of one event at a time."""
    took = []
    for number in range(PROBES):
        blob = body(number, 1)
        began = time.monotonic()
        section = wire.Section(partition, producer, first + number, 1)
        peer.say(wire.Publish(peer.number(), "quorum", [section]), [blob])
        taken(peer)
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)


def run(report: Callable[..., None]) -> None:
    """Print the rates and latencies of `RUNS` runs in one fleet."""
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder), partitions=PARTITIONS) as fleet:
        names = sorted(fleet.processes)
        for partition in range(PARTITIONS):
            fleet.elect(partition, replicas=names, prefer=names[partition % len(names)])
        peers = {name: fleet.client(name) for name in names}
        producer, sequences = secrets.token_bytes(16), [0] * PARTITIONS
        rates = [flood(fleet, peers, producer, sequences) for _ in range(RUNS)]
        report(f"publish to quorum ack, 128 B, batches of {EVENTS}, fleet {FLEET!r}", rates, "events/s")
        took = idle(peers[fleet.seats[0].leader], 0, producer, sequences[0])
        report("publish to quorum ack, one event at a time", took, "ms", f"p99 {took[int(len(took) * 0.99)]:.2f} ms")
