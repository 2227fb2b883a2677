"""`route` at the plane: rules are set, tried on what was recorded, and explained, of what is there and of what was."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from bus import batch
from bus.event import Event
from controlplane.answering import Answering
from controlplane.questions import (
    AskHealth,
    AskRoute,
    AskRoutes,
    At,
    Body,
    Health,
    Question,
    Refusal,
    RouteExplained,
    Routes,
    RoutesChanged,
    RoutesTried,
    RuleText,
    SetRoutes,
    Told,
    TryRoutes,
    decode_question,
    decode_told,
    encode,
)
from tests.controlplane.dispatching import lifecycle, settled, work
from tests.controlplane.edge.test_routes_journal import SECOND, Plane

HOUR = 3_600 * SECOND


class Desk(Plane):
    """Turns that run, and who answers for them; the clock goes on by a second with each that is published."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        data_dir = str(root / "plane")
        self.answering = Answering(self.turns, cast(Any, None), cast(Any, None), data_dir, lambda reason: None)
        self.answering.look_through(cast(Any, object()))

    async def ask(self, question: Question, at: At | None = None) -> Body:
        question = decode_question(encode(question))
        told = await self.answering.answer(question, lambda body: None, at)
        return decode_told(encode(Told(told.position, told.recorded, told.body))).body

    async def says(self, *events: Event) -> None:
        self.now += SECOND
        header = batch.Header(batch.EVENTS, 0, 1, self.end, len(events), self.now)
        self.turns.recorder.add(header, batch.encode(events))
        self.end += len(events)
        self.turns._call()
        await self.turns.reached({0: self.end})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "data")
    await made.begin()
    running = asyncio.create_task(made.turns.run())
    yield made
    made.turns.finish()
    await running
    made.answering.close()
    made.close()


LARGE = RuleText("large", "order.created", ["capability:review"], "data.n > 2")
ALL = RuleText("all", "order.>", ["agent/auditor"])


async def orders(desk: Desk, count: int = 6) -> None:
    first = desk.end
    await desk.says(*(work(n, type="order.created", data={"n": n}) for n in range(first, first + count)))


async def test_rules_are_planned_and_then_decided(desk: Desk) -> None:
    await orders(desk)
    planned = await desk.ask(SetRoutes("add", [LARGE, ALL], since=HOUR, dry_run=True))
    assert isinstance(planned, RoutesChanged) and planned.dry_run and planned.tried is not None
    assert planned.touched == [
        "+ large: order.created when data.n > 2 to capability:review", "+ all: order.> to agent/auditor",
    ]  # fmt: skip
    assert [(row.rule, row.was, row.matched) for row in planned.tried.rules] == [("large", 0, 3), ("all", 0, 6)]
    assert (planned.tried.events, planned.tried.changed) == (6, 6)
    done = await desk.ask(SetRoutes("add", [LARGE, ALL], by="op", reason="audit", expected=planned.version))
    assert isinstance(done, RoutesChanged) and done.position
    again = await desk.ask(SetRoutes("remove", names=["large"], expected=planned.version))
    assert isinstance(again, Refusal) and again.code == "changed"
    found = await desk.ask(AskRoutes())
    assert isinstance(found, Routes) and (found.version, found.by, found.reason) == (1, "op", "audit")
    assert [row.name for row in found.rows] == ["large", "all"]


async def test_one_rule_is_replaced_put_before_and_removed(desk: Desk) -> None:
    await desk.ask(SetRoutes("add", [LARGE, ALL], default=["agent/clerk"]))
    await desk.ask(SetRoutes("add", [RuleText("first", "a", ["agent/x"])], before="large"))
    changed = await desk.ask(SetRoutes("add", [RuleText("large", "b", ["agent/y"])]))
    assert isinstance(changed, RoutesChanged) and changed.touched == ["~ large: b to agent/y"]
    found = await desk.ask(AskRoutes())
    assert isinstance(found, Routes) and [row.name for row in found.rows] == ["first", "large", "all"]
    assert found.default == ["agent/clerk"]
    await desk.ask(SetRoutes("remove", names=["first", "all"]))
    changed = await desk.ask(SetRoutes("add", [ALL], whole=True, default=[]))
    assert isinstance(changed, RoutesChanged)
    assert changed.touched == ["- large", "+ all: order.> to agent/auditor", "~ default: nobody"]
    assert isinstance(await desk.ask(SetRoutes("remove", names=["nope"])), Refusal)
    assert isinstance(await desk.ask(SetRoutes("add", no_capable="sometimes")), Refusal)
    changed = await desk.ask(SetRoutes("add", no_capable="dead-letter"))
    assert isinstance(changed, RoutesChanged) and changed.touched == ["~ work that nobody can do: dead-letter"]
    await desk.ask(SetRoutes("add", [ALL]))
    found = await desk.ask(AskRoutes())
    assert isinstance(found, Routes) and found.no_capable == "dead-letter"
    await desk.says(work(1, ["fly"]))
    assert not desk.state.table("task") and desk.count_of("dropped") == 1
    same = await desk.ask(SetRoutes("add", [ALL]))
    assert isinstance(same, RoutesChanged) and (same.touched, same.position) == ([], 0)


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        (RuleText("r", "a", ["agent/x"], "data >"), "cannot be kept"), (RuleText("r", "a..b", ["agent/x"]), "types"),
        (RuleText("r", "a", ["nobody"]), "recipient"), (RuleText("r", "a", ["agent/x"], "now() > 1"), "'now'"),
    ],
)  # fmt: skip
async def test_rules_that_cannot_be_kept_are_refused(desk: Desk, rule: RuleText, part: str) -> None:
    for question in (SetRoutes("add", [rule]), TryRoutes([rule])):
        refused = await desk.ask(question)
        assert isinstance(refused, Refusal) and refused.code == "usage" and part in refused.message
    assert desk.turns.journal.named.newest == ()


async def test_other_rules_are_tried_on_what_was_recorded(desk: Desk) -> None:
    await desk.ask(SetRoutes("add", [ALL]))
    await orders(desk)
    await desk.says(work(50, type="order.odd", data={}), work(51, type="other", data={"n": 9}))
    tried = await desk.ask(TryRoutes([RuleText("large", "order.>", ["agent/auditor"], "data.n > 2")], [], HOUR))
    assert isinstance(tried, RoutesTried) and not tried.cut and tried.version == 1
    rows = {row.rule: row for row in tried.rules}
    assert (rows["large"].matched, rows["large"].failed, rows["large"].why) == (3, 1, "there is no n")
    assert (rows["all"].was, rows["all"].matched) == (7, 0)
    assert tried.events == 7 and tried.changed == 4 and tried.recorded >= 8
    assert tried.examples[0].was == ["agent/auditor"] and tried.examples[0].now == []
    late = await desk.ask(TryRoutes([ALL], [], 1))
    assert isinstance(late, RoutesTried) and late.events <= 1


async def test_an_event_is_explained_before_and_after(desk: Desk) -> None:
    joined = {"incarnation": "1", "capabilities": ["review"], "concurrency": 2}
    await desk.says(lifecycle("a", "joined", joined), lifecycle("b", "joined", joined))
    await desk.ask(SetRoutes("add", [LARGE, RuleText("raises", "order.>", ["agent/x"], "data.nope == 1")]))
    text = json.dumps(
        {"specversion": "1.0", "id": "new", "source": "agent/shop", "type": "order.created", "data": {"n": 9}}
    )
    found = await desk.ask(AskRoute(text))
    assert isinstance(found, RouteExplained) and found.position == 0 and found.tasks == []
    (to,) = found.recipients
    assert to.recipient == "capability:review" and to.through == ["large"] and to.among == 2
    assert to.agent in ("agent/a", "agent/b") and len(to.candidates) == 2
    assert [(one.rule, one.outcome) for one in found.verdicts] == [("large", "matched"), ("raises", "error")]
    await desk.says(work(9, ["review"], type="order.created", data={"n": 9}))
    found = await desk.ask(AskRoute("w-9"))
    assert isinstance(found, RouteExplained) and found.position
    assert found.recipients[0].through == ["large", "requires"]
    (task,) = found.tasks
    assert task.state == "out" and task.agent in ("agent/a", "agent/b")
    assert [step.kind for step in found.steps] == ["EventRouted", "TaskDispatched"]
    assert f"{task.task} to {task.agent}" in found.steps[1].text and " before agent/" in found.steps[1].text
    position = desk.turns.journal.position
    mail = {"type": "agent.inbox." + task.agent.removeprefix("agent/"), "data": {"task": task.task, "attempt": 1}}
    await desk.says(settled(mail, "failed", error="boom"))
    after = await desk.ask(AskRoute("w-9"))
    assert isinstance(after, RouteExplained) and after.tasks[0].attempt == 2 and after.tasks[0].agent != task.agent
    then = await desk.ask(AskRoute("w-9"), At(position=position))
    assert isinstance(then, RouteExplained) and then.tasks == found.tasks and then.steps == found.steps
    nobody = await desk.ask(AskRoute(text.replace('"n": 9', '"n": 1')))
    assert isinstance(nobody, RouteExplained) and nobody.recipients == [] and "no rule" in nobody.why
    for odd in ("{}", "{", "nowhere"):
        assert isinstance(await desk.ask(AskRoute(odd)), Refusal)


async def test_work_that_nobody_can_do_is_a_need_with_what_mends_it(desk: Desk) -> None:
    await desk.says(work(1, ["fly"]), work(2, ["fly", "swim"]))
    found = await desk.ask(AskHealth())
    assert isinstance(found, Health)
    (need,) = [need for need in found.penalties if need.key == "tasks"]
    assert (
        need.what == "2 tasks wait for fly" and need.mend == "agent list --capability fly" and need.severity == "warn"
    )
    listed = await desk.ask(AskRoutes())
    assert isinstance(listed, Routes) and listed.waiting == 2
    assert {row.needs: row.agents for row in listed.work} == {"fly": 0, "fly swim": 0}
    await desk.says(work(3, ["fly"], nocapable="escalate", priority="high"))
    found = await desk.ask(AskHealth())
    assert isinstance(found, Health)
    assert [need.severity for need in found.penalties if need.key == "tasks"] == ["bad"]


async def test_an_event_whose_policy_is_none_is_explained_with_that(desk: Desk) -> None:
    await desk.says(work(1, ["fly"], nocapable="deadletter"))
    found = await desk.ask(AskRoute("w-1"))
    assert isinstance(found, RouteExplained)
    for told in (found.steps[0].text, found.recipients[0].why):
        assert "its nocapable, 'deadletter', is none of" in told


async def test_levers_are_of_the_present(desk: Desk) -> None:
    refused = await desk.ask(SetRoutes("add", [ALL]), At(position=1))
    assert isinstance(refused, Refusal) and "past" in refused.message
