"""Facts about projections of users' own: which are registered, from where, and which of them broke.

Part of the union in `facts`. What a projection holds is no fact: it is made from the events, again and again.
"""

from controlplane.journaled import Fact


class ProjectionAdded(Fact, frozen=True):
    """A projection is registered, in place of any other of this name; a class is built from the journal's start.

    `kind` is class or view. `target`: `module:Class`, `/path/file.py:Class`, or the SELECT of a view; `file` and
    `sha256` say which code, or text, it was; `pattern`: the types that a class gets.
    """

    name: str
    kind: str
    target: str
    pattern: str = ""
    file: str = ""
    sha256: str = ""
    by: str = ""
    reason: str = ""


class ProjectionRebuilt(Fact, frozen=True):
    """A class is loaded anew, as its file is now, and built from the journal's start."""

    name: str
    file: str
    sha256: str
    by: str = ""
    reason: str = ""


class ProjectionRemoved(Fact, frozen=True):
    """A projection is registered no longer."""

    name: str
    by: str = ""
    reason: str = ""


class ProjectionQuarantined(Fact, frozen=True):
    """A class raised, or its process did not survive an event: it stands still until it is rebuilt.

    `build` is the position of the fact that had it built. `position` and `event` say at which event, 0 and "" if at
    none of them.
    """

    name: str
    build: int
    position: int
    event: str
    error: str
