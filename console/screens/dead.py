"""Dead letters: the groups, then the letters of one group. `r` redrives, after it has shown the exact set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from console.canvas import Canvas, Span
from console.limits import LETTERS_SHOWN_MAX
from console.measure import many
from console.pictures import dead as picture
from console.pictures.parts import panel
from console.pictures.table import Column, Row
from console.screens.redrive import RedriveDialogue
from console.screens.tables import TableScreen
from controlplane.questions import AskDeadGroups, AskDeadLetters, DeadGroups, DeadLetter, DeadLetters, Question


class DeadScreen(TableScreen):
    """Tab 4."""

    TAB: ClassVar[str] = "Dead"
    KIND: ClassVar[str] = "dead"
    SLOT: ClassVar[str] = "dead"
    COLUMNS: ClassVar[tuple[Column, ...]] = picture.COLUMNS
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = picture.SORTS
    PREVIEW_TALL: ClassVar[int] = 18

    def questions(self) -> dict[str, Question]:
        """The groups, and the newest letters of the one under the cursor."""
        asks: dict[str, Question] = {"dead": AskDeadGroups(self.filter.at_plane, 0, self.limit())}
        about = self._about()
        if about is not None:
            asks["dead preview"] = about
        return asks

    def _about(self) -> AskDeadLetters | None:
        return AskDeadLetters(self.grid.cursor, 0, 1) if self.grid.cursor else None

    def _groups(self) -> DeadGroups | None:
        return self.shell.model.body("dead", DeadGroups)

    def _letters(self) -> DeadLetters | None:
        return self.shell.model.body("dead preview", DeadLetters, self._about())

    def answer(self) -> msgspec.Struct | None:
        return self._letters() or self._groups()

    def rows(self) -> list[Row] | None:
        groups = self._groups()
        return None if groups is None else picture.rows(groups, self.shell.model.now)

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        groups = self._groups()
        right: list[Span] = []
        if groups is not None:
            new = sum(group.new for group in groups.rows)
            right = [
                (f"{groups.waiting:,}", "txt"),
                (f" {'waits' if groups.waiting == 1 else 'wait'} in {many(groups.matched, 'group')}", "mut"),
            ]
            right.append((f", +{new:,} in 10m", "warn") if new else (", none new", "mut"))
        left = [("Dead letters ", "mut"), ("by reason and error", "txt"), *self.filter_spans()]
        return left, [*self.marked_spans(), *right]

    def preview(self, width: int, height: int) -> Canvas:
        letters = self._letters()
        if letters is None:
            return Canvas(width, height)
        return panel(
            width,
            height,
            "WHY",
            lambda w, h: picture.detail(letters, None, self.shell.model.now, w, h, self.shell.scene().locked),
        )

    def empty(self) -> tuple[str, str]:
        return "no letter is dead", "signalbox dlq list"

    def selected(self) -> tuple[str, str]:
        return "dead", self.grid.cursor or ""

    def mend(self) -> str:
        return f"dlq redrive {self.grid.cursor}" if self.grid.cursor else ""

    def do_open(self) -> None:
        if self.grid.cursor:
            self.shell.push(LettersScreen(self.grid.cursor))

    def do_redrive(self) -> None:
        redrive(self)


class LettersScreen(TableScreen):
    """The letters of one group, or one letter by its id."""

    TAB: ClassVar[str] = "Dead"
    KIND: ClassVar[str] = "letters"
    SLOT: ClassVar[str] = "letters"
    COLUMNS: ClassVar[tuple[Column, ...]] = picture.LETTER_COLUMNS
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = (("newest", None),)
    PREVIEW_TALL: ClassVar[int] = 18
    PREVIEW_SMALL: ClassVar[int] = 11

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def questions(self) -> dict[str, Question]:
        """The newest letters."""
        return {"letters": self._about()}

    def _about(self) -> AskDeadLetters:
        return AskDeadLetters(self.target, 0, LETTERS_SHOWN_MAX)

    def _letters(self) -> DeadLetters | None:
        return self.shell.model.body("letters", DeadLetters, self._about())

    def answer(self) -> msgspec.Struct | None:
        return self.letter() or self._letters()

    def rows(self) -> list[Row] | None:
        letters = self._letters()
        return None if letters is None else picture.letter_rows(letters, self.shell.model.now)

    def _in_order(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows)  # newest first, whatever became of them

    def letter(self) -> DeadLetter | None:
        """The letter under the cursor."""
        letters = self._letters()
        return next((one for one in letters.letters if one.id == self.grid.cursor), None) if letters else None

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        letters = self._letters()
        left: list[Span] = [("Dead letters › ", "mut"), (self.target, "txt")]
        right: list[Span] = []
        if letters is not None:
            left += [("  ", ""), (letters.group.what, "mut")]
            right = [(f"newest {len(letters.letters):,} of {letters.group.count:,}", "mut")]
        return [*left, *self.filter_spans()], [*self.marked_spans(), *right]

    def preview(self, width: int, height: int) -> Canvas:
        letters = self._letters()
        if letters is None:
            return Canvas(width, height)
        return panel(
            width,
            height,
            "EVENT",
            lambda w, h: picture.detail(letters, self.letter(), self.shell.model.now, w, h, self.shell.scene().locked),
        )

    def empty(self) -> tuple[str, str]:
        return "no letter of this group is kept", "signalbox dlq list"

    def selected(self) -> tuple[str, str]:
        return "letter", self.grid.cursor or ""

    def mend(self) -> str:
        return f"dlq redrive {self.grid.cursor}" if self.grid.cursor else ""

    def do_open(self) -> None:
        """The original event."""
        letter = self.letter()
        if letter is not None:
            self.shell.go(f"event:{picture.parsed(letter.event).get('id', letter.id)}")

    def do_redrive(self) -> None:
        redrive(self)


def redrive(screen: TableScreen) -> None:
    """The marked rows, else the one under the cursor, in the order they are shown."""
    grid = screen.grid
    targets = [row.key for row in grid.rows if row.key in grid.marks] or ([grid.cursor] if grid.cursor else [])
    locked = screen.shell.scene().locked
    if locked:
        screen.shell.say(locked)
    elif targets:
        screen.shell.push(RedriveDialogue(targets))
