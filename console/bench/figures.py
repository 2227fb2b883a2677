"""What a measurement found, and the arithmetic of it: a histogram with bounded error and bounded memory. Pure.

Durations are integer nanoseconds. The histogram is log-linear, as HDR histograms are: below 2^`_BITS` each value has a
bucket of its own, above it each doubling has 2^(`_BITS`-1) of them, so that a quantile is at most 1/64 (1.6 %) above
the value that it stands for, whatever was recorded, and never below it. Greatest, least and count are exact.
"""

from collections.abc import Iterable, Sequence

import msgspec

_BITS = 7
QUANTILE_ERROR = 1 / 2 ** (_BITS - 1)
"""A quantile is at most this share above the exact one."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


class Histogram:
    """Counts of durations by bucket. Values below 0 count as 0."""

    __slots__ = ("_buckets", "count", "greatest", "least", "total")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._buckets: dict[int, int] = {}
        self.count = self.total = self.greatest = self.least = 0
        for value in values:
            self.record(value)

    def record(self, value: int) -> None:
        """One more."""
        value = max(0, value)
        shift = max(0, value.bit_length() - _BITS)
        bucket = (shift << _BITS) + (value >> shift)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.least = value if not self.count else min(self.least, value)
        self.greatest = max(self.greatest, value)
        self.total += value
        self.count += 1

    def merge(self, other: "Histogram") -> None:
        """All of the other's too."""
        if not other.count:
            return
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.least = other.least if not self.count else min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)
        self.total += other.total
        self.count += other.count

    def quantile(self, share: float) -> int | None:
        """The least value that a `share` (0 to 1) of all does not exceed, rounded up by its bucket; None when empty."""
        if not self.count:
            return None
        wanted = max(1, -int(-share * self.count // 1))  # the ceiling: a quantile is one of the values, never between
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                shift, head = bucket >> _BITS, bucket & (1 << _BITS) - 1
                return min(self.greatest, (head + 1 << shift) - 1)
        return self.greatest


class Row(msgspec.Struct):
    """One line of the result. Rates are per second, of `runs` runs; latencies are of each of `count` things, in ns.

    What a measurement has not is None. `partial`: it was stopped before its end, and these are its figures so far.
    """

    bench: str
    what: str
    unit: str
    count: int
    runs: int
    rate: float | None
    rate_min: float | None
    rate_max: float | None
    p50_ns: int | None
    p90_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    max_ns: int | None
    failed: int
    partial: bool
    note: str


def median(values: Sequence[float]) -> float | None:
    """The middle one, or between the middle two; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class Measured:
    """A measurement under way: whatever happens to it, `row` says what is known so far."""

    def __init__(self, bench: str, what: str, unit: str = "events/s") -> None:
        self.bench, self.what, self.unit = bench, what, unit
        self.took = Histogram()
        self.rates: list[float] = []
        self.count = self.failed = 0
        self.done = False
        self.note = ""

    def run(self, count: int, seconds: float) -> None:
        """One run, or what there is of it: so many in so long."""
        self.count += count
        if count and seconds > 0:
            self.rates.append(count / seconds)

    def one(self, nanoseconds: int) -> None:
        """One thing took so long."""
        self.took.record(nanoseconds)

    def row(self) -> Row:
        """The line of it."""
        quantiles = {f"{name}_ns": self.took.quantile(share) for name, share in QUANTILES.items()}
        return Row(
            bench=self.bench,
            what=self.what,
            unit=self.unit,
            count=self.count or self.took.count,
            runs=len(self.rates),
            rate=median(self.rates),
            rate_min=min(self.rates, default=None),
            rate_max=max(self.rates, default=None),
            max_ns=self.took.greatest if self.took.count else None,
            failed=self.failed,
            partial=not self.done,
            note=self.note,
            **quantiles,
        )
