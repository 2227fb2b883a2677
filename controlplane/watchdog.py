"""The watchdog: says in the log when turns come to no end, and where every thread stands then.

Time passes for a plane with each turn, at least one a second. One that takes longer than `TURN_MS_MAX` is seen from a
thread of its own, because the loop may be what stands still: a commit that does not return, a step that does not end,
a call that blocks. It is told once, and again when it is over; nothing is ended by it.

    each TURN_WATCH_MS ─▶ progress() the same as before, for TURN_MS_MAX? ─▶ log, with all stacks ─▶ stuck(why)
        └─ and puts off what dumps the stacks without the interpreter, should that be what stands still
"""

import faulthandler
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from controlplane import limits

log = logging.getLogger("signalbox.plane")

Progress = Callable[[], tuple[int, str]]
"""A number that grows as turns go on, and what is done now, in words."""
Stuck = Callable[[int, str], None]
"""Is told the number that does not grow any more, and why."""


class Watchdog:
    """Watches from `start` to `stop`. Both are called in its thread, `stuck` once for each turn that stands."""

    def __init__(self, log_file: Path, progress: Progress, stuck: Stuck) -> None:
        self._log_file = log_file
        self._progress = progress
        self._stuck = stuck
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; the thread has ended when this returns."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        look, most = limits.TURN_WATCH_MS / 1000, limits.TURN_MS_MAX / 1000
        known, looks, told = -1, 0, False
        with self._log_file.open("a") as file:
            try:
                while not self._over.wait(look):
                    faulthandler.dump_traceback_later(most + look, file=file)
                    beats, doing = self._progress()
                    if beats != known:
                        if told:
                            log.warning("turns go on, after %.0f s", looks * look)
                        known, looks, told = beats, 0, False
                        continue
                    # Looks are counted, not time: if the whole process was stopped, the turn was not to blame.
                    looks += 1
                    if looks * look >= most and not told:
                        told = True
                        why = f"no turn has come to its end for {looks * look:.0f} s: {doing}"
                        log.error("%s; the threads stand at:\n%s", why, stacks())
                        self._stuck(beats, why)
            finally:
                faulthandler.cancel_dump_traceback_later()


def stacks() -> str:
    """Where every thread of this process stands, innermost last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        parts.append(f"thread {names.get(ident, ident)}\n" + "".join(traceback.format_stack(frame)))
    return "".join(parts)
