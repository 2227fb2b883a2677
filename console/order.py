"""Which rows a table shows and in which order: filters, and an order that does not jump under the eye.

Rows keep their place while their severity stays the same; a row that is new comes at the end of its class. A full new
sort happens only when the operator asks or the hold runs out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from console.pictures.parts import RANK
from console.pictures.table import Row


@dataclass(frozen=True)
class Filter:
    """What the operator typed after `/`: plain, `!` inverse, `-f ` fuzzy."""

    text: str = ""
    kind: Literal["plain", "inverse", "fuzzy"] = "plain"

    @property
    def at_plane(self) -> str:
        """The part that the control plane can look for by itself."""
        return self.text if self.kind == "plain" else ""

    def keeps(self, row: Row) -> bool:
        """Is the row shown?"""
        words, text = row.words.casefold(), self.text.casefold()
        if self.kind == "fuzzy":
            return is_subsequence(text, words)
        return (text in words) == (self.kind == "plain") if text else True

    def __str__(self) -> str:
        return {"plain": "", "inverse": "!", "fuzzy": "-f "}[self.kind] + self.text


def parse(typed: str) -> Filter:
    """`coder`, `!coder`, `-f cdr`."""
    if typed.startswith("!"):
        return Filter(typed[1:].strip(), "inverse") if typed[1:].strip() else Filter()
    if typed.startswith("-f"):
        return Filter(typed[2:].strip(), "fuzzy") if typed[2:].strip() else Filter()
    return Filter(typed.strip())


def is_subsequence(letters: str, words: str) -> bool:
    """Do the letters stand in the words in this order, with anything between?"""
    rest = iter(words)
    return all(letter in rest for letter in letters if letter != " ")


def steady(rows: Sequence[Row], before: Mapping[str, int]) -> list[Row]:
    """Rows by severity, then by their place before; new ones last in their class, in the order they came."""
    last = len(before)
    return sorted(rows, key=lambda row: (RANK.get(row.severity, 2), before.get(row.key, last)))


def by_column(rows: Sequence[Row], column: int | None) -> list[Row]:
    """Sorted by a column's value; the plane's own order without one."""
    return list(rows) if column is None else sorted(rows, key=lambda row: row.sort[column])
