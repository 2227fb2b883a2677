"""Textual's own widgets (the input line, the palette) in the colours of ours."""

from textual.theme import Theme

from console.palette import MONO, THEMES


def textual_theme(name: str) -> Theme:
    """A Textual theme named `signalbox-NAME`; without colour it is the terminal's own."""
    if name == MONO:
        return Theme(
            f"signalbox-{name}", primary="ansi_default", foreground="ansi_default", background="ansi_default",
            surface="ansi_default", panel="ansi_default", accent="ansi_default", ansi=True,
        )  # fmt: skip
    roles = THEMES[name]
    return Theme(
        f"signalbox-{name}", primary=roles["acc"], secondary=roles["mut"], accent=roles["acc"], warning=roles["warn"],
        error=roles["bad"], success=roles["ok"], foreground=roles["txt"], background=roles["bg"], surface=roles["sf"],
        panel=roles["cur"], dark=name != "light",
    )  # fmt: skip
