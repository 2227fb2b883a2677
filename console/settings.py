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


def number_setting(name: str, given: int | None) -> int:
    """The same for a whole number, 0 by default; a file may say it as a number or as a text. Raises Usage."""
    if given is not None:
        return given
    where, text = f"SIGNALBOX_{name.upper()}", os.environ.get(f"SIGNALBOX_{name.upper()}", "")
    if not text:
        found = from_files(name, is_number=True)
        if found is None:
            return 0
        where, text = f"{found[0]}: {name}", found[1]
    if not (text.isascii() and text.isdigit()):
        raise Usage(f"{where} must be a whole number, 0 or more, not {text!r}")
    return int(text)


def from_files(name: str, is_number: bool = False) -> tuple[Path, str] | None:
    """The first settings file that has it, and what it says, in text also of a number. Raises Usage."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "signalbox" / "config.toml"
    for path in (Path("signalbox.toml"), config):
        value = _read(path, name, is_number)
        if value is not None:
            return path, value
    return None


def _read(path: Path, name: str, is_number: bool) -> str | None:
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
    if is_number and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        if is_number:
            raise Usage(f"{path}: {name} must be a whole number, not {value!r}")
        raise Usage(f"{path}: {name} must be a text, not {value!r}")
    return value
