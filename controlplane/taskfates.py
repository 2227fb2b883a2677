"""What journaled entries mean for tasks: they are opened, sent, settled, given back. Pure; part of `dispatch`."""

from collections.abc import Iterator

import msgspec

from bus.rfc3339 import format_time
from bus.router import AGENT, needs_of
from controlplane import dispatchwords as words
from controlplane.deadletters import TYPE as DEAD_LETTER
from controlplane.dispatchsettings import attempts_max, deadline_ns, rest_ns
from controlplane.facts import (
    EventRouted,
    Fact,
    Intent,
    IntentFailed,
    PlaneStarted,
    PublishEvent,
    Rows,
    TaskDispatched,
    TaskDropped,
    TaskReady,
    TaskReturned,
)
from controlplane.fold import Entry, KeyedState
from controlplane.limits import TASK_NAMED_MS_MAX, TASK_REST_MS_MIN, TASK_TRIES_KEPT_MAX, TASKS_AT_ONCE_MAX
from controlplane.stamps import stamped
from controlplane.tasks import (
    MS,
    OUT,
    US,
    WAITING,
    Task,
    Try,
    back,
    closed,
    counted,
    fared,
    is_full,
    is_named_full,
    opened,
    sent,
    stick,
    task_of,
)

ENDING = "ending"
"""The state of a task that waits, and that nobody may have any more: its end is said in this very step."""
STUCK, DEAD = "stuck", "dead"
UNSENT = words.UNSENT
_NO_FAULT = ("left", "quarantined", "unable")
"""Why a task came back without that saying anything of how reliable its agent is."""


def open_tasks(state: KeyedState, entry: Entry, fact: EventRouted) -> None:
    """A task for each recipient, as long as there is room; `react` says what becomes of the others."""
    for number, recipient in enumerate(fact.recipients):
        task = task_for(fact, recipient, entry.recorded)
        if not (is_named_full(state, task.named, task.size) if task.named else is_full(state, task.needs, task.size)):
            again = _turn_of_next(state, entry)
            opened(state, id_of(state, fact.position, number), msgspec.structs.replace(task, again=again), fact.event)
        elif task.named:
            counted(state, "untracked", 1)


def _turn_of_next(state: KeyedState, entry: Entry) -> int:
    """When the next task that an input opens may go out, ns; 0: at once. So no input has facts without end."""
    count = state.get("count", "input_tasks", 0) if state.get("count", "input", 0) == entry.cause else 0
    state.put("count", "input", entry.cause)
    state.put("count", "input_tasks", count + 1)
    turn = count // TASKS_AT_ONCE_MAX
    return entry.recorded + turn * TASK_REST_MS_MIN * MS if turn else 0


def task_for(fact: EventRouted, recipient: str, now: int) -> Task:
    """The task of one recipient of an event."""
    asked = words.asked(fact.event) or words.Asked()
    return Task(
        state=WAITING,
        needs=" ".join(needs_of(recipient)),
        named=recipient if recipient.startswith(AGENT) else "",
        position=fact.position,
        partition=fact.partition,
        offset=fact.offset,
        appended=fact.appended,
        type=asked.type,
        event_id=asked.id,
        priority=words.priority_of(asked.priority),
        sticky=asked.stuck_to,
        expires=asked.expires,
        policy=str(asked.nocapable),
        arrived=now,
        size=len(fact.event),
        rules=fact.rules,
        since=now,
    )


def began(state: KeyedState, fact: PlaneStarted) -> None:
    """Another plane: tasks that are opened from here on have its stamp."""
    if fact.stamp:
        state.put("plane", "stamp", fact.stamp)
    else:
        state.delete("plane", "stamp")


def id_of(state: KeyedState, position: int, number: int) -> str:
    """The id of the task that is opened now for an event's recipient."""
    return stamped(f"{position}.{number}", state.get("plane", "stamp", ""))


def send(state: KeyedState, entry: Entry, fact: TaskDispatched) -> None:
    """A task is out with an agent."""
    task = task_of(state, fact.task)
    if task is None or task.state == OUT:
        return
    may_have_ns = TASK_NAMED_MS_MAX * MS if task.named else deadline_ns(state, task.needs, fact.expected_us)
    out = msgspec.structs.replace(
        task,
        state=OUT,
        agent=fact.agent,
        attempt=fact.attempt,
        since=entry.recorded,
        deadline=entry.recorded + may_have_ns,
        again=0,
        escalated=False,
        skipped=state.get("count", "skipped_ns", 0),
    )
    sent(state, fact.task, out)
    stick(state, out, fact.agent, entry.recorded)


def words_of(rows: Rows) -> Iterator[tuple[str, words.Settled | None]]:
    """What a batch says of tasks, in order: whose agent's word it is, and what; None where that is malformed."""
    for row, event in sorted(rows.followed.items()):
        if rows.redriven[row] or rows.importofs[row]:
            continue
        if rows.types[row] == words.SETTLED:
            yield rows.sources[row], words.settled(event)
        elif rows.types[row] == DEAD_LETTER:
            given_up = words.undelivered(event)
            if given_up is not None:
                yield given_up


def posted(state: KeyedState, mail: str, intent: PublishEvent) -> None:
    """Mail of a task is on its way."""
    of = words.mailed(intent)
    task = None if of is None else task_of(state, of[0])
    if of is not None and task is not None and task.state == OUT and task.attempt == of[1]:
        state.put("task", of[0], msgspec.structs.replace(task, mail=mail))


def unsent(state: KeyedState, fact: IntentFailed) -> Iterator[Fact | Intent]:
    """No broker takes an agent's mail: whoever was to get it does not have it. Where no task of it is remembered, its
    event is a dead letter."""
    if fact.kind != PublishEvent.__name__ or fact.by:
        return
    mail = f"{fact.cause}:{fact.index}"
    for id, task in state.items("task"):
        if task.state == OUT and task.mail == mail:
            yield TaskReturned(str(id), task.agent, UNSENT)
    forgotten = words.letter_of_mail(fact.event, fact.why)
    if forgotten is not None and task_of(state, forgotten[0]) is None:
        yield forgotten[1]


def settle(state: KeyedState, entry: Entry, agent: str, said: words.Settled | None) -> None:
    """An agent, or its inbox, is done with a task. What is not of the present attempt is over."""
    if said is None:
        counted(state, "malformed", 1)
        return
    task = task_of(state, said.task)
    if task is None or task.state != OUT or task.agent != agent or task.attempt != said.attempt:
        counted(state, "late", 1)
        return
    went_well = said.outcome == words.HANDLED
    counted(state, said.outcome if said.outcome in words.OUTCOMES else DEAD, 1)
    if task.needs:
        # It cannot have been at it for longer than it had it.
        took_us = min(said.took_ms * US, max(0, entry.recorded - task.since) // US)
        fared(state, agent, task.needs, took_us if went_well else None, went_well)
    if went_well:
        closed(state, said.task)
    elif said.outcome == words.EXPIRED:
        # Its inbox has made the dead letter.
        closed(state, said.task)
    else:
        _back(state, said.task, task, entry.recorded, said.outcome, words.cut(said.error))


def took_back(state: KeyedState, entry: Entry, fact: TaskReturned) -> None:
    """An agent has a task no more."""
    task = task_of(state, fact.task)
    if task is None or task.state != OUT or task.agent != fact.agent:
        return
    counted(state, "returned", 1)
    if task.named and fact.why != UNSENT:
        # Its mail waits on in its inbox; it is only not remembered any more.
        closed(state, fact.task)
        return
    if task.needs and fact.why not in (*_NO_FAULT, UNSENT):
        took_us = words.took_ms(task, entry.recorded) * US if fact.why == STUCK else None
        fared(state, fact.agent, task.needs, took_us, False)
    _back(state, fact.task, task, entry.recorded, fact.why, fact.why)


def escalate(state: KeyedState, id: str) -> None:
    """It is said that nobody can do a task; once until somebody has it."""
    task = task_of(state, id)
    if task is not None:
        state.put("task", id, msgspec.structs.replace(task, escalated=True))


def _back(state: KeyedState, id: str, task: Task, now: int, why: str, error: str) -> None:
    agent, refused, tried = task.agent, task.refused, task.tried
    if why == words.REFUSED:
        refused = [*refused, agent]
    else:
        tried = [*(each for each in tried if each != agent), agent]
    blamed = task.blamed + (why not in _NO_FAULT)
    told = [*task.tries, Try(task.attempt, agent, now, error or why, words.took_ms(task, now))]
    waiting = msgspec.structs.replace(
        task,
        state=WAITING,
        agent="",
        mail="",
        since=now,
        deadline=0,
        again=now + rest_ns(max(1, blamed)) if tried else 0,
        blamed=blamed,
        tried=tried,
        refused=refused,
        tries=told[-TASK_TRIES_KEPT_MAX:],
    )
    back(state, id, waiting)


# ------------------------------------------------------------------------------------------------- time


def due(task: Task) -> int:
    """When something is over for a task: its life, its agent's time, or its rest; 0 for none."""
    if task.state == OUT:
        return task.deadline
    if task.state == ENDING:
        return 0
    return min(filter(None, (task.expires, task.again)), default=0)


def time_is_up(state: KeyedState, id: str, entry: Entry) -> Iterator[Fact | Intent]:
    """A task's deadline is over: it comes back, ends, or may be given to whoever had it."""
    task: Task = state.get("task", id)
    if task.state == OUT:
        pause = state.get("count", "skipped_ns", 0) - task.skipped
        if pause > 0:
            # Time in which the plane stood still is not the agent's.
            later = msgspec.structs.replace(task, deadline=task.deadline + pause, skipped=task.skipped + pause)
            state.put("task", id, later)
            return
        state.put("task", id, msgspec.structs.replace(task, deadline=0))
        yield TaskReturned(id, task.agent, "unheard" if task.named else STUCK)
    elif task.expires and task.expires <= entry.recorded:
        state.put("task", id, msgspec.structs.replace(task, state=ENDING))
        yield from dropped(state, id, "expired", f"expired at {format_time(task.expires)}")
    else:
        state.put("task", id, msgspec.structs.replace(task, again=0, tried=[]))
        yield TaskReady(id)


def dropped(state: KeyedState, id: str, reason: str, error: str) -> Iterator[Fact | Intent]:
    """A task is given up: the fact, and its dead letter."""
    task = task_of(state, id)
    if task is not None:
        yield TaskDropped(id, reason, error)
        yield words.letter_of(task, state.get("event", id), reason, error)


def is_worn_out(state: KeyedState, task: Task) -> bool:
    """Whether a task went wrong as often as it may."""
    return task.blamed >= attempts_max(state)
