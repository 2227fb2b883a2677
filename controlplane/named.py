"""Which types content rules named, and when: what a replay has to see whole, as the plane that lived through it did.

Rules are facts, so which events folds saw whole changes along the journal. A stretch of it is read with the types that
were named at any time within it: at least what the plane saw then, and what is more the folds of then do not look at,
as they go by the rules in force. So a rule for everything that was in force for a minute costs a replay that minute.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from controlplane.errors import FactUnreadable
from controlplane.facts import RoutesSet, decode_fact
from controlplane.fold import Step

_ALL = (">",)


class Named:
    """The patterns that rules named, by the position from which on. Any thread may ask while one adds."""

    def __init__(self) -> None:
        self._changes: list[tuple[int, tuple[str, ...]]] = []

    def add(self, position: int, patterns: Iterable[str]) -> None:
        """From here on it is these, until the next change. Added again it is nothing."""
        if not self._changes or self._changes[-1][0] < position:
            self._changes.append((position, tuple(patterns)))

    def hear(self, steps: Iterable[Step]) -> None:
        """The changes that steps make."""
        for step in steps:
            if isinstance(step.input, RoutesSet):
                self.add(step.first, step.input.rules.patterns)

    def recall(self, at_first: Iterable[str], db: Any) -> None:
        """All of a journal, in order: `at_first` was named where it begins; `db` reads its entries."""
        self.add(0, at_first)
        sql = "select position, fact from entries where kind = 'RoutesSet' order by position"
        for position, body in db.execute(sql).fetchall():
            self.add(int(position), _patterns(body))

    def within(self, first: int, last: int) -> list[str]:
        """All that were named at any of these positions, each once."""
        changes = self._changes
        begin = max(0, bisect_right(changes, first, key=lambda change: change[0]) - 1)
        found = (patterns for position, patterns in changes[begin:] if position <= last)
        return list(dict.fromkeys(pattern for patterns in found for pattern in patterns))

    @property
    def newest(self) -> tuple[str, ...]:
        """Those that are named now."""
        return self._changes[-1][1] if self._changes else ()


def _patterns(body: bytes) -> tuple[str, ...]:
    try:
        fact = decode_fact(body)
    except FactUnreadable:
        # Who replays it will say so; until then nothing may be missed.
        return _ALL
    return fact.rules.patterns if isinstance(fact, RoutesSet) else ()
