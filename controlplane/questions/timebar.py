"""What the time bar of a console is drawn from: volume, health and incidents of the last six hours."""

import msgspec

from controlplane.questions.pages import Ask, Reply
from controlplane.questions.parts import Bar, HealthState, Need, Severity


class AskTimeline(Ask, frozen=True):
    """The last six hours, or what is known of them. `bars`: at most so many."""

    bars: int = 98


class Incident(msgspec.Struct):
    """Another trouble became the worst one. `at`: the end of the 15 s in which it did, at most the present."""

    at: int
    severity: Severity
    what: str


class Timeline(Reply):
    """Oldest first; the last bar is the one of the present, and not full yet. `needs`: what is not well now."""

    step_ns: int
    """Of one bar. Bars begin at whole multiples of it, so that they stay what they are while time goes on."""
    bars: list[Bar]
    incidents: list[Incident]
    score: int | None
    health: HealthState
    needs: list[Need]
