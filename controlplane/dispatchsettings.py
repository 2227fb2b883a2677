"""The settings of dispatch, and what they say of a task. Pure."""

from controlplane import inforce
from controlplane.dispatchwords import POLICIES, WAIT
from controlplane.limits import (
    TASK_ATTEMPTS_MAX,
    TASK_ATTEMPTS_SET_MAX,
    TASK_DEADLINE_MS_MAX,
    TASK_DEADLINE_MS_MIN,
    TASK_DEADLINE_MS_UNKNOWN,
    TASK_DEADLINE_TIMES,
    TASK_REST_MS_MAX,
    TASK_REST_MS_MIN,
)
from controlplane.state import KeyedState
from controlplane.tasks import MS, US, Task, work_of

NO_CAPABLE = "dispatch.no_capable"
DEADLINE = "dispatch.deadline_ms"
ATTEMPTS = "dispatch.attempts"
SETTINGS = (NO_CAPABLE, DEADLINE, ATTEMPTS)
_DEADLINE_DIGITS_MAX = 12


def valid_setting(name: str, value: str) -> str:
    """What a value of this setting has to be; "" when it is that."""
    is_number = value.isascii() and value.isdigit() and len(value) <= _DEADLINE_DIGITS_MAX
    if name == NO_CAPABLE:
        return "" if value in POLICIES else "one of " + ", ".join(POLICIES)
    if name == ATTEMPTS:
        fits = is_number and 1 <= int(value) <= TASK_ATTEMPTS_SET_MAX
        return "" if fits else f"a number from 1 to {TASK_ATTEMPTS_SET_MAX}"
    return "" if is_number and int(value) > 0 else "a duration above 0"


def policy_of(state: KeyedState, task: Task) -> str:
    """What becomes of a task that nobody can do: the event says it, the setting, or the rules; else it waits."""
    for said in (task.policy, state.get("setting", NO_CAPABLE), inforce.of(state).rules.no_capable):
        if said in POLICIES:
            return str(said)
    return WAIT


def attempts_max(state: KeyedState) -> int:
    """How often a task may go wrong; an agent that goes in an orderly way does not count."""
    value = state.get("setting", ATTEMPTS, "")
    return TASK_ATTEMPTS_MAX if valid_setting(ATTEMPTS, value) else int(value)


def deadline_ns(state: KeyedState, needs: str, expected_us: int) -> int:
    """How long an agent may have a task, ns, before it counts as stuck."""
    value = state.get("setting", DEADLINE, "")
    if not valid_setting(DEADLINE, value):
        return int(value) * MS
    if not work_of(state, needs).settled:
        return TASK_DEADLINE_MS_UNKNOWN * MS
    learned = max(TASK_DEADLINE_MS_MIN * MS, TASK_DEADLINE_TIMES * expected_us * US)
    return min(learned, TASK_DEADLINE_MS_MAX * MS)


def rest_ns(attempt: int) -> int:
    """How long a task rests before one that had it gets it again, ns."""
    return min(TASK_REST_MS_MAX, TASK_REST_MS_MIN << min(attempt - 1, 16)) * MS
