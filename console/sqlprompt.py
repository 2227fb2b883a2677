"""`signalbox sql` without a query: a prompt, with the history of earlier ones kept in the state directory.

A query ends with `;` or an empty line. `\\d` lists the tables, `\\d NAME` the columns of one, `\\q` ends. Ctrl-C takes
back what is typed, or cancels the query under way; Ctrl-D ends.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from console import output as out
from console.failures import Failure
from console.fleetdir import state_dir
from console.limits import SQL_HISTORY_MAX
from console.sqlpage import described

READY, GOING_ON = "sql> ", "...> "
_HELP = "One SELECT, ended with ; or an empty line. \\d lists the tables, \\d NAME the columns of one, \\q ends."


def run(answer: Callable[[str], None]) -> None:
    """Until `\\q` or Ctrl-D. `answer` asks one query and shows what it gave; its Failure is said."""
    with _history():
        out.say(_HELP)
        while True:
            try:
                typed = _typed()
            except KeyboardInterrupt:
                out.say("")
                continue
            except EOFError:
                out.say("")
                return
            if typed in ("\\q", "exit", "quit"):
                return
            if typed.startswith("\\"):
                out.say(_told(typed))
            elif typed:
                _answered(answer, typed)


def _answered(answer: Callable[[str], None], sql: str) -> None:
    try:
        answer(sql)
    except KeyboardInterrupt:
        out.say("\ncancelled")
    except Failure as failure:
        out.say(f"{failure}\n{failure.hint}".rstrip())


def _told(typed: str) -> str:
    command, _, name = typed.rstrip(";").partition(" ")
    if command != "\\d":
        return _HELP
    return described(name.strip()) or f"there is no table {name.strip()}; \\d lists them"


def _typed() -> str:
    """A whole query, or a command; "" for nothing."""
    lines: list[str] = []
    while True:
        line = input(GOING_ON if lines else READY)
        if not lines and line.startswith("\\"):
            return line.strip()
        if line.strip():
            lines.append(line)
        if not line.strip() or line.rstrip().endswith(";"):
            return "\n".join(lines).strip().rstrip(";").strip()


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Lines of earlier prompts, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    path = state_dir() / "sql_history"
    with contextlib.suppress(OSError):  # none yet, or none that can be read: then it begins anew
        readline.read_history_file(path)
    readline.set_history_length(SQL_HISTORY_MAX)
    try:
        yield
    finally:
        _keep(path)


def _keep(path: Path) -> None:
    import readline

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        readline.write_history_file(path)
        path.chmod(0o600)
    except OSError as error:
        out.say(f"the history is not kept: {error}")
