"""A projection's class: found, trusted, read once, loaded; and what says which code it is.

`module:Class` is whatever the plane's Python finds by that name. `/path/file.py:Class` is that file alone, and it is
loaded only if nobody but the plane's own user, or root, can have written it: its owner, its mode, and those of every
folder above it. The bytes that are hashed are the bytes that are run.
"""

import importlib
import importlib.abc
import importlib.util
import os
import stat
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from bus.topic import is_pattern
from controlplane import limits
from controlplane.errors import ProjectionRefused
from controlplane.projecting.projection import Projection

_LOADED_AS = "signalbox_projection"


class Code(NamedTuple):
    """A class that was loaded, and the file and hash of its code."""

    kind: type[Projection]
    file: str
    sha256: str


def load(target: str) -> Code:
    """The class that a target names. Raises ProjectionRefused, whatever it is that the code does."""
    where, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier() or not where:
        raise ProjectionRefused(f"{target!r} names no class: write module:Class, or /path/file.py:Class")
    try:
        module, file, hashed = _file(where) if where.startswith("/") else _module(where)
    except ProjectionRefused:
        raise
    except (Exception, SystemExit) as error:
        raise ProjectionRefused(f"{where} does not load: {said(error)}") from error
    found = getattr(module, name, None)
    if found is None:
        raise ProjectionRefused(f"{where} has no {name}")
    if not (isinstance(found, type) and issubclass(found, Projection)):
        raise ProjectionRefused(f"{name} in {where} is no controlplane.projecting.Projection")
    if not (isinstance(found.pattern, str) and is_pattern(found.pattern)):
        raise ProjectionRefused(f"{name}.pattern {found.pattern!r} is not a pattern: order.>, *.created")
    return Code(found, file, hashed)


def identity(file: str) -> str:
    """The SHA-256 of a file as it is now. Raises ProjectionRefused when it cannot be read, or is too large."""
    return sha256(_read(Path(file))).hexdigest()


def said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[: limits.PROJECTION_ERROR_CHARS_MAX]


def _module(name: str) -> tuple[object, str, str]:
    module = importlib.import_module(name)
    file = getattr(module, "__file__", None) or ""
    return module, file, identity(file) if file else ""


def _file(where: str) -> tuple[object, str, str]:
    path = Path(where).resolve()
    distrust(path)
    source = _read(path)
    spec = importlib.util.spec_from_loader(_LOADED_AS, _Given(path, source))
    if spec is None or spec.loader is None:
        raise ProjectionRefused(f"{path} does not load")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look for the module of their fields' types there.
    sys.modules[_LOADED_AS] = module
    spec.loader.exec_module(module)
    return module, str(path), sha256(source).hexdigest()


class _Given(importlib.abc.SourceLoader):
    """Loads bytes that were read already, and writes none."""

    def __init__(self, path: Path, source: bytes) -> None:
        self._path = path
        self._source = source

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: bytes | str) -> bytes:
        return self._source


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            source = file.read(limits.PROJECTION_CODE_BYTES_MAX + 1)
    except OSError as error:
        raise ProjectionRefused(f"{path} cannot be read: {error.strerror}") from error
    if len(source) > limits.PROJECTION_CODE_BYTES_MAX:
        raise ProjectionRefused(f"{path} is larger than {limits.PROJECTION_CODE_BYTES_MAX:,} bytes")
    return source


def distrust(path: Path) -> None:
    """Raises ProjectionRefused if anybody but this user and root can have written a file, or put it there."""
    for place in (path, *path.parents):
        try:
            found = place.stat()
        except OSError as error:
            raise ProjectionRefused(f"{place} cannot be read: {error.strerror}") from error
        shared = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_uid not in (0, os.geteuid()):
            raise ProjectionRefused(f"{path} is not loaded: {place} belongs to another user than the control plane's")
        others = found.st_mode & stat.S_IWOTH or (
            found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid())
        )
        if others and not shared:
            raise ProjectionRefused(f"{path} is not loaded: others may write {place}. chmod go-w {place}")
