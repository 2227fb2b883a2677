"""Connections that read all segments together: kept for the next question, and gone when the segments are others."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from controlplane import limits, segments
from controlplane.journal import Journal
from controlplane.shelf import Reading
from tests.controlplane.edge.examples import FOLLOWS
from tests.controlplane.edge.test_rotation import fill, small

__all__ = ["small"]


def seen(reading: Reading) -> int:
    """Events in all segments together."""
    ((count,),) = reading.execute("select count(*) from events").fetchall()
    return int(count)


@pytest.mark.usefixtures("small")
def test_a_connection_is_kept_with_its_views_until_the_segments_are_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    shelf = journal._shelf
    fill(journal, 2)
    first, beside = journal.cursor(), journal.cursor()
    line = first._line
    assert seen(first) == seen(beside) == journal.events and first._line is not beside._line
    first.execute("select position from events")  # and its result is not taken
    first.close()
    first.close()
    again = journal.cursor()
    assert again._line is line and seen(again) == journal.events
    again.close()
    fill(journal, 1)
    again = journal.cursor()
    assert again._line is line and seen(again) == journal.events, "what was committed since is there"
    again.close()
    # The first segment is full, and another one begins; then it is sealed.
    fill(journal, 10)
    assert len(shelf.segments) == 3 and shelf._idle == []
    assert seen(beside) < journal.events, "it reads on in the segments that it took"
    beside.close()
    assert shelf._idle == []
    with closing(journal.cursor()) as fresh:
        assert fresh._line is not line and seen(fresh) == journal.events
    assert len(shelf._idle) == 1 and not shelf._leaving
    held = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_there(fd)}
    assert not segments.path_of(tmp_path, 1).exists()
    assert not [path for path in held if str(segments.path_of(tmp_path, 1)) in path], "nothing holds what was replaced"
    journal.close()


def _is_there(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def test_no_more_connections_are_kept_than_allowed_and_none_of_a_closed_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 1)
    readings = [journal.cursor() for _ in range(limits.READINGS_KEPT_MAX + 3)]
    late = readings.pop()
    for reading in readings:
        reading.close()
    assert len(journal._shelf._idle) == limits.READINGS_KEPT_MAX
    journal.close()
    late.close()
    assert journal._shelf._idle == []


def test_a_connection_that_failed_is_not_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 1)
    reading = journal.cursor()
    reading._line.db.close()
    reading.close()
    assert journal._shelf._idle == []
    with closing(journal.cursor()) as other:
        assert seen(other) == journal.events
    journal.close()
