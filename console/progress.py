"""How far a long piece of work is, on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import time

from console.measure import rate

_REDRAW_S = 0.1
_LINE_S = 5.0
_BAR_CELLS = 30


class Progress:
    """`advance` as often as one likes; it writes no oftener than is of use. `total` 0 is unknown."""

    def __init__(self, label: str, total: int = 0, unit: str = "events") -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._tty = sys.stderr.isatty()
        self._began = time.monotonic()
        self._next = self._began + (_REDRAW_S if self._tty else _LINE_S)
        self._drawn = False

    def advance(self, done: int, total: int | None = None, text: str = "", at_once: bool = False) -> None:
        """So much is done in all. `at_once`: written whenever the last line was."""
        self.done = done
        if total is not None:
            self.total = total
        now = time.monotonic()
        if now < self._next and not at_once:
            return
        self._next = now + (_REDRAW_S if self._tty else _LINE_S)
        line = self.line(text)
        sys.stderr.write(f"\r{line}\x1b[K" if self._tty else line + "\n")
        sys.stderr.flush()
        self._drawn = True

    def line(self, text: str = "") -> str:
        """The present state as one line."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        value, unit = rate(self.done / seconds)
        said = f"{self.done:,} {self.unit}  {value} {unit}"
        if self.total:
            share = min(1.0, self.done / self.total)
            full = round(share * _BAR_CELLS)
            bar = "━" * full + "┄" * (_BAR_CELLS - full)
            said = f"{bar} {share:4.0%}  {self.done:,} of {self.total:,}  {value} {unit}"
        return f"{self.label}  {said}" + (f"  {text}" if text else "")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def close(self) -> None:
        """Take the bar away."""
        if self._tty and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
