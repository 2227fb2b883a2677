"""Settings of commands: a flag beats the environment (`SIGNALBOX_*`), which beats `./signalbox.toml`, then the user's
`signalbox/config.toml`, then the default."""

import os
from pathlib import Path

from console.failures import Usage


def setting(name: str, given: str | None, default: str = "") -> str:
    """The setting that holds. Raises Usage for a settings file that cannot be read."""
    if given is not None:
        return given
    named = os.environ.get(f"SIGNALBOX_{name.upper()}")
    if named:
        return named
    found = from_files(name)
    return default if found is None else found[1]


def path_setting(name: str, given: Path | None) -> Path | None:
    """The same for a path; one from a settings file is relative to that file."""
    if given is not None:
        return given.expanduser().absolute()
    named = os.environ.get(f"SIGNALBOX_{name.upper()}")
    if named:
        return Path(named).expanduser().absolute()
    found = from_files(name)
    return None if found is None else (found[0].parent / Path(found[1]).expanduser()).absolute()


def from_files(name: str) -> tuple[Path, str] | None:
    """The first settings file that has it, and what it says. Raises Usage."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "signalbox" / "config.toml"
    for path in (Path("signalbox.toml"), config):
        value = _read(path, name)
        if value is not None:
            return path, value
    return None


def _read(path: Path, name: str) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{path} cannot be read: {error}") from error
    import tomllib

    try:
        value = tomllib.loads(text).get(name)
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path} is not TOML: {error}") from error
    if value is not None and not isinstance(value, str):
        raise Usage(f"{path}: {name} must be a text, not {value!r}")
    return value
