"""A line to whoever runs SQL: the fleet's control plane, or a worker of our own over copied files.

Both take a query and give its answer, and both cancel at Ctrl-C: the plane is told to end the query, a worker of our
own is killed and started again when next asked. `--file` needs no fleet, and loads neither DuckDB nor Arrow here.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Protocol

from console.failures import BY_REFUSAL, Failure, Unreachable
from console.limits import ANSWER_BYTES_MAX
from console.link import Link, NoAnswer
from console.measure import many
from controlplane.questions import (
    AskSql,
    At,
    CancelSql,
    Progress,
    Question,
    Refusal,
    SqlAnswer,
    SqlCancelled,
    Told,
    decode_told,
    encode,
)

SILENCE_S = 10.0
"""How long the plane may say nothing at all while a query is under way."""
CANCEL_S = 0.5
POLL_S = 0.2
LENGTH_BYTES = 4
Answered = tuple[Told, SqlAnswer]
Tell = Callable[[str], None]
"""Hears what is being done while a query is under way."""


class Line(Protocol):
    """Where queries go. `ask` raises Failure for a refusal, and KeyboardInterrupt once the query is cancelled."""

    def ask(self, sql: str, timeout_s: float | None, rows: int, tell: Tell) -> Answered: ...

    def close(self) -> None: ...


class FleetLine:
    """To a control plane; with `at` all queries are as of that moment."""

    def __init__(self, url: str, at: At | None = None) -> None:
        self._link = Link(url)
        self._at = at
        self._number = 0

    def ask(self, sql: str, timeout_s: float | None, rows: int, tell: Tell) -> Answered:
        self._number += 1
        token = f"{os.getpid()}-{time.time_ns()}-{self._number}"
        question = AskSql(sql, token, round((timeout_s or 0) * 1000), rows)
        try:
            return answered(self._link.ask(question, SILENCE_S, lambda work: tell(work.text), self._at))
        except NoAnswer as error:
            raise Unreachable(str(error), "See `signalbox doctor`; `signalbox up` starts it again.") from error
        except KeyboardInterrupt:
            self._cancel(CancelSql(token))
            raise

    def _cancel(self, question: Question) -> None:
        try:
            answer = self._link.ask(question, CANCEL_S)
        except NoAnswer as error:
            raise Failure(f"the query may go on: {error}", "It ends by itself when its time is over.") from error
        if not isinstance(answer.body, SqlCancelled):
            raise Failure(f"the control plane answered {type(answer.body).__name__} to a cancel")

    def close(self) -> None:
        self._link.close()


class FileLine:
    """To a worker of our own over copied files; with `at` all queries are as of that moment."""

    def __init__(self, paths: list[str], at: At | None = None) -> None:
        self._at = at
        self._command = [sys.executable, "-P", "-m", "controlplane.sql"]
        for path in paths:
            self._command += ["--file", os.path.abspath(path)]
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def ask(self, sql: str, timeout_s: float | None, rows: int, tell: Tell) -> Answered:
        line = self._open()
        began = time.monotonic()
        doing = "reading the files"

        def wait() -> None:
            if timeout_s is not None and time.monotonic() - began > timeout_s:
                raise Failure(f"the query took longer than {timeout_s:g} s", "Allow more with --timeout.")
            tell(doing)

        try:
            for data in (encode(AskSql(sql, rows=rows)), b"" if self._at is None else encode(self._at)):
                line.sendall(len(data).to_bytes(LENGTH_BYTES, "big") + data)
            answer = _told(line, wait)
            while isinstance(answer.body, Progress):
                work = answer.body
                doing = f"{work.text}, {work.done:,} of {many(work.total, 'entry', 'entries')},"
                wait()
                answer = _told(line, wait)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise Failure(f"the SQL worker ended: {error}", "Ask again; another one is started.") from error
            raise
        return answered(answer)

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            self._socket.settimeout(POLL_S)
            with theirs:
                self._child = subprocess.Popen(self._command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
        return self._socket

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        if self._socket is not None:
            self._socket.close()
        self._child = self._socket = None


def _told(line: socket.socket, wait: Callable[[], None]) -> Told:
    length = int.from_bytes(_receive(line, LENGTH_BYTES, wait), "big")
    if length > ANSWER_BYTES_MAX:
        raise Failure(f"the SQL worker answers {length:,} bytes at once")
    return decode_told(_receive(line, length, wait))


def _receive(line: socket.socket, count: int, wait: Callable[[], None]) -> bytes:
    parts: list[bytes] = []
    while count:
        try:
            part = line.recv(count)
        except TimeoutError:
            wait()
            continue
        if not part:
            raise Failure("the SQL worker ended", "Its own words stand above; ask again to start another one.")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def answered(answer: Told) -> Answered:
    """The answer, if it is one to a query. Raises Failure."""
    if isinstance(answer.body, Refusal):
        raise BY_REFUSAL.get(answer.body.code, Failure)(answer.body.message, answer.body.hint)
    if not isinstance(answer.body, SqlAnswer):
        raise Failure(f"asked for SqlAnswer, and the control plane answered {type(answer.body).__name__}")
    return answer, answer.body
