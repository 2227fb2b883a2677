"""Projections of users' own as a noun: which there are, what they hold, and the levers on them.

A projection is a Python class with `evolve`, or a view: a SELECT over `SQL_SCHEMA`. The answer of either names the
position that it holds at, and waits until that is far enough, if it is told how far.
"""

from typing import Annotated, Any, Literal

import msgspec

from controlplane.questions.pages import Ask, Reply
from controlplane.questions.parts import Severity

__all__ = [
    "AskProjection",
    "AskProjections",
    "Project",
    "Projected",
    "ProjectionRow",
    "ProjectionRows",
    "ProjectionVerb",
    "Projections",
]

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
ProjectionVerb = Literal["add", "rebuild", "remove"]


class AskProjections(Ask, frozen=True):
    """All projections, or the one with this name."""

    name: str = ""


class ProjectionRow(msgspec.Struct):
    """One projection. `state`: following, building, standing (`why` says what keeps it), quarantined; view.

    `reached`: the position that it holds at, and `keys` how many keys it has; None in the past and for a view.
    """

    name: str
    kind: str
    state: str
    severity: Severity
    target: str
    pattern: str
    file: str
    sha256: str
    reached: int | None
    keys: int | None
    build: int
    """The position from which on it is registered, or was rebuilt; `since` is the instant of it."""
    since: int
    by: str
    reason: str
    why: str = ""
    mend: str = ""
    event: str = ""
    """The event that broke it, at `event_position`."""
    event_position: int = 0


class Projections(Reply):
    rows: list[ProjectionRow]


class AskProjection(Ask, frozen=True):
    """What a projection holds, once it has come as far as `position`, and has every event in `offsets`.

    `offsets` is partition -> offset, as a publish receipt names them. `timeout_ms` and `rows`: 0 is the plane's own.
    """

    name: str
    position: Natural = 0
    offsets: dict[Natural, Natural] = {}
    timeout_ms: Natural = 0
    rows: Natural = 0


class ProjectionRows(Reply):
    """What it holds. `rows` is MessagePack: an array of rows, each an array of values in the columns' order.

    `behind`: positions that it has still to be built over; 0 for one that follows.
    """

    name: str
    columns: list[str]
    rows: msgspec.Raw
    count: int
    cut: str = ""
    """Why there are rows that are not in the answer; "" when it is whole."""
    behind: int = 0
    journal_from: int = 0
    """It was built from the event after this position on: retention had let go of what was before."""

    def values(self) -> list[list[Any]]:
        """The rows."""
        return msgspec.msgpack.decode(self.rows, type=list[list[Any]])


class Project(Ask, frozen=True):
    """Pull a lever. For `add`, `kind` is class or view, `target` what it is; `pattern` "" leaves it to the class.

    As a dry run it answers what it would touch; `expected` is then that set, and if it has changed since, the answer is
    a `Refusal` with code `changed`. Classes are loaded where the plane runs, and by the plane's own user.
    """

    verb: ProjectionVerb
    name: str
    kind: str = ""
    target: str = ""
    pattern: str = ""
    file: str = ""
    dry_run: bool = False
    reason: str = ""
    by: str = ""
    expected: list[str] | None = None


class Projected(Reply):
    """What a lever touched, a line each. `position` is the decision's in the journal; 0 for a dry run."""

    verb: ProjectionVerb
    touched: list[str]
    dry_run: bool
    position: int = 0
