"""What killed, in one line that is the same each time: an error's text without what differs from one time to the next.

Of a traceback it is the line that names the exception, the last one if there are several; of any other text the last
line that begins with an exception's name, else the first. An exception that another only wraps is the one. Then what
differs is left out: quoted strings, addresses, paths, instants, ids and hexadecimal become `…`, numbers `N`, and of
`expired at 2026-03-01T12:00:00Z` `expired` is left. Pure and total; what is looked at is bounded, so the time is too.
"""

import re

from controlplane.limits import DEAD_LINE_CHARS_MAX, DEAD_LOOK_CHARS_MAX, DEAD_WHAT_CHARS_MAX

_TRACEBACK = "Traceback (most recent call last)"
_NAME = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?=: |:$|$)")
_RAISED = re.compile(r"(?:Error|Exception|Exit|Interrupt|Warning|Timeout|Failure|Fault|\.error|\.[A-Z]\w*)$")
_QUOTED = re.compile(r""""[^"]*"|`[^`]*`|(?<!\w)'[^']*'(?!\w)|“[^”]*”|‘[^’]*’""")
_ADDRESSES = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s<>)\]}]+")
_PATHS = re.compile(r"(?<![\w/\\.~…-])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[^\s:,;()\[\]{}<>]+")
_IDS = re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b|\b0[xX][0-9A-Fa-f]+|\b[0-9A-Fa-f]{16,}\b")
_INSTANT = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[Zz]\b|[+-]\d\d:?\d\d\b)?"
_WHEN = re.compile(rf"(?<=\w),? (?:at|since|until) {_INSTANT}", re.ASCII)
_INSTANTS = re.compile(rf"\b{_INSTANT}", re.ASCII)
_NUMBERS = re.compile(r"(?!0[box]\b)\d+(?:[.,:-]\d+)*")
_AGAIN = re.compile(r"([…N])(?:[\s,]+\1)+(?!\w)")


def what_killed(reason: str, error: str) -> str:
    """The kind of death: `reason` if the error says nothing."""
    line = telling_line(error)
    if not line:
        return reason
    line = _unwrapped(line)
    name = _name_of(line)
    rest = _WHEN.sub("", line[len(name) :])
    for pattern in (_QUOTED, _ADDRESSES, _PATHS, _INSTANTS, _IDS):
        rest = pattern.sub("…", rest)
    what = name + _AGAIN.sub(r"\1", _NUMBERS.sub("N", rest))
    return what if len(what) <= DEAD_WHAT_CHARS_MAX else what[: DEAD_WHAT_CHARS_MAX - 1] + "…"


def telling_line(text: str) -> str:
    """The line of an error's text that says most of what happened; "" if it has none. At most DEAD_LINE_CHARS_MAX."""
    if len(text) > DEAD_LOOK_CHARS_MAX:
        half = DEAD_LOOK_CHARS_MAX // 2
        text = f"{text[:half]}\n{text[-half:]}"
    lines = [line[:DEAD_LINE_CHARS_MAX].rstrip() for line in text.splitlines() if line.strip()]
    return (_traced(lines) or _named(lines) or (lines[0] if lines else "")).strip()


def _unwrapped(line: str) -> str:
    """Without the names that only wrap another exception: `TaskFailed: KeyError: 'a'` is a KeyError."""
    while (wrapper := _NAME.match(line)) is not None:
        inner = line[wrapper.end() + 2 :]
        if not _name_of(inner):
            break
        line = inner
    return line


def _traced(lines: list[str]) -> str:
    """The line that ends the last traceback: the first after its frames, which are indented."""
    found, inside = "", False
    for line in lines:
        if _TRACEBACK in line:
            inside = True
        elif inside and not line[0].isspace():
            inside = False
            found = line if _NAME.match(line) else found
    return found


def _named(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if _name_of(line)), "")


def _name_of(line: str) -> str:
    """The exception's name that a line begins with, or ""."""
    named = _NAME.match(line)
    return named.group() if named is not None and _RAISED.search(named.group()) else ""
