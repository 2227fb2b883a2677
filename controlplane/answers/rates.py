"""Rates out of the flows' per-second samples: one pass for all that an answer needs."""

from collections import defaultdict

from bus.limits import PARTITIONS_MAX
from controlplane.flows import SECOND
from controlplane.limits import FLOW_SECONDS_MAX, RATE_SECONDS
from controlplane.state import KeyedState

NINTHS = 9
TENTHS = 10
TENTH_SECONDS = 12


class Rates:
    """Counts of the seconds before `now`. Flows by number."""

    def __init__(self, state: KeyedState, now: int) -> None:
        self.flow_recent: dict[int, list[int]] = {}
        """Per flow: events in each ninth of the last five minutes, oldest first."""
        self.flow_now: dict[int, int] = {}
        """Per flow: events of the last `RATE_SECONDS`."""
        self.partition_recent: dict[int, list[int]] = {}
        """Per partition: events in each tenth of the last two minutes."""
        self.partition_flows: dict[int, dict[int, int]] = {}
        """Per partition: flows of the last `RATE_SECONDS`."""
        last = now // SECOND
        first = last - FLOW_SECONDS_MAX + 1
        ninths: list[dict[int, int]] = [defaultdict(int) for _ in range(NINTHS)]
        for key, counted in state.items("second"):
            second, partition = divmod(int(key), PARTITIONS_MAX)
            if first <= second <= last:
                # This loop is most of what an answer costs: seconds times partitions times flows.
                sums = ninths[(second - first) * NINTHS // FLOW_SECONDS_MAX]
                for flow, count in counted.items():
                    sums[flow] += count
                self._add(last - second, partition, counted)
        for ninth, sums in enumerate(ninths):
            for flow, count in sums.items():
                self.flow_recent.setdefault(flow, [0] * NINTHS)[ninth] = count

    def _add(self, age: int, partition: int, counted: dict[int, int]) -> None:
        if age < RATE_SECONDS:
            flows = self.partition_flows.setdefault(partition, {})
            for flow, count in counted.items():
                self.flow_now[flow] = self.flow_now.get(flow, 0) + count
                flows[flow] = flows.get(flow, 0) + count
        if age < TENTHS * TENTH_SECONDS:
            tenths = self.partition_recent.setdefault(partition, [0] * TENTHS)
            tenths[TENTHS - 1 - age // TENTH_SECONDS] += sum(counted.values())

    def flow_rate(self, flow: int) -> float:
        """Events per second."""
        return self.flow_now.get(flow, 0) / RATE_SECONDS

    def partition_count(self, partition: int) -> int:
        """Events of the last `RATE_SECONDS`."""
        return sum(self.partition_flows.get(partition, {}).values())

    def total(self) -> int:
        """Events of the last `RATE_SECONDS` in all partitions."""
        return sum(self.flow_now.values())
