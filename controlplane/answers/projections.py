"""Projections of users' own: which there are and how they are, and what a lever on them would touch. Pure."""

from collections.abc import Mapping

import msgspec

from controlplane.facts import Fact, ProjectionAdded, ProjectionRebuilt, ProjectionRemoved
from controlplane.fold import World
from controlplane.limits import PROJECTION_NAME_CHARS_MAX, PROJECTIONS_MAX
from controlplane.projections import CLASS, VIEW, Registered, registered_in
from controlplane.questions import AskProjections, Body, Project, Projected, ProjectionRow, Projections, Refusal

_FIRST = "abcdefghijklmnopqrstuvwxyz"
_NAME = frozenset(_FIRST + "0123456789_-")
_LIST = "signalbox projection list"


class Running(msgspec.Struct, frozen=True):
    """How a class is: what it holds at, whether it `follows` or is being built, `why` it does not get on, and
    `changed`: that its file is another one now. `stands`: it will not get on by itself."""

    position: int
    keys: int
    follows: bool
    why: str = ""
    stands: bool = False
    changed: str = ""


class Resolved(msgspec.Struct, frozen=True):
    """The code of a class, or the text of a view, as it was found where the plane runs."""

    file: str = ""
    sha256: str = ""
    pattern: str = ""


def projections(world: World, ask: AskProjections, running: Mapping[str, Running]) -> Body:
    """All by name, or one."""
    known = sorted((str(name), each) for name, each in world["projections"].items("projection"))
    if ask.name:
        known = [(name, each) for name, each in known if name == ask.name]
        if not known:
            return _unknown(ask.name)
    return Projections([_row(name, each, running.get(name)) for name, each in known])


def _row(name: str, known: Registered, running: Running | None) -> ProjectionRow:
    row = ProjectionRow(
        *(name, known.kind, "view" if known.kind == VIEW else "", "ok", known.target, known.pattern, known.file),
        *(known.sha256, None, None, known.build, known.since, known.by, known.reason),
    )
    if known.error:
        row.state, row.severity, row.why = "quarantined", "bad", known.error
        row.event, row.event_position = known.event, known.broken_at
        row.mend = f"projection rebuild {name}"
    elif running is not None:
        row.state = "standing" if running.stands else "following" if running.follows else "building"
        row.severity = "bad" if running.stands else "warn" if running.why or running.changed else "ok"
        row.reached, row.keys = running.position, running.keys
        row.why = "; ".join(filter(None, (running.why, running.changed)))
        row.mend = f"projection rebuild {name}" if running.stands or running.changed else ""
    return row


def plan_projection(world: World, ask: Project, found: Resolved) -> tuple[Fact | None, Body]:
    """The decision that a lever comes to, and what it touches; None as decision for a dry run or a refusal."""
    state = world["projections"]
    known = registered_in(state, ask.name)
    if ask.verb == "add":
        refusal = _unfit(ask, known, len(state.table("projection")))
    else:
        refusal = None if known is not None else _unknown(ask.name)
        if known is not None and ask.verb == "rebuild" and known.kind == VIEW:
            why = f"projection {ask.name} is a view: it is evaluated whenever it is asked"
            refusal = Refusal("usage", why, f"signalbox projection rows {ask.name}")
    if refusal is not None:
        return None, refusal
    touched = [_touched(ask, known, found)]
    if ask.dry_run:
        return None, Projected(ask.verb, touched, True)
    if ask.expected is not None and ask.expected != touched:
        return None, Refusal("changed", f"it is {touched[0]} now", "Look again with --dry-run.")
    return _decision(ask, found), Projected(ask.verb, touched, False)


def _unfit(ask: Project, known: Registered | None, count: int) -> Refusal | None:
    name = ask.name
    if not name or name[0] not in _FIRST or not _NAME.issuperset(name) or len(name) > PROJECTION_NAME_CHARS_MAX:
        why = f"{name!r} is no name for a projection: a small letter, then small letters, digits, - and _"
        return Refusal("usage", why, f"At most {PROJECTION_NAME_CHARS_MAX} of them.")
    if ask.kind not in (CLASS, VIEW):
        return Refusal("usage", f"a projection is a class or a view, not {ask.kind!r}")
    if ask.kind == VIEW and ask.pattern:
        return Refusal("usage", "a view takes no pattern", "Say it in the SELECT: where type like ...")
    if known is None and count >= PROJECTIONS_MAX:
        return Refusal("usage", f"there are {count} projections already, as many as there may be", _LIST)
    return None


def _touched(ask: Project, known: Registered | None, found: Resolved) -> str:
    if ask.verb == "remove":
        return f"{ask.name}  removed"
    code = f"  sha256 {found.sha256[:12]}" if ask.kind != VIEW else ""
    if ask.verb == "rebuild":
        return f"{ask.name}  built from the start{code}"
    replaced = f"  in place of the one of {known.build:,}" if known is not None else ""
    what = f"{ask.target}  {found.pattern}" if ask.kind == CLASS else " ".join(ask.target.split())
    return f"{ask.name}  {ask.kind} {what}{code}{replaced}"


def _decision(ask: Project, found: Resolved) -> Fact:
    said = (ask.by, ask.reason)
    if ask.verb == "remove":
        return ProjectionRemoved(ask.name, *said)
    if ask.verb == "rebuild":
        return ProjectionRebuilt(ask.name, found.file, found.sha256, *said)
    return ProjectionAdded(ask.name, ask.kind, ask.target, found.pattern, found.file, found.sha256, *said)


def _unknown(name: str) -> Refusal:
    return Refusal("not_found", f"there is no projection {name!r}", _LIST)
