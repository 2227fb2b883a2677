"""Facts about routing: the rules in force, where an event went, and what became of its tasks. Part of the union.

| decided by an operator | derived by dispatch |
|---|---|
| RoutesSet | EventRouted, RuleFailed, TaskDispatched, TaskReturned, TaskReady, TaskEscalated, |
| | TaskDropped |

A task is an event for one recipient; its id is `POSITION.N`, of the event and of the recipient among its recipients,
and a stamp after a take-over (`controlplane.stamps`).
"""

from bus.choice import Candidate
from bus.router import Rules
from controlplane.journaled import Fact


class RoutesSet(Fact, frozen=True):
    """These are the content rules from here on, in place of all others. `version` counts them, from 1."""

    version: int
    rules: Rules
    by: str = ""
    reason: str = ""


class EventRouted(Fact, frozen=True):
    """Derived: the event at `position`, CloudEvents JSON, goes to these recipients.

    `rules` are those that it goes by, of version `version`; "" among them is the default. `deep`: it is nested too
    deep to be dispatched, and `event` has its data as bytes.
    """

    position: int
    partition: int
    offset: int
    appended: int
    event: str
    recipients: list[str]
    rules: list[str] = []
    version: int = 0
    deep: bool = False


class RuleFailed(Fact, frozen=True):
    """Derived: a rule raised on the event at `position`, for the first time since it is as it is."""

    rule: str
    position: int
    why: str


class TaskDispatched(Fact, frozen=True):
    """Derived: a task goes to an agent, by its source, which was drawn `among` so many.

    What was expected: done after `expected_us`, in `reliability` of a thousand cases. `losers`: who else was looked at.
    `sticky`: its key went there before.
    """

    task: str
    agent: str
    attempt: int
    expected_us: int = 0
    reliability: int = 0
    load: int = 0
    score: int = 0
    among: int = 0
    sticky: bool = False
    losers: list[Candidate] = []


class TaskReturned(Fact, frozen=True):
    """Derived: an agent has a task no more, without having settled it: it is gone, or not able any more, or stuck.

    `why` in one word: suspected, failed, left, quarantined, unable, stuck, unsent; or, of mail to an agent by
    name, unheard.
    """

    task: str
    agent: str
    why: str


class TaskReady(Fact, frozen=True):
    """Derived: a waiting task is looked at anew: it has rested, its turn has come, or nobody can do it any more."""

    task: str


class TaskEscalated(Fact, frozen=True):
    """Derived: nobody can do a task, and the plane says so to whoever listens to `dispatch.escalated`."""

    task: str
    why: str


class TaskDropped(Fact, frozen=True):
    """Derived: a task is given up, and its event is a dead letter of the group `dispatch`, unless it is one already.

    `reason`: attempts, refused, expired, no_capable, unheard.
    """

    task: str
    reason: str
    error: str = ""


DispatchFact = (
    RoutesSet | EventRouted | RuleFailed | TaskDispatched | TaskReturned | TaskReady | TaskEscalated | TaskDropped
)
