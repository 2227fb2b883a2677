"""Every screen as text, at three sizes. `SIGNALBOX_UPDATE_SNAPSHOTS=1` writes them anew; then read the difference."""

import os
from pathlib import Path

import pytest

from tests.console.screens import PAST, strips_of

FOLDER = Path(__file__).parents[2] / "snapshots"
SIZES = {"80x24": (80, 24), "120x36": (120, 36), "160x45": (160, 45)}
SCREENS = {
    "board": ("trouble", ""),
    "board-track": ("trouble", "tab,j,j,j,j,j,j,j"),
    "board-calm": ("calm", ""),
    "board-empty": ("empty", ""),
    "flows": ("trouble", "2,j"),
    "flows-calm": ("calm", "2"),
    "flows-empty": ("empty", "2"),
    "sagas": ("trouble", "3,j,space,space,space,g"),
    "saga": ("trouble", "3,enter"),
    "dead-letters": ("trouble", "4"),
    "dead-letters-calm": ("calm", "4"),
    "letters": ("trouble", "4,enter,j"),
    "redrive": ("trouble", "4,r"),
    "health": ("trouble", "5"),
    "events": ("trouble", "6,j,j,j,j"),
    "event": ("trouble", "6,j,j,j,j,enter"),
    "fleet": ("trouble", "7,j"),
    "fleet-partitions": ("trouble", "7,j,tab,j"),
    "fleet-calm": ("calm", "7"),
    "fleet-empty": ("empty", "7"),
    "partition": ("trouble", "1,tab,j,j,j,j,j,j,j,enter,j"),
    "partition-calm": ("calm", "7,enter,enter"),
    "agents": ("trouble", "8,j"),
    "agents-empty": ("empty", "8"),
    "agent": ("trouble", "8,j,enter"),
    "quarantine": ("trouble", "8,j,j,j,space,Q"),
    "help": ("trouble", "question_mark"),
    "board-past": ("trouble", PAST),
    "flows-past": ("trouble", f"{PAST},2"),
    "sagas-past": ("trouble", f"{PAST},3"),
    "saga-past": ("trouble", f"{PAST},3,enter"),
    "dead-letters-past": ("trouble", f"{PAST},4"),
    "health-past": ("trouble", f"{PAST},5"),
    "events-past": ("trouble", f"{PAST},6"),
    "fleet-past": ("trouble", f"{PAST},7"),
    "agents-past": ("trouble", f"{PAST},8"),
    "partition-past": ("trouble", f"{PAST},7,enter,enter"),
}


EVERY_SIZE = (
    "board",
    "flows",
    "sagas",
    "saga",
    "dead-letters",
    "events",
    "fleet",
    "partition",
    "agents",
    "agent",
    "board-past",
)
CASES = [(name, size) for name in SCREENS for size in SIZES if size == "120x36" or name in EVERY_SIZE]


@pytest.mark.parametrize(("name", "size"), CASES)
async def test_the_screen_looks_as_it_did(name: str, size: str) -> None:
    story, keys = SCREENS[name]
    strips = await strips_of((story, keys, SIZES[size], "dark"))
    text = "".join(strip.text.rstrip() + "\n" for strip in strips)
    file = FOLDER / f"{name}-{size}.txt"
    if os.environ.get("SIGNALBOX_UPDATE_SNAPSHOTS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file.name} differs; SIGNALBOX_UPDATE_SNAPSHOTS=1 writes it anew"
