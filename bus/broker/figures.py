"""What a broker counts between two samples, and how it answers `Sample`."""

import math
from collections import deque

import psutil  # type: ignore[import-untyped]

from bus import limits, wire
from bus.broker.ports import Consumers
from bus.broker.replication import Replication
from bus.store import Store


class Figures:
    """Counters and latencies since the last `take`."""

    def __init__(self) -> None:
        self.events_in = 0
        self.events_out = 0
        self.commits = 0
        self.refused = 0
        self._fsyncs: deque[int] = deque(maxlen=limits.FIGURES_SAMPLES_MAX)
        self._acks: deque[int] = deque(maxlen=limits.FIGURES_SAMPLES_MAX)
        self._process = psutil.Process()

    def committed(self, took_ns: int) -> None:
        """A commit took so long, its fsync included."""
        self.commits += 1
        self._fsyncs.append(took_ns)

    def acked(self, took_ns: int) -> None:
        """A section was answered so long after it came."""
        self._acks.append(took_ns)

    def take(
        self,
        request: int,
        *,
        replication: Replication,
        consumers: Consumers,
        store: Store,
        at: int,
        now: int,
        sessions: int,
        malformed: int,
    ) -> wire.Sampled:
        """The sample: `at` is wall clock ns, `now` the loop's. Counters start again from nothing."""
        sampled = wire.Sampled(
            request=request,
            broker=replication.broker,
            at=at,
            replicas=[
                replica_sample(replication, partition, now, store.size(partition))
                for partition in range(len(replication.replicas))
            ],
            groups=consumers.samples(now),
            events_in=self.events_in,
            events_out=self.events_out,
            commits=self.commits,
            fsync_p99_ns=percentile(self._fsyncs, 0.99),
            ack_p99_ns=percentile(self._acks, 0.99),
            memory_bytes=int(self._process.memory_info().rss),
            store_bytes=store.bytes_used(),
            sessions=sessions,
            malformed=malformed,
            refused=self.refused,
        )
        self.events_in = self.events_out = self.commits = self.refused = 0
        self._fsyncs.clear()
        self._acks.clear()
        return sampled


def replica_sample(replication: Replication, partition: int, now: int, size: int = 0) -> wire.ReplicaSample:
    """One replica's figures; its refusals start again from nothing."""
    replica = replication.replicas[partition]
    refused, replica.refused = replica.refused, 0
    return wire.ReplicaSample(
        partition=partition,
        epoch=replica.epoch,
        leads=replica.leads,
        end=replica.end,
        high=replica.high,
        end_offset=replica.end_offset,
        high_offset=replica.high_offset,
        follower_end=replica.follower_end(),
        follower_lag_ns=replica.follower_lag(now),
        refused=refused,
        newcomers=replica.newcomers(),
        bytes=size,
    )


def percentile(values: deque[int], share: float) -> int:
    """The least value that `share` of the values do not exceed; 0 for none."""
    if not values:
        return 0
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
