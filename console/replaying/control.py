"""Pause, go on and stop a replay while it runs: by keys on a terminal, by signals anywhere.

| key | signal | does |
|---|---|---|
| `p`, space | SIGUSR1 | pauses, or goes on |
| `q`, Ctrl-C | SIGINT, SIGTERM, SIGHUP | stops after what is under way; a second time, at once |

A stop is gentle: the events that were sent are waited for, so that what is said of where it stopped is exact.
"""

import asyncio
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from console.replaying.pacing import Watch

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE_SIGNAL = signal.SIGUSR1
KEYS_BYTES = 64
"""Read of the terminal at once."""


class Control:
    """Of one run in one event loop. `on_change` is called when it is paused or goes on."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.watch = Watch(time.monotonic())
        self.stopping = False
        self._changed = asyncio.Event()
        self._on_change = on_change

    @property
    def paused(self) -> bool:
        """Whether it waits to be told to go on."""
        return self.watch.is_stopped

    def begin(self) -> None:
        """Time counts from here on; a pause before it goes on being one."""
        paused = self.paused
        self.watch = Watch(time.monotonic())
        if paused:
            self.watch.stop(time.monotonic())

    def toggle(self) -> None:
        """Pause, or go on."""
        if self.paused:
            self.watch.start(time.monotonic())
        else:
            self.watch.stop(time.monotonic())
        self._changed.set()
        self._on_change()

    def stop(self) -> None:
        """Stop after what is under way."""
        self.stopping = True
        self._changed.set()

    def is_due(self, due: float) -> bool:
        """Whether an event that is due after so many seconds may go out now."""
        return not (self.stopping or self.paused) and self.watch.elapsed(time.monotonic()) >= due

    async def until(self, due: float) -> bool:
        """Wait until it may; False when it is to stop instead."""
        while not self.stopping:
            if self.is_due(due):
                return True
            self._changed.clear()
            left = None if self.paused else due - self.watch.elapsed(time.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        return False

    async def answer(self, coming: "asyncio.Future[Any]") -> Any:
        """What comes, or None when it is to stop before that."""
        while not (self.stopping or coming.done()):
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait((coming, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
        return coming.result() if coming.done() else None


@contextmanager
def listening(control: Control, keys: bool) -> Iterator[None]:
    """Signals, and with `keys` the terminal, reach the control. To be entered inside the loop."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def stop() -> None:
        if control.stopping and task is not None:
            task.cancel()
        control.stop()

    for number in _STOPS:
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(PAUSE_SIGNAL, control.toggle)
    try:
        if keys:
            with _keys(loop, control, stop):
                yield
        else:
            yield
    finally:
        for number in (*_STOPS, PAUSE_SIGNAL):
            loop.remove_signal_handler(number)


@contextmanager
def _keys(loop: asyncio.AbstractEventLoop, control: Control, stop: Callable[[], None]) -> Iterator[None]:
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed() -> None:
        try:
            keys = os.read(terminal, KEYS_BYTES)
        except OSError:
            keys = b""
        if not keys:  # the terminal is gone; SIGHUP says so, too
            loop.remove_reader(terminal)
        for key in keys.decode(errors="replace"):
            if key in "p ":
                control.toggle()
            elif key == "q":
                stop()

    tty.setcbreak(terminal)
    loop.add_reader(terminal, pressed)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        with suppress(termios.error):  # there is nothing to restore on a terminal that is gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
