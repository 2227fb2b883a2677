"""Whatever an event says, a canvas holds printable cells in their columns, and nothing that a terminal would obey."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from console.canvas import Canvas, cells, changed, last_token, middle, printable, width_of
from console.widgets.ink import strip

ANY = st.text(st.characters(codec=None, categories=None), max_size=40)
PIECES = [
    "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\u202e", "\u2066", "\r", "\n", "\x00", "日本", "é", "e\u0301", "👍🏽",
    "\u200d", "a",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
TEXT = ANY | HOSTILE


def obeyed(text: str) -> list[str]:
    """Characters that a terminal would act on instead of showing."""
    return [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@given(TEXT)
def test_printable_text_has_nothing_to_obey(text: str) -> None:
    assert obeyed(printable(text)) == []


@given(TEXT)
def test_cells_are_as_many_as_the_terminal_will_use(text: str) -> None:
    assert cell_len("".join(cells(text))) == len(cells(text)) == width_of(text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_plain_text_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(TEXT, st.integers(-5, 30), st.integers(-2, 4), st.none() | st.integers(0, 30), st.sampled_from("lrc"))
def test_writing_anywhere_keeps_every_row_in_its_columns(
    text: str, x: int, y: int, width: int | None, align: str
) -> None:
    c = Canvas(20, 3)
    c.put(x, y, text, "warn b", width, align)  # type: ignore[arg-type]
    c.put(x + 1, y, "ab")
    for row in c.sealed().rows:
        shown = strip(row, "dark", False, False)
        assert cell_len(shown.text) == shown.cell_length == 20
        assert obeyed(shown.text) == []


@given(TEXT, st.integers(0, 30))
def test_a_cut_text_takes_no_more_than_its_width_and_says_that_it_is_cut(text: str, width: int) -> None:
    c = Canvas(40, 1)
    c.put(0, 0, text, width=width)
    assert all(cell == (" ", "", "bg") for cell in c.rows[0][width:])
    if width_of(text) > width > 0:
        assert c.rows[0][width - 1][0] == "…"


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=4), st.integers(3, 30))
def test_a_type_gives_way_to_its_last_token_only_where_that_fits(tokens: list[str], width: int) -> None:
    whole, short = ".".join(tokens), last_token(".".join(tokens), width)
    assert short == (tokens[-1] if len(whole) > width >= len(tokens[-1]) else whole)


@given(TEXT, st.integers(3, 30))
def test_a_name_keeps_its_ends(text: str, width: int) -> None:
    short = middle(text, width)
    if width_of(text) <= width:
        assert short == text
    else:
        assert "…" in short
        assert len(short) <= width


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 4), st.sampled_from("abc")), max_size=12))
def test_sending_what_changed_gives_the_new_picture(writes: list[tuple[int, int, str]]) -> None:
    old, new = Canvas(20, 5), Canvas(20, 5)
    for x, y, char in writes[::2]:
        old.put(x, y, char)
    for x, y, char in writes:
        new.put(x, y, char)
    shown = [list(row) for row in old.rows]
    for x, y, width in changed(old, new):
        shown[y][x : x + width] = new.rows[y][x : x + width]
    assert shown == new.rows


def test_a_click_finds_the_newest_target_under_it() -> None:
    c, below = Canvas(10, 3), Canvas(4, 1)
    below.hit(0, 0, 4, "below")
    c.paste(below, 2, 1)
    c.hit(4, 1, 1, "above")
    assert [c.target(x, 1) for x in (1, 2, 4, 5, 6)] == [None, "below", "above", "below", None]
