"""Dead letters: grouped by what killed them; one letter's event beside its attempts, why, and how to redrive."""

import json
from collections.abc import Sequence

from console import measure
from console.canvas import Canvas, Span, middle, width_of
from console.pictures.parts import heading, light, loud, wrap
from console.pictures.sagas import chain, ruled_out
from console.pictures.table import Column, Row
from controlplane.questions import DeadGroup, DeadGroups, DeadLetter, DeadLetters

COLUMNS = (
    Column("", 1), Column("group", 8), Column("reason", 11, "l", 2), Column("what", 0), Column("in", 12, "l", 2),
    Column("waiting", 7, "r"), Column("count", 6, "r", 3), Column("last 6h", 12, "l", 3), Column("first", 8, "r", 4),
    Column("newest", 6, "r"), Column("note", 15, "l", 4),
)  # fmt: skip
SORTS = (("worst", None), ("waiting", 5), ("newest", 9), ("in", 4))
LETTER_COLUMNS = (
    Column("", 1), Column("died", 8), Column("id", 15), Column("type", 22, "l", 2), Column("subject", 16, "l", 3),
    Column("tries", 5, "r", 2), Column("error", 0), Column("state", 9, "l", 3),
)  # fmt: skip


def rows(answer: DeadGroups, now: int) -> list[Row]:
    """A row for each group, in the plane's order."""
    return [_group_row(group, now) for group in answer.rows]


def _group_row(group: DeadGroup, now: int) -> Row:
    glyph, ink = light(group.severity)
    sick = group.severity in ("warn", "bad")
    cells: tuple[Span, ...] = (
        (glyph, ink),
        (middle(group.id, 8), "hi" if sick else "txt"),
        (group.reason, "txt"),
        (group.what, "txt"),
        (middle(group.group, 12), "txt"),
        (measure.count(group.waiting), "hi b" if group.new else "txt" if group.waiting else "mut"),
        (measure.count(group.count), "mut"),
        (measure.spark(group.recent[-12:]), loud(group.severity) if sick else "fnt"),
        (measure.moment(group.first, now), "mut"),
        (measure.age(now - group.newest), "txt"),
        (group.note or (f"+{group.new:,} in 10m" if group.new else ""), "mut"),
    )
    order = (0, group.id, group.reason, group.what, group.group, -group.waiting, -group.count, 0, 0, -group.newest, "")
    return Row(group.id, group.severity, cells, order, f"{group.id} {group.reason} {group.what} {group.group}")


def letter_rows(answer: DeadLetters, now: int) -> list[Row]:
    """A row for each letter of one group, newest first."""
    return [_letter_row(letter, now) for letter in answer.letters]


def _letter_row(letter: DeadLetter, now: int) -> Row:
    done = letter.state != "waiting"
    glyph, ink = ("◐", "acc") if letter.state == "redriving" else ("●", "okd") if done else ("▲", "warn")
    event = parsed(letter.event)
    type_, subject = str(event.get("type", "–")), str(event.get("subject", ""))
    cells: tuple[Span, ...] = (
        (glyph, ink),
        (measure.moment(letter.died, now), "mut"),
        (middle(letter.id, 15), "txt"),
        (middle(type_, 22), "txt"),
        (middle(subject, 16), "txt"),
        (str(len(letter.attempts)), "mut"),
        (letter.error, "mut" if done else "warn"),
        (letter.state, "mut" if done else "txt"),
    )
    return Row(letter.id, "ok" if done else "warn", cells, (), f"{letter.id} {type_} {subject} {letter.error}")


def parsed(text: str) -> dict[str, object]:
    """The embedded event as an object; empty when it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def detail(
    answer: DeadLetters, letter: DeadLetter | None, now: int, width: int, height: int, locked: str = ""
) -> Canvas:
    """Under the table: event and attempts on the left, why and the lever on the right, or why it is `locked`."""
    c = Canvas(width, height)
    letter = letter or (answer.letters[0] if answer.letters else None)
    if width < 100:
        attempts = min(4, len(letter.attempts) + 1) if letter is not None else 0
        if letter is not None:
            c.paste(event(answer, letter, width - 4, height - attempts - 4), 2, 0)
            c.paste(tries(letter, width - 4, attempts), 2, height - attempts - 3)
        c.paste(lever(answer, width - 4, 3, locked), 2, height - 3)
        return c.sealed()
    left = (width - 7) // 2
    if letter is not None:
        attempts = min(len(letter.attempts) + 1, max(3, height // 3))
        c.paste(event(answer, letter, left, height - attempts - 1), 2, 0)
        c.paste(tries(letter, left, attempts), 2, height - attempts)
    c.paste(why(answer, now, width - 7 - left, min(height - 5, 11)), left + 5, 0)
    c.paste(lever(answer, width - 7 - left, 4, locked), left + 5, min(height - 4, 12))
    return c.sealed()


def event(answer: DeadLetters, letter: DeadLetter, width: int, height: int) -> Canvas:
    """The original: its attributes, then its data."""
    c = Canvas(width, height)
    place = next((i for i, one in enumerate(answer.letters) if one.id == letter.id), 0)
    newest = "newest of " if place == 0 else ""
    heading(c, 0, 0, width, "EVENT", f"{newest}{answer.group.id}, {place + 1} of {answer.group.count:,}")
    original = parsed(letter.event)
    y = 1
    for name in ("id", "type", "source", "subject"):
        if original.get(name):
            c.put(0, y, name, "mut")
            c.put(9, y, str(original[name]), "txt", width - 9)
            y += 1
    c.put(0, y, "where", "mut")
    c.put(9, y, f"p{letter.partition:02d} at {letter.offset:,}, position {letter.position:,}", "txt", width - 9)
    return _data(c, y + 2 if height > y + 6 else y + 1, original, letter.event)


def _data(c: Canvas, y: int, original: dict[str, object], raw: str) -> Canvas:
    data = original.get("data", original.get("data_base64", None if original else raw))
    c.put(0, y, f"data, {measure.size(len(raw.encode()))}", "mut")
    for i, spans in enumerate(data_lines(data, c.width, c.height - y - 1), start=y + 1):
        c.line(0, i, spans, c.width)
    return c


def data_lines(data: object, width: int, rows: int) -> list[list[Span]]:
    """Data as a reader wants it: a key in the accent with its value; a long text below its key, with its own lines."""
    lines: list[list[Span]] = []
    for name, value in data.items() if isinstance(data, dict) else [("", data)]:
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        key: list[Span] = [(f"{name} ", "acc")] if name else []
        texts = [part for line in shown.splitlines() or [""] for part in wrap(line, width - 2, rows) or [""]]
        if len(texts) == 1 and width_of(name) + 1 + width_of(texts[0]) <= width:
            lines.append([*key, (texts[0], "txt")])
        else:
            lines += [key] if key else []
            lines += [[("  " if key else "", ""), (text, "txt")] for text in texts]
    if len(lines) > rows > 0:
        lines = [*lines[: rows - 1], [(f"{measure.many(len(lines) - rows + 1, 'more line')}; y shows all", "mut")]]
    return lines[: max(rows, 0)]


def tries(letter: DeadLetter, width: int, height: int) -> Canvas:
    """Each delivery that failed: when, by whom, how long, with what."""
    c = Canvas(width, height)
    heading(c, 0, 0, width, "ATTEMPTS", f"{len(letter.attempts)}, then dead: {letter.reason}")
    hidden = max(0, len(letter.attempts) - (height - 1))
    for y, attempt in enumerate(letter.attempts[hidden:], start=1):
        c.line(0, y, [("▲", "warn"), (f" {attempt.attempt}  {measure.clock(attempt.at)}  ", "mut")])
        c.put(15, y, middle(attempt.member, 10), "txt")
        c.put(26, y, measure.took(attempt.took_ns), "mut", 5, "r")
        c.put(32, y, attempt.error, "warn", width - 32)
    return c


def why(answer: DeadLetters, now: int, width: int, height: int) -> Canvas:
    """What they have in common."""
    c = Canvas(width, height)
    group = answer.group
    heading(c, 0, 0, width, "WHY", middle(group.what, max(width - 8, 3)))
    y = chain(c, 0, 1, width, answer.why, now)
    y = ruled_out(c, 0, y, width, answer.why)
    facts = (
        ("died", f"{group.count:,} in {group.group}, {group.waiting:,} of them not redriven"),
        ("first", f"{measure.moment(group.first, now)}, {measure.age(now - group.first)} ago"),
        (
            "newest",
            f"{measure.age(now - group.newest)} ago" + (f", {group.new:,} in the last 10m" if group.new else ""),
        ),
        ("reason", group.reason),
    )
    for label, text in facts:
        c.put(0, y + 1, label, "mut")
        c.put(9, y + 1, text, "txt", width - 9)
        y += 1
    return c


def lever(answer: DeadLetters, width: int, height: int, locked: str = "") -> Canvas:
    """What `r` does, and the same as a command."""
    c = Canvas(width, height)
    heading(c, 0, 0, width, "MEND")
    number = f"redrive {answer.group.waiting:,}"
    if not answer.group.waiting:
        c.line(0, 1, [("●", "okd"), (" nothing waits; all were redriven", "mut")], width)
        return c
    if locked:
        c.line(0, 1, [(locked, "mut")], width)
        return c
    end = c.line(0, 1, [("r", "acc b"), (f" {number}", "hi"), ("  once its cause is mended", "mut")], width)
    note = "the exact set is shown first"
    if end + len(note) + 3 < width:
        c.right(width, 1, (note, "mut"))
    c.put(2, 2, f"dlq redrive {answer.group.id}", "acc", width - 2)
    return c


def redrive_rows(ids: Sequence[str], columns: int) -> list[str]:
    """The exact set as lines of several ids."""
    each = max(1, columns // 40)
    return ["  ".join(ids[i : i + each]) for i in range(0, len(ids), each)]
