"""What is to be measured, with what, and what it will leave behind. Pure."""

from typing import NamedTuple

BENCHES = ("publish", "consume", "latency", "calls", "failover")
USUAL = ("publish", "consume", "latency", "calls")
ACKS = {
    "quorum": "fsynced by a majority of the replicas before the ack",
    "leader": "fsynced by the leader before the ack",
    "none": "nothing is awaited",
}
WARM_CALLS = 200
CALL_TASKS = 16
WARM_EVENTS = 2_000


class Plan(NamedTuple):
    """One command line. `events` per run, `size` in bytes of payload, `batch` events per publish_many (0: all)."""

    benches: tuple[str, ...] = USUAL
    events: int = 100_000
    size: int = 128
    batch: int = 0
    tasks: int = 256
    seconds: float = 10.0
    rate: int = 5_000
    runs: int = 3
    calls: int = 5_000
    kills: int = 20
    acks: str = "quorum"
    in_flight: int = 6_000
    brokers: int = 3

    @property
    def paced(self) -> int:
        """Events of the latency measurement."""
        return int(self.rate * self.seconds)

    @property
    def single(self) -> int:
        """Events that are awaited one by one, per run."""
        return max(1, self.events // 10)

    def leaves(self) -> dict[str, int]:
        """Events that each measurement on a running fleet leaves in its log, and the archive.

        A call leaves its trace.
        """
        each = {
            "publish": (self.events + self.single) * self.runs + WARM_EVENTS,
            "consume": (self.events + WARM_EVENTS) * self.runs,
            "latency": self.paced + WARM_EVENTS,
            "calls": (self.calls + self.calls // CALL_TASKS * CALL_TASKS) * self.runs + 2 * WARM_CALLS,
        }
        return {name: each[name] for name in self.benches if name in each}

    @property
    def groups(self) -> int:
        """Consumer groups that it leaves."""
        return self.runs * ("consume" in self.benches) + ("latency" in self.benches)
