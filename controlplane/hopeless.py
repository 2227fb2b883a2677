"""Tasks that wait, and that nobody can do any more: those who could are gone, or the operator decided anew.

What happens to agents is seen where it happens; what it comes to for each task that waits would cost a look at all of
them. So the lines are looked through at leisure, some tasks at a time. Pure; part of the fold `dispatch`.
"""

from collections.abc import Iterator

import msgspec

from bus.routinglimits import CHOICE_SCAN_MAX
from controlplane.able import able_agents, is_able, nth_able
from controlplane.assigning import gets_mail
from controlplane.dispatchsettings import policy_of
from controlplane.dispatchwords import ESCALATE, WAIT
from controlplane.facts import Fact, Intent, TaskReady
from controlplane.limits import LINE_LOOKED_AT_MAX, LINE_LOOKED_THROUGH_MS, LINE_LOOKS_MAX
from controlplane.state import KeyedState
from controlplane.tasks import MS, WAITING, Line, Task, needs_in, task_of


def looked_through(state: KeyedState, registry: KeyedState | None, key: str, now: int) -> Iterator[Fact | Intent]:
    """The next tasks of a line: those that nobody can do are to be placed once more, which ends them."""
    line: Line = state.get("line", key)
    could = _Could(registry, needs_in(key.partition("\0")[0])) if registry is not None else None
    found: list[str] = []
    id, looked = line.cursor or line.head, 0
    while id and looked < LINE_LOOKED_AT_MAX:
        task = task_of(state, id)
        if could is not None and task is not None and _is_hopeless(state, task, could, now):
            if len(found) >= could.at_most:
                break
            found.append(id)
        looked += 1
        id = state.get("link", id)[1]
    state.put("line", key, msgspec.structs.replace(line, due=now + LINE_LOOKED_THROUGH_MS * MS, cursor=id))
    for each in found:
        yield TaskReady(each)


class _Could:
    """Who can do all of this: looked for no further than it takes."""

    def __init__(self, registry: KeyedState, needs: list[str]) -> None:
        rarest = min(needs, key=lambda need: (able_agents(registry, need), need))
        count = able_agents(registry, rarest)
        agents = (nth_able(registry, rarest, i) for i in range(min(count, CHOICE_SCAN_MAX)))
        self._rest = (
            agent for agent in agents if gets_mail(agent) and all(is_able(registry, agent, need) for need in needs)
        )
        self._known: list[str] = []
        self.is_whole = count <= CHOICE_SCAN_MAX
        self.at_most = max(1, LINE_LOOKS_MAX // max(1, count))

    def anybody(self, but: list[str]) -> bool:
        """Whether there is one, except for these."""
        if any(agent not in but for agent in self._known):
            return True
        for agent in self._rest:
            self._known.append(agent)
            if agent not in but:
                return True
        return False


def _is_hopeless(state: KeyedState, task: Task, could: _Could, now: int) -> bool:
    if task.state != WAITING or 0 < task.expires <= now:
        return False
    policy = policy_of(state, task)
    if not task.refused and (policy == WAIT or (policy == ESCALATE and task.escalated)):
        return False
    if could.anybody(but=task.refused) or not could.is_whole:
        return False
    # All that can do it refuse it, or nobody can: then it waits where that is said.
    return could.anybody(but=[]) or not (policy == WAIT or (policy == ESCALATE and task.escalated))
