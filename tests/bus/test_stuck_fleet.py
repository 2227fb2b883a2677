"""Consumers that are stuck in every way there is, beside others at the same partition, in real processes.

A stuck consumer costs nobody else anything: the others are given everything and their acks are answered, the broker's
memory stays bounded, and who does not take its frames loses its session.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus import batch, limits, wire
from bus.bitmap import rows_of
from bus.event import Event
from bus.record import header_of
from tests.bus.rig import Peer, Rig, publish, rig

pytestmark = pytest.mark.fleet
WATCHES = 20 * limits.BUNDLE_MESSAGES_MAX
"""So many that a record for all of them fills twenty frames."""
EVENTS = 2
SETTINGS = wire.GroupSettings("t.>", -1, 60_000, 5)
STUCK_CREDIT = 7
MARGIN_BYTES = 48 << 20
"""The log's tail in memory, and what an allocator keeps."""


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """A process that watches partition 0 WATCHES times with all the credit there is, and stands still."""
    command = [sys.executable, "-m", "tests.bus._stuck", url, str(WATCHES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            child.send_signal(signal.SIGSTOP)
            yield
        finally:
            child.kill()


def anonymous_bytes(pid: int) -> int:
    """Memory of a process that is not mapped from files."""
    return int(Path(f"/proc/{pid}/status").read_text().split("RssAnon:")[1].split()[0]) * 1024


class Live:
    """A reader and a member who keep up: what they were given."""

    def __init__(self, fleet: Rig, broker: str) -> None:
        self.reader, self.member = fleet.client(broker), fleet.client(broker)
        self.read: list[int] = []
        self.acked: list[int] = []
        self.reader.say(wire.Watch(1, 0, 0, 0, "t.>", False, 1 << 20))
        self.member.say(wire.Join(1, "live", 0, "m", SETTINGS, 100))
        self.member.hear(wire.Joined)

    def take(self, end: int) -> None:
        """Read and ack up to the event before `end`; every ack is answered."""
        while len(self.read) < end:
            records, blobs = self.reader.hear(wire.Records)
            for header in map(header_of, blobs):
                self.read += range(header.base_offset, header.base_offset + header.count)
            self.reader.say(wire.Credit(1, sum(map(len, blobs))))
            assert records.subscription == 1
        while len(self.acked) < end:
            deliver, blobs = self.member.hear(wire.Deliver)
            header = header_of(blobs[0])
            offsets = [header.base_offset + row for row in rows_of(deliver.rows, header.count)]
            items = [wire.Settlement(offset, 1, "ack") for offset in offsets]
            settled = self.member.ask(wire.Settle(self.member.number(), 1, 0, items), wire.Settled)
            assert settled.stale == {}
            self.member.say(wire.Credit(1, len(items)))
            self.acked += offsets

    def close(self) -> None:
        self.reader.close()
        self.member.close()


def join(fleet: Rig, broker: str, group: str, credit: int) -> Peer:
    """A member that says nothing any more."""
    peer = fleet.client(broker)
    peer.say(wire.Join(1, group, 0, "m", SETTINGS, credit))
    peer.hear(wire.Joined)
    return peer


def sessions(fleet: Rig, broker: str) -> int:
    """How many sessions a broker has, a fresh one of the plane's among them."""
    fleet.planes[broker].close()
    fleet.claim_again(broker)
    plane = fleet.planes[broker]
    return plane.ask(wire.Sample(plane.number()), wire.Sampled).sessions


def heard(peer: Peer) -> list[object]:
    """All that has come to a peer by the answer to a question of its own."""
    peer.ask(wire.Describe(peer.number(), []), wire.Described)
    return [message for message, _ in peer.inbox]


def test_stuck_consumers_cost_nobody_else_anything(tmp_path: Path) -> None:
    with rig(tmp_path, partitions=1) as fleet:
        leader = fleet.elect(0).leader
        process = fleet.processes[leader]
        body = batch.encode([Event(type="t.e", source="s", id=f"e{n}", data=n) for n in range(EVENTS)])
        publisher, live = fleet.client(leader), Live(fleet, leader)
        never_acks, no_credit = join(fleet, leader, "never-acks", STUCK_CREDIT), join(fleet, leader, "no-credit", 0)
        one_record = fleet.client(leader)
        one_record.say(wire.Watch(1, 0, 0, 0, ">", False, 1))
        one_record.hear(wire.Records)
        before = anonymous_bytes(process.process.pid)
        most = before
        sent = 0
        with stopped(process.url):
            fleet.spread()  # who is gone is found out by what is sent to all
            fleet.planes[leader].ask(wire.Sample(0), wire.Sampled)
            there = sessions(fleet, leader)
            due = time.monotonic() + 4 * limits.SESSION_SILENT_MS_MAX / 1000
            while sessions(fleet, leader) == there:
                assert time.monotonic() < due, "the stopped peer's session never ended"
                for peer in (never_acks, no_credit, one_record):
                    peer.say(wire.Ping(sent))  # stuck, and alive
                for _ in range(10):
                    assert publish(publisher, 0, body, EVENTS).code == ""
                    sent += 1
                live.take(sent * EVENTS)
                most = max(most, anonymous_bytes(process.process.pid))
            for _ in range(20):
                assert publish(publisher, 0, body, EVENTS).code == ""
                sent += 1
            live.take(sent * EVENTS)
        assert live.read == list(range(sent * EVENTS)), "each event once and in order, whoever is stuck"
        assert sorted(live.acked) == live.read
        delivers = [message for message in heard(never_acks) if isinstance(message, wire.Deliver)]
        assert sum(int.from_bytes(message.rows, "little").bit_count() for message in delivers) == STUCK_CREDIT
        assert not [message for message in heard(no_credit) if isinstance(message, wire.Deliver)]
        records = [message for message in heard(one_record) if isinstance(message, wire.Records)]
        assert len(records) <= 1, "one record at least, however little credit, and no more"
        assert most - before < 2 * limits.PEER_UNREAD_BYTES + MARGIN_BYTES, "what waits for one peer is bounded"
        for peer in (publisher, never_acks, no_credit, one_record):
            peer.close()
        live.close()
