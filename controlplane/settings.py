"""The settings of the folds: which there are, and how a value is read that a person wrote.

A setting is journaled as `SettingSet(name, value)`. A duration may be named without its unit and given with one:
`sagas.stuck_after=1m30s` is `sagas.stuck_after_ms=90000`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from bus.topic import is_pattern
from controlplane import dispatchsettings, sagas
from controlplane.errors import BadSetting

_MS = "_ms"
_PART = re.compile(r"(\d{1,12})(ms|s|m|h|d)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Setting(NamedTuple):
    """One setting: what it is for, and a value as one would write it."""

    name: str
    about: str
    example: str


SETTINGS = (
    Setting(sagas.STUCK_AFTER, "how long a live saga waits before it is stuck", "60s"),
    Setting(sagas.END_TYPES_SETTING, "the types that end a saga, patterns between commas", "order.*.done,order.failed"),
    Setting(dispatchsettings.NO_CAPABLE, "what becomes of work that nobody can do", "dead-letter"),
    Setting(dispatchsettings.DEADLINE, "how long an agent may have a task before another gets it", "5m"),
    Setting(dispatchsettings.ATTEMPTS, "to how many agents a task is given before it is a dead letter", "3"),
)


def read(given: Mapping[str, str]) -> dict[str, str]:
    """Settings by their journaled names and values. Raises BadSetting, which names those that there are."""
    found: dict[str, str] = {}
    for name, value in given.items():
        setting = _named(name)
        if setting.name in found:
            raise BadSetting(f"{setting.name} is set twice")
        found[setting.name] = _value(setting, name, value.strip())
    return found


def known() -> str:
    """All settings in one line, for a hint."""
    return "; ".join(f"{short(one.name)}={one.example} ({one.about})" for one in SETTINGS)


def short(name: str) -> str:
    """A setting's name as people write it: a duration's without its unit."""
    return name.removesuffix(_MS)


def _named(name: str) -> Setting:
    for setting in SETTINGS:
        if name in (setting.name, short(setting.name)):
            return setting
    raise BadSetting(f"there is no setting {name!r}")


def _value(setting: Setting, written: str, value: str) -> str:
    if setting.name.endswith(_MS):
        value = _milliseconds(written, value)
    own = dispatchsettings if setting.name in dispatchsettings.SETTINGS else sagas
    refused = own.valid_setting(setting.name, value)
    if not refused and setting.name == sagas.END_TYPES_SETTING:
        bad = [pattern for pattern in value.split(",") if not is_pattern(pattern)]
        refused = f"patterns, and {bad[0]!r} is none" if bad else ""
    if refused:
        raise BadSetting(f"{written}={value} is refused: it takes {refused}")
    return value


def _milliseconds(written: str, value: str) -> str:
    parts = _PART.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return str(sum(int(number) * _UNITS_MS[unit] for number, unit in parts))
    if value.isascii() and value.isdigit() and written.endswith(_MS):
        return value
    if value.isascii() and value.isdigit():
        raise BadSetting(f"{written}={value}: {value} of what? Write {value}s, or {written}{_MS}={value}")
    raise BadSetting(f"{written}={value} is refused: it takes a duration such as 60s, 1m30s or 500ms")
