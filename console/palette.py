"""Colours by role, and the ASCII stand-ins of the glyphs. Code names roles; only this file holds a hex.

Roles: `bg` page, `sf` bars, `cur` cursor row, `ln` rules, `fnt` decoration, `mut` labels, `txt` values, `hi` headings,
`acc` the accent and its tint `acd`, `ok` (`okd` in bulk, `okb` a band), `warn` and `bad` with their papers, `past`,
`ctx` the context. Text on the page keeps a contrast of 5 and more; `safe` keeps its states apart for every kind of
sight. `mono` uses no colour at all: shape, word and bold carry everything, as they do beside the colours.
"""

from functools import lru_cache

ROLES = (
    "bg", "sf", "cur", "ln", "fnt", "mut", "txt", "hi", "acc", "acd", "ok", "okd", "okb", "warn", "wbg", "bad", "bbg",
    "past", "pbg", "ctx",
)  # fmt: skip

_SAFE = (
    "#0e1116 #181d25 #26303c #2b333e #525d69 #909daa #cfd6dd #ffffff #ffffff #2c3a49 #56a8f5 #3f7ab3 #14263a "
    "#fff0a8 #3a3612 #ff6a2b #47200c #b48ead #37283a #909daa"
)
_HEX = {
    "dark": "#10151b #19212a #22303d #2a3540 #495663 #8c9baa #c6d0d9 #f2f5f7 #6cb8dc #1d3a4b #7cc48d #578f68 #1b3026 "
    "#e5b14c #382d16 #f47a70 #3f1f20 #c3a2f4 #33274a #8c9baa",
    "light": "#f7f5ef #e9e6dc #dbe4ea #d3cec0 #a8a698 #54606b #2b3640 #0c1319 #0b6690 #cfe3ee #257039 #5a9468 #dcebdd "
    "#8a5a00 #f5e6c4 #b3261e #f7d9d5 #6a3dbd #e4d8f7 #54606b",
    "safe": _SAFE,
    "contrast": _SAFE.replace("#0e1116", "#000000").replace("#909daa", "#d0d0d0").replace("#525d69", "#9a9a9a"),
}
THEMES: dict[str, dict[str, str]] = {name: dict(zip(ROLES, hexes.split(), strict=True)) for name, hexes in _HEX.items()}
MONO = "mono"
THEME_NAMES = (*THEMES, MONO)

_GLYPHS = "●▲■◐○◌↺◆▼▸━─┄┈·▁▂▃▄▅▆▇█▌▐✓╰├│╵╷┳┬┃░▒–…›▀−×╭╮╯◀"
_SIGNS = "o!X%.?~@v>=-...__.--==#>|*`+|''++|:.-.>--x..'<"
ASCII: dict[int, str] = {ord(glyph): sign for glyph, sign in zip(_GLYPHS, _SIGNS, strict=True)}
"""Each glyph's ASCII sign, for a locale that is not UTF-8 or counts these glyphs as two cells."""


def context_role(context: str) -> str:
    """Production is red, staging blue, anything else grey."""
    return "bad" if context.startswith("prod") else "acc" if context.startswith("stag") else "mut"


@lru_cache(maxsize=8)
def colours(theme: str, faded: bool = False) -> dict[str, str]:
    """Role to hex. Faded: every ink 42 % towards the page and half grey, for a picture that is old."""
    roles = THEMES[theme]
    if not faded:
        return roles
    page = _rgb(roles["bg"])

    def fade(colour: str) -> str:
        rgb = _rgb(colour)
        grey = sum(rgb) / 3
        mixed = (round(0.42 * p + 0.58 * (0.55 * grey + 0.45 * v)) for p, v in zip(page, rgb, strict=True))
        return "#" + "".join(f"{value:02x}" for value in mixed)

    return {role: colour if role in ("bg", "sf") else fade(colour) for role, colour in roles.items()}


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
