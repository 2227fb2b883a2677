"""The other processes of `bare.py`: `python -m tests.bench._bare ROLE ...`, each until its stdin ends.

Each says on stdout where it listens. What goes around is a batch: a MessagePack list of small structs, one frame.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from struct import Struct

import msgspec
import zmq

from console.bench.figures import Histogram

TURN_FRAMES_MAX = 64
LOG_BYTES = 16 * 1024 * 1024
"""More than all that the publisher has under way."""
COUNT = Struct("<Q")
Socket = zmq.Socket[bytes]


class Event(msgspec.Struct, array_like=True, gc=False):
    """About what an event of the benches has. `time`: when it was due, monotonic ns."""

    id: bytes
    time: int
    type: str
    source: str
    subject: str
    data: bytes


class Consumed(msgspec.Struct):
    """What the consumer had between two ends; of its batches' ages, ns, and the monotonic ns of the end."""

    count: int
    ended: int
    p50: int
    p99: int


class Log:
    """A file of `LOG_BYTES`, written round and round. `count` frames are durable."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._at = self.count = 0
        os.write(self._file, bytes(LOG_BYTES))
        os.fsync(self._file)

    def write(self, frames: list[bytes]) -> None:
        """One write and one sync for all of them. Raises OSError when the disk takes less."""
        size = sum(map(len, frames))
        if self._at + size > LOG_BYTES:
            self._at = 0
        if os.pwritev(self._file, frames, self._at) != size:
            raise OSError(f"a write of {size} bytes was cut short")
        os.fdatasync(self._file)
        self._at += size
        self.count += len(frames)


def unbounded(kind: int) -> Socket:
    """A socket that blocks nobody, and keeps nothing when it is closed: the publisher's window is the bound."""
    socket: Socket = zmq.Context.instance().socket(kind)
    socket.set_hwm(0)
    socket.linger = 0
    return socket


def listening(kind: int) -> Socket:
    """A socket at a free port; its address goes to stdout."""
    socket = unbounded(kind)
    socket.bind("tcp://127.0.0.1:*")
    print(socket.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
    return socket


def connected(kind: int, url: str) -> Socket:
    """A socket to there."""
    socket = unbounded(kind)
    socket.connect(url)
    return socket


def received(socket: Socket) -> list[bytes]:
    """The frames that are there."""
    frames: list[bytes] = []
    try:
        while len(frames) < TURN_FRAMES_MAX:
            frames.append(socket.recv(zmq.NOBLOCK))
    except zmq.Again:
        pass  # these were all
    return frames


def turns(*sockets: Socket) -> Iterator[dict[Socket, list[bytes]]]:
    """What came on each socket that something came on, again and again until stdin ends."""
    poller, stdin = zmq.Poller(), sys.stdin.fileno()
    for each in (stdin, *sockets):
        poller.register(each, zmq.POLLIN)
    while stdin not in (ready := dict(poller.poll())):
        yield {socket: received(socket) for socket in sockets if socket in ready}


def follower(path: str) -> None:
    """Writes what comes, and says how many frames it has."""
    leader, log = listening(zmq.DEALER), Log(path)
    for came in turns(leader):
        log.write(came[leader])
        leader.send(COUNT.pack(log.count))


def lead(path: str, first: str, second: str, *consumers: str) -> None:
    """Ships, writes, and acks and hands on what two of three have."""
    publisher, log = listening(zmq.DEALER), Log(path)
    followers = [connected(zmq.DEALER, url) for url in (first, second)]
    outlets = [connected(zmq.PUSH, url) for url in consumers]
    synced = dict.fromkeys(followers, 0)
    waiting: deque[bytes] = deque()
    acked = 0
    for came in turns(publisher, *followers):
        frames = came.pop(publisher, [])
        for frame in frames:
            for socket in followers:
                socket.send(frame, copy=False)
        if frames:
            log.write(frames)
            waiting.extend(frames)
        for socket, told in came.items():
            (synced[socket],) = COUNT.unpack(told[-1])
        upto = sorted((log.count, *synced.values()))[1]
        for _ in range(upto - acked):
            frame = waiting.popleft()
            for socket in outlets:
                socket.send(frame, copy=False)
        if upto > acked:
            publisher.send(COUNT.pack(upto))
            acked = upto


def consumer() -> None:
    """Decodes what comes; at each empty batch says what came since the one before."""
    leader, decoder = listening(zmq.PULL), msgspec.msgpack.Decoder(list[Event])
    count, ages = 0, Histogram()
    for came in turns(leader):
        for frame in came[leader]:
            events = decoder.decode(frame)
            now = time.monotonic_ns()
            if events:
                count += len(events)
                ages.record(now - events[0].time)
            else:
                told = Consumed(count, now, ages.quantile(0.5) or 0, ages.quantile(0.99) or 0)
                print(msgspec.json.encode(told).decode(), flush=True)
                count, ages = 0, Histogram()


ROLES: dict[str, Callable[..., None]] = {"follower": follower, "leader": lead, "consumer": consumer}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
