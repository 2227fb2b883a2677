"""Textual's own widgets (the input line, the palette) in the colours of ours."""

from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

from console.palette import MONO, THEMES


def textual_theme(name: str) -> Theme:
    """A Textual theme named `signalbox-NAME`; without colour it is the terminal's own."""
    if name == MONO:
        return replace(BUILTIN_THEMES["ansi-dark"], name=f"signalbox-{name}")
    roles = THEMES[name]
    return Theme(
        f"signalbox-{name}", primary=roles["acc"], secondary=roles["mut"], accent=roles["acc"], warning=roles["warn"],
        error=roles["bad"], success=roles["ok"], foreground=roles["txt"], background=roles["bg"], surface=roles["sf"],
        panel=roles["cur"], dark=name != "light",
    )  # fmt: skip
