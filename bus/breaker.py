"""A circuit breaker for one target: whether a call to it is worth beginning. Pure.

Calls to a target that hangs cost each caller its whole time-out, and the target the work that nobody waits for. After
too many failures no call is begun for a while; then one is, as a probe.

| state | a call is | it leaves by |
|---|---|---|
| closed | let through | of the last BREAKER_CALLS calls, BREAKER_CALLS_MIN at least, too many failed -> open |
| open | refused | its rest is over when a call asks -> half-open |
| half-open | let through if no probe is out, or none was for a rest | probe: answered -> closed, failed -> open |
| forced open | refused | reset -> closed |
| disabled | let through, and counts for nothing | reset -> closed |

Any state is left for forced open, disabled or, by a reset, closed. A call that was begun before the state changed says
nothing about the target in the new state: `admit` gives a turn, and an outcome of another turn is passed over. Instants
are nanoseconds of any clock that never goes back.
"""

from bus import limits

CLOSED, OPEN, HALF_OPEN, FORCED_OPEN, DISABLED = "closed", "open", "half-open", "forced open", "disabled"
STATES = (CLOSED, OPEN, HALF_OPEN, FORCED_OPEN, DISABLED)
TRIPPED, RESTED, PROVED, FAILED = "tripped", "rested", "proved", "failed"
FORCE, DISABLE, RESET = "force", "disable", "reset"
TRANSITIONS = {
    (CLOSED, TRIPPED): OPEN,
    (OPEN, RESTED): HALF_OPEN,
    (HALF_OPEN, PROVED): CLOSED,
    (HALF_OPEN, FAILED): OPEN,
    **{(state, FORCE): FORCED_OPEN for state in STATES},
    **{(state, DISABLE): DISABLED for state in STATES},
    **{(state, RESET): CLOSED for state in STATES},
}
"""(state, what happened) -> state. Whatever else happens in a state changes nothing."""
_LAST = (1 << limits.BREAKER_CALLS) - 1
_MS = 1_000_000


class Breaker:
    """See the module. `turn` counts the states that it has been in, from 1."""

    __slots__ = ("_known", "_opened", "_outcomes", "_probed", "_probing", "_rest_ms", "state", "turn")

    def __init__(self) -> None:
        self.state = CLOSED
        self.turn = 1
        self._outcomes = 0  # of the last calls, a bit each, the newest lowest: 1 for a failure
        self._known = 0
        self._opened = 0
        self._rest_ms = limits.BREAKER_REST_MS_MIN
        self._probing = False
        self._probed = 0

    def admit(self, now: int) -> int:
        """The turn of a call that may begin, to be given back with its outcome; 0: it may not."""
        if self.state is CLOSED or self.state is DISABLED:
            return self.turn
        if self.state is OPEN and now - self._opened >= self._rest_ms * _MS:
            self._go(RESTED, now)
        if self.state is not HALF_OPEN or (self._probing and now - self._probed < self._rest_ms * _MS):
            return 0
        self._probing, self._probed = True, now
        return self.turn

    def answering(self, turn: int, now: int) -> None:
        """A call of that turn is being answered, in parts, and goes on: as a probe it has told what it was to tell."""
        if turn == self.turn and self.state is HALF_OPEN:
            self._go(PROVED, now)

    def ended(self, turn: int, ok: bool | None, now: int) -> None:
        """A call of that turn is over: it was answered, or not; None: it says nothing about the target."""
        if turn != self.turn:
            return
        if self.state is HALF_OPEN:
            self._probing = False
            if ok is not None:
                self._go(PROVED if ok else FAILED, now)
        elif self.state is CLOSED and ok is not None:
            self._outcomes = (self._outcomes << 1 | (not ok)) & _LAST
            self._known = min(self._known + 1, limits.BREAKER_CALLS)
            if not ok and self._is_too_much():
                self._go(TRIPPED, now)

    def force_open(self, now: int) -> None:
        """Refuse all calls until a reset."""
        self._go(FORCE, now)

    def disable(self, now: int) -> None:
        """Let all calls through, whatever becomes of them, until a reset."""
        self._go(DISABLE, now)

    def reset(self, now: int) -> None:
        """Forget what was."""
        self._go(RESET, now)

    def rests_ms(self, now: int) -> int:
        """For how long no call is let through from now on, as far as is known; 0 unless it is open."""
        return max(0, self._rest_ms - (now - self._opened) // _MS) if self.state is OPEN else 0

    @property
    def failed(self) -> tuple[int, int]:
        """How many of the last calls failed, and of how many."""
        return self._outcomes.bit_count(), self._known

    def _is_too_much(self) -> bool:
        failed, known = self.failed
        return known >= limits.BREAKER_CALLS_MIN and failed * 1_000 >= known * limits.BREAKER_FAILED_PERMILLE

    def _go(self, what: str, now: int) -> None:
        """The one place where the state changes."""
        before, self.state = self.state, TRANSITIONS.get((self.state, what), self.state)
        self.turn += 1
        self._probing = False
        if self.state is OPEN:
            self._opened = now
            longer = before is HALF_OPEN
            self._rest_ms = min(2 * self._rest_ms, limits.BREAKER_REST_MS_MAX) if longer else limits.BREAKER_REST_MS_MIN
        elif self.state is CLOSED:
            self._outcomes = self._known = 0
