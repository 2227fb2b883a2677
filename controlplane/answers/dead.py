"""AskDeadGroups, AskDeadLetters, and what a redrive would touch."""

from bus.words import many
from controlplane.answers.words import age
from controlplane.brokers import MS
from controlplane.deadletters import REDRIVEN, WAITING, Kind, Letter, cut_of, letters_of
from controlplane.facts import RedriveDecided
from controlplane.fold import KeyedState, World
from controlplane.limits import NEW_DEATH_MS, PAGE_ROWS_MAX, REDRIVE_AT_ONCE_MAX
from controlplane.questions import (
    AskDeadGroups,
    AskDeadLetters,
    DeadAttempt,
    DeadGroup,
    DeadGroups,
    DeadLetter,
    DeadLetters,
    Link,
    Redrive,
    Redriven,
    Refusal,
)

_ENDED = {
    "terminated": "it was refused for good, and not tried again",
    "no_capable": "nobody could do it",
    "refused": "all that could do it refused it",
    "full": "there was no room for one more task",
    "unsent": "no broker took the mail that it was in",
    "expired": "it expired before it was handled",
    "parked": "an earlier event of its key is a dead letter",
    "late": "events of a later time had been given out",
    "gap": "what it depends on has not come",
}
"""What a reason says; others are of events that were tried too often."""
_TWELFTHS = 12
_TWELFTH_NS = 1_800_000_000_000


def groups_of(world: World, now: int) -> list[DeadGroup]:
    """All kinds of death: those with letters that wait first, the newest of them first."""
    state = world["deadletters"]
    by_kind: dict[str, list[Letter]] = {}
    for _, letter in state.items("letter"):
        by_kind.setdefault(letter.kind, []).append(letter)
    rows = [_group(kind, by_kind.get(str(key), []), now) for key, kind in state.items("kind")]
    return sorted(rows, key=lambda row: (row.waiting == 0, -row.new, -row.waiting, -row.newest, row.id))


def _group(kind: Kind, letters: list[Letter], now: int) -> DeadGroup:
    recent = [0] * _TWELFTHS
    for letter in letters:
        place = (now - letter.died) // _TWELFTH_NS
        if 0 <= place < _TWELFTHS:
            recent[_TWELFTHS - 1 - place] += 1
    redriven = sum(letter.state == REDRIVEN for letter in letters)
    return DeadGroup(
        id=kind.id,
        severity="warn" if kind.waiting else "ok",
        reason=kind.reason,
        what=kind.what,
        group=kind.group,
        count=kind.count,
        waiting=kind.waiting,
        recent=recent,
        first=kind.first,
        newest=kind.newest,
        new=sum(now - letter.died <= NEW_DEATH_MS * MS for letter in letters),
        note=_note(kind, redriven, len(letters)),
    )


def _note(kind: Kind, redriven: int, kept: int) -> str:
    if kept < kind.count:
        return f"{kind.count - kept:,} forgotten"
    if redriven:
        return f"{redriven:,} redriven"
    return "redriving" if not kind.waiting else ""


def dead_groups(world: World, question: AskDeadGroups, now: int) -> DeadGroups:
    """The page that was asked for."""
    rows = groups_of(world, now)
    match = question.match.casefold()
    matched = [row for row in rows if match in f"{row.id} {row.what} {row.group} {row.reason}".casefold()]
    stop = question.offset + min(question.limit, PAGE_ROWS_MAX)
    count = world["deadletters"].table("count")
    return DeadGroups(count.get("total", 0), count.get("waiting", 0), len(matched), matched[question.offset : stop])


def dead_letters(world: World, question: AskDeadLetters, now: int) -> DeadLetters | Refusal:
    """A group's letters, newest first, or the one that was asked for; and why they died."""
    state = world["deadletters"]
    letter: Letter | None = state.get("letter", question.target)
    key = letter.kind if letter is not None else _key_of(state, question.target)
    if key is None:
        return _unknown(question.target)
    kind: Kind = state.get("kind", key)
    alike = letters_of(state, key)
    stop = question.offset + min(question.limit, PAGE_ROWS_MAX)
    shown = [letter] if letter is not None else alike[question.offset : stop]
    letters = [_letter(kind, one, cut_of(state, one.id)) for one in shown]
    return DeadLetters(_group(kind, alike, now), letters, _why(kind, alike, now))


def _why(kind: Kind, letters: list[Letter], now: int) -> list[Link]:
    newest = letters[0] if letters else None
    links = [
        Link(
            f"{many(kind.count, 'event')} died in {kind.group}: {kind.what}",
            0,
            kind.newest,
            newest.position if newest else None,
        )
    ]
    if newest is not None:
        tries = len(newest.attempts)
        worn = f"each was tried {many(tries, 'time')}, then given up" if tries else "no attempt of it is told"
        links.append(Link(_ENDED.get(kind.reason, worn), 1))
        members = sorted({attempt.member for attempt in newest.attempts if attempt.member})
        if members:
            links.append(Link(f"the newest was tried by {', '.join(members[:3])}", 1))
        sources = sorted({_source(letter) for letter in letters[:100]})
        if len(sources) > 1 and len(letters) > 1:
            links.append(Link(f"not one source: {len(sources)} of them", 1, ruled_out=True))
        if newest.refused:
            links.append(Link(f"it could not be published again: {newest.refused}", 1))
    links.append(Link(f"the first died {age(now - kind.first)} ago", 1, kind.first))
    return links


def _source(letter: Letter) -> str:
    head = letter.event.partition('"source":')[2].lstrip()
    return head[1 : head.find('"', 1)] if head.startswith('"') else ""


def _letter(kind: Kind, letter: Letter, cut: list[str]) -> DeadLetter:
    return DeadLetter(
        id=letter.id,
        dead_group=kind.id,
        group=letter.group,
        reason=letter.reason,
        error=letter.error,
        state=letter.state,
        partition=letter.partition,
        offset=letter.offset,
        position=letter.position,
        died=letter.died,
        attempts=[DeadAttempt(a.attempt, a.at, a.error, a.member, a.took_ms * MS) for a in letter.attempts],
        event=letter.event,
        cut=cut,
    )


def plan_redrive(world: World, question: Redrive) -> tuple[RedriveDecided | None, Redriven | Refusal]:
    """What a redrive touches: exactly the letters that wait, oldest first.

    For a dry run, or when it is refused, there is no fact. Else the edge journals the fact, and fills in the answer's
    position.
    """
    state = world["deadletters"]
    chosen: dict[str, Letter] = {}
    for target in question.targets:
        letter: Letter | None = state.get("letter", target)
        key = None if letter is not None else _key_of(state, target)
        if letter is None and key is None:
            return None, _unknown(target)
        for one in [letter] if letter is not None else letters_of(state, key):
            if one.state == WAITING:
                chosen[one.id] = one
    ordered = sorted(chosen.values(), key=lambda letter: letter.position)
    ids = [letter.id for letter in ordered]
    if question.expected is not None and sorted(question.expected) != sorted(ids):
        shown = many(len(question.expected), "was", "were")
        message = f"the set has changed: {shown} shown, {len(ids):,} would be touched now"
        return None, Refusal("changed", message, "look again with --dry-run, then confirm that set")
    if not ids:
        message = f"nothing waits in {', '.join(question.targets) or 'no target'}: all of it was redriven"
        return None, Refusal("not_found", message, "signalbox dlq list shows what waits")
    if len(ids) > REDRIVE_AT_ONCE_MAX:
        message = f"{len(ids):,} dead letters are more than {REDRIVE_AT_ONCE_MAX:,} at once"
        return None, Refusal("usage", message, "redrive one group (g-…) at a time, or name single letters")
    groups = list(dict.fromkeys(letter.group for letter in ordered))
    told = Redriven(ids, groups, question.dry_run, 0)
    return (None if question.dry_run else RedriveDecided(ids, question.by, question.reason)), told


def _key_of(state: KeyedState, id: str) -> str | None:
    return next((str(key) for key, kind in state.items("kind") if kind.id == id), None)


def _unknown(target: str) -> Refusal:
    hint = "signalbox dlq list names the groups (g-01 …), dlq show GROUP their letters"
    return Refusal("not_found", f"no dead letter and no group of them is called {target!r}; is it forgotten?", hint)
