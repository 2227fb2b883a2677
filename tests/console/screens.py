"""Pictures of the screens from frozen answers: `python -m tests.console.screens OUT_DIR [NAME…]`.

Writes an SVG for each screen, size and theme, and a PNG beside it when `rsvg-convert` is at hand.
"""

# ruff: noqa: E501 - a row of a table stays a line here

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.style import Style
from textual.pilot import Pilot
from textual.strip import Strip

from console.app import Console
from console.palette import MONO, THEMES
from tests.console import frozen
from tests.console.frozen import Frozen

CELL_W, CELL_H = 12, 25
BLOCKS = {
    **{char: (0.0, 1 - (i + 1) / 8, 1.0, (i + 1) / 8) for i, char in enumerate("▁▂▃▄▅▆▇█")},
    "▀": (0.0, 0.0, 1.0, 0.5), "▌": (0.0, 0.0, 0.5, 1.0), "▐": (0.5, 0.0, 0.5, 1.0),
}  # fmt: skip
SHADES = {"░": 0.35, "▒": 0.65}
PAST = ",".join(["t", *"02", "colon", *"58", "colon", *"10", "enter"])
"""The keys that go to 02:58:10, a quarter of an hour before the trouble."""
Jobs = dict[str, tuple[str, str, tuple[int, int], str]]
JOBS: Jobs = {
    "board": ("trouble", "", (120, 36), "dark"),
    "board-80x24": ("trouble", "", (80, 24), "dark"),
    "board-160x45": ("trouble", "", (160, 45), "dark"),
    "board-calm": ("calm", "", (120, 36), "dark"),
    "board-empty": ("empty", "", (120, 36), "dark"),
    "board-silent": ("silent", "", (120, 36), "dark"),
    "board-lost": ("lost", "", (120, 36), "dark"),
    "board-light": ("trouble", "", (120, 36), "light"),
    "board-safe": ("trouble", "", (120, 36), "safe"),
    "board-contrast": ("trouble", "", (120, 36), "contrast"),
    "board-mono": ("trouble", "", (120, 36), "mono"),
    "board-track": ("trouble", "tab,j,j,j,j,j,j,j", (120, 36), "dark"),
    "flows": ("trouble", "2,j", (120, 36), "dark"),
    "flows-80x24": ("trouble", "2,j", (80, 24), "dark"),
    "sagas": ("trouble", "3,j,space,space,space,g", (120, 36), "dark"),
    "sagas-80x24": ("trouble", "3", (80, 24), "dark"),
    "saga": ("trouble", "3,enter", (120, 36), "dark"),
    "saga-80x24": ("trouble", "3,enter", (80, 24), "dark"),
    "dead-letters": ("trouble", "4", (120, 36), "dark"),
    "dead-letters-80x24": ("trouble", "4", (80, 24), "dark"),
    "letters": ("trouble", "4,enter,j", (120, 36), "dark"),
    "redrive": ("trouble", "4,r", (120, 36), "dark"),
    "health": ("trouble", "5", (120, 36), "dark"),
    "events": ("trouble", "6,j,j,j,j", (120, 36), "dark"),
    "events-80x24": ("trouble", "6", (80, 24), "dark"),
    "event": ("trouble", "6,j,j,j,j,enter", (120, 36), "dark"),
    "fleet": ("trouble", "7,j,tab,j", (120, 36), "dark"),
    "fleet-down": ("trouble", "7", (120, 36), "dark"),
    "fleet-80x24": ("trouble", "7,j", (80, 24), "dark"),
    "fleet-160x45": ("trouble", "7", (160, 45), "dark"),
    "fleet-calm": ("calm", "7", (120, 36), "dark"),
    "fleet-mono": ("trouble", "7", (120, 36), "mono"),
    "partition": ("trouble", "1,tab,j,j,j,j,j,j,j,enter,j", (120, 36), "dark"),
    "partition-calm": ("calm", "7,enter,enter", (120, 36), "dark"),
    "partition-80x24": ("trouble", "7,enter,enter", (80, 24), "dark"),
    "partition-160x45": ("trouble", "7,enter,enter", (160, 45), "dark"),
    "agents": ("trouble", "8,j", (120, 36), "dark"),
    "agents-80x24": ("trouble", "8,j", (80, 24), "dark"),
    "agents-160x45": ("trouble", "8,j", (160, 45), "dark"),
    "agents-mono": ("trouble", "8,j", (120, 36), "mono"),
    "agents-empty": ("empty", "8", (120, 36), "dark"),
    "agents-past": ("trouble", f"{PAST},8", (120, 36), "dark"),
    "agent": ("trouble", "8,j,enter", (120, 36), "dark"),
    "agent-80x24": ("trouble", "8,j,enter", (80, 24), "dark"),
    "quarantine": ("trouble", "8,j,j,j,space,Q", (120, 36), "dark"),
    "board-past": ("trouble", PAST, (120, 36), "dark"),
    "board-past-80x24": ("trouble", PAST, (80, 24), "dark"),
    "board-past-160x45": ("trouble", PAST, (160, 45), "dark"),
    "board-past-light": ("trouble", PAST, (120, 36), "light"),
    "board-past-safe": ("trouble", PAST, (120, 36), "safe"),
    "board-past-contrast": ("trouble", PAST, (120, 36), "contrast"),
    "board-past-mono": ("trouble", PAST, (120, 36), "mono"),
    "flows-past": ("trouble", f"{PAST},2", (120, 36), "dark"),
    "sagas-past": ("trouble", f"{PAST},3", (120, 36), "dark"),
    "saga-past": ("trouble", f"{PAST},3,enter", (120, 36), "dark"),
    "dead-letters-past": ("trouble", f"{PAST},4", (120, 36), "dark"),
    "health-past": ("trouble", f"{PAST},5", (120, 36), "dark"),
    "events-past": ("trouble", f"{PAST},6", (120, 36), "dark"),
    "fleet-past": ("trouble", f"{PAST},7", (120, 36), "dark"),
    "partition-past": ("trouble", f"{PAST},7,enter,enter", (120, 36), "dark"),
    "help": ("trouble", "question_mark", (120, 36), "dark"),
    "palette": ("trouble", "ctrl+p", (120, 36), "dark"),
    "prompt": ("trouble", "colon,r", (120, 36), "dark"),
}
"""Name: story, keys, size, theme."""


def story_of(name: str) -> Frozen:
    """A story by name; `lost` is trouble after which nothing answers."""
    return frozen.trouble() if name == "lost" else getattr(frozen, name)()


async def settle(pilot: Pilot[None], app: Console) -> None:
    """Wait until every standing question of the screen that is seen has been answered or failed."""
    for _ in range(400):
        await pilot.pause()
        wanted = {} if app.box is None else app.box.questions()
        model = app.model
        if model.tries or (
            model.told("board") is not None  # a refusal is an answer, too
            and not model.travels
            and all(model.told(slot, question) for slot, question in wanted.items())
        ):
            break
        await asyncio.sleep(0.005)
    await pilot.pause()


def text_of(app: Console) -> str:
    """What is on the screen now, as text."""
    width, _ = app.size
    strips = [strip.crop(0, width) for strip in app.screen._compositor.render_strips()]
    below = app.box
    if below is not None and below is not app.screen:
        strips += below._compositor.render_strips()
    return "".join(strip.text.rstrip() + "\n" for strip in strips)


async def strips_of(job: tuple[str, str, tuple[int, int], str]) -> list[Strip]:
    """One screen as it is sent."""
    story, keys, size, theme = job
    link = story_of(story)
    app = Console(link, context="prod-eu" if story in ("trouble", "lost") else "local", palette=theme, beat=False)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, app)
        if story == "lost":
            app.model.heard = (app.model.heard or 0) - 12
            app.model.tries, app.model.asked = 3, (app.model.heard or 0) + 9.0
            app.box.repaint() if app.box is not None else None
            app.screen.refresh(layout=True)
            await pilot.pause()
        for key in [key for key in keys.split(",") if key]:
            await pilot.press(key)
            await settle(pilot, app)
        await pilot.pause()
        return [strip.crop(0, size[0]) for strip in app.screen._compositor.render_strips()]


def to_svg(strips: Sequence[Strip], theme: str) -> str:
    """Cells on their grid; blocks as rectangles, so that no seams show."""
    roles = THEMES["dark" if theme == MONO else theme]
    page, ink = (roles["bg"], roles["txt"]) if theme != MONO else ("#000000", "#c8c8c8")
    width = max(strip.cell_length for strip in strips)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width * CELL_W + 24}" height="{len(strips) * CELL_H + 24}">',
        f'<rect width="100%" height="100%" fill="{page}"/>',
        '<g transform="translate(12,12)" font-family="DejaVu Sans Mono" font-size="19.5">',
    ]
    texts: list[str] = []
    for y, strip in enumerate(strips):
        x = 0
        for segment in strip:
            style = segment.style or Style()
            fg = style.color.get_truecolor().hex if style.color and style.color.triplet else ink
            bg = style.bgcolor.get_truecolor().hex if style.bgcolor and style.bgcolor.triplet else page
            cells = cell_len(segment.text)
            if bg != page:
                out.append(f'<rect x="{x * CELL_W}" y="{y * CELL_H}" width="{cells * CELL_W}" height="{CELL_H}" fill="{bg}" shape-rendering="crispEdges"/>')  # fmt: skip
            for char in segment.text:
                texts.append(_glyph(char, x, y, fg, style))
                x += cell_len(char)
    return "\n".join([*out, *filter(None, texts), "</g></svg>"])


def _glyph(char: str, x: int, y: int, colour: str, style: Style) -> str:
    faint = ' opacity="0.55"' if style.dim else ""
    if char in BLOCKS or char in SHADES:
        left, top, width, height = BLOCKS.get(char, (0.0, 0.2, 1.0, 0.6))
        shade = f' opacity="{SHADES[char]}"' if char in SHADES else faint
        return (
            f'<rect x="{(x + left) * CELL_W}" y="{(y + top) * CELL_H:.2f}" width="{width * CELL_W}" height="{height * CELL_H:.2f}" '
            f'fill="{colour}"{shade} shape-rendering="crispEdges"/>'
        )  # fmt: skip
    if char == " ":
        return ""
    weight = ' font-weight="bold"' if style.bold else ""
    line = ' text-decoration="underline"' if style.underline else ""
    char = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(char, char)
    return f'<text x="{x * CELL_W}" y="{y * CELL_H + 19}" fill="{colour}"{weight}{line}{faint}>{char}</text>'


def main(folder: Path, names: Sequence[str]) -> None:
    """Write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    converter = shutil.which("rsvg-convert")
    for name, job in JOBS.items():
        if names and name not in names:
            continue
        svg = folder / f"{name}.svg"
        svg.write_text(to_svg(asyncio.run(strips_of(job)), job[3]), encoding="utf-8")
        if converter:
            subprocess.run([converter, str(svg), "-o", str(svg.with_suffix(".png"))], check=True)
        print(svg)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screens"), sys.argv[2:])
