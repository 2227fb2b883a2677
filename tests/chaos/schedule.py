"""What goes wrong and when, thrown from a seed. Pure: the same seed gives the same schedule on any machine."""

import random
from typing import NamedTuple

BROKERS = ("b1", "b2", "b3")
SHORT_S = (0.3, 1.6)
"""Shorter than a replica may lag and stay in sync (REPLICA_LAG_MS_MAX)."""
LONG_S = (2.5, 6.0)
"""Longer than that, and than the plane waits for a sample."""
SESSION_S = (16.0, 19.0)
"""Longer than any session lives in silence (SESSION_SILENT_MS_MAX)."""
GAP_S = (0.2, 1.0)
AT_ONCE = 0.6
"""The share of faults that begin while the one before still lasts."""


KINDS = {"kill": 4, "stop": 3, "plane": 2, "followers": 3, "clients": 3, "control": 2, "alone": 1}
"""What goes wrong, and how often of all."""


class Fault(NamedTuple):
    """One thing that goes wrong at `at` seconds for `lasts` seconds. `target`: a broker, or "plane".

    `kind`: kill, stop (SIGSTOP, then SIGCONT), cut. A cut is of `who` (none: everybody) from the target, `how` and in
    which `direction` see `proxy`.
    """

    at: float
    lasts: float
    kind: str
    target: str
    who: tuple[str, ...] = ()
    how: str = ""
    direction: str = ""

    def __str__(self) -> str:
        what = f"{self.kind} {self.target}"
        if self.kind == "cut":
            what = f"cut {'+'.join(self.who) or 'everybody'} | {self.target}, {self.how}, {self.direction}"
        return f"{self.at:6.2f} s  for {self.lasts:5.2f} s  {what}"


def schedule(seed: int, seconds: float, sessions: bool = False) -> list[Fault]:
    """Faults for `seconds`, some of them at once. `sessions`: also such as outlast every session."""
    dice = random.Random(seed)
    faults: list[Fault] = []
    at = 0.5
    while at < seconds:
        fault = _thrown(dice, at, sessions)
        if at + fault.lasts > seconds and len(faults) > 2:
            break
        faults.append(fault)
        at += dice.uniform(*GAP_S) + (0 if dice.random() < AT_ONCE else fault.lasts)
    return faults


def _thrown(dice: random.Random, at: float, sessions: bool) -> Fault:
    spans = [SHORT_S, SHORT_S, LONG_S, LONG_S] + ([SESSION_S] if sessions else [])
    lasts = round(dice.uniform(*dice.choice(spans)), 2)
    broker = dice.choice(BROKERS)
    kind = dice.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    if kind == "plane":
        return Fault(at, lasts, dice.choice(("kill", "stop")), "plane")
    if kind in ("kill", "stop"):
        return Fault(at, lasts if kind == "stop" else 0.0, kind, broker)
    others = tuple(other for other in BROKERS if other != broker)
    who = {"followers": (dice.choice(others),), "clients": ("client",), "control": ("plane",), "alone": ()}[kind]
    how = dice.choice(("stall", "swallow", "reset"))
    direction = "both" if how == "reset" else dice.choice(("both", "to", "from"))
    return Fault(at, lasts, "cut", broker, who, how, direction)
