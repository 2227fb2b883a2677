"""Machines driven by text: each `> command` is run, the lines under it are what the machine says.

Blank lines and lines that begin with `#` are the author's. `--rewrite` writes what the machine says now into the files;
read the diff before keeping it.
"""

from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent


def files(name: str) -> list[Path]:
    """The transcripts of one machine, in order."""
    return sorted(FOLDER.glob(f"{name}_*.txt"))


def replay(text: str, run: Callable[[str], list[str]]) -> str:
    """The same script with the machine's own words."""
    told: list[str] = []
    for line in text.splitlines():
        if line.startswith("> "):
            told += [line, *run(line[2:])]
        elif not line or line.startswith("#"):
            told.append(line)
    return "\n".join(told) + "\n"


def check(path: Path, run: Callable[[str], list[str]], rewrite: bool) -> None:
    """The machine behind `run` says what the transcript says; or, to be rewritten, has the last word."""
    text = path.read_text(encoding="utf-8")
    said = replay(text, run)
    if rewrite:
        path.write_text(said, encoding="utf-8")
    else:
        assert said == text
