"""The question before a change: yes, or nothing is changed."""

import sys
from collections.abc import Callable

import typer

from console.failures import Failure


def agree(question: str, otherwise: str = "nothing was changed") -> None:
    """Ask on the terminal. Raises Failure with `otherwise` where the answer is no, or Ctrl-C."""
    _hold(lambda: typer.confirm(question, err=True), otherwise)


def agree_by_number(question: str, number: int, otherwise: str) -> None:
    """The same, by typing the number."""

    def asked() -> bool:
        typed: str = typer.prompt(question, default="", show_default=False, err=True)
        return typed.replace(",", "") == str(number)

    _hold(asked, otherwise)


def _hold(asked: Callable[[], bool], otherwise: str) -> None:
    try:
        agreed = asked()
    except typer.Abort:
        sys.stderr.write("\n")  # the terminal stands behind the question, or behind its own ^C
        agreed = False
    if not agreed:
        raise Failure(otherwise)
