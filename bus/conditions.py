"""Conditions of content rules: CEL (the Common Expression Language) over one event. Pure.

A condition sees two things: `event`, the attributes (`event.type`, `event.source`, `event.subject` ..., extensions by
their names, `requires` as a list; those that every event may have are there, empty if need be), and `data`, the payload
where it is JSON, else null. It comes out true or false; anything else, and any error, is a rule that does not match,
and says why. `has(data.total) && data.total > 1000` is how one asks for what may be missing.

CEL has no loops but macros, no assignment, no clock and no functions of ours; a library of its authors parses and
evaluates it, never Python. What a condition may cost is bounded before it is kept: its length, how deep brackets stand
in each other, how many macros there are (and the library stops after 10,000 rounds). A macro goes through one list that
is named by its path (`data.items.exists(i, i.price > 10)`) and has no macro and no `matches` inside: so the cost is
bounded by the data's size, which is bounded, too. A map is not gone through: its order would be another one in each
process, and a decision must come out alike when it is run again. For the same reason an error is told in words of ours.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from cel_expr_python import cel

from bus.depth import is_deeper
from bus.errors import InvalidRule
from bus.routinglimits import (
    CONDITION_CHARS_MAX,
    CONDITION_DATA_BYTES_MAX,
    CONDITION_DATA_DEPTH_MAX,
    CONDITION_DEPTH_MAX,
    CONDITION_LOOPED_BYTES_MAX,
    CONDITION_LOOPS_MAX,
    CONDITION_SQUARED_BYTES_MAX,
)

ALWAYS_THERE = (
    *("id", "source", "type", "subject", "time", "correlationid", "causationid", "traceparent", "partitionkey"),
    *("priority", "expirytime", "datacontenttype", "dataschema"),
)
"""Attributes that a condition may name without asking whether they are there: as text, "" where they are not."""
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_STRING = re.compile(
    r"""[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.S,
)
_DATA = re.compile(r"(?<![\w.])data\b")
_PATH = re.compile(r"\b(event|data)((?:\.[A-Za-z_]\w*)*)\.$")
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_MISSING = re.compile(r'Key not found in map : "?([^"\n]{1,80})')
_OVERLOAD = re.compile(r"No matching overloads found : ([\w!%&*+/<=>|\[\]?-]{1,40})\(([\w, ]{1,80})\)")
_BUDGET = "Iteration budget exceeded"


_environment = cel.NewEnv(variables={"event": cel.Type.DYN, "data": cel.Type.DYN})


class View(NamedTuple):
    """An event as conditions see it. `size` is of its data, bytes; `why`: why no condition can be shown it, or ""."""

    attributes: dict[str, Any]
    data: Any
    size: int
    why: str


TOO_DEEP = View({}, None, 0, f"data is nested more than {CONDITION_DATA_DEPTH_MAX} deep")
"""An event whose data is so deep that no condition is asked of it."""


class Condition:
    """One condition, made ready. Raises InvalidRule, which says what is wrong with the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lists, squared = _shape(text)
        looped = CONDITION_SQUARED_BYTES_MAX if squared else CONDITION_LOOPED_BYTES_MAX
        self._bytes_max = looped if self._lists else CONDITION_DATA_BYTES_MAX
        try:
            self._expression = _environment.compile(text)
        except Exception as error:  # whatever a parser in another language says no with
            raise InvalidRule("when", f"cannot be kept: {_refusal(error)}") from None

    def holds(self, view: View) -> tuple[bool, str]:
        """Whether it is true of an event, and why that cannot be said, "" where it can."""
        if view.why:
            return False, view.why
        if view.size > self._bytes_max:
            return False, f"data of {view.size} bytes; its macros go through {self._bytes_max} at most"
        for path in self._lists:
            found = _at(view, path)
            if not isinstance(found, list):
                return False, f"{'.'.join(path)} is no list"
        try:
            said = self._expression.eval(data={"event": view.attributes, "data": view.data})
            kind, value = said.type(), said.value()
        except Exception as error:  # a rule that raises does not match, and says so
            return False, _told(str(error))
        if kind == cel.Type.ERROR:
            return False, _told(str(value))
        if not isinstance(value, bool):
            return False, f"comes out as {kind.name().lower()}, neither true nor false"
        return value, ""


def view_of(event: bytes | str) -> View:
    """An event, CloudEvents JSON, as conditions see it."""
    if is_deeper(event.encode() if isinstance(event, str) else event, 1 + CONDITION_DATA_DEPTH_MAX):
        return TOO_DEEP
    try:
        fields = _fields.decode(event)
        raw = bytes(fields.pop("data", b"null"))
        attributes: dict[str, Any] = dict.fromkeys(ALWAYS_THERE, "")
        attributes |= {name: msgspec.json.decode(value) for name, value in fields.items() if name != "data_base64"}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return View({}, None, 0, "the event is not legible")
    requires = attributes.get("requires")
    attributes["requires"] = requires.split(" ") if isinstance(requires, str) else []
    size = len(raw)
    if size > CONDITION_DATA_BYTES_MAX:
        return View(attributes, None, size, f"data of {size} bytes; conditions see {CONDITION_DATA_BYTES_MAX} at most")
    try:
        data = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return View(attributes, None, size, "data is not legible")
    return View(attributes, data, size, "")


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _at(view: View, path: tuple[str, ...]) -> Any:
    found: Any = view.attributes if path[0] == "event" else view.data
    for name in path[1:]:
        found = found.get(name) if isinstance(found, dict) else None
    return found


# ------------------------------------------------------------------------------------------------- bounds of a text


class _Shape(NamedTuple):
    """The paths of the lists that macros go through; `squared`: one of them names `data` again for each item."""

    lists: list[tuple[str, ...]]
    squared: bool


def _shape(text: str) -> _Shape:
    """Raises InvalidRule for what may cost too much."""
    if not text.strip():
        raise InvalidRule("when", "is empty; leave it out, and the rule holds for all events of its types")
    if len(text) > CONDITION_CHARS_MAX:
        raise InvalidRule("when", f"has {len(text)} characters; {CONDITION_CHARS_MAX} are possible")
    bare = _without_strings(text)
    lists: list[tuple[str, ...]] = []
    depth, within, begin, squared = 0, 0, 0, False
    for what, start, place in _brackets(bare):
        if what in ")]}":
            if depth == within:
                squared = squared or (within > 0 and _DATA.search(bare, begin, place) is not None)
                within = 0
            depth -= 1
            continue
        depth += 1
        if depth > CONDITION_DEPTH_MAX:
            raise InvalidRule("when", f"has brackets more than {CONDITION_DEPTH_MAX} deep")
        if within and (what in _MACROS or what == "matches"):
            raise InvalidRule("when", f"has {what} inside of a macro; that could cost too much")
        if what in _MACROS:
            within, begin = depth, place
            lists.append(_path_before(bare, what, start))
    if len(lists) > CONDITION_LOOPS_MAX:
        raise InvalidRule("when", f"goes through lists {len(lists)} times; {CONDITION_LOOPS_MAX} are possible")
    return _Shape(lists, squared)


def _without_strings(text: str) -> str:
    """The same length, blanks where strings and comments were. Raises InvalidRule for a string without an end."""
    bare = _STRING.sub(lambda found: " " * len(found[0]), text)
    if '"' in bare or "'" in bare or "`" in bare:
        raise InvalidRule("when", "has a string without an end")
    if "//" in bare:
        raise InvalidRule("when", "has a comment; say it in the rule's name")
    return bare


def _brackets(bare: str) -> Iterator[tuple[str, int, int]]:
    """Each bracket in order, an opening one as the name that is called there, if one is; where that begins, and where
    the bracket stands."""
    calls = {found.end() - 1: found for found in _CALL.finditer(bare)}
    for place, character in enumerate(bare):
        if character in "([{":
            call = calls.get(place)
            yield (character, place, place) if call is None else (call[1], call.start(), place)
        elif character in ")]}":
            yield character, place, place


def _path_before(bare: str, macro: str, start: int) -> tuple[str, ...]:
    found = _PATH.search("".join(bare[:start].split()))
    if found is None:
        raise InvalidRule("when", f"{macro} goes through a list that is named: data.items.{macro}(…)")
    return (found[1], *filter(None, found[2].split(".")))


# ------------------------------------------------------------------------------------------------- what went wrong


def _told(said: str) -> str:
    """In words that are the same each time: what a library says may name values in an order that is not."""
    if (missing := _MISSING.search(said)) is not None:
        return f"there is no {missing[1]}"
    if (overload := _OVERLOAD.search(said)) is not None:
        return f"does not go together: {overload[1].strip('_')} of {overload[2]}"
    return "it goes round too often" if _BUDGET in said else "cannot be evaluated"


def _refusal(error: Exception) -> str:
    """The line that says what is wrong, without the library's own frame."""
    for line in str(error).splitlines():
        if line.strip():
            return line.split("ERROR: <input>:")[-1].strip()[:200]
    return type(error).__name__
