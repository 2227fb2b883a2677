"""Real broker processes, a scripted plane and raw peers to drive them with: no client, no control plane, frames."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import zmq

from bus import wire
from bus.session import Session

WAIT_S = 20.0
FLEET = "rig"
Kind = TypeVar("Kind", bound=wire.Message)


class TimedOut(AssertionError):
    """A peer did not say what was waited for."""


class Peer:
    """A DEALER with a session, by hand."""

    def __init__(self, url: str, role: str = "client", name: str = "peer", fleet: str = FLEET) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(url)
        self.session = Session(secrets.randbits(63))
        self.inbox: list[tuple[Any, list[bytes]]] = []
        self.requests = 0
        self.write(self.session.hello(role=role, name=name, fleet=fleet))

    def welcomed(self) -> wire.Welcome:
        """Wait for the Welcome."""
        return self.hear(wire.Welcome)[0]

    def write(self, frames: list[bytes]) -> None:
        self.socket.send_multipart(frames)

    def say(self, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> None:
        """Send in the session."""
        self.write(self.session.send(message, blobs))

    def number(self) -> int:
        """A fresh request number."""
        self.requests += 1
        return self.requests

    def hear(
        self, kind: type[Kind], where: Callable[[Any], bool] = lambda _: True, wait_s: float = WAIT_S
    ) -> tuple[Kind, list[bytes]]:
        """The first message of a kind (that fulfils `where`), in what came or comes."""
        due = time.monotonic() + wait_s
        at = 0
        while True:
            while at < len(self.inbox):
                message, blobs = self.inbox[at]
                if isinstance(message, kind) and where(message):
                    del self.inbox[at]
                    return message, blobs
                at += 1
            left = due - time.monotonic()
            if left <= 0 or not self.socket.poll(int(left * 1000) + 1):
                raise TimedOut(f"no {kind.__name__} within {wait_s} s; there was {[m for m, _ in self.inbox]}")
            self.take(self.socket.recv_multipart())

    def take(self, parts: list[bytes]) -> None:
        """A multipart came; a Ping is answered, as every peer does."""
        received = self.session.receive(parts)
        for message, blobs in wire.unbundled(*received) if received is not None else ():
            if isinstance(message, wire.Ping):
                self.say(wire.Pong(message.token))
            else:
                self.inbox.append((message, blobs))

    def ask(self, message: wire.Message, kind: type[Kind], wait_s: float = WAIT_S) -> Kind:
        """Send a request and wait for its answer; a Fault is an AssertionError."""
        request = message.request  # type: ignore[attr-defined]
        self.say(message)
        answer, _ = self.hear(
            wire.Message, lambda m: isinstance(m, (kind, wire.Fault)) and m.request == request, wait_s
        )
        if not isinstance(answer, kind):
            raise AssertionError(f"{message} was answered by {answer}")
        return answer

    def close(self) -> None:
        self.socket.close(0)


class Process:
    """One broker process in a folder."""

    def __init__(self, root: Path, name: str, partitions: int, *options: str) -> None:
        self.name = name
        self.directory = root / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "broker.log"
        command = [sys.executable, "-m", "bus", "--dir", str(self.directory), "--id", name, "--fleet", FLEET]
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, "--partitions", str(partitions), *options], stderr=stderr, stdin=subprocess.DEVNULL
            )
        until(lambda: self.facts().get("pid") == self.process.pid or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(f"{name} ended with {self.process.returncode}: {self.log.read_text()}")
        self.url = str(self.facts()["url"])

    def facts(self) -> dict[str, Any]:
        """broker.json, or nothing yet."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((self.directory / "broker.json").read_text())
            return found
        return {}

    def kill(self) -> None:
        """kill -9, and wait."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


class Rig:
    """A fleet of broker processes under a scripted plane."""

    def __init__(self, root: Path, partitions: int = 2, brokers: int = 3, options: tuple[str, ...] = ()) -> None:
        self.root = root
        self.partitions = partitions
        self.options = options
        self.processes: dict[str, Process] = {}
        self.planes: dict[str, Peer] = {}
        self.stores: dict[str, str] = {}
        self.seats: dict[int, wire.Seat] = {}
        self.claim = (1, secrets.token_hex(8))
        self.version = 0
        self.epoch = 0
        try:
            for number in range(1, brokers + 1):
                self.start(f"b{number}")
        except BaseException:
            self.close()
            raise

    def start(self, name: str) -> Process:
        """Start a broker (again) and claim it."""
        self.processes[name] = Process(self.root, name, self.partitions, *self.options)
        self.claim_again(name)
        return self.processes[name]

    def claim_again(self, name: str) -> None:
        """Open the plane's session with a broker."""
        plane = self.peer(name, role="plane", name="plane")
        self.stores[name] = plane.welcomed().store
        claimed = plane.ask(wire.Claim(plane.number(), *self.claim), wire.Claimed)
        if not claimed.accepted:
            raise AssertionError(claimed)
        self.planes[name] = plane

    def kill(self, name: str) -> None:
        """kill -9 a broker."""
        self.processes.pop(name).kill()
        self.planes.pop(name).close()

    def peer(self, broker: str, role: str = "client", name: str = "peer", fleet: str = FLEET) -> Peer:
        """A raw peer of one broker."""
        return Peer(self.processes[broker].url, role, name, fleet)

    def client(self, name: str) -> Peer:
        """A welcomed client of one broker."""
        peer = self.peer(name)
        peer.welcomed()
        return peer

    def elect(self, partition: int, replicas: list[str] | None = None, prefer: str = "") -> wire.Seat:
        """Offer a new epoch to all live replicas, place the greatest answer, spread the topology."""
        everyone = replicas or (self.seats[partition].replicas if partition in self.seats else sorted(self.processes))
        live = [name for name in everyone if name in self.planes]
        self.epoch += 1
        answers = {}
        for name in live:
            plane = self.planes[name]
            answer = plane.ask(wire.Offer(plane.number(), *self.claim, partition, self.epoch), wire.Answered)
            if answer.accepted:
                answers[name] = (answer.last_epoch, answer.end, name == prefer)
        quorum = len(everyone) // 2 + 1
        if len(answers) < len(everyone) - quorum + 1:
            raise AssertionError(f"only {answers} promised")
        leader = max(answers, key=lambda name: answers[name])
        stores = [self.stores[name] for name in everyone]
        seat = wire.Seat(partition, self.epoch, leader, everyone, quorum, stores)
        self.seats[partition] = seat
        self.spread()
        for name in live:
            plane = self.planes[name]
            placed = plane.ask(wire.Place(plane.number(), *self.claim, seat), wire.Placed)
            if not placed.accepted:
                raise AssertionError(placed)
        self.until_readable(partition)
        return seat

    def until_readable(self, partition: int) -> None:
        """Wait until the leader has committed its epoch's start."""
        peer = self.client(self.seats[partition].leader)
        until(lambda: bool(peer.ask(wire.Describe(peer.number(), [partition]), wire.Described).extents))
        peer.close()

    def spread(self) -> None:
        """Tell every live broker the topology."""
        self.version += 1
        nodes = [wire.Node(name, process.url, self.stores[name]) for name, process in self.processes.items()]
        told = wire.Topology(self.version, FLEET, 4096, nodes, list(self.seats.values()))
        for plane in self.planes.values():
            plane.say(wire.Spread(*self.claim, told))

    def close(self) -> None:
        """End every process, the hard way if need be."""
        for peer in self.planes.values():
            peer.close()
        for process in self.processes.values():
            process.kill()


@contextlib.contextmanager
def rig(root: Path, **more: Any) -> Iterator[Rig]:
    """A Rig that leaves nothing behind."""
    made = Rig(root, **more)
    try:
        yield made
    finally:
        made.close()


def until(condition: Callable[[], bool], wait_s: float = WAIT_S) -> None:
    """Wait for a condition of another process, which has no event of ours to set."""
    due = time.monotonic() + wait_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > due:
            raise TimedOut(f"not within {wait_s} s")
        pause.wait(0.01)


def publish(
    peer: Peer,
    partition: int,
    body: bytes,
    count: int,
    *,
    producer: bytes = b"",
    sequence: int = 0,
    acks: str = "quorum",
    wait_s: float = WAIT_S,
) -> wire.Outcome:
    """Publish one section and wait for its outcome."""
    request = peer.number()
    peer.say(wire.Publish(request, acks, [wire.Section(partition, producer, sequence, count)]), [body])
    published, _ = peer.hear(wire.Published, lambda m: m.request == request, wait_s)
    return published.outcomes[0]


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
