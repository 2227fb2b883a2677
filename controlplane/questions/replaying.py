"""Questions to the journal as a whole: what if the rules had been others, what differs between two moments, and what a
replay would publish again."""

import msgspec

from controlplane.questions.differing import StateChange, TableChange
from controlplane.questions.pages import Ask, Reply
from controlplane.questions.parts import Counts

__all__ = [
    "REPLAY_RUN",
    "AskDiff",
    "AskSlice",
    "AskSlicePage",
    "AskWhatIf",
    "Diff",
    "FactChange",
    "Horizon",
    "KindChange",
    "Recorded",
    "Slice",
    "SlicePage",
    "Sliced",
    "WhatIf",
]


class AskDiff(Ask, frozen=True):
    """What differs in state between moments A and B, each a position or an instant, rounded down to a step."""

    position_a: int | None = None
    instant_a: int | None = None
    position_b: int | None = None
    instant_b: int | None = None
    limit: int = 20


class Diff(Reply):
    """The two moments as they were found, the tables that differ, and the first changes of each, at most `limit`."""

    position_a: int
    recorded_a: int
    position_b: int
    recorded_b: int
    same: bool
    tables: list[TableChange]
    changes: list[StateChange]
    counts_a: Counts
    counts_b: Counts


class AskWhatIf(Ask, frozen=True):
    """The journal's inputs again under other settings, without effects; what would have followed.

    `settings` are names and values as text, `sagas.stuck_after` = `60s`. They hold from the first step that reaches
    `position` or `instant` (None: from the beginning) up to `until_position` or `until_instant` (None: now).
    """

    settings: dict[str, str]
    position: int | None = None
    instant: int | None = None
    until_position: int | None = None
    until_instant: int | None = None
    limit: int = 5
    """Examples of each kind of fact and change, and of each table's keys."""


class KindChange(msgspec.Struct):
    """How many facts of one kind differ. `moved`: the same fact at another step, `changed`: other in a field only."""

    kind: str
    gone: int
    new: int
    moved: int
    changed: int
    same: int


class FactChange(msgspec.Struct):
    """One fact that differs. `change`: gone, new, moved, changed. A new one has no journaled position (0)."""

    change: str
    kind: str
    text: str
    position: int
    recorded: int
    now_recorded: int = 0
    """When it would have been said; 0 for one that is gone."""
    was: str = ""
    now: str = ""
    """Fields that differ, where they do."""
    beyond: bool = False
    """It stands after the horizon."""


class Horizon(msgspec.Struct):
    """A place in the journal and why the replies from there on mean less."""

    position: int
    recorded: int
    why: str


class WhatIf(Reply):
    """What would have been otherwise between `first` and `last`. `same`: nothing at all."""

    settings: dict[str, str]
    first: int
    last: int
    since: int
    until: int
    same: bool
    entries: int
    events: int
    older: int
    """Entries of earlier fold versions, which were taken as recorded."""
    seconds: float
    kinds: list[KindChange]
    facts: list[FactChange]
    """The first of each kind and change, in the order of the journal."""
    horizon: Horizon | None
    """Where something would have been asked for otherwise; None: every recorded reply still answers what was asked."""
    unasked: Horizon | None
    """The first recorded reply to something that would not have been asked for."""
    beyond: int
    """Facts that differ after the horizon."""
    unmatched: int
    """Facts beyond `WHATIF_HELD_MAX` open differences: only counted as gone and new, never as moved."""
    tables: list[TableChange]
    changes: list[StateChange]
    was: Counts
    now: Counts
    digest: str
    """Of the state under the other rules."""


REPLAY_RUN = "replayrun"
"""The extension attribute that tells a replayed event from a first one: the name of the run that published it."""


class Slice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Recorded events: types by `pattern`, one subject, one saga ("": any), and a stretch of the journal.

    It begins at `position` or `instant` (None: the first entry) and ends at `until_position` or `until_instant` (None:
    now). Both ends belong to it; instants are compared with `recorded`.
    """

    pattern: str = ">"
    subject: str = ""
    saga: str = ""
    position: int | None = None
    instant: int | None = None
    until_position: int | None = None
    until_instant: int | None = None


class AskSlice(Ask, frozen=True):
    """How much a replay of this slice would publish, counted exactly. Without an end it waits until all is archived.

    Events whose `expirytime` is not after `expired_at` are left out; None: none is for that.
    """

    slice: Slice
    expired_at: int | None = None


class Sliced(Reply):
    """`left_out`: events by why they are never replayed, of `plane`, `lifecycle`, `redriven`, `replayed`, `expired`."""

    events: int
    left_out: dict[str, int]
    types: dict[str, int]
    """Events by type, most first; beyond `SLICE_TYPES_MAX` types the rest is in `other_types`."""
    other_types: int
    """Events of types that are not named."""
    bytes: int
    """Of payload."""
    imported: int
    """Those of the events that carry `importof`."""
    up_to: int
    """The position that the slice ends at, whatever comes later."""
    first: int
    last: int
    """Positions of the first and the last event; 0 without any."""
    appended: tuple[int, int]
    times: tuple[int, int] | None
    """Least and greatest; None where no event has a time."""
    remembered: int
    """Ids that a partition remembers, so that the same run again appends nothing."""


class AskSlicePage(Ask, frozen=True):
    """The next events of a slice after position `after`, none beyond `up_to`; both as `Sliced` has them."""

    slice: Slice
    up_to: int
    after: int = 0
    expired_at: int | None = None
    limit: int = 5000


class Recorded(msgspec.Struct, array_like=True):
    """One event as CloudEvents JSON, and where it stands."""

    position: int
    recorded: int
    partition: int
    offset: int
    appended: int
    event: str


class SlicePage(Reply):
    """`after` is where the next page goes on; `done`: there is none."""

    rows: list[Recorded]
    after: int
    done: bool
