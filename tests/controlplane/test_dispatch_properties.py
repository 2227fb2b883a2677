"""Whatever agents, publishers and operators do: who gets work can do it, lives and has room, and nothing is lost."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.router import Rule, Rules
from controlplane.facts import AgentFailed, AgentQuarantined, AgentReleased, AgentSuspected, SettingSet, TaskDispatched
from controlplane.fold import Heart, Step
from controlplane.tasks import OUT, PRIORITIES, Task, held_by, needs_waited_for, waiting_in, work_of
from controlplane.timeline import verify
from tests.controlplane.dispatching import BEAT_MS, ONLY, Agents, lifecycle, settled, some_folds, work

NAMES = ("a", "b", "c", "d")
CAPABILITIES = ("x", "y", "z")
PLACES = 2

actions = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from(NAMES), st.lists(st.sampled_from(CAPABILITIES), max_size=3)),
        st.tuples(st.just("leave"), st.sampled_from(NAMES)),
        st.tuples(st.just("quarantine"), st.sampled_from(NAMES)),
        st.tuples(st.just("release"), st.sampled_from(NAMES)),
        st.tuples(st.just("beat"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)),
        st.tuples(
            st.just("ask"),
            st.lists(st.sampled_from(CAPABILITIES), min_size=1, max_size=2, unique=True),
            st.sampled_from([None, *PRIORITIES]),
            st.sampled_from(["", "", "dead-letter", "escalate"]),
            st.sampled_from(["", "k1", "k2"]),
            st.integers(1, 4),
        ),
        st.tuples(st.just("order"), st.integers(0, 9)),
        st.tuples(st.just("settle"), st.integers(0, 20), st.sampled_from(["handled", "handled", "failed", "refused"])),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(st.just("deadline"), st.sampled_from(["5000", "600000"])),
    ),
    max_size=40,
)
RULES = Rules((
    Rule("large", "order.*", ("capability:y", "agent/d"), "data.n > 4"), Rule("all", "order.>", ("capability:x z",)),
))  # fmt: skip


class Model:
    """The plainest reading: who lives with which capabilities, and what each has."""

    def __init__(self) -> None:
        self.fleet = Agents(rules=RULES)
        self.able: dict[str, set[str]] = {}
        self.joined: dict[str, set[str]] = {}
        self.quarantined: set[str] = set()
        self.has: dict[str, dict[str, str]] = {}
        self.all_mail: list[dict[str, Any]] = []
        self.over: Counter[str] = Counter()

    def act(self, action: tuple[Any, ...]) -> None:
        fleet = self.fleet
        before = len(fleet.steps)
        kind = action[0]
        if kind == "join":
            fleet.joins(action[1], can=action[2], places=PLACES)
        elif kind == "leave":
            fleet.leaves(action[1])
        elif kind == "quarantine":
            fleet.tell(AgentQuarantined([f"agent/{action[1]}"]))
        elif kind == "release":
            fleet.tell(AgentReleased([f"agent/{action[1]}"]))
        elif kind == "beat":
            fleet.beats(*action[1], after_ms=BEAT_MS)
        elif kind == "ask":
            _, requires, priority, policy, sticky, count = action
            more = {name: value for name, value in (("nocapable", policy), ("sticky", sticky)) if value}
            fleet.say(*(work(fleet.end + n, requires, priority=priority, **more) for n in range(count)))
        elif kind == "order":
            fleet.say(work(fleet.end, type="order.made", data={"n": action[1]}))
        elif kind == "settle" and self.all_mail:
            fleet.say(settled(self.all_mail[action[1] % len(self.all_mail)], action[2]))
        elif kind == "wait":
            fleet.wait(action[1])
        elif kind == "deadline":
            fleet.tell(SettingSet("dispatch.deadline_ms", action[1]))
        for step in fleet.steps[before:]:
            self.judge(step)
        self.all_mail += fleet.taken()
        self.check()

    def judge(self, step: Step) -> None:
        """Timers fire before the step's own words are heard; choices are made with what is known at its end."""
        for entry in step.derived:
            if isinstance(entry.fact, AgentSuspected | AgentFailed):
                self.able.pop(entry.fact.agent, None)
        self._learn(step)
        for entry in step.derived:
            if isinstance(entry.fact, TaskDispatched):
                task: Task | None = self.fleet.tasks().get(entry.fact.task)
                needs = set(task.needs.split()) if task is not None else set()
                assert needs <= self.able.get(entry.fact.agent, set()) or (task is not None and task.named)

    def _learn(self, step: Step) -> None:
        given = step.input
        if isinstance(given, AgentQuarantined):
            for agent in given.agents:
                if agent in self.joined:
                    self.quarantined.add(agent)
                    self.able.pop(agent, None)
        elif isinstance(given, AgentReleased):
            for agent in given.agents:
                if agent in self.quarantined:
                    self.quarantined.discard(agent)
                    if self.fleet.heart.states["registry"].get("agent", agent).state in ("joined", "ready"):
                        self.able[agent] = self.joined[agent]
        for event in getattr(given, "followed", {}).values():
            self._hear(event)

    def _hear(self, event: bytes) -> None:
        import json

        said = json.loads(event)
        agent, type = said["source"], said["type"]
        if type == "agent.lifecycle.joined":
            self.joined[agent] = set(said["data"]["capabilities"])
        elif type == "agent.lifecycle.left":
            self.joined.pop(agent, None)
            self.able.pop(agent, None)
        lives = type in ("agent.lifecycle.joined", "agent.lifecycle.heartbeat")
        if lives and agent in self.joined and agent not in self.quarantined:
            self.able[agent] = self.joined[agent]

    def check(self) -> None:
        state, tasks = self.fleet.state, self.fleet.tasks()
        waiting = {id: task for id, task in tasks.items() if task.state != OUT}
        assert self.fleet.count("tasks") == len(tasks) and self.fleet.count("waiting") == len(waiting)
        assert self.fleet.count("out") == len(tasks) - len(waiting)
        assert set(tasks) == {str(id) for id in state.table("event")}
        in_lines = [id for needs in needs_waited_for(state) for p in range(3) for id, _ in waiting_in(state, needs, p)]
        assert sorted(in_lines) == sorted(id for id, task in waiting.items() if task.needs)
        for needs in {task.needs for task in waiting.values() if task.needs}:
            assert work_of(state, needs).waiting == sum(task.needs == needs for task in waiting.values())
        assert len(state.table("link")) == len(in_lines)
        for agent in (f"agent/{name}" for name in NAMES):
            mine = [id for id, task in tasks.items() if task.state == OUT and task.agent == agent and task.needs]
            assert sorted(held_by(state, agent)) == sorted(mine) and len(mine) <= PLACES
            for id in mine:
                assert set(tasks[id].needs.split()) <= self.able.get(agent, set()), "it was taken from who cannot"

    def idle_while_there_is_work(self) -> list[str]:
        """Agents with room that could do something that waits and that anyone may have."""
        state = self.fleet.state
        found = []
        for agent, able in self.able.items():
            if len(held_by(state, agent)) < PLACES:
                found += [
                    f"{agent} {id}"
                    for id, task in self.fleet.tasks().items()
                    if task.state == "waiting" and task.needs and set(task.needs.split()) <= able
                    and agent not in task.refused and not task.again
                ]  # fmt: skip
        return found


@settings(max_examples=150, deadline=None)
@given(actions)
def test_who_gets_work_can_do_it_and_nothing_is_lost(things: list[tuple[Any, ...]]) -> None:
    model = Model()
    for thing in things:
        model.act(thing)
    fleet = model.fleet
    # All live agents speak, and settle what they have, until there is nothing more that anybody could do.
    calm = 0
    for _ in range(90):
        live = [agent.removeprefix("agent/") for agent in sorted(model.able)]
        if live:
            model.act(("beat", live))
        out = [mail for mail in model.all_mail if _is_current(fleet, mail)]
        for mail in out:
            model.act(("settle", model.all_mail.index(mail), "handled"))
        # Who lost a task for being slow comes for another with its next heartbeat.
        calm = 0 if out else calm + 1
        if calm == 3:
            break
    assert model.idle_while_there_is_work() == []
    opened = fleet.count("opened")
    assert opened == fleet.count("handled") + fleet.count("dropped") + len(fleet.tasks())
    assert len(fleet.letters) == fleet.count("dropped")
    for state in fleet.heart.states.values():
        assert state.recomputed_digest() == state.digest
    verdict = verify(fleet.steps, some_folds(*ONLY))
    assert verdict.divergence == "" and verdict.digest == fleet.heart.digest().hex()
    again = Heart(some_folds(*ONLY))
    for step in fleet.steps:
        again.replay(step)
        assert again.digest() == step.digest


def _is_current(fleet: Agents, mail: dict[str, Any]) -> bool:
    task = fleet.tasks().get(mail["data"]["task"])
    return task is not None and task.state == OUT and task.attempt == mail["data"]["attempt"]


def test_ten_thousand_agents_share_the_work_evenly() -> None:
    fleet = Agents()
    data = {"incarnation": "i", "capabilities": ["work"], "concurrency": 4, "heartbeat_ms": 60_000}
    for first in range(0, 10_000, 500):
        fleet.say(*(lifecycle(f"n{n}", "joined", data) for n in range(first, first + 500)))
    for first in range(0, 5_000, 500):
        fleet.say(*(work(n, ["work"]) for n in range(first, first + 500)))
    given = Counter(mail["type"] for mail in fleet.taken())
    assert sum(given.values()) == 5_000 == fleet.count("out") and fleet.count("waiting") == 0
    assert max(given.values()) <= 3 and len(given) > 4_200, "one choice would give some of them five, and 3,935 any"
