"""Grid and Paint: what is sent, what is held, what a click means."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Region

from console.canvas import Canvas
from console.palette import ASCII, MONO, THEMES, colours, context_role
from console.pictures.frame import header
from console.pictures.table import Column, Row
from console.widgets.grid import Grid
from console.widgets.ink import strip, style_of
from console.widgets.paint import Paint
from tests.console import frozen
from tests.console.frozen import Frozen
from tests.console.tui.seat import seat
from tests.console.tui.test_pictures import scene

COLUMNS = (Column("", 1), Column("name", 10), Column("value", 0, "r"))


def rows(keys: list[int], severity: str = "ok") -> list[Row]:
    return [Row(str(key), severity, (("●", "okd"), (str(key), "txt"), ("x", "mut"))) for key in keys]


class Still(Grid):
    """A grid of ten visible rows that counts what it would send."""

    def __init__(self, follow: bool = False) -> None:
        super().__init__(COLUMNS, follow)
        self.sent: list[object] = []

    @property
    def window(self) -> int:
        return 10

    def repaint(self) -> None:
        self.sent.append(self.top)

    def post_message(self, message: object) -> bool:
        return True


KEYS = st.lists(st.integers(0, 60), min_size=1, max_size=60, unique=True)
Move = Callable[[Still], None]
MOVES = st.lists(st.sampled_from(["down", "up", "page", "end", "home"]), max_size=20)


@given(KEYS, MOVES, KEYS)
def test_the_cursor_is_always_seen_and_keeps_its_key_and_line(
    first: list[int], moves: list[str], then: list[int]
) -> None:
    grid = Still()
    grid.show(rows(first))
    for move in moves:
        grid.move_by({"down": 1, "up": -1, "page": 10, "end": 1000, "home": -1000}[move])
        assert grid.top <= grid.at < grid.top + grid.window
    held, line = grid.cursor, grid.at - grid.top
    grid.show(rows(then))
    assert grid.top <= grid.at < grid.top + grid.window
    if held is not None and int(held) in then:
        assert grid.cursor == held
        free = 0 <= grid.at - line <= max(len(then) - grid.window, 0)
        assert grid.at - grid.top == line or not free


@given(KEYS, st.sets(st.integers(0, 60)), KEYS)
def test_marks_are_held_by_key_and_forgotten_with_it(first: list[int], marked: set[int], then: list[int]) -> None:
    grid = Still()
    grid.show(rows(first))
    for key in marked & set(first):
        assert grid.select(str(key))
        grid.mark()
    grid.show(rows(then))
    assert {int(key) for key in grid.marks} == marked & set(first) & set(then)


def test_a_following_grid_stays_on_the_newest_until_it_is_moved() -> None:
    grid = Still(follow=True)
    grid.show(rows([2, 1]))
    grid.show(rows([3, 2, 1]))
    assert grid.cursor == "3"
    grid.move_by(1)
    grid.show(rows([4, 3, 2, 1]))
    assert grid.cursor == "2"


async def test_only_the_cells_that_differ_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with seat() as at:
        paint = at.app.screen.query(Paint)[2]
        sent: list[Region] = []
        monkeypatch.setattr(paint, "refresh", lambda *regions, **_: sent.extend(regions))
        paint.repaint()
        assert sent == []
        at.link.story.board.status.partitions[3].rate += 1
        paint.repaint()
        assert [(region.height, region.width < 10) for region in sent] == [(1, True)]


async def test_a_click_opens_a_tab_puts_the_cursor_and_opens_what_it_is_on() -> None:
    async with seat() as at:
        x = at.text.splitlines()[0].index("3 Sagas")
        await at.pilot.click(offset=(x, 0))
        assert "inbox" in at.text
        await at.pilot.click(offset=(10, 5))
        assert at.cursor == "report-4698"
        await at.pilot.click(offset=(10, 5), times=2)
        assert "TIMELINE" in at.text


async def test_the_wheel_moves_the_cursor() -> None:
    async with seat() as at:
        await at.press("3")
        grid = at.app.screen.query_one(Grid)
        grid.move_by(3)
        assert at.cursor == "report-4720"


@pytest.mark.parametrize("theme", [*THEMES, MONO])
@pytest.mark.parametrize("faded", [False, True])
def test_every_ink_has_a_style_in_every_theme(theme: str, faded: bool) -> None:
    for role in THEMES["dark"]:
        style = style_of(theme, faded, f"{role} b u", "cur")
        assert style.bold and style.underline
        assert (style.color is None and style.bgcolor is None) == (theme == MONO)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read_on_the_page_and_on_the_cursor_row(theme: str) -> None:
    roles = colours(theme)
    for ink in ("txt", "mut", "hi", "acc", "ok", "warn", "bad", "past"):
        assert contrast(roles[ink], roles["bg"]) >= 5, ink
    for ink in ("txt", "mut", "hi"):
        assert contrast(roles[ink], roles["cur"]) >= 4.5, ink


@pytest.mark.parametrize("story", [frozen.trouble(), frozen.calm(), frozen.empty()])
def test_ascii_has_a_sign_for_every_glyph_of_the_frame(story: Frozen) -> None:
    shown = strip(header(scene(story), "Board", 120).rows[0], "dark", False, True)
    assert shown.text.isascii() and shown.cell_length == 120
    assert all(len(sign) == 1 for sign in ASCII.values())


def test_production_is_red_and_what_is_not_known_grey() -> None:
    assert [context_role(name) for name in ("prod-eu", "staging", "local", "")] == ["bad", "acc", "mut", "mut"]


def test_a_canvas_of_another_size_is_fitted_to_the_widget() -> None:
    c = Canvas(4, 1)
    c.put(0, 0, "日本")
    d = Canvas(3, 2)
    d.paste(c, 0, 0)
    assert d.sealed().text() == "日\n\n"
