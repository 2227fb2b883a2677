"""Payload schemas: what the data of a type has to look like, by version, and which version may follow another. Pure.

A schema is a JSON Schema (draft 2020-12 unless its `$schema` says otherwise); one of a msgspec.Struct is what msgspec
makes of the class. It refers to nothing outside itself, so that nobody's schema makes others fetch something.

A registration is an event, so that the log has them all:

    type schema.registered, partitionkey the type, data {type, version, compatibility, schema}

An event may name the version it follows, by `dataschema`: `signalbox:schema/<type>/<version>` (`uri`).
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from bus.errors import InvalidSchema
from bus.limits import SCHEMA_BYTES_MAX
from bus.topic import is_type

REGISTERED = "schema.registered"
COMPATIBILITIES = ("backward", "none")
VERSION_MAX = 999_999_999
_URI = "signalbox:schema/"
_PROBLEMS_MAX = 16
_DIALECTS = ("https://json-schema.org/draft/", "http://json-schema.org/draft-0")

Document = dict[str, Any]
"""A JSON Schema, as Python has it."""


class Schema(msgspec.Struct, frozen=True):
    """One version of one type's schema. `compatibility`: what its registration was checked for, see `evolution.py`."""

    type: str
    version: int
    compatibility: str
    schema: Document

    @property
    def uri(self) -> str:
        """What an event's `dataschema` says to name it."""
        return uri(self.type, self.version)


def uri(type: str, version: int) -> str:
    """The name of a version."""
    return f"{_URI}{quote(type, safe='')}/{version}"


def named(dataschema: str) -> tuple[str, int] | None:
    """The type and version that a `dataschema` names; None when it is somebody else's."""
    kind, _, version = dataschema.removeprefix(_URI).rpartition("/")
    if not dataschema.startswith(_URI) or not version.isdecimal() or len(version) > len(str(VERSION_MAX)):
        return None
    return unquote(kind), int(version)


def document(schema: Mapping[str, Any] | type[msgspec.Struct]) -> Document:
    """A JSON Schema, checked, of one given as such or as a msgspec.Struct. Raises InvalidSchema."""
    if isinstance(schema, type):
        try:
            made = msgspec.json.schema(schema)
        except TypeError as error:
            raise InvalidSchema(f"{schema.__name__} has no JSON Schema: {error}") from None
    elif isinstance(schema, Mapping):
        made = dict(schema)
    else:
        raise InvalidSchema(f"a schema is a JSON Schema as a dict, or a msgspec.Struct, not {schema!r:.80}")
    try:
        text = msgspec.json.encode(made)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidSchema(f"it cannot be written as JSON: {error}") from None
    if len(text) > SCHEMA_BYTES_MAX:
        raise InvalidSchema(f"{len(text)} bytes of JSON; {SCHEMA_BYTES_MAX} are allowed")
    plain: Document = msgspec.json.decode(text)
    if not _can_be_told(plain):
        raise InvalidSchema("an integer in it has more than 64 bits; write it as a number with a point: 1e30")
    Checker(plain)
    return plain


def registration(data: object) -> Schema | None:
    """The schema that the data of a registration tells of; None when it tells of none."""
    try:
        told = msgspec.convert(data, Schema)
    except msgspec.ValidationError:
        return None
    legal = is_type(told.type) and 0 < told.version <= VERSION_MAX and told.compatibility in COMPATIBILITIES
    return told if legal and _can_be_told(told.schema) else None


def _can_be_told(schema: Document) -> bool:
    """Whether it fits into an answer of the control plane: one that does not would keep all behind it from everyone."""
    try:
        msgspec.msgpack.encode(schema)
    except (OverflowError, RecursionError):
        return False
    return len(msgspec.json.encode(schema)) <= SCHEMA_BYTES_MAX


class Checker:
    """A schema made ready. Raises InvalidSchema when it is none, or refers to what is outside of it: whoever wrote the
    event that registered it may not have gone through `document`."""

    def __init__(self, schema: Document) -> None:
        import jsonschema_rs  # most clients never see a schema, and need not wait for it

        try:
            _check_refs(schema)
            self._validator = jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
        except RecursionError:
            raise InvalidSchema("it is nested too deep") from None
        except (jsonschema_rs.ValidationError, ValueError) as error:
            raise InvalidSchema(f"it is no JSON Schema: {str(error).splitlines()[0]}") from None

    def problems(self, data: object) -> list[str]:
        """What is wrong with a payload, each naming the field; the first few."""
        found: list[str] = []
        try:
            if self._validator.is_valid(data):
                return []
            for error in self._validator.iter_errors(data):
                found.append(f"{_place(error.instance_path)}{error.message}")
                if len(found) == _PROBLEMS_MAX:
                    break
        except ValueError as error:  # nested deeper than the library goes
            found.append(f"it cannot be held against its schema: {str(error).lower()}")
        return found


def _place(path: list[str | int]) -> str:
    """`items[0].price: `; "" for the payload as a whole."""
    said = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"{said.removeprefix('.')}: " if said else ""


def _fetch_nothing(uri: str) -> Any:
    """The second lock, for a way to refer that `_check_refs` does not know."""
    raise ValueError(f"a schema refers to its own parts only, and this one to {uri[:80]!r}")


def _check_refs(part: object) -> None:
    """References stay inside, `#...`, and the dialect is one that is at hand: nothing is ever fetched."""
    if isinstance(part, dict):
        dialect = part.get("$schema", _DIALECTS[0])
        if isinstance(dialect, str) and not dialect.startswith(_DIALECTS):
            raise InvalidSchema(f"$schema {dialect[:80]!r}: the dialects are those of json-schema.org")
        for name, value in part.items():
            if (
                name in ("$ref", "$dynamicRef", "$recursiveRef")
                and isinstance(value, str)
                and not value.startswith("#")
            ):
                raise InvalidSchema(f"{name} {value[:80]!r}: a schema refers to its own parts only, as #/$defs/...")
            _check_refs(value)
    elif isinstance(part, list):
        for value in part:
            _check_refs(value)
