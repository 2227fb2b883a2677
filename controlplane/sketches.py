"""Quantiles of durations in integers: a histogram with eight buckets to each power of two.

A sketch is a plain dict, bucket -> count, so it can stand in fold state. Adding commutes: the order of samples never
shows. A quantile is the upper edge of its bucket, so it errs upwards by less than 12.5 %. Buckets 0 to 15 hold one
value each; above, bucket i holds the values whose top four bits are `i % 8 + 8`.
"""

from collections.abc import Mapping

Sketch = Mapping[int, int]


def bucket_of(value: int) -> int:
    """The bucket of a value; negative ones count as 0."""
    if value < 16:
        return max(value, 0)
    shift = value.bit_length() - 4
    return (shift << 3) + (value >> shift)


def edges_of(bucket: int) -> tuple[int, int]:
    """The smallest and the greatest value of a bucket."""
    if bucket < 16:
        return bucket, bucket
    shift = (bucket >> 3) - 1
    top = bucket - (shift << 3)
    return top << shift, ((top + 1) << shift) - 1


def merged(one: Sketch, other: Sketch) -> dict[int, int]:
    """Both as one, a new dict."""
    both = dict(one)
    for bucket, count in other.items():
        both[bucket] = both.get(bucket, 0) + count
    return both


def samples(sketch: Sketch) -> int:
    """How many values it has seen."""
    return sum(sketch.values())


def quantile(sketch: Sketch, permille: int) -> int | None:
    """The value that `permille` / 1000 of the samples do not exceed; None without samples."""
    total = samples(sketch)
    if not total:
        return None
    wanted = max(1, -(-total * permille // 1000))
    passed = 0
    for bucket in sorted(sketch):
        passed += sketch[bucket]
        if passed >= wanted:
            return edges_of(bucket)[1]
    return None
