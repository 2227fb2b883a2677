"""Bars of volume fitted to the cells there are, so that no trouble is lost between two of them."""

from collections.abc import Sequence

from console.pictures.parts import RANK
from controlplane.questions import Bar


def fit(bars: Sequence[Bar], room: int) -> list[Bar]:
    """`room` bars: several become one with their mean volume, their worst severity and their first incident.

    Where there are more cells than bars a bar is repeated, its incident only once.
    """
    if not bars or room <= 0:
        return []
    out = []
    for i in range(room):
        first = i * len(bars) // room
        last = max(first + 1, (i + 1) * len(bars) // room)
        part = bars[first:last]
        repeated = i > 0 and (i - 1) * len(bars) // room == first
        worst = min((bar.severity for bar in part), key=lambda severity: RANK.get(severity, 2))
        incident = "" if repeated else next((bar.incident for bar in part if bar.incident), "")
        out.append(Bar(part[0].at, sum(bar.events for bar in part) // len(part), worst, incident))
    return out
