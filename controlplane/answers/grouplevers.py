"""Levers on consumer groups: what would be removed or changed, and the decision to be journaled."""

from fnmatch import fnmatchcase

from bus.errors import ClientError
from bus.groupsettings import CHANGEABLE, changed
from bus.words import many
from controlplane.answers.flows import dead_kinds
from controlplane.answers.lag import GroupLag, Listening
from controlplane.facts import Fact, GroupsRemoved, GroupUpdated
from controlplane.fold import World
from controlplane.groups import changes
from controlplane.questions import Operate, Operated, Refusal

Planned = tuple[Fact | None, Operated | Refusal]
JUST_MADE = "if it was made just now, ask again in 2 s: brokers tell of it with their next sample"


def remove(world: World, ask: Operate, now: int) -> Planned:
    """Groups are to be forgotten everywhere. What waits in each, and who is there, is said."""
    known = Listening(world["groups"], now).groups
    name = ask.targets[0] if ask.targets else ""
    chosen = [lag for group, lag in known.items() if (fnmatchcase(group, name) if ask.pattern else group == name)]
    if not chosen:
        return None, _unknown(world, name, ask.pattern)
    dead = dead_kinds(world)
    notes = [_loses(lag, dead.get(lag.group, (0, ""))[0]) for lag in chosen]
    notes.append("events and dead letters stay where they are; subscribing again makes a new group")
    groups = [lag.group for lag in chosen]
    waiting = sum(lag.waiting + lag.in_flight for lag in chosen)
    told = Operated(ask.verb, groups, ask.dry_run, 0, notes=notes)
    return GroupsRemoved(groups, waiting, ask.by, ask.reason), told


def update(world: World, ask: Operate, now: int) -> Planned:
    """Settings of one group are to change, old and new of each."""
    name = ask.targets[0] if ask.targets else ""
    lag = Listening(world["groups"], now).groups.get(name)
    if lag is None:
        return None, _unknown(world, name, False)
    terms = max((at for at in lag.places if at.settings is not None), key=lambda at: at.at, default=None)
    if terms is None or terms.settings is None:
        return None, Refusal("unavailable", f"no leader has told the settings of {name} yet", "try again in a moment")
    pending = next((change.changes for group, change in changes(world["groups"]) if group == name), None)
    try:
        before = changed(name, terms.settings, pending or {})
        after = changed(name, before, ask.changes)
    except ClientError as error:
        return None, Refusal("usage", str(error), f"signalbox group show {name} has its settings")
    touched = [
        f"{name} {field.removesuffix('_ms')} {_value(field, getattr(before, field))} → "
        f"{_value(field, getattr(after, field))}"
        for field in CHANGEABLE
        if field in ask.changes and getattr(before, field) != getattr(after, field)
    ]
    told = Operated(ask.verb, touched, ask.dry_run, 0)
    if not touched:
        told.notes = ["it has these settings already"]
        return None, told
    told.notes = [f"{many(lag.members, 'member gets', 'members get')} them without coming again"]
    if after.max_deliver < before.max_deliver:
        told.notes.append("events that have failed so often already become dead letters at once")
    return GroupUpdated(name, ask.changes, ask.by, ask.reason), told


def _loses(lag: GroupLag, dead: int) -> str:
    """What the end of a group means."""
    said = f"{lag.group}: {many(lag.waiting, 'event waits', 'events wait')}, {many(lag.in_flight, 'is', 'are')} out"
    if lag.members:
        said += f" with {many(lag.members, 'member')}, told GroupRemoved"
    return said + (f"; {many(dead, 'dead letter')} of it stay" if dead else "")


def _unknown(world: World, name: str, pattern: bool) -> Refusal:
    for group, change in changes(world["groups"]):
        if group == name and change.changes is None:
            return Refusal("usage", f"{name} is being removed already", "signalbox group list says how far that is")
    what = f"no group has a name like {name!r}" if pattern else f"there is no group {name!r}"
    what += f"; {JUST_MADE}"
    return Refusal("not_found", what, "signalbox group list")


def _value(field: str, value: int) -> str:
    return f"{value / 1000:g} s" if field.endswith("_ms") else str(value)
