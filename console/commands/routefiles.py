"""What `route` reads: rules as TOML, an event as JSON.

default = ["capability:triage"]
no_capable = "dead-letter"

[[rule]]
name = "large"
types = "order.created"
when = "data.total > 1000"
to = ["capability:review", "agent/auditor"]
stop = true
"""

import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from console.failures import Failure, NotFound, Usage
from console.limits import ROUTE_FILE_BYTES_MAX
from controlplane.questions import RuleText

_FIELDS = {"name": str, "types": str, "when": str, "to": list, "stop": bool}


class Given(NamedTuple):
    """What a file of rules has; None for what it does not say."""

    rules: list[RuleText]
    default: list[str] | None
    no_capable: str | None


def event_text(given: str) -> str:
    """A recorded event's id or `@position` as it is; what a file, or standard input, holds as JSON. Raises Failure."""
    if given.lstrip().startswith("{"):
        return given
    if given == "-":
        return _within(sys.stdin.read(ROUTE_FILE_BYTES_MAX + 1), "standard input").strip()
    path = Path(given)
    if given.endswith(".json") or path.is_file():
        return _within(_read(path), str(path)).strip()
    return given


def read_rules(path: Path) -> Given:
    """The rules of a file. Raises Usage, which names what is wrong."""
    try:
        found = tomllib.loads(_within(_read(path), str(path)))
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path} is no TOML: {error}") from error
    unknown = sorted(found.keys() - {"rule", "default", "no_capable"})
    if unknown:
        raise Usage(f"{path}: {unknown[0]} is nothing here; there are default, no_capable and [[rule]] tables")
    tables = found.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Usage(f"{path}: rules are [[rule]] tables, in double brackets")
    default = found.get("default")
    if default is not None and not _is_texts(default):
        raise Usage(f"{path}: default is a list of recipients")
    no_capable = found.get("no_capable")
    if no_capable is not None and not isinstance(no_capable, str):
        raise Usage(f"{path}: no_capable is wait, dead-letter or escalate")
    return Given([_rule(path, number, table) for number, table in enumerate(tables, 1)], default, no_capable)


def _rule(path: Path, number: int, table: dict[str, object]) -> RuleText:
    where = f"{path}, rule {table.get('name', number)}"
    for key, value in table.items():
        if key not in _FIELDS:
            raise Usage(f"{where}: {key} is nothing here; there are {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[key]) or (key == "to" and not _is_texts(value)):
            raise Usage(f"{where}: {key} is {'a list of recipients' if key == 'to' else _FIELDS[key].__name__}")
    missing = [key for key in ("name", "types", "to") if key not in table]
    if missing:
        raise Usage(f"{where}: {missing[0]} is missing")
    return RuleText(**table)  # type: ignore[arg-type]


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(ROUTE_FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}") from error


def _within(text: str, what: str) -> str:
    if len(text) > ROUTE_FILE_BYTES_MAX:
        raise Usage(f"{what} is longer than {ROUTE_FILE_BYTES_MAX:,} characters")
    return text
