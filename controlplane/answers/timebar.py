"""AskTimeline, and the bars of AskBoard: volume as height, health as colour, incidents, out of the history's slots."""

from collections.abc import Iterable

from controlplane import history
from controlplane.fold import World
from controlplane.groups import SLOT_NS
from controlplane.health import penalties, score_of, state_of
from controlplane.history import Slot
from controlplane.limits import BARS_MAX, HISTORY_SLOTS_MAX, INCIDENTS_MAX, NEEDS_MAX
from controlplane.questions import AskTimeline, Bar, Incident, Severity, Timeline

BARS_MIN = 12
"""A young fleet has so few bars at least, each of them wide."""
_DIGITS = str.maketrans("", "", "0123456789")


def timeline(world: World, question: AskTimeline, now: int) -> Timeline:
    """The time bar as of now."""
    span, count = _scale(_known_slots(world, now), max(1, min(question.bars, BARS_MAX)))
    last = now // (SLOT_NS * span)
    first = (last - count + 1) * span
    runs = history.slots(world["history"], (last + 1) * span * SLOT_NS - 1, count, span)
    bars = [
        Bar((first + number * span) * SLOT_NS, sum(slot.events for slot in run if slot), _worst(filter(None, run)))
        for number, run in enumerate(runs)
    ]
    needs = penalties(world, now)
    score = score_of(world, needs)
    slots = [slot for run in runs for slot in run]
    return Timeline(span * SLOT_NS, bars, _incidents(slots, first, now), score, state_of(score), needs[:NEEDS_MAX])


def bars(world: World, now: int, count: int) -> list[Bar]:
    """Bars that end now: the worst severity of their time, an incident where another trouble begins."""
    count = min(count, BARS_MAX)
    if count <= 0:
        return []
    known_slots = _known_slots(world, now)
    span = 1
    while span * count < known_slots:
        span *= 2
    found: list[Bar] = []
    worst = ""
    first = now // SLOT_NS - count * span + 1
    for number, run in enumerate(history.slots(world["history"], now, count, span)):
        known = [slot for slot in run if slot is not None]
        bar = Bar((first + number * span) * SLOT_NS, sum(slot.events for slot in known), _worst(known))
        for slot in known:
            if slot.worst and _trouble(slot) != worst:
                bar.incident = slot.worst
            worst = _trouble(slot)
        found.append(bar)
    return found


def _scale(known_slots: int, bars_max: int) -> tuple[int, int]:
    """Slots in a bar, and bars: both change by powers of two only, so that the picture seldom changes its scale.

    The first bar may begin in the middle of what is known: one bar more has room for that.
    """
    span, count = 1, bars_max
    while span * (count - 1) < known_slots and count > 1:
        span *= 2
    while count // 2 >= BARS_MIN and span == 1 and count // 2 - 1 >= known_slots:
        count //= 2
    return span, count


def _known_slots(world: World, now: int) -> int:
    """From the first slot that is known to the present one."""
    known = [slot for slot in world["history"].table("slot") if isinstance(slot, int)]
    return min(now // SLOT_NS - min(known, default=now // SLOT_NS) + 1, HISTORY_SLOTS_MAX)


def _incidents(slots: list[Slot | None], first: int, now: int) -> list[Incident]:
    """Where another trouble becomes the worst, the newest of them."""
    found: list[Incident] = []
    worst = ""
    for number, slot in enumerate(slots, start=first):
        if slot is None:
            continue
        trouble = _trouble(slot)
        if trouble and trouble != worst:
            found.append(Incident(min((number + 1) * SLOT_NS - 1, now), _severity(slot.severity), slot.worst))
        worst = trouble
    return found[-INCIDENTS_MAX:]


def _trouble(slot: Slot) -> str:
    """What a slot's worst need is about, without its numbers: it changes when another trouble is the worst."""
    return slot.worst.translate(_DIGITS)


def _worst(slots: Iterable[Slot]) -> Severity:
    found = {slot.severity for slot in slots}
    return "bad" if "bad" in found else "warn" if "warn" in found else "ok" if found else "unknown"


def _severity(text: str) -> Severity:
    return "bad" if text == "bad" else "warn"
