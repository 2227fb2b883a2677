"""AskGroups: each consumer group with what it is behind, what it lost, and whether it listens to anything at all."""

from bus.words import many
from controlplane.answers.flows import RANK, dead_kinds, severity_of
from controlplane.answers.lag import GroupLag, Listening
from controlplane.answers.words import age
from controlplane.fold import World
from controlplane.groups import GroupAt, changes
from controlplane.ledger import Trimmed, trimmed
from controlplane.limits import NEW_DEATH_MS
from controlplane.questions import (
    AskGroups,
    GroupChanging,
    GroupPlace,
    GroupRow,
    Groups,
    GroupTerms,
    Holding,
    Refusal,
    Severity,
)

_MS = 1_000_000


def groups(world: World, question: AskGroups, now: int) -> Groups | Refusal:
    """All groups, worst first, or the one that was asked for."""
    listening = Listening(world["groups"], now)
    changing = [
        GroupChanging(group, change.since, change.changes, change.by, change.reason)
        for group, change in changes(world["groups"])
        if question.group in ("", group)
    ]
    if question.group and question.group not in listening.groups and not changing:
        return Refusal("not_found", f"there is no group {question.group!r}", "signalbox group list")
    chosen = [lag for name, lag in listening.groups.items() if question.group in ("", name)]
    published = dict.fromkeys(str(key).partition("\0")[2] for key in world["flows"].table("flow"))
    matched = dict.fromkeys((lag.group for lag in chosen), 0)
    for type in published:
        for lag in listening.to(type):
            if lag.group in matched:
                matched[lag.group] += 1
    dead = dead_kinds(world)
    rows = [
        _row(lag, matched[lag.group], bool(published), dead, trimmed(world["ledger"], lag.group), now) for lag in chosen
    ]
    rows.sort(key=lambda row: (RANK[row.severity], -row.behind_ns, row.group))
    return Groups(rows, changing)


def _row(
    lag: GroupLag, types: int, is_told: bool, dead: dict[str, tuple[int, str]], lost: Trimmed, now: int
) -> GroupRow:
    endangered = sum(at.endangered for at in lag.places)
    severity, why, mend = _standing(lag, endangered, lost, now)
    if not why and is_told and not types:
        severity, why = "warn", f"{lag.pattern} matches no type that was ever published: mind its spelling"
        mend = "flow list"
    died, worst = dead.get(lag.group, (0, ""))
    if mend == "dlq list" and worst:
        mend = f"dlq show {worst}"
    return GroupRow(
        group=lag.group,
        pattern=lag.pattern,
        severity=severity,
        members=lag.members,
        waiting=lag.waiting,
        in_flight=lag.in_flight,
        behind_ns=lag.behind_ns,
        trend=lag.trend,
        eta_ns=lag.eta_ns,
        handled_per_s=lag.handled_per_s,
        delivered=lag.delivered,
        acked=lag.acked,
        failed=lag.failed,
        p50_ns=lag.p50_ns,
        p99_ns=lag.p99_ns,
        dead_letters=died,
        trimmed=lost.events,
        trimmed_at=lost.last,
        endangered=endangered,
        types=types,
        why=why,
        mend=mend,
        places=[_place(at, now) for at in lag.places],
        settings=_terms(lag),
    )


def _standing(lag: GroupLag, endangered: int, lost: Trimmed, now: int) -> tuple[Severity, str, str]:
    if lost.events and now - lost.last <= NEW_DEATH_MS * _MS:
        ago = age(now - lost.last)
        return "bad", f"{many(lost.events, 'event')} trimmed by retention unread, the last {ago} ago", "event export"
    severity, why, mend = severity_of(lag)
    if endangered and severity != "bad":
        return "warn", f"retention is about to take {many(endangered, 'event')} that it has not read", "flow list"
    return severity, why, mend


def _place(at: GroupAt, now: int) -> GroupPlace:
    behind = max(0, now - at.oldest) if at.oldest else 0
    holding = [Holding(member, out) for member, out in at.holding]
    return GroupPlace(at.partition, at.members, at.waiting, at.in_flight, at.endangered, behind, holding)


def _terms(lag: GroupLag) -> GroupTerms | None:
    """What the newest sample that has them says: all partitions agree."""
    told = max((at for at in lag.places if at.settings is not None), key=lambda at: at.at, default=None)
    if told is None or told.settings is None:
        return None
    terms = GroupTerms(**{name: getattr(told.settings, name) for name in GroupTerms.__struct_fields__})
    terms.governed = [name.removesuffix("_ms") for name in told.settings.governed]
    return terms
