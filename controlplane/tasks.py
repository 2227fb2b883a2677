"""Tasks: events for one recipient each, that wait for an agent or are out with one. Pure; part of the fold `dispatch`.

    opened ─▶ waiting in the line of what it needs ─sent─▶ out with an agent ─▶ closed
                     ╰◀──────────────── back, to the head of the line ──╯

A line is a list of tasks that need the same capabilities and have the same priority, linked both ways, so that whoever
goes costs one look wherever it stands.

| table | key | value |
|---|---|---|
| task | task's id | Task |
| event | task's id | the event, CloudEvents JSON |
| line | needs NUL priority | Line |
| link | task's id | [before, after], "" at the ends |
| work | needs | Work |
| held | agent's source | tasks that it has, by need |
| skill | agent's source | list of Skill |
| sticky | needs NUL key | Stuck |
| named | agent's source | how much mail to it by name is remembered |
| count | tasks bytes waiting out opened handled failed refused returned dropped malformed skipped_ns | how many |
| | named named_bytes untracked | the same of mail to agents by name |
| | unfit | events that went to nobody: nested too deep, too large, or no rule names them any more |
| | input input_tasks | the newest input that opened tasks, by position, and how many |
| plane | "stamp" | of the plane, for the ids of tasks (`stamps`) |
"""

from collections.abc import Iterator

import msgspec

from controlplane.limits import (
    LINE_LOOKED_THROUGH_MS,
    NEEDS_REMEMBERED_MAX,
    SKILLED_AGENTS_MAX,
    SKILLS_MAX,
    STICKY_MAX,
    TASK_BYTES_MAX,
    TASK_NAMED_BYTES_MAX,
    TASKS_MAX,
    TASKS_NAMED_AGENT_MAX,
    TASKS_NAMED_MAX,
)
from controlplane.state import KeyedState

WAITING, OUT = "waiting", "out"
PRIORITIES = ("high", "medium", "low")
MEDIUM = 1
US, MS = 1_000, 1_000_000
LATENCY_US_UNKNOWN = 1_000_000
"""What work is expected to take of which nothing is known."""
_SMOOTHING = 8
_FULL = 1_000


class Try(msgspec.Struct, frozen=True, array_like=True):
    """One attempt that is over: who had it, when it ended, ns, and what became of it."""

    attempt: int
    agent: str
    at: int
    why: str
    took_ms: int


class Task(msgspec.Struct, frozen=True, array_like=True):
    """One task. `needs`: capabilities, sorted and spaced; "" where a rule names the agent, which is then `named`.

    `agent`: who has it, "" while it waits; `attempt` counts whom it was given to; `since`: when it came into its state;
    `deadline`: when who has it counts as stuck; `again`: when one that had it already may have it again, 0: any time;
    for one that nobody had, when its turn comes.
    `tried`: those that had it since then; `refused`: those that cannot do it. `skipped`: how long the plane had stood
    still in all when it was sent. `expires`: 0 never. `blamed`: attempts that say something against the task, or its
    agent; an agent that goes in an orderly way is none. `mail`: the intent that sends it, `position:index`. All
    instants in ns.
    """

    state: str
    needs: str
    named: str
    position: int
    partition: int
    offset: int
    appended: int
    type: str
    event_id: str
    priority: int
    sticky: str
    expires: int
    policy: str
    arrived: int
    size: int
    rules: list[str]
    agent: str = ""
    attempt: int = 0
    since: int = 0
    deadline: int = 0
    again: int = 0
    skipped: int = 0
    tried: list[str] = []
    refused: list[str] = []
    tries: list[Try] = []
    escalated: bool = False
    blamed: int = 0
    mail: str = ""


class Line(msgspec.Struct, frozen=True, array_like=True):
    """Tasks that wait for the same: its first, its last, and how many.

    `due`: when some of them are looked at next, ns, whether anybody can do them at all; `cursor`: from which on,
    "": the first.
    """

    head: str
    tail: str
    count: int
    due: int = 0
    cursor: str = ""


class Work(msgspec.Struct, frozen=True, array_like=True):
    """Work of one kind: tasks that wait for it, since when any does, and what it takes on average, 0: not known."""

    waiting: int = 0
    since: int = 0
    latency_us: int = 0
    settled: int = 0


class Skill(msgspec.Struct, frozen=True, array_like=True):
    """How an agent fared at work of one kind: smoothed, in microseconds and thousandths."""

    needs: str
    latency_us: int
    reliability: int
    settled: int


class Stuck(msgspec.Struct, frozen=True, array_like=True):
    """Where a key went last, and when."""

    agent: str
    at: int


TABLES = {
    "task": Task, "event": str, "line": Line, "link": tuple[str, str], "work": Work, "held": list[str],
    "skill": list[Skill], "sticky": Stuck, "named": int, "count": int, "plane": str,
}  # fmt: skip


def needs_in(needs: str) -> list[str]:
    """The capabilities of a task's `needs`. Only U+0020 separates them."""
    return needs.split(" ") if needs else []


def task_of(state: KeyedState, id: str) -> Task | None:
    """A task by its id; None where it is closed."""
    found: Task | None = state.get("task", id)
    return found


def held_by(state: KeyedState, agent: str) -> list[str]:
    """The tasks that an agent has by what they need, oldest first."""
    found: list[str] = state.get("held", agent, [])
    return found


def work_of(state: KeyedState, needs: str) -> Work:
    """What is known of work of one kind."""
    found: Work = state.get("work", needs, Work())
    return found


def is_full(state: KeyedState, needs: str, size: int) -> bool:
    """Whether there is no room for one more task that needs this. Mail to agents by name takes none of it."""
    named, named_bytes = state.get("count", "named", 0), state.get("count", "named_bytes", 0)
    if state.get("count", "tasks", 0) - named >= TASKS_MAX:
        return True
    if state.get("count", "bytes", 0) - named_bytes + size > TASK_BYTES_MAX:
        return True
    is_new = state.get("work", needs) is None
    return is_new and len(state.table("work")) >= NEEDS_REMEMBERED_MAX and not _room_for_needs(state)


def is_named_full(state: KeyedState, agent: str, size: int) -> bool:
    """Whether no more mail to this agent by name can be remembered."""
    if state.get("named", agent, 0) >= TASKS_NAMED_AGENT_MAX or state.get("count", "named", 0) >= TASKS_NAMED_MAX:
        return True
    return bool(state.get("count", "named_bytes", 0) + size > TASK_NAMED_BYTES_MAX)


def _room_for_needs(state: KeyedState) -> bool:
    return any(not work.waiting for _, work in state.items("work"))


# ------------------------------------------------------------------------------------------------- their ways


def opened(state: KeyedState, id: str, task: Task, event: str) -> None:
    """A task is there, and waits."""
    if task.needs and state.get("work", task.needs) is None and len(state.table("work")) >= NEEDS_REMEMBERED_MAX:
        _forget_needs(state)
    state.put("event", id, event)
    counted(state, "tasks", 1)
    counted(state, "opened", 1)
    counted(state, "bytes", task.size)
    _count_named(state, task, 1)
    state.put("task", id, task)
    _wait(state, id, task, at_head=False)


def sent(state: KeyedState, id: str, task: Task) -> None:
    """A waiting task is out; `task` says with whom."""
    _wait_no_more(state, id, task)
    state.put("task", id, task)
    counted(state, "out", 1)
    if task.needs:
        state.put("held", task.agent, [*held_by(state, task.agent), id])


def back(state: KeyedState, id: str, task: Task) -> None:
    """A task that was out waits again, before all others; `task` says how it fared."""
    _let_go(state, id)
    state.put("task", id, task)
    _wait(state, id, task, at_head=True)


def closed(state: KeyedState, id: str) -> None:
    """A task is over."""
    task = task_of(state, id)
    if task is None:
        return
    if task.state == OUT:
        _let_go(state, id)
    else:
        _wait_no_more(state, id, task)
    state.delete("task", id)
    state.delete("event", id)
    counted(state, "tasks", -1)
    counted(state, "bytes", -task.size)
    _count_named(state, task, -1)


def _count_named(state: KeyedState, task: Task, change: int) -> None:
    if not task.named:
        return
    counted(state, "named", change)
    counted(state, "named_bytes", change * task.size)
    count = state.get("named", task.named, 0) + change
    if count:
        state.put("named", task.named, count)
    else:
        state.delete("named", task.named)


def _let_go(state: KeyedState, id: str) -> None:
    task: Task = state.get("task", id)
    counted(state, "out", -1)
    if task.needs:
        left = [each for each in held_by(state, task.agent) if each != id]
        if left:
            state.put("held", task.agent, left)
        else:
            state.delete("held", task.agent)


def counted(state: KeyedState, name: str, change: int) -> None:
    """A count goes up or down."""
    state.put("count", name, state.get("count", name, 0) + change)


# ------------------------------------------------------------------------------------------------- lines


def _wait(state: KeyedState, id: str, task: Task, at_head: bool) -> None:
    counted(state, "waiting", 1)
    if not task.needs:
        return
    key = f"{task.needs}\0{task.priority}"
    line: Line | None = state.get("line", key)
    if line is None:
        state.put("line", key, Line(id, id, 1, task.since + LINE_LOOKED_THROUGH_MS * MS))
        state.put("link", id, ("", ""))
    elif at_head:
        state.put("link", line.head, (id, state.get("link", line.head)[1]))
        state.put("link", id, ("", line.head))
        state.put("line", key, msgspec.structs.replace(line, head=id, count=line.count + 1))
    else:
        state.put("link", line.tail, (state.get("link", line.tail)[0], id))
        state.put("link", id, (line.tail, ""))
        state.put("line", key, msgspec.structs.replace(line, tail=id, count=line.count + 1))
    work = work_of(state, task.needs)
    since = work.since if work.waiting else task.since
    state.put("work", task.needs, msgspec.structs.replace(work, waiting=work.waiting + 1, since=since))


def _wait_no_more(state: KeyedState, id: str, task: Task) -> None:
    counted(state, "waiting", -1)
    if not task.needs:
        return
    key = f"{task.needs}\0{task.priority}"
    before, after = state.get("link", id)
    line: Line = state.get("line", key)
    if before:
        state.put("link", before, (state.get("link", before)[0], after))
    if after:
        state.put("link", after, (before, state.get("link", after)[1]))
    state.delete("link", id)
    if line.count == 1:
        state.delete("line", key)
    else:
        head, tail = line.head if before else after, line.tail if after else before
        cursor = after if line.cursor == id else line.cursor
        state.put("line", key, Line(head, tail, line.count - 1, line.due, cursor))
    work = work_of(state, task.needs)
    state.put("work", task.needs, msgspec.structs.replace(work, waiting=work.waiting - 1))


def waiting_in(state: KeyedState, needs: str, priority: int) -> Iterator[tuple[str, Task]]:
    """The tasks of one line, first to last."""
    line: Line | None = state.get("line", f"{needs}\0{priority}")
    id = "" if line is None else line.head
    while id:
        yield id, state.get("task", id)
        id = state.get("link", id)[1]


def needs_waited_for(state: KeyedState) -> list[str]:
    """The kinds of work that any task waits for, sorted."""
    if not state.table("line"):
        return []
    return sorted(dict.fromkeys(str(key).partition("\0")[0] for key in state.table("line")))


def _forget_needs(state: KeyedState) -> None:
    """Of the kinds that nothing waits for the one that least is known of goes."""
    idle = [(work.settled, str(needs)) for needs, work in state.items("work") if not work.waiting]
    if idle:
        state.delete("work", min(idle)[1])


# ------------------------------------------------------------------------------------------------- what is learned


def skill_of(state: KeyedState, agent: str, needs: str) -> Skill:
    """How an agent fares at work of one kind: what is known of it, else what such work takes others."""
    skills: list[Skill] = state.get("skill", agent, [])
    for skill in skills:
        if skill.needs == needs:
            return skill
    return Skill(needs, work_of(state, needs).latency_us or LATENCY_US_UNKNOWN, _FULL, 0)


def fared(state: KeyedState, agent: str, needs: str, took_us: int | None, went_well: bool) -> None:
    """An attempt is over; `took_us` None: that says nothing of how long such work takes."""
    known: list[Skill] = state.get("skill", agent, [])
    if not known and len(state.table("skill")) >= SKILLED_AGENTS_MAX:
        return
    skill = skill_of(state, agent, needs)
    latency = skill.latency_us
    if took_us is not None:
        latency = took_us if not skill.settled else _smoothed(latency, took_us)
    reliability = _smoothed(skill.reliability, _FULL if went_well else 0)
    fresh = Skill(needs, max(1, latency), reliability, skill.settled + 1)
    state.put("skill", agent, [*(each for each in known if each.needs != needs), fresh][-SKILLS_MAX:])
    work = work_of(state, needs)
    if took_us is not None and state.get("work", needs) is not None:
        mean = max(1, _smoothed(work.latency_us, took_us) if work.settled else took_us)
        state.put("work", needs, msgspec.structs.replace(work, latency_us=mean, settled=work.settled + 1))


def _smoothed(known: int, sample: int) -> int:
    """One step towards a sample, away from zero, so that it gets there."""
    change = sample - known
    return known + (-(-change // _SMOOTHING) if change > 0 else change // _SMOOTHING)


def stuck_to(state: KeyedState, task: Task) -> str:
    """To whom a task's key went before, "" for nobody."""
    found: Stuck | None = state.get("sticky", f"{task.needs}\0{task.sticky}") if task.sticky else None
    return "" if found is None else found.agent


def stick(state: KeyedState, task: Task, agent: str, at: int) -> None:
    """A task's key went to an agent."""
    if not task.sticky:
        return
    state.put("sticky", f"{task.needs}\0{task.sticky}", Stuck(agent, at))
    if len(state.table("sticky")) > STICKY_MAX:
        oldest = sorted((stuck.at, str(key)) for key, stuck in state.items("sticky"))
        for _, key in oldest[: STICKY_MAX // 8]:
            state.delete("sticky", key)
