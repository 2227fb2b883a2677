"""How far the journal has come is said to its mark; one that cannot be written is a warning, and one only."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controlplane.archived import Archived
from controlplane.directory import Directory, Mark
from controlplane.errors import NoPermission


def test_a_mark_that_cannot_be_written_is_a_warning_once_until_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    journal = SimpleNamespace(position=9, step=4, offsets={})
    archived = Archived(cast(Any, journal), directory, cast(Any, None))
    archived.mark()
    assert directory.mark() == Mark(9, 4) and not caplog.records

    def refused(mark: Mark) -> None:
        raise NoPermission("cannot write journal.mark")

    for told in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(directory, "write_mark", refused)
            archived.mark()
            archived.mark()
        assert [record.levelname for record in caplog.records] == ["WARNING"] * told
        assert "an older journal may not be known by it: cannot write" in caplog.text
        archived.mark()
