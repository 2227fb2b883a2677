"""Replicas by transcript: each `> command` drives a broker, the lines under it are what its machine says.

`--rewrite` writes what the machines say now into the files; read the diff before keeping it.
"""

from pathlib import Path

import pytest

from .replicas import replay

FILES = sorted((Path(__file__).parent.parent / "transcripts").glob("replica_*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_machines_say_what_the_transcript_says(path: Path, rewrite: bool) -> None:
    text = path.read_text(encoding="utf-8")
    said = replay(text)
    if rewrite:
        path.write_text(said, encoding="utf-8")
    else:
        assert said == text


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 8
