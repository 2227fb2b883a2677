"""Whether a schema may follow another one of its type. Pure.

`backward`: whoever goes by the new version understands what was published under the old one. So the new version

| may | may not |
|---|---|
| have further optional fields | require a field that was optional or not there |
| drop an optional field, unless unknown ones are refused | drop a required field: readers rely on it |
| allow further types, values of an enum, wider bounds | narrow a type, an enum, a bound; refuse unknown fields |
| change titles, descriptions, defaults, examples | change what cannot be compared: oneOf, allOf, not, if … |

Fields are compared all the way down, through `$ref` into the schema's own parts. That a further optional field of a
schema that is open to unknown ones may have been there before, with something else in it, is let pass: it is what
everybody means by adding a field. `none`: nothing is compared.
"""

from typing import Any

_SAID_ONLY = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
    | {"$schema", "$id", "$comment", "$defs", "definitions", "$anchor"}
)
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_COMPARED = frozenset({"type", "enum", "const", "properties", "required", "additionalProperties", "items"})
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_DEPTH_MAX = 64

Part = Any
"""A schema or a part of one: an object, or true or false."""


def why_incompatible(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Why `new` may not follow `old`, naming the field; "" when it may."""
    return _Comparison(old, new).of(old, new, "", 0)


class _Comparison:
    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._old = old
        self._new = new
        self._granted: dict[tuple[str | int, str | int], None] = {}
        self._refused: dict[tuple[str | int, str | int], str] = {}

    def of(self, old: Part, new: Part, place: str, depth: int) -> str:
        """Why not everything that `old` allows is allowed by `new`."""
        if new is True or old is False:
            return ""
        if depth > _DEPTH_MAX:
            return f"{_at(place)}it is nested more than {_DEPTH_MAX} deep"
        if not _ref(old) and not _ref(new):
            return self._branches(_branches(old), _branches(new), place, depth)
        # What is referred to is compared once: while that is under way, for a type that contains itself, and afterwards
        # it is taken for granted; where it is refused, so is what was granted on its account.
        pair, known = (_ref(old) or id(old), _ref(new) or id(new)), len(self._granted)
        if pair in self._granted:
            return ""
        if pair in self._refused:
            return place + self._refused[pair]
        self._granted[pair] = None
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        if old is None or new is None:
            why = f"{_at(place)}a $ref leads nowhere"
        else:
            why = self._branches(_branches(old), _branches(new), place, depth)
        if why:
            if place:
                self._refused[pair] = why.removeprefix(place)
            while len(self._granted) > known:
                self._granted.popitem()
        return why

    def _branches(self, old: list[Part], new: list[Part], place: str, depth: int) -> str:
        """Each of the old alternatives has to be covered by one of the new ones."""
        for one in old:
            whys = [self._covers(one, other, place, depth) for other in new]
            if "" not in whys:
                return whys[0] if len(whys) == 1 else f"{_at(place)}what was allowed is in none of its alternatives"
        return ""

    def _covers(self, old: Part, new: Part, place: str, depth: int) -> str:
        if _ref(old) or _ref(new):
            return self.of(old, new, place, depth + 1)
        if not isinstance(old, dict) or not isinstance(new, dict):
            old, new = {} if old is True else old, {} if new is True else new
            if not isinstance(old, dict) or not isinstance(new, dict):
                return "" if old is False else f"{_at(place)}nothing is allowed there any more"
        return (
            self._values(old, new, place)
            or _bounds(old, new, place)
            or _others(old, new, place)
            or self._fields(old, new, place, depth)
            or self._items(old, new, place, depth)
        )

    def _values(self, old: dict[str, Any], new: dict[str, Any], place: str) -> str:
        was, allowed = _types(old), _types(new)
        gone = [kind for kind in was if kind not in allowed and not (kind == "integer" and "number" in allowed)]
        if gone:
            return f"{_at(place)}{', '.join(gone)} was allowed, and {', '.join(allowed)} is now"
        now = _constants(new)
        if now is None:
            return ""
        before = _constants(old)
        if before is None:
            return f"{_at(place)}any value was allowed, and only some are now"
        lost = [value for value in before if value not in now]
        return f"{_at(place)}the value {lost[0]!r} was allowed, and is not any more" if lost else ""

    def _fields(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> str:
        if "object" not in _types(old):
            return ""
        had, has = old.get("properties", {}), new.get("properties", {})
        needed = set(old.get("required", ()))
        for name in sorted(set(new.get("required", ())) - needed):
            return f"{_at(_into(place, name))}it is required now, and was not"
        for name in sorted(needed & had.keys() - has.keys()):
            return f"{_at(_into(place, name))}it was required, and is gone"
        others = new.get("additionalProperties", True)
        for name in sorted(had.keys()):
            why = self.of(had[name], has.get(name, others), _into(place, name), depth + 1)
            if why:
                return why if name in has else f"{_at(_into(place, name))}it is gone, and unknown fields are refused"
        before = old.get("additionalProperties", True)
        if self.of(before, others, place, depth + 1):
            return f"{_at(place)}unknown fields were allowed, and are not any more"
        return ""

    def _items(self, old: dict[str, Any], new: dict[str, Any], place: str, depth: int) -> str:
        if "array" not in _types(old):
            return ""
        return self.of(old.get("items", True), new.get("items", True), f"{place}[]", depth + 1)


def _bounds(old: dict[str, Any], new: dict[str, Any], place: str) -> str:
    for name in (*_LEAST, *_MOST):
        if name in new:
            was, now = old.get(name), new[name]
            if was is None or (now > was if name in _LEAST else now < was):
                return f"{_at(place)}{name} is {now!r} now, and was {'not there' if was is None else repr(was)}"
    return ""


def _others(old: dict[str, Any], new: dict[str, Any], place: str) -> str:
    """What is not compared has to be the same, or to be gone."""
    known = _SAID_ONLY | _COMPARED | set(_LEAST) | set(_MOST)
    for name in sorted(new.keys() - known):
        if old.get(name) != new[name] or name not in old:
            return f"{_at(place)}{name} was changed, which cannot be compared: register it with compatibility='none'"
    return ""


def _branches(part: Part) -> list[Part]:
    """The alternatives of a schema; itself when it has none. Beside others `anyOf` is one of what is not compared."""
    if isinstance(part, dict) and "anyOf" in part and part.keys() <= _SAID_ONLY | {"anyOf"}:
        return list(part["anyOf"])
    return [part]


def _ref(part: Part) -> str:
    """What a part refers to and is nothing beside; ""."""
    return str(part["$ref"]) if isinstance(part, dict) and part.keys() - _SAID_ONLY == {"$ref"} else ""


def _resolved(part: Part, root: dict[str, Any], hops: int = 0) -> Part | None:
    """A part, or what it refers to; None when that is nowhere."""
    ref = _ref(part)
    if not ref:
        return part
    found: Any = root
    for token in ref.removeprefix("#").split("/")[1:]:
        found = found.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    if not isinstance(found, dict | bool) or hops > _DEPTH_MAX:
        return None
    return _resolved(found, root, hops + 1)


def _types(part: dict[str, Any]) -> list[str]:
    said = part.get("type", list(_TYPES))
    return [said] if isinstance(said, str) else list(said)


def _constants(part: dict[str, Any]) -> list[Any] | None:
    if "const" in part:
        return [part["const"]]
    values = part.get("enum")
    return list(values) if values is not None else None


def _into(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _at(place: str) -> str:
    return f"{place}: " if place else ""
