"""What 10,000 subscriptions cost a publisher against 10: two fleets of three broker processes, by turns in one run.

Each subscription stands at all of twelve partitions: nine of ten are watches, the others groups with a member. Ten
match one event of each batch of 500; the other 9,990 match none. The brokers' processor time per published event, all
deliveries included, is the figure to go by, as it is theirs alone; rate and latency share two cores with whatever else
runs.
"""

import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bus import batch
from bus.event import Event
from bus.ids import new_id
from tests.bench._subscribers import MATCHING
from tests.bench.publish import EVENTS, PARTITIONS, PAYLOAD, body, flood, idle
from tests.bus.rig import Peer, Rig, rig

SUBSCRIPTIONS = 10_000
BATCHES = 240
RUNS = 5
QUIET = 0.1
"""Seconds of processor time in one second that three idle brokers stay below."""


def mixed(first: int, count: int) -> bytes:
    """A batch as `publish.body` makes it, but for one event that subscriptions match."""
    events = batch.decode(body(first, count)).events()
    events[count // 2] = Event(type="bench.order.placed", source="agent/0", id=new_id(), data=PAYLOAD)
    return batch.encode(events)


class Subscribed:
    """A fleet with subscriptions, and what was measured of it."""

    def __init__(self, fleet: Rig, subscriptions: int) -> None:
        self.fleet = fleet
        self.subscriptions = subscriptions
        self.rates: list[float] = []
        self.costs: list[float] = []
        self.single_costs: list[float] = []
        self.latencies: list[float] = []
        self._producer, self._sequences = secrets.token_bytes(16), [0] * PARTITIONS
        self._processes = [psutil.Process(process.process.pid) for process in fleet.processes.values()]

    def worked(self) -> float:
        """Seconds of processor time of the three brokers so far."""
        times = [process.cpu_times() for process in self._processes]
        return sum(one.user + one.system for one in times)

    def anonymous_mib(self) -> float:
        """The largest broker's anonymous memory."""
        sizes = []
        for process in self._processes:
            status = Path(f"/proc/{process.pid}/status").read_text()
            sizes.append(int(status.split("RssAnon:")[1].split()[0]) / 1024)
        return max(sizes)

    def measure(self) -> None:
        """One round: a flood of batches; then, when its subscribers have been given all of it, one event at a time."""
        before = self.worked()
        with self._peers() as peers:
            self.rates.append(flood(self.fleet, peers, self._producer, self._sequences, BATCHES, mixed))
        self._until_quiet()
        self.costs.append((self.worked() - before) * 1e6 / (BATCHES * EVENTS))
        before = self.worked()
        with self._peers() as peers:
            took = idle(peers[self.fleet.seats[0].leader], 0, self._producer, self._sequences[0])
        self._sequences[0] += len(took)
        self.single_costs.append((self.worked() - before) * 1e6 / len(took))
        self.latencies += took

    @contextmanager
    def _peers(self) -> Iterator[dict[str, Peer]]:
        """Fresh ones each time: they do not ping while others have their turn."""
        peers = {name: self.fleet.client(name) for name in self.fleet.processes}
        yield peers
        for peer in peers.values():
            peer.close()

    def _until_quiet(self) -> None:
        """Wait until the subscribers have been given the flood."""
        before = -QUIET
        while (now := self.worked()) - before >= QUIET:
            before = now
            threading.Event().wait(1.0)


@contextmanager
def subscribed(folder: Path, subscriptions: int) -> Iterator[Subscribed]:
    """A fleet whose subscribers are in."""
    folder.mkdir()
    with rig(folder, partitions=PARTITIONS) as fleet:
        names = sorted(fleet.processes)
        for partition in range(PARTITIONS):
            fleet.elect(partition, replicas=names, prefer=names[partition % len(names)])
        urls = [process.url for process in fleet.processes.values()]
        command = [sys.executable, "-m", "tests.bench._subscribers", str(subscriptions), *urls]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            if child.stdin is None or child.stdout is None or child.stdout.readline() != b"ready\n":
                raise RuntimeError("the subscribers did not come in")
            try:
                yield Subscribed(fleet, subscriptions)
                if child.poll() is not None:
                    raise RuntimeError("the subscribers did not stay")
            finally:
                child.stdin.close()


def run(report: Callable[..., None]) -> None:
    """Print cost, rate and latency with many subscriptions and with few, and their ratios."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        few = stack.enter_context(subscribed(Path(folder) / "few", MATCHING))
        many = stack.enter_context(subscribed(Path(folder) / "many", SUBSCRIPTIONS))
        for _ in range(RUNS):
            few.measure()
            many.measure()
        for one in (few, many):
            what = f"{one.subscriptions:,} subscriptions"
            report(f"{what}: brokers' CPU", one.costs, "µs/event", f"three brokers, {one.anonymous_mib():.0f} MiB")
            report(f"{what}: publish to quorum ack", one.rates, "events/s")
            report(f"{what}: one event at a time", one.latencies, "ms")
            report(f"{what}: brokers' CPU, one at a time", one.single_costs, "µs/event")
        for how, much, little in (
            ("in batches", many.costs, few.costs),
            ("one at a time", many.single_costs, few.single_costs),
        ):
            ratios = [cost / base for cost, base in zip(much, little, strict=True)]
            report(f"brokers' CPU per event, {how}, many against few", ratios, "times", "to stay within 1.3")
        slower = statistics.median(few.rates) / statistics.median(many.rates)
        later = statistics.median(many.latencies) / statistics.median(few.latencies)
        report("time to publish, many against few", [slower], "times")
        report("latency, many against few", [later], "times")
