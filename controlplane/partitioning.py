"""A fleet's partitioning as it is asked for: the file of rules, and what an old fleet may still be told.

    [[rule]]
    prefix = "tenant/emea/"     # keys that begin so
    group = "emea"              # live together,
    width = 4                   # in so many slots (1 when left out: in one partition)
    locality = "eu"             # and would rather be led there (anywhere when left out)

Rules are fixed at a fleet's birth, like its partitions: a key that had two homes would have two orders.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bus.errors import InvalidRules
from bus.semantic import HASH, SEMANTIC, Rule, check, check_strategy
from bus.words import many
from controlplane.errors import PartitioningFixed
from controlplane.limits import RULES_FILE_BYTES_MAX


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str
    group: str
    width: int = 1
    locality: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    rule: list[_Row] = []


def read_rules(path: Path) -> list[Rule]:
    """The rules of a TOML file, by prefix. Raises `InvalidRules` that names the file and what is wrong with it."""
    try:
        with path.open("rb") as file:
            text = file.read(RULES_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidRules(f"{path} cannot be read: {error.strerror}; name a file of partition rules") from error
    if len(text) > RULES_FILE_BYTES_MAX:
        raise InvalidRules(f"{path} has over {RULES_FILE_BYTES_MAX} bytes: that is no file of partition rules")
    try:
        table: dict[str, Any] = tomllib.loads(text.decode())
        rows = msgspec.convert(table, _File).rule
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidRules(f"{path}: {error}; it holds [[rule]] tables with prefix, group, width, locality") from error
    rules = sorted((Rule(row.prefix, row.group, row.width, row.locality) for row in rows), key=lambda r: r.prefix)
    try:
        check(rules)
    except InvalidRules as error:
        raise InvalidRules(f"{path}: {error}") from error
    return rules


def strategy_of(wanted: str, rules: Sequence[Rule] | None) -> str:
    """The strategy of a new fleet; "" is semantic where there are rules, else hash. Raises `InvalidRules`."""
    strategy = wanted or (SEMANTIC if rules else HASH)
    check_strategy(strategy, rules or [])
    return strategy


def changed_strategy(wanted: str, given: Sequence[Rule] | None, strategy: str, rules: Sequence[Rule]) -> str:
    """What an old fleet's strategy is from here on. Raises `PartitioningFixed` where a key would get another home."""
    if given is not None and sorted(given, key=lambda rule: rule.prefix) != list(rules):
        raise PartitioningFixed(
            f"this fleet was born with {f'{len(rules)} other partition rules' if rules else 'no partition rules'}, and "
            "a key keeps its home for life. Start it without --partition-rules, or found another fleet in another "
            "--data-dir and import this one's events (signalbox event export, import)."
        )
    if not wanted or wanted == strategy:
        return strategy
    try:
        check_strategy(wanted, rules)
    except InvalidRules as error:
        raise PartitioningFixed(
            f"this fleet was born {strategy} with {many(len(rules), 'partition rule')}, and keys keep their homes: "
            f"{error}. It may be {'semantic' if rules else 'hash'} or adaptive."
        ) from error
    return wanted
