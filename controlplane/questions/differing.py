"""What differs: between two states, and between a journal and its regeneration."""

import msgspec


class StateChange(msgspec.Struct):
    """One thing that differs between two states. `change`: added, removed, changed.

    `field` is what differs in the value, "" where the whole value does. `was` and `now` are values as text, cut to
    `DIFF_TEXT_CHARS_MAX`; "" where there is none.
    """

    fold: str
    table: str
    key: str
    change: str
    field: str = ""
    was: str = ""
    now: str = ""


class TableChange(msgspec.Struct):
    """How many keys of one fold's table differ."""

    fold: str
    table: str
    added: int
    removed: int
    changed: int


class Divergence(msgspec.Struct):
    """Where a journal and its regeneration part. `table` and `key` are of a state; `kind` is of a fact or intent.

    `was` is as journaled, `now` as regenerated. `touched`: for a state of which nobody can say which of the places that
    the step changed it is, those places, `fold table key`.
    """

    position: int
    what: str
    """fact, intent, state or step; events: some are missing, so that nothing after them can be compared."""
    text: str
    fold: str = ""
    kind: str = ""
    table: str = ""
    key: str = ""
    field: str = ""
    was: str = ""
    now: str = ""
    touched: list[str] = []
