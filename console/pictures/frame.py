"""What surrounds every screen: tabs and score above, the time bar and the keys below, the banner when all is silent."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from console import measure
from console.canvas import Canvas, Span
from console.palette import context_role
from console.pictures.bars import fit
from console.pictures.parts import HEALTH, LIGHT, light
from controlplane.questions import Bar, Board

TABS = ("Board", "Flows", "Sagas", "Dead", "Health", "Events", "Fleet", "Agents", "Access")
BUILT = frozenset({"Board", "Flows", "Sagas", "Dead", "Health", "Events", "Fleet"})
"""The tabs that open a screen; the others are dim and say so."""
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
    url: str = ""


def header(scene: Scene, tab: str, width: int) -> Canvas:
    """Brand, context, nine tabs with what waits behind them, score."""
    c = Canvas(width, 1, "sf")
    wide = width >= 110
    x = c.put(1, 0, "signalbox" if wide else "sb", "hi b") + 1
    x = c.put(x, 0, f"▌{scene.context}"[: 14 if wide else 8], f"{context_role(scene.context)} b") + 1
    for number, name in enumerate(TABS, start=1):
        badge, ink = _badge(scene.board, name)
        here, built = name == tab, name in BUILT
        if wide or here:
            spans: list[Span] = [(f" {number} ", "acc" if here else "mut" if built else "fnt")]
            spans.append((name, "acc b" if here else "txt" if built else "fnt"))
            spans.append((f" {badge}" if badge else "", ink))
        else:
            spans = [(f" {number}", "mut" if built else "fnt"), (badge[:1], ink)]
        start, x = x, c.line(x, 0, (*spans, (" ", "")))
        c.hit(start, 0, x - start, f"tab:{name}")
        if here:
            c.fill(start, 0, x - start, "bg")
    if scene.board is not None:
        counts = scene.board.status.counts
        severity = HEALTH[counts.health]
        glyph, score_ink = LIGHT[severity][0], "ok" if severity == "ok" else LIGHT[severity][1]
        c.right(width - 1, 0, ("  ", ""), (f"{glyph} {_score(counts.score)}", f"{score_ink} b"))
    return c.sealed()


def _score(score: int | None) -> str:
    return measure.UNKNOWN if score is None else str(score)


def _badge(board: Board | None, name: str) -> tuple[str, str]:
    """What waits behind a tab: its count with the shape of its severity."""
    if board is None:
        return "", "warn"
    counts = board.status.counts
    number = {"Sagas": counts.sagas_stuck, "Dead": counts.dead_letters}.get(name, 0)
    bad = name == "Sagas" and counts.sagas_stuck_bad > 0
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


def bars_of(width: int) -> int:
    """How many bars the time bar has at this width."""
    return max(width - 22, 1)


def timebar(scene: Scene, width: int) -> Canvas:
    """Volume as height, the health of that moment as colour, incidents flagged below: readable without colour too."""
    c = Canvas(width, 2 if width >= WIDE else 1, "sf")
    if scene.silent_s is not None:
        word, ink, below = "◌ LAST", "warn b", f"{measure.age(scene.silent_s * measure.SECOND)} old"
    elif scene.frozen:
        word, ink, below = "◐ FROZEN", "acc b", "u goes on"
    else:
        word, ink, below = "● LIVE", "hi b", f"at {measure.count(scene.position)}"
    c.line(1, 0, [(word[0], "ok b" if word[0] == "●" else ink), (f"{word[1:]} {measure.clock(scene.now)}", ink)])
    c.put(3, 1, below, "mut")
    x0, room = 20, bars_of(width)
    bars = fit(scene.board.timeline if scene.board is not None else [], room)
    _volume(c, x0, room, bars)
    if c.height > 1 and bars:
        flags = _flags(bars)
        _ticks(c, x0, bars, flags)
        if not any(room - 16 <= flag < room - 6 for flag in flags):
            c.right(x0 + room - 6, 1, (f"{measure.clock(scene.now)[:5]} UTC", "mut"))
        for i, (glyph, ink) in flags.items():
            c.put(x0 + i, 1, glyph, ink)
    return c.sealed()


def _volume(c: Canvas, x0: int, room: int, bars: Sequence[Bar]) -> None:
    c.repeat(x0, 0, room if not bars else 0, "·", "ln")
    peak = max((bar.events for bar in bars), default=0) or 1
    for i, bar in enumerate(bars):
        calm = bar.severity in ("ok", "unknown")
        if bar.events == 0:
            c.put(x0 + i, 0, "·" if calm else "▁", "ln" if calm else light(bar.severity)[1])
        else:
            level = max(0, min(5, round(bar.events / peak * 5)))
            c.put(x0 + i, 0, measure.EIGHTHS[level], "fnt" if calm else light(bar.severity)[1])


def _ticks(c: Canvas, x0: int, bars: Sequence[Bar], flags: Collection[int]) -> None:
    """Clock times under the bars; seconds are shown where a tick is less than two minutes from the next."""
    step = 18
    span = bars[min(step, len(bars) - 1)].at - bars[0].at
    for i in range(2, len(bars) - 24, step):
        text = measure.clock(bars[i].at)
        text = f"╵{text if span < 2 * measure.MINUTE else text[:5]}"
        if not any(i <= flag <= i + len(text) for flag in flags):
            c.put(x0 + i, 1, text, "mut")


def _flags(bars: Sequence[Bar]) -> dict[int, tuple[str, str]]:
    """Where an incident begins: glyph and ink by column."""
    before, flags = "", {}
    for i, bar in enumerate(bars):
        if bar.incident and bar.incident != before:
            flags[i] = light(bar.severity if bar.severity != "ok" else "warn")
        before = bar.incident or before
    return flags


def footer(scene: Scene, keys: Sequence[tuple[str, str, bool]], width: int, notice: str = "") -> Canvas:
    """`key what` for each of this screen's actions, levers brighter; without answer they are locked and gone."""
    c = Canvas(width, 1)
    x = 1
    locked = scene.silent_s is not None
    tail: list[Span] = [
        (f"every {scene.every_s:g} s  " if width >= 80 else "", "mut"),
        ("?", "acc b"),
        (" help", "mut"),
    ]
    end = width - 1 - sum(len(text) for text, _ in tail) - 1
    if notice:
        c.put(1, 0, notice, "warn b", end - 1)
    else:
        if locked:
            x = c.put(x, 0, "levers locked", "warn b") + 2
        for key, what, lever in keys:
            if lever and locked:
                continue
            if x + len(key) + len(what) + 1 > end:
                break
            start = x
            x = c.line(x, 0, [(key, "acc b"), (f" {what}", "txt" if lever else "mut")])
            c.hit(start, 0, x - start, f"key:{key}")
            x += 2
    c.right(width - 1, 0, *tail)
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
