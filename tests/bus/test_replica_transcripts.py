"""Replicas by transcript: each `> command` drives a broker, the lines under it are what its machine says.

`--rewrite` writes what the machines say now into the files; read the diff before keeping it.
"""

from pathlib import Path

import pytest

from tests.transcripts import check, files

from .replicas import Rig

FILES = files("replica")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_machines_say_what_the_transcript_says(path: Path, rewrite: bool) -> None:
    check(path, Rig().run, rewrite)


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 8
