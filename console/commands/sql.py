"""SQL over the journal: one query, a prompt, or a query on standard input."""

import sys
import time
from typing import Annotated

import typer

from console.commands.options import AsOf, DataDir, Output
from console.failures import Usage

app = typer.Typer(rich_markup_mode=None)


@app.command("sql")
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT; without it a prompt, or stdin.")] = "",
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="End it after this long.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many rows.")] = 10_000,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="JOURNAL|DIR", help="A copied journal or data directory; needs no fleet."),
    ] = None,
    data_dir: DataDir = None,
    output: Output = "table",
    at: AsOf = None,
) -> None:
    """Explore the journal: events, facts, flows, sagas, dead_letters, ballots, leases (\\d lists their columns).

    With --at it ends there: events and facts up to then, the others as they were. So with --file, too.
    """
    from console import sqlpage, sqlprompt
    from console.commands.asking import as_of, moment
    from console.fleetdir import question_url, resolve
    from console.limits import SQL_STDIN_CHARS_MAX
    from console.output import Format
    from console.sqlline import FileLine, FleetLine, Line

    if not query and not sys.stdin.isatty():
        query = sys.stdin.read(SQL_STDIN_CHARS_MAX + 1)
        if not query.strip():
            raise Usage("no query: give one as an argument or on standard input", 'signalbox sql "SELECT ..."')
        if len(query) > SQL_STDIN_CHARS_MAX:
            raise Usage(f"a query has at most {SQL_STDIN_CHARS_MAX:,} characters")
    then = moment(at)
    line: Line = FileLine(file, then) if file else FleetLine(question_url(resolve(data_dir)), then)

    def answer(text: str) -> None:
        waiting = Waiting()
        try:
            told, body = line.ask(text, timeout, limit, waiting.say)
        finally:
            waiting.close()
        sqlpage.show(told, body, Format(output), as_of(told, time.time_ns()) if told.past else "")

    try:
        if query:
            answer(query)
        else:
            sqlprompt.run(answer)
    finally:
        line.close()


class Waiting:
    """What a query is doing, on stderr, once it takes a while: one line on a terminal, now and then one elsewhere."""

    FROM_S = 0.5
    LINE_S = 5.0

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._drawn = False

    def say(self, text: str) -> None:
        """What is being done."""
        now = time.monotonic()
        line = f"{text} {now - self._began:.0f} s"
        if not sys.stderr.isatty():
            if now - self._said >= self.LINE_S:
                self._said = now
                sys.stderr.write(f"{line}\n")
        elif now - self._began >= self.FROM_S:
            sys.stderr.write(f"\r{line} (Ctrl-C cancels)\x1b[K")
            self._drawn = True
        sys.stderr.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
