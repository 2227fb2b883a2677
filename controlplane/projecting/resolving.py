"""What a lever on projections names, looked at where the plane runs: a class by loading it in a process of its own, a
view by running it once. Nothing is registered that did not work."""

from contextlib import closing
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from threading import Lock

from controlplane import limits
from controlplane.answers.projections import Resolved
from controlplane.errors import ProjectionRefused, WorkerEnded
from controlplane.projecting.process import ProjectionProcess
from controlplane.questions import AskSql, Refusal
from controlplane.sql.desk import Desk

_CHECKING = ".checking"
"""No projection has this name."""
_one = Lock()
"""Whoever has that folder: a lever may be gone before the thread that looks for it."""


def resolve_class(folder: Path, target: str, pattern: str) -> Resolved:
    """The code of a class, and the types that it gets. Blocks; raises ProjectionRefused."""
    checking = folder / _CHECKING
    try:
        with _one:
            try:
                with closing(ProjectionProcess(checking)) as process:
                    opened = process.load(target, pattern)
            finally:
                rmtree(checking, ignore_errors=True)
    except WorkerEnded as error:
        raise ProjectionRefused(f"{target} does not load: {error}") from error
    return Resolved(opened.file, opened.sha256, opened.pattern)


async def resolve_view(sql: Desk, target: str, file: str) -> Resolved:
    """A view that gives an answer. Raises ProjectionRefused, in DuckDB's words."""
    told = await sql.answer(AskSql(target, rows=1, timeout_ms=limits.SQL_MS_DEFAULT), lambda body: None)
    if isinstance(told.body, Refusal):
        raise ProjectionRefused(told.body.message)
    return Resolved(file, sha256(target.encode()).hexdigest())
