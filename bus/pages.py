"""A group's open events as pages: neighbours that were appended at one instant, with a bit for each. Pure.

What is lent, acked and logged are runs of neighbours, and a run is a few operations on ints, whatever its length.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

from bus.bitmap import places


class Page:
    """Offsets [base, base + count), appended at `appended` (ns). Bit i of `open`: `base + i` is not settled."""

    __slots__ = ("appended", "base", "count", "open")

    def __init__(self, base: int, count: int, appended: int, open: int) -> None:
        self.base = base
        self.count = count
        self.appended = appended
        self.open = open

    def bit(self, offset: int) -> int:
        """The bit of one of its offsets."""
        return 1 << (offset - self.base)

    def offsets(self, bits: int) -> list[int]:
        """The offsets of bits, ascending."""
        return [self.base + place for place in places(bits)]

    @property
    def floor(self) -> int:
        """Its first open event, of which there has to be one."""
        return self.base + (self.open & -self.open).bit_length() - 1


P = TypeVar("P", bound=Page)


class Pages(Generic[P]):
    """Pages by ascending offset; they do not overlap."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._pages: list[P] = []

    def __iter__(self) -> Iterator[P]:
        return iter(self._pages)

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def first(self) -> P | None:
        """The one with the least offsets."""
        return self._pages[0] if self._pages else None

    def add(self, page: P) -> None:
        """One more."""
        place = len(self._bases)
        if place and page.base < self._bases[-1]:
            place = bisect_left(self._bases, page.base)
        self._bases.insert(place, page.base)
        self._pages.insert(place, page)

    def drop(self, page: P) -> None:
        """One less."""
        place = bisect_left(self._bases, page.base)
        del self._bases[place]
        del self._pages[place]

    def at(self, offset: int) -> P | None:
        """The page among whose offsets this is."""
        place = bisect_right(self._bases, offset) - 1
        if place < 0 or offset >= self._bases[place] + self._pages[place].count:
            return None
        return self._pages[place]

    def having(self, offset: int) -> P | None:
        """The page on which this offset is open."""
        page = self.at(offset)
        return page if page is not None and page.open >> (offset - page.base) & 1 else None

    def over(self, first: int, length: int) -> list[tuple[P, int]]:
        """Pages that share offsets with a run, and these as bits, open or not."""
        end = first + length
        found: list[tuple[P, int]] = []
        for place in range(max(0, bisect_right(self._bases, first) - 1), len(self._bases)):
            page = self._pages[place]
            if page.base >= end:
                break
            low = max(first - page.base, 0)
            high = min(end - page.base, page.count)
            if low < high:
                found.append((page, ((1 << (high - low)) - 1) << low))
        return found
