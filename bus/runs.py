"""Offsets as runs, [first, length, first, length, ...], ascending: how neighbours travel and are logged. Pure."""

from collections.abc import Iterable, Sequence

from bus.bitmap import spans


def runs_of(offsets: Iterable[int]) -> list[int]:
    """Ascending offsets as runs."""
    runs: list[int] = []
    end = -1
    for offset in offsets:
        if offset == end:
            runs[-1] += 1
        else:
            runs += (offset, 1)
        end = offset + 1
    return runs


def extend(runs: list[int], base: int, bits: int) -> None:
    """Add offsets behind all that are there: those of the ones of `bits`, whose lowest bit is `base`."""
    for first, length in spans(bits):
        first += base
        if runs and runs[-2] + runs[-1] == first:
            runs[-1] += length
        else:
            runs += (first, length)


def pairs(runs: Sequence[int], most: int) -> list[tuple[int, int]]:
    """(first, length) of each run. Raises ValueError unless they ascend from 0 on, with at most `most` offsets."""
    if len(runs) % 2 or sum(runs[1::2]) > most:
        raise ValueError(f"runs of offsets: {len(runs)} numbers, or over {most} offsets")
    after = 0
    found = list(zip(runs[::2], runs[1::2], strict=True))
    for first, length in found:
        if first < after or length < 1:
            raise ValueError(f"runs of offsets: {length} from {first}, after {after}")
        after = first + length
    return found
