"""What surrounds every screen: tabs and score above, the keys below, the banner when all is silent."""

from collections.abc import Sequence
from dataclasses import dataclass

from console import measure
from console.canvas import Canvas, Span
from console.palette import context_role
from console.pictures.parts import HEALTH, LIGHT
from controlplane.questions import At, Board, Timeline

TABS = ("Board", "Flows", "Sagas", "Dead", "Health", "Events", "Fleet", "Agents")
WIDE = 100
"""From this width on: tab names, two rows of time bar, panels side by side."""


@dataclass(frozen=True)
class Scene:
    """What the frame needs beside the answer: which fleet, how fresh, and whether the operator froze it."""

    context: str
    board: Board | None
    position: int = 0
    now: int = 0
    silent_s: int | None = None
    """Seconds without an answer, when that is worth saying."""
    tries: int = 0
    retry_in_s: int = 0
    why: str = ""
    frozen: bool = False
    every_s: float = 1.0
    live: Timeline | None = None
    """What the time bar is drawn from: always of the present."""
    live_now: int = 0
    moment: At | None = None
    """The moment of the past that is shown; None is the present."""
    aim: At | None = None
    """The one that is asked for: another one only until its answers are there."""
    alarm: bool = False
    """While in the past: something needs somebody now that did not when the present was left."""

    @property
    def past(self) -> bool:
        """Is the past shown?"""
        return self.moment is not None

    @property
    def locked(self) -> str:
        """Why no lever may be pulled; empty when they may."""
        if self.silent_s is not None:
            return "levers are locked until the control plane answers"
        return "levers are locked in the past; end goes back to live" if self.past or self.aim is not None else ""


def header(scene: Scene, tab: str, width: int) -> Canvas:
    """Brand, context, the tabs with what waits behind them, score."""
    c = Canvas(width, 1, "pbg" if scene.past else "sf")
    wide = width >= 110
    x = c.put(1, 0, "signalbox" if wide else "sb", "hi b") + 1
    x = c.put(x, 0, f"▌{scene.context}"[: 14 if wide else 8], f"{context_role(scene.context)} b") + 1
    for number, name in enumerate(TABS, start=1):
        badge, ink = _badge(scene.board, name)
        here = name == tab
        if wide or here:
            spans: list[Span] = [(f" {number} ", "acc" if here else "mut")]
            spans.append((name, "acc b" if here else "txt"))
            spans.append((f" {badge}" if badge else "", ink))
        else:
            spans = [(f" {number}", "mut"), (badge[:1], ink)]
        start, x = x, c.line(x, 0, (*spans, (" ", "")))
        c.hit(start, 0, x - start, f"tab:{name}")
        if here:
            c.fill(start, 0, x - start, "bg")
    if scene.alarm and scene.live is not None:
        start = c.right(width - 1, 0, ("  now ", "hi b"), _verdict(scene.live.health, scene.live.score))
        c.hit(start, 0, width - start, "key:end")
    elif scene.board is not None:
        counts = scene.board.status.counts
        c.right(width - 1, 0, ("  ", ""), _verdict(counts.health, counts.score))
    return c.sealed()


def _verdict(health: str, score: int | None) -> Span:
    severity = HEALTH.get(health, "unknown")
    return f"{LIGHT[severity][0]} {_score(score)}", f"{'ok' if severity == 'ok' else LIGHT[severity][1]} b"


def _score(score: int | None) -> str:
    return measure.UNKNOWN if score is None else str(score)


def _badge(board: Board | None, name: str) -> tuple[str, str]:
    """What waits behind a tab: its count with the shape of its severity."""
    if board is None:
        return "", "warn"
    counts = board.status.counts
    number = {"Sagas": counts.sagas_stuck, "Dead": counts.dead_letters, "Agents": counts.agents_out}.get(name) or 0
    bad = name == "Sagas" and bool(counts.sagas_stuck_bad)
    shown = str(number) if number < 10_000 else f"{number // 1000}k"
    return (f"{'■' if bad else '▲'}{shown}" if number else ""), "bad" if bad else "warn"


def crumb(width: int, left: Sequence[Span], right: Sequence[Span] = ()) -> Canvas:
    """Where one is, what is filtered, how much there is."""
    c = Canvas(width, 1)
    end = c.line(2, 0, left, width - 4)
    room = width - 2 - end - 2
    if sum(len(text) for text, _ in right) <= room:
        c.right(width - 2, 0, *right)
    return c.sealed()


def banner(scene: Scene, width: int) -> Canvas:
    """No answer: since when, what the picture still shows, when the next try is and how to force it."""
    c = Canvas(width, 1)
    c.fill(2, 0, width - 4, "wbg")
    silent = measure.age((scene.silent_s or 0) * measure.SECOND)
    word = f"control plane silent for {silent}" if scene.now else "no answer yet"
    left: list[Span] = [(f"◌ {word}", "warn b")]
    if scene.now:
        left.append((f"  this is {measure.clock(scene.now)}", "txt"))
        if width >= WIDE:
            left.append(("; brokers may well be working", "txt"))
    elif scene.why:
        left.append((f"  {scene.why}", "txt"))
    due = f"try {scene.tries + 1} in {scene.retry_in_s} s" if scene.retry_in_s > 0 else f"try {scene.tries + 1}"
    right: list[Span] = [(f"  {due}  ", "txt"), ("ctrl+r", "acc b"), (" now", "txt")]
    if width >= WIDE:
        right.append(("  doctor", "acc"))
    c.line(3, 0, left, width - 7 - sum(len(text) for text, _ in right))
    c.right(width - 3, 0, *right)
    return c.sealed()


def footer(scene: Scene, keys: Sequence[tuple[str, str, bool]], width: int, notice: str = "") -> Canvas:
    """`key what` for each of this screen's actions, levers brighter; in the past or without answer they are gone."""
    c = Canvas(width, 1)
    x = 1
    ink = "warn b" if scene.silent_s is not None else "past b"
    key, what = ("end", " back to live") if scene.past else ("?", " help")
    tail: list[Span] = [
        (f"every {scene.every_s:g} s  " if width >= 80 and not scene.past else "", "mut"),
        (key, "past b" if scene.past else "acc b"),
        (what, "txt" if scene.past else "mut"),
    ]
    end = width - 1 - sum(len(text) for text, _ in tail) - 2
    if notice:
        c.put(1, 0, notice, "warn b", end - 1)
    else:
        if scene.locked:
            x = c.put(x, 0, "levers locked", ink) + 2
        for key, what, lever in keys:
            if lever and scene.locked:
                continue
            if x + len(key) + len(what) + 1 > end:
                break
            start = x
            x = c.line(x, 0, [(key, "acc b"), (f" {what}", "txt" if lever else "mut")])
            c.hit(start, 0, x - start, f"key:{key}")
            x += 2
    start = c.right(width - 1, 0, *tail)
    c.hit(start, 0, width - start, "key:end" if scene.past else "key:?")
    return c.sealed()


def too_small(scene: Scene, width: int, height: int) -> Canvas:
    """A terminal under 60 × 16: the score and the worst need in one line."""
    c = Canvas(width, height)
    if scene.board is None:
        c.put(0, 0, "◌ no answer yet; make the window 60 × 16", "mut", width)
        return c.sealed()
    counts = scene.board.status.counts
    glyph, ink = LIGHT[HEALTH[counts.health]]
    first = scene.board.needs[0].what if scene.board.needs else "nothing needs you"
    c.line(0, 0, [(f"{glyph} {_score(counts.score)} ", f"{ink} b"), (first, "txt")], width)
    c.put(0, 1, "60 × 16 shows the screens", "mut", width)
    return c.sealed()
