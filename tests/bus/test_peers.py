"""What waits for a peer is bounded in bytes: records wait for it to read, and what cannot wait ends its session."""

import logging

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from bus import batch, limits, wire
from bus.broker.links import Introduction, Link
from bus.event import Event
from bus.record import header_of
from bus.session import Greeted, Heard, Refused, Session, Sessions
from bus.unread import Unread
from tests.bus.rig import FLEET, Peer
from tests.bus.stage import Stage, staged

RECORDS = 60
BODY = batch.encode([Event(type="a.b", source="s", id="one", data=b"x" * 5_000)])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"PEER_UNREAD_BYTES": 50_000, "PEER_PING_BYTES": 10_000, "READ_BYTES_MAX": 5_000}.items():
        monkeypatch.setattr(limits, name, size)


def queued(peer: Peer) -> list[list[bytes]]:
    """What has come to a peer's socket, unread."""
    parts = []
    while peer.socket.poll(50):
        parts.append(peer.socket.recv_multipart())
    return parts


def size_of(unread: list[list[bytes]]) -> int:
    return sum(len(part) for parts in unread for part in parts)


def fill(stage: Stage) -> None:
    publisher = stage.peer()
    for number in range(RECORDS):
        assert not stage.publish(publisher, wire.Section(0, b"p", number, 1), BODY).code


def test_records_wait_for_a_peer_that_reads_nothing_and_go_on_when_it_does() -> None:
    with staged() as stage:
        fill(stage)
        slow, quick = stage.peer(), stage.peer()
        slow.say(wire.Watch(1, 0, 0, 0, ">", False, limits.WATCH_CREDIT_BYTES_MAX))
        for _ in range(20):
            stage.broker.turn()
        unread = queued(slow)
        sent = size_of(unread)
        assert limits.PEER_UNREAD_BYTES <= sent < 2 * limits.PEER_UNREAD_BYTES, "far less than its credit"
        assert not stage.broker.reading.busy, "the loop does not spin for it"
        quick.say(wire.Watch(1, 0, 0, 0, ">", False, limits.WATCH_CREDIT_BYTES_MAX))
        for peer in (quick, slow):
            for parts in unread if peer is slow else ():
                peer.take(parts)
            offsets = []
            while len(offsets) < RECORDS:
                _, blobs = stage.hear(peer, wire.Records)
                offsets += [header_of(blob).base_offset for blob in blobs]
            assert offsets == list(range(RECORDS)), "each once and in order"


def test_who_lags_is_not_forgotten_for_those_who_went_lagging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSIONS_MAX", 8)
    with staged() as stage:
        fill(stage)
        slow = stage.peer()
        slow.say(wire.Watch(1, 0, 0, 0, ">", False, limits.WATCH_CREDIT_BYTES_MAX))
        for _ in range(20):
            stage.broker.turn()
        unread = queued(slow)
        counts = stage.broker.peers._unread
        counts |= {f"gone-{number}".encode(): Unread() for number in range(2 * limits.SESSIONS_MAX)}
        for _ in range(limits.SESSIONS_MAX - len(stage.broker.peers.sessions)):
            stage.peer()
        assert b"gone-0" not in counts
        for parts in unread:
            slow.take(parts)
        offsets: list[int] = []
        while len(offsets) < RECORDS:
            _, blobs = stage.hear(slow, wire.Records)
            offsets += [header_of(blob).base_offset for blob in blobs]
        assert offsets == list(range(RECORDS))


def test_a_peer_that_asks_and_never_reads_has_its_session_ended_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "PEER_SEND_BYTES_MAX", 20_000)
    with staged() as stage, caplog.at_level(logging.WARNING, "bus.broker"):
        deaf = stage.peer(name="deaf")
        there = len(stage.broker.peers.sessions)
        for number in range(limits.PEER_SEND_FRAMES_MAX // 2):
            if len(stage.broker.peers.sessions) < there:
                break
            deaf.say(wire.Watch(number, 999, 0, 0, ">", False, 1))
            stage.broker.turn()
        assert len(stage.broker.peers.sessions) == there - 1
        assert "deaf" in caplog.text and "bytes to read; 20000 may wait for it" in caplog.text
        parts = queued(deaf)
        assert size_of(parts) < 21_000
        last, _ = wire.decode(parts[-1])
        assert isinstance(last.message, wire.Bye) and "bytes to read" in last.message.reason


@given(st.lists(st.integers(-5, 40_000)))
def test_what_is_unread_is_never_more_than_was_sent_nor_less_than_came_after_the_last_ping_read(
    steps: list[int],
) -> None:
    unread, pings, read = Unread(), [0], 0
    for step in steps:
        if step < 0:  # a Pong, of a Ping or of none
            token = pings[step] if -step <= len(pings) else unread.sent + 1
            unread.heard(token)
            read = max(read, token if token in pings else 0)
        elif unread.add(step):
            pings.append(unread.sent)
        assert unread.size == unread.sent - read
        assert unread.sent - pings[-1] < limits.PEER_PING_BYTES


def test_publishes_that_wait_for_a_commit_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AWAITED_SECTIONS_MAX", 3)
    with staged() as stage:
        peer = stage.peer()
        section = wire.Section(0, b"p", 0, 1)
        for refused in (2, 0):
            outcomes: dict[int, wire.Outcome] = {}
            peer.say(wire.Publish(peer.number(), "quorum", [section] * 5), [BODY] * 5)
            while len(outcomes) < 5:
                outcomes |= stage.hear(peer, wire.Published)[0].outcomes
            codes = [outcomes[at].code for at in range(5)]
            assert codes == [""] * (5 - refused) + ["InsufficientReplicas"] * refused, "until it is committed"


def test_a_link_tells_its_follower_what_it_has_read() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.ROUTER) as router:
        url = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        link, sessions = Link(context, Introduction("b1", FLEET, "store"), "b2", url), Sessions(FLEET)
        link.open(0)

        def heard() -> Greeted | Heard | Refused:
            identity, *parts = router.recv_multipart()
            return sessions.receive(identity, parts, 0)

        def say(session: Session, message: wire.Message) -> None:
            router.send_multipart([session.identity, *session.send(message)])
            assert link.socket.poll(20_000)
            assert list(link.receive(0)) == [], "it is the link's own matter"

        greeted = heard()
        assert isinstance(greeted, Greeted)
        say(greeted.session, wire.Welcome(FLEET, "b2", "store", 1, [], "broker/b1", 0))
        say(greeted.session, wire.Ping(7))
        answer = heard()
        assert isinstance(answer, Heard) and answer.message == wire.Pong(7)
        link.close("the test is over")
